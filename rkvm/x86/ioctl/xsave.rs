// SPDX-License-Identifier: GPL-2.0

//! KVM_GET_XSAVE, KVM_GET_XSAVE2 and KVM_SET_XSAVE: the FPU state as an XSAVE image in the standard format (Intel SDM
//! volume 1, section 13.4). KVM_GET_XCRS and KVM_SET_XCRS: the extended control registers.

use crate::{
    host::{
        bindings::{kvm_xcrs, kvm_xsave, KVM_MAX_XCRS},
        x86::fpu::{GuestFpu, XFEATURES_LEGACY},
    },
    uapi::UserAddress,
    vmx::platform::Platform,
    x86::{regs::rules, vcpu::Core},
};
use kernel::prelude::*;

/// Bytes of the image as the UAPI has it.
const IMAGE_SIZE: usize = size_of::<kvm_xsave>();

/// XCR0, the only extended control register.
const XCR0: u32 = 0;

/// The components that a VMM gets: those of the guest's CPUID, and FP and SSE always.
fn components(core: &Core) -> u64 {
    core.features.limits.xcr0.raw() | XFEATURES_LEGACY
}

/// The components that a VMM can set: all that guests can have, whatever the CPUID, which may come later.
fn accepted(core: &Core) -> u64 {
    core.platform().guest_xcr0() | XFEATURES_LEGACY
}

/// KVM_GET_XSAVE. `EINVAL` where the host's components do not fit in the structure.
pub fn get(fpu: &mut GuestFpu, core: &Core, argument: UserAddress) -> Result {
    if fpu.image_size() > IMAGE_SIZE {
        return Err(EINVAL);
    }
    argument.write_bytes(&fpu.image(components(core))?)
}

/// KVM_CAP_XSAVE2: bytes of the image that KVM_GET_XSAVE2 gives, never fewer than the UAPI's structure has.
pub fn size(platform: &Platform) -> usize {
    let xcr0 = platform.host_xcr0.unwrap_or_default();
    let size = platform.xsave_layout.standard_size(xcr0);
    IMAGE_SIZE.max(size as usize)
}

/// KVM_GET_XSAVE2: an image however large.
pub fn get2(fpu: &mut GuestFpu, core: &Core, argument: UserAddress) -> Result {
    argument.write_bytes(&fpu.image(components(core))?)
}

/// KVM_SET_XSAVE. Components that XSTATE_BV leaves out get their initial values. `EINVAL` for an image that
/// XRSTOR would refuse or that has components which no guest has.
pub fn set(fpu: &mut GuestFpu, core: &Core, argument: UserAddress) -> Result {
    let mut image = KVec::from_elem(0u8, IMAGE_SIZE, GFP_KERNEL_ACCOUNT)?;
    argument.read_bytes(&mut image)?;
    fpu.set_image(&image, accepted(core))
}

/// KVM_GET_XCRS: XCR0, or nothing where the host has no XSAVE.
pub fn get_xcrs(core: &Core) -> kvm_xcrs {
    let mut state = kvm_xcrs::default();
    if core.platform().host_xcr0.is_none() {
        return state;
    }
    let [first, ..] = &mut state.xcrs;
    first.xcr = XCR0;
    first.value = core.xcr0.raw();
    state.nr_xcrs = 1;
    state
}

/// KVM_SET_XCRS. Registers other than XCR0 are left alone. `EINVAL` where the host has no XSAVE, for any
/// flag, for too many registers, and for a value that XSETBV would refuse.
pub fn set_xcrs(core: &mut Core, state: &kvm_xcrs) -> Result {
    if core.platform().host_xcr0.is_none() || state.flags != 0 || state.nr_xcrs > KVM_MAX_XCRS {
        return Err(EINVAL);
    }
    let mut registers = state.xcrs.iter().take(state.nr_xcrs as usize);
    let Some(register) = registers.find(|register| register.xcr == XCR0) else {
        return Ok(());
    };
    let limits = core.features.limits;
    core.xcr0 = rules::write_xcr(XCR0, register.value, &limits).map_err(|_| EINVAL)?;
    let loaded = core.load();
    let cr4 = core.guest.cr4(&loaded);
    core.refresh_cpuid(cr4);
    Ok(())
}
