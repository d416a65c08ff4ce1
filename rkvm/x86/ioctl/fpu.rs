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
/// Bytes of a register's slot.
const SLOT: usize = 16;

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
pub fn get(fpu: &mut GuestFpu) -> Result<kvm_fpu> {
    let image = fpu.legacy()?;
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
    for (register, offset) in state.fpr.iter_mut().zip((ST..).step_by(SLOT)) {
        *register = take(&image, offset);
    }
    for (register, offset) in state.xmm.iter_mut().zip((XMM..).step_by(SLOT)) {
        *register = take(&image, offset);
    }
    Ok(state)
}

/// KVM_SET_FPU. `EINVAL` for an MXCSR with reserved bits.
pub fn set(fpu: &mut GuestFpu, state: &kvm_fpu) -> Result {
    let mut image = fpu.legacy()?;
    put(&mut image, FCW, &state.fcw.to_le_bytes());
    put(&mut image, FSW, &state.fsw.to_le_bytes());
    put(&mut image, FTW, &state.ftwx.to_le_bytes());
    put(&mut image, FOP, &state.last_opcode.to_le_bytes());
    put(&mut image, FIP, &state.last_ip.to_le_bytes());
    put(&mut image, FDP, &state.last_dp.to_le_bytes());
    put(&mut image, MXCSR, &state.mxcsr.to_le_bytes());
    for (register, offset) in state.fpr.iter().zip((ST..).step_by(SLOT)) {
        put(&mut image, offset, register);
    }
    for (register, offset) in state.xmm.iter().zip((XMM..).step_by(SLOT)) {
        put(&mut image, offset, register);
    }
    fpu.set_legacy(&image)
}
