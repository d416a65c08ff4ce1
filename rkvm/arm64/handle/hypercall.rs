// SPDX-License-Identifier: GPL-2.0

//! HVC and SMC.
//!
//! Source: SMC Calling Convention (Arm DEN 0028).

use crate::arm64::{counters::Event, exit::Syndrome, run::Leave, vcpu::Core};

/// What a call that does not exist returns in X0.
const NOT_SUPPORTED: u64 = -1_i64 as u64;

/// HVC: the guest goes on after it.
pub fn hvc(core: &mut Core, _syndrome: Syndrome) -> Option<Leave> {
    call(core)
}

/// SMC, which traps before it is executed. Only immediate 0 is a call.
pub fn smc(core: &mut Core, syndrome: Syndrome) -> Option<Leave> {
    core.regs.skip_instruction();
    if syndrome.immediate() != 0 {
        core.regs.set(0, NOT_SUPPORTED);
        return None;
    }
    call(core)
}

/// Carries out the call whose function is in X0.
fn call(core: &mut Core) -> Option<Leave> {
    core.counters.count(Event::CallExit);
    core.regs.set(0, NOT_SUPPORTED);
    None
}
