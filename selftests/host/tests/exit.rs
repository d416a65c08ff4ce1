// SPDX-License-Identifier: GPL-2.0

//! Exit reasons and qualifications, against the tables of the SDM.

use proptest::prelude::*;
use rkvm_host::vmx::exit::{CrAccess, DrAccess, DrDirection, ExitReason, IoQualification, Reason};
use rkvm_host::x86::insn::Gpr;

#[test]
fn reasons() {
    assert_eq!(ExitReason::new(10).basic(), Reason::Cpuid);
    assert_eq!(ExitReason::new(48).basic(), Reason::EptViolation);
    assert_eq!(ExitReason::new(0x35).basic(), Reason::Invvpid);
    assert_eq!(ExitReason::new(9999).basic(), Reason::Unknown(9999));
    let failed = ExitReason::new(0x8000_0021);
    assert!(failed.is_entry_failure());
    assert_eq!(failed.basic(), Reason::InvalidGuestState);
    assert!(!ExitReason::new(33).is_entry_failure());
}

#[test]
fn io() {
    // OUT DX, EAX to 0x3f8; REP INSB from 0x1f0.
    let out = IoQualification::new(0x03f8_0003);
    assert_eq!((out.size(), out.port()), (4, 0x3f8));
    assert!(!out.is_in() && !out.is_string());
    let ins = IoQualification::new(0x01f0_0038);
    assert_eq!((ins.size(), ins.port()), (1, 0x1f0));
    assert!(ins.is_in() && ins.is_string());
}

#[test]
fn control_registers() {
    let from = Gpr::new(3);
    assert_eq!(CrAccess::new(0x304), CrAccess::Write { cr: 4, from });
    let to = Gpr::new(9);
    assert_eq!(CrAccess::new(0x918), CrAccess::Read { cr: 8, to });
    assert_eq!(CrAccess::new(0x20), CrAccess::Clts);
    assert_eq!(CrAccess::new(0x1234_0030), CrAccess::Lmsw(0x1234));
}

#[test]
fn debug_registers() {
    let write = DrAccess::new(0x507);
    assert_eq!((write.dr, write.direction), (7, DrDirection::Write));
    assert_eq!(write.gpr, Gpr::new(5));
    assert_eq!(DrAccess::new(0x16).direction, DrDirection::Read);
}

proptest! {
    #[test]
    fn anything_decodes(raw: u64) {
        let _ = CrAccess::new(raw);
        prop_assert!(DrAccess::new(raw).dr < 8);
        prop_assert!(IoQualification::new(raw).size() <= 8);
        let reason = ExitReason::new(raw as u32);
        let _ = reason.basic();
        prop_assert_eq!(reason.raw(), raw as u32);
    }
}
