// SPDX-License-Identifier: GPL-2.0

//! Exits: what is done about each.
//!
//! Handlers run right after the exit, with all exceptions masked and EL1 the guest's: they can reach neither user
//! memory nor anything that sleeps. `None` enters the guest again at once; everything else ends the section.

mod hypercall;
mod memory;
mod system_register;

use crate::arm64::{
    aarch32,
    counters::Event,
    enter::{Exit, Left},
    exception,
    exit::{Class, Syndrome, WaitIss},
    loaded::Loaded,
    mops::{self, MopsIss},
    registers::*,
    run::Leave,
    serror::{judge, Outcome, Ras},
    timer::{Count, Which},
    traps::InGuestWorld,
    user_exit::UserExit,
    vcpu::Core,
};

/// Deals with the exit that has just happened.
#[inline(always)]
pub fn handle(
    core: &mut Core,
    loaded: &Loaded,
    world: &InGuestWorld<'_>,
    left: Left,
) -> Option<Leave> {
    if let Some(error) = left.serror {
        if let Some(leave) = serror(core, world, error) {
            return Some(leave);
        }
    }
    match left.exit {
        Exit::Interrupt => {
            core.counters.count(Event::InterruptExit);
            Some(Leave::Interrupt)
        }
        Exit::Synchronous => synchronous(core, loaded, world, Syndrome::new(EsrEl2::read())),
        Exit::SError => serror(core, world, Syndrome::new(EsrEl2::read())),
        Exit::IllegalReturn => Some(Leave::User(UserExit::FailEntry {
            reason: core.regs.pstate,
            cpu: loaded.cpu().number(),
        })),
    }
}

/// An SError that came while the guest ran.
#[cold]
fn serror(core: &mut Core, world: &InGuestWorld<'_>, syndrome: Syndrome) -> Option<Leave> {
    let ras = if core.host_ids().has_ras() {
        Ras::Present
    } else {
        Ras::Absent
    };
    match judge(syndrome, ras) {
        Outcome::Harmless => None,
        Outcome::Guest => {
            core.raise_serror(world);
            None
        }
        Outcome::Uncontained => Some(Leave::Uncontained(syndrome)),
    }
}

fn synchronous(
    core: &mut Core,
    loaded: &Loaded,
    world: &InGuestWorld<'_>,
    syndrome: Syndrome,
) -> Option<Leave> {
    if !aarch32::condition_holds(core.regs.pstate, syndrome) {
        core.regs.skip_instruction(syndrome);
        return None;
    }
    match syndrome.class() {
        Class::DataAbort | Class::InstructionAbort => memory::abort(core, loaded, world, syndrome),
        Class::SystemRegister => system_register::trapped(core, loaded, world, syndrome),
        Class::Hvc => hypercall::hvc(core, syndrome),
        Class::Smc => hypercall::smc(core, syndrome),
        Class::Wait => wait(core, syndrome),
        Class::MemoryCopy => {
            mops::begin_again(&mut core.regs, MopsIss::from(syndrome.iss()));
            None
        }
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

/// WFI or WFE, which are done when the guest goes on; or WFIT or WFET, which wait for a time of the virtual counter at
/// most.
fn wait(core: &mut Core, syndrome: Syndrome) -> Option<Leave> {
    let iss = WaitIss::from(syndrome.iss());
    let is_timed = iss.timed().into_bool() && iss.register_valid().into_bool();
    let until = is_timed.then(|| Count(core.regs.get(iss.register().get() as u8)));
    core.regs.skip_instruction(syndrome);
    let for_event = iss.for_event().into_bool();
    core.counters.count(if for_event {
        Event::WfeExit
    } else {
        Event::WfiExit
    });
    if until.is_some_and(|until| core.vm.arch().time().now(Which::Virtual).0 >= until.0) {
        return None;
    }
    Some(if for_event {
        Leave::Spin
    } else {
        Leave::Wait(until)
    })
}
