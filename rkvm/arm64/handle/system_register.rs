// SPDX-License-Identifier: GPL-2.0

//! Accesses to system registers that trap.

use crate::arm64::{
    counters::Event,
    el1::El1Access,
    exit::Syndrome,
    loaded::Loaded,
    run::Leave,
    sysreg::{
        trap::{access, Access, Effect, Operation},
        SysReg,
    },
    timer::Which,
    vcpu::Core,
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
pub fn trapped(core: &mut Core, mut loaded: &Loaded, syndrome: Syndrome) -> Option<Leave> {
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
                loaded.set(register, value);
                value
            }
        },
        // Stage 2 keeps guests' memory coherent with the VMM's; nothing else is behind the caches.
        Effect::SetWay => 0,
        Effect::Debugging => {
            // The processor's debug registers are loaded when a section begins.
            core.regs.skip_instruction();
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
    core.regs.skip_instruction();
    None
}
