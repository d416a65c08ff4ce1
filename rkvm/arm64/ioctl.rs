// SPDX-License-Identifier: GPL-2.0

//! The ioctls of an arm64 vCPU.

use crate::{
    arm64::{
        el1::{El1Access, El1Reg},
        regs::CoreReg,
        vcpu::{Core, Vcpu},
    },
    host::bindings as uapi,
    uapi::UserAddress,
};
use kernel::prelude::*;

/// Whether `cmd` is an ioctl of an arm64 vCPU.
pub fn is_vcpu_ioctl(cmd: u32) -> bool {
    matches!(
        cmd,
        uapi::RKVM_ARM_VCPU_INIT | uapi::RKVM_GET_ONE_REG | uapi::RKVM_SET_ONE_REG
    )
}

/// Serves an ioctl other than KVM_RUN. `EINVAL` for one that does not exist.
pub fn serve(vcpu: &mut Vcpu, cmd: u32, argument: UserAddress) -> Result<isize> {
    let core = &mut vcpu.core;
    match cmd {
        uapi::RKVM_ARM_VCPU_INIT => init(core, &argument.read()?)?,
        uapi::RKVM_GET_ONE_REG => get_one_reg(core, &argument.read()?)?,
        uapi::RKVM_SET_ONE_REG => set_one_reg(core, &argument.read()?)?,
        _ => return Err(EINVAL),
    }
    Ok(0)
}

/// KVM_ARM_VCPU_INIT. `EINVAL` for another target, `ENOENT` for a feature that is not there.
fn init(core: &mut Core, init: &uapi::kvm_vcpu_init) -> Result {
    if init.target != uapi::KVM_ARM_TARGET_GENERIC_V8 {
        return Err(EINVAL);
    }
    let known = 1 << uapi::KVM_ARM_VCPU_PSCI_0_2;
    let [features, rest @ ..] = init.features;
    if features & !known != 0 || rest.iter().any(|word| *word != 0) {
        return Err(ENOENT);
    }
    core.reset();
    core.initialised = true;
    Ok(())
}

/// Fields of a register's id.
mod id {
    pub(super) const CORE: u64 = 0x6000_0000_0010_0000;
    pub(super) const SIZE_SHIFT: u32 = 52;
    pub(super) const SIZE: u64 = 0xf << SIZE_SHIFT;
    pub(super) const PLACE: u64 = 0xffff;
}

fn core_register(core: &Core, id: u64) -> Result<CoreReg> {
    if !core.initialised {
        return Err(ENOEXEC);
    }
    if id & !id::SIZE & !id::PLACE != id::CORE {
        return Err(ENOENT);
    }
    CoreReg::at(id & id::PLACE, 1 << ((id & id::SIZE) >> id::SIZE_SHIFT))
}

fn get_one_reg(core: &Core, reg: &uapi::kvm_one_reg) -> Result {
    let register = core_register(core, reg.id)?;
    let regs = &core.regs;
    let value: u128 = match register {
        CoreReg::X(number) => regs.get(number).into(),
        CoreReg::SpEl0 => regs.sp_el0.into(),
        CoreReg::Pc => regs.pc.into(),
        CoreReg::Pstate => regs.pstate.into(),
        CoreReg::SpEl1 => core.el1.get(El1Reg::Sp).into(),
        CoreReg::ElrEl1 => core.el1.get(El1Reg::Elr).into(),
        CoreReg::SpsrEl1 => core.el1.get(El1Reg::Spsr).into(),
        CoreReg::SpsrAarch32(number) => {
            (*regs.spsr_aarch32.get(usize::from(number)).ok_or(ENOENT)?).into()
        }
        CoreReg::V(number) => {
            u128::from_le_bytes(*core.fpsimd.regs.v.get(usize::from(number)).ok_or(ENOENT)?)
        }
        CoreReg::Fpsr => core.fpsimd.regs.fpsr.into(),
        CoreReg::Fpcr => core.fpsimd.regs.fpcr.into(),
    };
    let bytes = value.to_le_bytes();
    let address = UserAddress::new(reg.addr as usize);
    address.write_bytes(bytes.get(..register.bytes()).ok_or(EINVAL)?)
}

fn set_one_reg(core: &mut Core, reg: &uapi::kvm_one_reg) -> Result {
    let register = core_register(core, reg.id)?;
    let mut bytes = [0; size_of::<u128>()];
    let address = UserAddress::new(reg.addr as usize);
    address.read_bytes(bytes.get_mut(..register.bytes()).ok_or(EINVAL)?)?;
    let wide = u128::from_le_bytes(bytes);
    let value = wide as u64;
    match register {
        CoreReg::X(number) => core.regs.set(number, value),
        CoreReg::SpEl0 => core.regs.sp_el0 = value,
        CoreReg::Pc => core.regs.pc = value,
        CoreReg::Pstate => {
            crate::arm64::regs::pstate::check(value, crate::arm64::regs::pstate::Aarch32::Absent)?;
            core.regs.pstate = value;
        }
        CoreReg::SpEl1 => core.el1.set(El1Reg::Sp, value),
        CoreReg::ElrEl1 => core.el1.set(El1Reg::Elr, value),
        CoreReg::SpsrEl1 => core.el1.set(El1Reg::Spsr, value),
        CoreReg::SpsrAarch32(number) => {
            let slot = core.regs.spsr_aarch32.get_mut(usize::from(number));
            *slot.ok_or(ENOENT)? = value;
        }
        CoreReg::V(number) => {
            let slot = core.fpsimd.regs.v.get_mut(usize::from(number));
            *slot.ok_or(ENOENT)? = bytes;
        }
        CoreReg::Fpsr => core.fpsimd.regs.fpsr = value as u32,
        CoreReg::Fpcr => core.fpsimd.regs.fpcr = value as u32,
    }
    Ok(())
}
