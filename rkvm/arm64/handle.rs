// SPDX-License-Identifier: GPL-2.0

//! Exits: what is done about each.
//!
//! Handlers run right after the exit, with all exceptions masked and EL1 the guest's: they can reach neither user
//! memory nor anything that sleeps. `None` enters the guest again at once; everything else ends the section.

mod hypercall;
mod memory;
mod system_register;

use crate::{
    arm64::{
        counters::Event,
        enter::Exit,
        exception,
        exit::{Class, Syndrome, WaitIss},
        loaded::Loaded,
        registers::*,
        run::Leave,
        traps::InGuestWorld,
        vcpu::Core,
    },
    run_page::UserExit,
};

/// Deals with the exit that has just happened.
#[inline(always)]
pub fn handle(
    core: &mut Core,
    loaded: &Loaded,
    world: &InGuestWorld<'_>,
    exit: Exit,
) -> Option<Leave> {
    match exit {
        Exit::Interrupt => {
            core.counters.count(Event::InterruptExit);
            Some(Leave::Interrupt)
        }
        Exit::Synchronous => synchronous(core, loaded, world, Syndrome::new(EsrEl2::read())),
        Exit::SError => {
            core.raise_serror(world);
            None
        }
        Exit::IllegalReturn => Some(Leave::User(UserExit::FailEntry {
            reason: core.regs.pstate,
            cpu: loaded.cpu().number(),
        })),
    }
}

fn synchronous(
    core: &mut Core,
    loaded: &Loaded,
    world: &InGuestWorld<'_>,
    syndrome: Syndrome,
) -> Option<Leave> {
    match syndrome.class() {
        Class::DataAbort | Class::InstructionAbort => memory::abort(core, loaded, world, syndrome),
        Class::SystemRegister => system_register::trapped(core, loaded, world, syndrome),
        Class::Hvc => hypercall::hvc(core, syndrome),
        Class::Smc => hypercall::smc(core, syndrome),
        Class::Wait => wait(core, WaitIss::from(syndrome.iss())),
        Class::Debug(event) => Some(Leave::User(core.debug_exit(event, syndrome))),
        Class::FloatingPoint => Some(Leave::FloatingPoint),
        Class::Sve if core.fpsimd.has_sve() => Some(Leave::FloatingPoint),
        _ => undefined(core, loaded, syndrome),
    }
}

/// The instruction does not exist in this guest.
fn undefined(core: &mut Core, loaded: &Loaded, syndrome: Syndrome) -> Option<Leave> {
    exception::undefined(&mut core.regs, &mut &*loaded, syndrome);
    None
}

/// WFI or WFE, which are done when the guest goes on.
fn wait(core: &mut Core, iss: WaitIss) -> Option<Leave> {
    core.regs.skip_instruction();
    Some(if iss.for_event().into_bool() {
        core.counters.count(Event::WfeExit);
        Leave::Spin
    } else {
        core.counters.count(Event::WfiExit);
        Leave::Wait
    })
}
