// SPDX-License-Identifier: GPL-2.0

//! Accesses to system registers that trap.

use crate::arm64::{
    counters::Event,
    el1::{El1Access, El1Reg},
    exception,
    exit::Syndrome,
    loaded::Loaded,
    platform::TranslationControls,
    run::Leave,
    sysreg::{
        trap::{access, Access, Effect, Operation},
        SysReg,
    },
    timer::Which,
    traps::{hcr, InGuestWorld},
    vcpu::Core,
    vtcr::GuestCaches,
};

kernel::bitfield! {
    /// The ISS of MSR, MRS and system instructions, without the register's encoding.
    struct TrapIss(u32) {
        /// A read.
        0:0 read;
        /// The general register.
        9:5 register;
    }
}

/// ICC_SRE_EL1: the GIC is accessed by system registers, and nothing is bypassed.
const SYSTEM_REGISTERS_ONLY: u64 = 0b111;

/// MSR, MRS or a system instruction.
pub fn trapped(
    core: &mut Core,
    mut loaded: &Loaded,
    world: &InGuestWorld<'_>,
    syndrome: Syndrome,
) -> Option<Leave> {
    let mut leave = None;
    core.counters.count(Event::SystemRegisterExit);
    let iss = TrapIss::from(syndrome.iss());
    let general = iss.register().get() as u8;
    let operation = if iss.read().into_bool() {
        Operation::Read
    } else {
        Operation::Write(core.regs.get(general))
    };
    let Core { fixed, kept, .. } = core;
    let fixed = fixed.as_deref()?;
    let register = SysReg::from_iss(syndrome.iss());
    let effect = access(
        Access {
            register,
            operation,
        },
        &fixed.ids,
        kept,
    );
    let read = match effect {
        Effect::Done(value) => value,
        // Keys trap where the guest has no pointer authentication.
        Effect::El1(register) if register.is_key() => {
            return super::undefined(core, loaded, syndrome);
        }
        Effect::El1(register) => match operation {
            Operation::Read => loaded.get(register),
            Operation::Write(value) => {
                if register == El1Reg::Sctlr {
                    leave = note_caches(core, world, loaded.get(register), value);
                }
                loaded.set(register, value);
                value
            }
        },
        Effect::NoIdentification => {
            exception::pass_on(&mut core.regs, &mut loaded, syndrome);
            return None;
        }
        Effect::SetWay => {
            leave = clean_all(core, world);
            0
        }
        Effect::Debugging => {
            // The processor's debug registers are loaded when a section begins.
            core.regs.skip_instruction(syndrome);
            return Some(Leave::Reload);
        }
        Effect::Sgi(sgi, value) if core.has_gic() => {
            core.interrupts.send_sgi(sgi, value);
            0
        }
        Effect::GicDeactivate(value) if core.has_gic() => {
            core.interrupts.write_dir(value);
            0
        }
        Effect::GicEnable if core.has_gic() => SYSTEM_REGISTERS_ONLY,
        Effect::Timer(Which::Physical, part) => match operation {
            Operation::Read => core.interrupts.read_physical(part),
            Operation::Write(value) => {
                core.interrupts.write_physical(loaded.here(), part, value);
                0
            }
        },
        // The virtual timer does not trap; and there may be no GIC.
        Effect::Undefined
        | Effect::Timer(Which::Virtual, _)
        | Effect::Sgi(..)
        | Effect::GicEnable
        | Effect::GicDeactivate(_) => return super::undefined(core, loaded, syndrome),
    };
    if operation == Operation::Read {
        core.regs.set(general, read);
    }
    core.regs.skip_instruction(syndrome);
    leave
}

/// SCTLR_EL1.M and C: MMU and data caches are on.
const CACHED: u64 = 1 << 0 | 1 << 2;

/// The guest writes SCTLR_EL1. What it has written without caches must not be hidden by old lines, and the other way
/// round. Once they are on it is not watched any more, where that is not needed for other reasons.
fn note_caches(core: &mut Core, world: &InGuestWorld<'_>, old: u64, new: u64) -> Option<Leave> {
    let [was_on, is_on] = [old, new].map(|sctlr| sctlr & CACHED == CACHED);
    if is_on && core.vm.mmu().format().translation_controls() == TranslationControls::Free {
        world.change_hcr(&mut core.hcr, |hcr| hcr & !hcr::TVM);
    }
    (was_on != is_on).then_some(Leave::CleanMemory)
}

/// The guest cleans its caches line by line, which means all of them: about to turn them off, mostly. From the first
/// such instruction on it is watched, and what follows costs nothing until the caches are off and on again.
fn clean_all(core: &mut Core, world: &InGuestWorld<'_>) -> Option<Leave> {
    let is_watched = core.hcr & hcr::TVM != 0;
    if is_watched || core.vm.mmu().format().guest_caches() == GuestCaches::Forced {
        return None;
    }
    world.change_hcr(&mut core.hcr, |hcr| hcr | hcr::TVM);
    Some(Leave::CleanMemory)
}
