// SPDX-License-Identifier: GPL-2.0

//! Task switches, which no processor does in a guest.

use crate::{
    vmx::{
        exit::TaskSwitchQualification, field::*, handle::event::requeue_interrupted, run::Leave,
        vmcs::Loaded,
    },
    x86::{machine::TaskSwitch, task_switch::Source, vcpu::Core},
};

/// CALL, JMP or IRET names a task, or an event's gate does. The event stays due until the switch is done.
pub fn task_switch(core: &mut Core, loaded: &Loaded) -> Option<Leave> {
    let qualification = TaskSwitchQualification::new(loaded.read(EXIT_QUALIFICATION));
    let source = qualification.source();
    if source == Source::TaskGate {
        requeue_interrupted(core, loaded);
    }
    Some(Leave::TaskSwitch(TaskSwitch {
        selector: qualification.selector(),
        source,
        instruction_length: loaded.read(EXIT_INSTRUCTION_LENGTH),
    }))
}
