// SPDX-License-Identifier: GPL-2.0

//! HVC and SMC.
//!
//! Source: Arm, "SMC Calling Convention" (DEN0028).

use crate::{
    arm64::{
        counters::Event,
        exit::{Class, Syndrome},
        psci,
        run::Leave,
        smccc::{filter::Action, Call, Results, Service},
        user_exit::UserExit,
        vcpu::Core,
    },
    host::bindings as uapi,
};

/// HVC: the guest goes on after it.
pub fn hvc(core: &mut Core, syndrome: Syndrome) -> Option<Leave> {
    call(core, syndrome)
}

/// SMC, which traps before it is executed. Only immediate 0 is a call.
pub fn smc(core: &mut Core, syndrome: Syndrome) -> Option<Leave> {
    core.regs.skip_instruction(syndrome);
    if syndrome.immediate() != 0 {
        core.set_results(Results::NOT_SUPPORTED);
        return None;
    }
    call(core, syndrome)
}

/// Carries out the call whose function is in X0, as far as it can be here.
fn call(core: &mut Core, syndrome: Syndrome) -> Option<Leave> {
    core.counters.count(Event::CallExit);
    let call = core.call();
    let fixed = core.fixed.as_deref()?;
    match fixed.filter.action(call.function) {
        Action::Handle => (),
        Action::Deny => {
            core.set_results(Results::NOT_SUPPORTED);
            return None;
        }
        Action::Forward => return Some(forward(call, syndrome)),
    }
    let results = match fixed.firmware.route(call, core.host_ids()) {
        Service::Done(results) => results,
        Service::Psci => {
            let version = fixed.firmware.psci_version(fixed.features);
            match psci::inquire(version, core.vm.arch().options().suspend(), &call) {
                Some(answer) => Results::one(answer),
                None => return Some(Leave::Call),
            }
        }
        Service::Random(_)
        | Service::StolenTimeFeatures
        | Service::StolenTime
        | Service::Time(_) => return Some(Leave::Call),
    };
    core.set_results(results);
    None
}

/// The VMM serves the call.
fn forward(call: Call, syndrome: Syndrome) -> Leave {
    let mut flags = 0;
    if syndrome.class() == Class::Smc {
        flags |= uapi::KVM_HYPERCALL_EXIT_SMC;
    }
    if syndrome.raw() & Syndrome::IL == 0 {
        flags |= uapi::KVM_HYPERCALL_EXIT_16BIT;
    }
    Leave::User(UserExit::Hypercall {
        function: call.function.into(),
        flags: flags.into(),
    })
}
