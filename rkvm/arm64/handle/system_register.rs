// SPDX-License-Identifier: GPL-2.0

//! Accesses to system registers that trap.

use crate::arm64::{counters::Event, exit::Syndrome, loaded::Loaded, run::Leave, vcpu::Core};

/// MSR, MRS or a system instruction.
pub fn trapped(core: &mut Core, loaded: &Loaded, syndrome: Syndrome) -> Option<Leave> {
    core.counters.count(Event::SystemRegisterExit);
    super::undefined(core, loaded, syndrome)
}
