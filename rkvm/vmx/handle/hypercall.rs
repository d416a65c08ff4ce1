// SPDX-License-Identifier: GPL-2.0

//! VMCALL.

use crate::{
    types::Gpa,
    vmx::{run::Leave, vmcs::Loaded},
    x86::{
        insn::Gpr,
        message::{ApicMode, Message},
        pv::{
            features::Feature,
            hypercall::{Answer, Arguments, Error, Hypercall, Ipi, Width},
            Pairing,
        },
        vcpu::Core,
    },
};

/// VMCALL: a hypercall, for the guest's kernel alone.
pub fn vmcall(core: &mut Core, loaded: &Loaded) -> Option<Leave> {
    let width = if core.guest.code_rights(loaded).is_long() {
        Width::Bits64
    } else {
        Width::Bits32
    };
    let call = if core.guest.cpl(loaded) == 0 {
        Hypercall::decode(&arguments(core), width)
    } else {
        Err(Error::NotPermitted)
    };
    if let Ok(Hypercall::ClockPairing { address, clock: 0 }) = call {
        let address = Gpa::new(address);
        core.request_pairing(Pairing { address, width });
        core.skip(loaded);
        return Some(Leave::Paravirtual);
    }
    let answer = call.and_then(|call| perform(core, call));
    core.guest.registers.set(Gpr::RAX, width.result(answer));
    super::done(core, loaded)
}

fn arguments(core: &Core) -> Arguments {
    let registers = &core.guest.registers;
    Arguments {
        number: registers.get(Gpr::RAX),
        values: [Gpr::RBX, Gpr::RCX, Gpr::RDX, Gpr::RSI].map(|register| registers.get(register)),
    }
}

/// Does what a hypercall asks for.
fn perform(core: &Core, call: Hypercall) -> Answer {
    let needed = match call {
        Hypercall::Kick(_) => Some(Feature::PV_UNHALT),
        Hypercall::SendIpi(_) => Some(Feature::PV_SEND_IPI),
        Hypercall::Yield(_) => Some(Feature::PV_SCHED_YIELD),
        Hypercall::PollInterrupts | Hypercall::ClockPairing { .. } => None,
    };
    if needed.is_some_and(|feature| !core.features.pv.has(feature)) {
        return Err(Error::NotImplemented);
    }
    match call {
        Hypercall::PollInterrupts => Ok(0),
        Hypercall::Kick(apic_id) => {
            core.vm.arch().interrupts().targets().unhalt(apic_id);
            Ok(0)
        }
        Hypercall::SendIpi(ipi) => send_ipi(core, &ipi),
        // A hint that nothing depends on.
        Hypercall::Yield(_) => Ok(0),
        // The pairing with another clock than the wall clock.
        Hypercall::ClockPairing { .. } => Err(Error::NotSupported),
    }
}

/// Sends an interrupt to several vCPUs; returns how many it has reached.
fn send_ipi(core: &Core, ipi: &Ipi) -> Answer {
    if core.apic.is_none() {
        return Err(Error::NotSupported);
    }
    // Of the command's destination nothing is used.
    let message = Message::from_icr(u64::from(ipi.command), ApicMode::X2Apic, NO_SENDER);
    let targets = core.vm.arch().interrupts().targets();
    Ok(targets.send_to(&message, |apic_id| ipi.is_for(apic_id)))
}

/// The sender of a message that goes to the vCPUs that it names, be it the sender itself.
const NO_SENDER: u32 = 0;
