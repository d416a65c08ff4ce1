// SPDX-License-Identifier: GPL-2.0

//! KVM_GET_FPU and KVM_SET_FPU: the FXSAVE image in the form of `struct kvm_fpu` (Intel SDM volume 1, table
//! 10-2).

use crate::host::{bindings::kvm_fpu, x86::fpu::GuestFpu};
use kernel::prelude::*;

/// Offsets within the image.
const FCW: usize = 0;
const FSW: usize = 2;
const FTW: usize = 4;
const FOP: usize = 6;
const FIP: usize = 8;
const FDP: usize = 16;
const MXCSR: usize = 24;
const ST: usize = 32;
const XMM: usize = 160;
/// The end of the vector registers.
const END: usize = 416;

type Image = [u8; 512];

fn take<const N: usize>(image: &Image, offset: usize) -> [u8; N] {
    let mut bytes = [0; N];
    if let Some(field) = image.get(offset..offset.saturating_add(N)) {
        bytes.copy_from_slice(field);
    }
    bytes
}

fn put(image: &mut Image, offset: usize, bytes: &[u8]) {
    if let Some(field) = image.get_mut(offset..offset.saturating_add(bytes.len())) {
        field.copy_from_slice(bytes);
    }
}

/// KVM_GET_FPU.
pub fn get(fpu: &GuestFpu) -> kvm_fpu {
    let image = fpu.legacy();
    let mut state = kvm_fpu {
        fcw: u16::from_le_bytes(take(&image, FCW)),
        fsw: u16::from_le_bytes(take(&image, FSW)),
        ftwx: u8::from_le_bytes(take(&image, FTW)),
        last_opcode: u16::from_le_bytes(take(&image, FOP)),
        last_ip: u64::from_le_bytes(take(&image, FIP)),
        last_dp: u64::from_le_bytes(take(&image, FDP)),
        mxcsr: u32::from_le_bytes(take(&image, MXCSR)),
        ..kvm_fpu::default()
    };
    if let (Some(st), Some(xmm)) = (image.get(ST..XMM), image.get(XMM..END)) {
        state.fpr.as_flattened_mut().copy_from_slice(st);
        state.xmm.as_flattened_mut().copy_from_slice(xmm);
    }
    state
}

/// KVM_SET_FPU. `EINVAL` for an MXCSR with reserved bits.
pub fn set(fpu: &mut GuestFpu, state: &kvm_fpu) -> Result {
    let mut image = fpu.legacy();
    put(&mut image, FCW, &state.fcw.to_le_bytes());
    put(&mut image, FSW, &state.fsw.to_le_bytes());
    put(&mut image, FTW, &state.ftwx.to_le_bytes());
    put(&mut image, FOP, &state.last_opcode.to_le_bytes());
    put(&mut image, FIP, &state.last_ip.to_le_bytes());
    put(&mut image, FDP, &state.last_dp.to_le_bytes());
    put(&mut image, MXCSR, &state.mxcsr.to_le_bytes());
    put(&mut image, ST, state.fpr.as_flattened());
    put(&mut image, XMM, state.xmm.as_flattened());
    fpu.set_legacy(&image)
}
