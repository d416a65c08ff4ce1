// SPDX-License-Identifier: GPL-2.0

//! What the processor leaves to be done of its work on a local APIC (SDM volume 3, sections 31.1.4 and 31.4.3.3).
//! The instruction has been executed when these exits happen.

use crate::{
    vmx::{field::*, run::Leave, vmcs::Loaded},
    x86::vcpu::Core,
};

/// The guest has ended an interrupt whose end somebody else waits for.
pub fn virtualized_eoi(core: &mut Core, loaded: &Loaded) -> Option<Leave> {
    let vector = loaded.read(EXIT_QUALIFICATION) as u8;
    core.apic_ended(vector);
    core.ended.is_some().then_some(Leave::Reload)
}

/// The guest has written a register.
pub fn written(core: &mut Core, loaded: &Loaded) -> Option<Leave> {
    const OFFSET: u64 = 0xfff;
    core.apic_written(loaded.read(EXIT_QUALIFICATION) & OFFSET);
    core.ended.is_some().then_some(Leave::Reload)
}
