// SPDX-License-Identifier: GPL-2.0

//! EPT violations and misconfigurations.

use crate::{
    run_page::RunPage,
    types::Gpa,
    vmx::{
        ept::EptViolation,
        field::*,
        handle::{
            event::{block_nmis_again, requeue_interrupted},
            here, suberror,
        },
        run::{FaultInfo, Leave},
        vmcs::Loaded,
    },
    x86::{machine::Known, paging::Kind, user_exit::UserExit, vcpu::Core},
};

/// The guest's access is not mapped, or not for this kind of access.
pub fn violation(core: &mut Core, loaded: &Loaded) -> Option<Leave> {
    let qualification = EptViolation::from(loaded.read(EXIT_QUALIFICATION));
    requeue_interrupted(core, loaded);
    if qualification.nmi_unblocked_by_iret().into_bool() && core.events.due.is_none() {
        block_nmis_again(loaded);
    }
    let gpa = Gpa::new(loaded.read(GUEST_PHYSICAL_ADDRESS));
    let by_instruction =
        qualification.linear_valid().into_bool() && qualification.final_access().into_bool();
    let known = by_instruction.then(|| Known {
        linear: loaded.read(GUEST_LINEAR_ADDRESS),
        gpa,
        kind: kind(qualification),
    });
    Some(Leave::Fault(FaultInfo {
        gpa,
        wanted: qualification.wanted(),
        known,
    }))
}

fn kind(qualification: EptViolation) -> Kind {
    if qualification.fetch().into_bool() {
        Kind::Fetch
    } else if qualification.write().into_bool() {
        Kind::Write
    } else {
        Kind::Read
    }
}

/// An entry that the processor refuses: none is ever written.
pub fn misconfiguration(core: &mut Core, loaded: &Loaded, page: &RunPage) -> Option<Leave> {
    let exit = UserExit::InternalError {
        suberror: suberror::UNEXPECTED_EXIT_REASON,
        data: [
            loaded.read(EXIT_REASON).into(),
            here(loaded),
            loaded.read(GUEST_PHYSICAL_ADDRESS),
            0,
        ],
        words: 3,
    };
    Some(core.leave_for_vmm(loaded, page, &exit))
}
