// SPDX-License-Identifier: GPL-2.0

//! KVM_GET_ONE_REG, KVM_SET_ONE_REG and KVM_GET_REG_LIST.

use super::scalable;
use crate::{
    arm64::{
        el1::{El1Access, El1Reg},
        features::ScalableVectors,
        one_reg::{FirmwareReg, OneReg, CACHES},
        regs::{pstate, CoreReg},
        sve::ScalableReg,
        sysreg::{
            role::{self, Kept, Role, TimerPart},
            SysReg,
        },
        timer::{Count, Which},
        vcpu::Core,
    },
    host::bindings as uapi,
    uapi::UserAddress,
};
use kernel::prelude::*;

/// The bytes of the largest register.
const BYTES: usize = size_of::<u128>();

/// KVM_GET_ONE_REG. `ENOENT` for a register that the vCPU does not have, `EINVAL` for an id that cannot be one,
/// `EFAULT`.
pub fn get(core: &Core, named: &uapi::kvm_one_reg) -> Result {
    let register = OneReg::from_id(named.id)?;
    let address = UserAddress::new(named.addr as usize);
    let value = match register {
        OneReg::Core(register) => core_register(core, register)?,
        OneReg::System(register) => system_register(core, register)?.into(),
        OneReg::CacheSize(selection) => core.kept.cache(selection).into(),
        OneReg::Firmware(register) => {
            let machine = core.vm.arch().machine().lock();
            machine.firmware(core.host_ids(), register)?.into()
        }
        OneReg::Scalable(register) => return scalable::get(core, register, address),
        OneReg::VectorLengths => return scalable::lengths(core, address),
    };
    let bytes = value.to_le_bytes();
    address.write_bytes(bytes.get(..register.bytes()).ok_or(EINVAL)?)
}

/// KVM_SET_ONE_REG. As [`get`], and `EINVAL` for a value that the register cannot have, `EBUSY` for one that it could
/// have had before a vCPU of the VM ran.
pub fn set(core: &mut Core, named: &uapi::kvm_one_reg) -> Result {
    let register = OneReg::from_id(named.id)?;
    let address = UserAddress::new(named.addr as usize);
    match register {
        OneReg::Scalable(register) => return scalable::set(core, register, address),
        OneReg::VectorLengths => return scalable::set_lengths(core, address),
        _ => (),
    }
    let mut bytes = [0; BYTES];
    address.read_bytes(bytes.get_mut(..register.bytes()).ok_or(EINVAL)?)?;
    let wide = u128::from_le_bytes(bytes);
    let value = wide as u64;
    match register {
        OneReg::Core(register) => set_core_register(core, register, wide),
        OneReg::System(register) => set_system_register(core, register, value),
        OneReg::CacheSize(selection) => core.kept.set_cache(selection, value as u32),
        OneReg::Firmware(register) => {
            let mut machine = core.vm.arch().machine().lock();
            machine.set_firmware(core.host_ids(), register, value)
        }
        OneReg::Scalable(_) | OneReg::VectorLengths => Err(EINVAL),
    }
}

fn core_register(core: &Core, register: CoreReg) -> Result<u128> {
    let regs = &core.regs;
    Ok(match register {
        CoreReg::X(number) => regs.get(number).into(),
        CoreReg::SpEl0 => regs.sp_el0.into(),
        CoreReg::Pc => regs.pc.into(),
        CoreReg::Pstate => regs.pstate.into(),
        CoreReg::SpEl1 => core.el1.get(El1Reg::Sp).into(),
        CoreReg::ElrEl1 => core.el1.get(El1Reg::Elr).into(),
        CoreReg::SpsrEl1 => core.el1.get(El1Reg::Spsr).into(),
        CoreReg::SpsrAarch32(number) => {
            let value = regs.spsr_aarch32.get(usize::from(number));
            (*value.ok_or(ENOENT)?).into()
        }
        CoreReg::V(_) if core.fpsimd.has_sve() => return Err(EINVAL),
        CoreReg::V(number) => {
            let bytes = core.fpsimd.regs.v.get(usize::from(number));
            u128::from_le_bytes(*bytes.ok_or(ENOENT)?)
        }
        CoreReg::Fpsr => core.fpsimd.regs.fpsr.into(),
        CoreReg::Fpcr => core.fpsimd.regs.fpcr.into(),
    })
}

fn set_core_register(core: &mut Core, register: CoreReg, wide: u128) -> Result {
    let value = wide as u64;
    let aarch32 = core.host_ids().aarch32();
    let regs = &mut core.regs;
    match register {
        CoreReg::X(number) => regs.set(number, value),
        CoreReg::SpEl0 => regs.sp_el0 = value,
        CoreReg::Pc => regs.pc = value,
        CoreReg::Pstate => {
            pstate::check(value, aarch32)?;
            regs.pstate = value;
        }
        CoreReg::SpEl1 => core.el1.set(El1Reg::Sp, value),
        CoreReg::ElrEl1 => core.el1.set(El1Reg::Elr, value),
        CoreReg::SpsrEl1 => core.el1.set(El1Reg::Spsr, value),
        CoreReg::SpsrAarch32(number) => {
            let slot = regs.spsr_aarch32.get_mut(usize::from(number));
            *slot.ok_or(ENOENT)? = value;
        }
        CoreReg::V(_) if core.fpsimd.has_sve() => return Err(EINVAL),
        CoreReg::V(number) => {
            let slot = core.fpsimd.regs.v.get_mut(usize::from(number));
            *slot.ok_or(ENOENT)? = wide.to_le_bytes();
        }
        CoreReg::Fpsr => core.fpsimd.regs.fpsr = value as u32,
        CoreReg::Fpcr => core.fpsimd.regs.fpcr = value as u32,
    }
    core.regs.narrow();
    Ok(())
}

/// Whether there is the newer feature that a register belongs to, if it belongs to one.
fn exists(core: &Core, role: Role) -> bool {
    let extension = role.extension();
    extension.is_none_or(|extension| core.vm.arch().machine().lock().has(extension))
}

/// The role of a register that the vCPU has. `ENOENT` for others.
fn listed(core: &Core, register: SysReg) -> Result<Role> {
    let features = core.features.ok_or(ENOENT)?;
    role::role(register)
        .filter(|role| role.is_listed(features) && exists(core, *role))
        .ok_or(ENOENT)
}

fn system_register(core: &Core, register: SysReg) -> Result<u64> {
    match listed(core, register)? {
        Role::El1(register) => Ok(core.el1.get(register)),
        Role::Kept(register) => Ok(core.kept.get(register)),
        Role::Debug(bank, number) => Ok(core.kept.debug.get(bank, number)),
        Role::VectorLength => Ok(core.fpsimd.zcr),
        Role::Fpmr => Ok(core.fpsimd.fpmr),
        Role::Identification => core.vm.arch().machine().lock().id(register),
        Role::Timer(which, part) => timer_register(core, which, part),
        _ => Err(ENOENT),
    }
}

fn set_system_register(core: &mut Core, register: SysReg, value: u64) -> Result {
    match listed(core, register)? {
        Role::El1(register) => core.el1.set(register, value),
        Role::Kept(register) => {
            core.kept.set(register, value)?;
            if register == Kept::Mpidr {
                core.processor().rename(value);
                core.interrupts.rename(value);
            }
        }
        Role::Debug(bank, number) => core.kept.debug.set(bank, number, value),
        Role::VectorLength => core.fpsimd.zcr = value,
        Role::Fpmr => core.fpsimd.fpmr = value,
        Role::Identification => {
            let mut machine = core.vm.arch().machine().lock();
            machine.set_id(core.host_ids(), register, value)?;
        }
        Role::Timer(which, part) => set_timer_register(core, which, part, value)?,
        _ => return Err(ENOENT),
    }
    Ok(())
}

fn timer_register(core: &Core, which: Which, part: TimerPart) -> Result<u64> {
    let (timer, now) = (
        core.interrupts.timer(which),
        core.vm.arch().time().now(which),
    );
    match part {
        TimerPart::Control => Ok(timer.control()),
        TimerPart::Compare => Ok(timer.compare()),
        TimerPart::Counter => Ok(now.0),
        TimerPart::Distance | TimerPart::OrderedCounter => Err(ENOENT),
    }
}

/// The counters are the same for all vCPUs.
fn set_timer_register(core: &mut Core, which: Which, part: TimerPart, value: u64) -> Result {
    let timer = core.interrupts.timer_mut(which);
    match (part, which) {
        (TimerPart::Control, _) => timer.set_control(value),
        (TimerPart::Compare, _) => timer.set_compare(value),
        (TimerPart::Counter, _) => core.vm.arch().time().set_count(which, Count(value)),
        (TimerPart::Distance | TimerPart::OrderedCounter, _) => return Err(ENOENT),
    }
    Ok(())
}

/// All ids that a vCPU has: first core registers, those of SVE and of the firmware, then system registers by their
/// encodings, then caches. `ENOEXEC` before there are features.
fn ids(core: &Core) -> Result<KVVec<u64>> {
    let features = core.features.ok_or(ENOEXEC)?;
    let mut system = KVVec::new();
    for (register, role) in role::all() {
        if role.is_listed(features) && exists(core, role) {
            system.push(register, GFP_KERNEL_ACCOUNT)?;
        }
    }
    system.sort_unstable();
    let mut ids = KVVec::new();
    let mut add = |register: OneReg| ids.push(register.id(), GFP_KERNEL_ACCOUNT);
    let has_sve = features.scalable_vectors() == ScalableVectors::Present;
    for register in CoreReg::all() {
        if !(has_sve && matches!(register, CoreReg::V(_))) {
            add(OneReg::Core(register))?;
        }
    }
    if has_sve {
        // The lengths are first, as a VMM has to write them first.
        add(OneReg::VectorLengths)?;
        for register in ScalableReg::all() {
            add(OneReg::Scalable(register))?;
        }
    }
    for register in FirmwareReg::ALL {
        add(OneReg::Firmware(register))?;
    }
    for register in system.iter() {
        add(OneReg::System(*register))?;
    }
    for selection in 0..CACHES {
        add(OneReg::CacheSize(selection))?;
    }
    Ok(ids)
}

/// KVM_GET_REG_LIST: a count, then ids. `E2BIG` with the count written back where the VMM has too little room; `EPERM`
/// before KVM_ARM_VCPU_FINALIZE if that is due.
pub fn list(core: &Core, argument: UserAddress) -> Result {
    core.fpsimd.finalized()?;
    let room = argument.read::<u64>()?;
    let ids = ids(core)?;
    argument.write(&(ids.len() as u64))?;
    if room < ids.len() as u64 {
        return Err(E2BIG);
    }
    argument.offset(size_of::<u64>()).write_array(&ids)
}
