// SPDX-License-Identifier: GPL-2.0

//! KVM_GET_ONE_REG and KVM_SET_ONE_REG of what SVE has: vector lengths and scalable registers.
//!
//! Source: Linux, Documentation/virt/kvm/api.rst, "KVM_SET_ONE_REG" and "KVM_ARM_VCPU_INIT".

use crate::{
    arm64::{
        one_reg::OneReg,
        sve::{ScalableReg, Sve, LENGTH_WORDS},
        vcpu::Core,
    },
    uapi::UserAddress,
};
use kernel::prelude::*;

/// As long as the longest register.
const ZEROS: [u8; 256] = [0; 256];

/// Reads a register, as long as its id says: what the guest's vectors do not have is 0. `ENOENT` without SVE, `EPERM`
/// before KVM_ARM_VCPU_FINALIZE, `EFAULT`.
pub fn get(core: &Core, register: ScalableReg, address: UserAddress) -> Result {
    let regs = match &core.fpsimd.sve {
        Sve::Absent => return Err(ENOENT),
        Sve::Open(_) => return Err(EPERM),
        Sve::Final(regs) => regs,
    };
    let value = regs.get(register);
    let bytes = OneReg::Scalable(register).bytes();
    address.write_bytes(value)?;
    let beyond = ZEROS.get(value.len()..bytes).unwrap_or(&[]);
    address.offset(value.len()).write_bytes(beyond)
}

/// Writes a register. What the guest's vectors do not have is not looked at. Errors are those of [`get`].
pub fn set(core: &mut Core, register: ScalableReg, address: UserAddress) -> Result {
    match &mut core.fpsimd.sve {
        Sve::Absent => Err(ENOENT),
        Sve::Open(_) => Err(EPERM),
        Sve::Final(regs) => address.read_bytes(regs.get_mut(register)),
    }
}

/// The lengths that the guest has. `ENOENT` without SVE, `EFAULT`.
pub fn lengths(core: &Core, address: UserAddress) -> Result {
    let longest = match &core.fpsimd.sve {
        Sve::Absent => return Err(ENOENT),
        Sve::Open(length) => *length,
        Sve::Final(regs) => regs.length(),
    };
    let lengths = core.vm.platform().vectors.up_to(longest);
    address.write(&lengths.words())
}

/// Chooses the lengths. `ENOENT` without SVE, `EPERM` after KVM_ARM_VCPU_FINALIZE, `EFAULT`, and `EINVAL` for what
/// [`VectorLengths::choose`](crate::arm64::sve::VectorLengths::choose) refuses.
pub fn set_lengths(core: &mut Core, address: UserAddress) -> Result {
    let available = core.vm.platform().vectors;
    match &mut core.fpsimd.sve {
        Sve::Absent => Err(ENOENT),
        Sve::Final(_) => Err(EPERM),
        Sve::Open(length) => {
            *length = available.choose(address.read::<[u64; LENGTH_WORDS]>()?)?;
            Ok(())
        }
    }
}
