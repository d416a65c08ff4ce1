// SPDX-License-Identifier: GPL-2.0

//! Banks of machine checks, and errors in them.

use super::vcpu::Vcpu;
use rkvm_host::x86::msr::index::*;
use rkvm_host::x86::msr::machine_check::{Delivery, Error, MachineCheck};
use rkvm_host::x86::msr::{Initiator, Refusal};
use rkvm_host::x86::regs::Cr4;

#[test]
fn machine_check_banks() {
    let mut vcpu = Vcpu::full();
    assert_eq!(vcpu.read(IA32_MCG_CAP, Initiator::Guest), Ok(32));
    vcpu.faults(IA32_MCG_CAP, 32);
    vcpu.keeps(IA32_MCG_STATUS, 4);
    vcpu.faults(IA32_MCG_CTL, 0);
    assert_eq!(vcpu.write(IA32_MCG_CTL, 0, Initiator::Vmm), Ok(()));
    for bank in [0, 7, 31] {
        let ctl = 0x400 + 4 * bank;
        vcpu.keeps(ctl, u64::MAX);
        vcpu.keeps(ctl, !(1 << 10));
        vcpu.keeps(ctl, 0);
        vcpu.faults(ctl, 4);
        for report in ctl + 1..=ctl + 3 {
            vcpu.keeps(report, 0);
            vcpu.faults(report, 1);
        }
    }
    vcpu.faults(0x480, 0);
    vcpu.faults(0x280, 1);
    assert_eq!(vcpu.read(0x29f, Initiator::Vmm), Ok(0));
    for absent in [0x29f, 0x2a0, IA32_MCG_CTL] {
        let read = vcpu.read(absent, Initiator::Guest);
        assert_eq!(read, Err(Refusal::Unsupported), "{absent:#x}");
    }
    vcpu.write(0x401, 1 << 63, Initiator::Vmm).unwrap();
    assert_eq!(vcpu.read(0x401, Initiator::Guest), Ok(1 << 63));
}

#[test]
fn machine_check_banks_follow_what_the_vmm_sets_up() {
    const CTL: u64 = 1 << 8;
    let mut vcpu = Vcpu::full();
    for refused in [0, 33, 255, 1 | 1 << 9, 1 | 1 << 10, 1 | 1 << 32] {
        let set = vcpu.msrs.machine_check().setup(refused);
        assert_eq!(set, Err(Refusal::Invalid), "{refused:#x}");
    }
    vcpu.msrs.machine_check().setup(10 | CTL).unwrap();
    assert_eq!(vcpu.read(IA32_MCG_CAP, Initiator::Guest), Ok(10 | CTL));
    assert_eq!(vcpu.read(IA32_MCG_CTL, Initiator::Guest), Ok(u64::MAX));
    assert_eq!(vcpu.read(0x400 + 4 * 9, Initiator::Guest), Ok(u64::MAX));
    for absent in 0x400 + 4 * 10..0x480 {
        assert!(vcpu.read(absent, Initiator::Vmm).is_err(), "{absent:#x}");
        assert!(
            vcpu.write(absent, 0, Initiator::Vmm).is_err(),
            "{absent:#x}"
        );
    }
    vcpu.keeps(IA32_MCG_CTL, 0);
    vcpu.faults(IA32_MCG_CTL, 1);
}

#[test]
fn machine_check_errors() {
    const VALID: u64 = 1 << 63;
    const OVERFLOW: u64 = 1 << 62;
    const UNCORRECTED: u64 = 1 << 61;
    const SIGNALLED: u64 = 1 << 56;
    let error = |status| Error {
        bank: 2,
        status,
        address: 0x1000,
        miscellaneous: 7,
        global_status: 5,
    };
    let mut machine_check = MachineCheck::reset();
    machine_check.setup(10).unwrap();
    let mut report = |error: Error, cr4| {
        let delivery = machine_check.report(&error, cr4);
        let bank = [0x409, 0x40a, 0x40b, IA32_MCG_STATUS];
        let read = bank.map(|msr| machine_check.read(msr, Initiator::Guest).unwrap());
        (delivery, read)
    };
    assert_eq!(report(error(0), Cr4::MCE).0, Err(Refusal::Invalid));
    let absent = Error {
        bank: 10,
        ..error(VALID)
    };
    assert_eq!(report(absent, Cr4::MCE).0, Err(Refusal::Invalid));
    // Corrected, twice.
    let (delivery, bank) = report(error(VALID), Cr4::MCE);
    assert_eq!(delivery, Ok(Delivery::Silent));
    assert_eq!(bank, [VALID, 0x1000, 7, 0]);
    let (_, bank) = report(error(VALID), Cr4::MCE);
    assert_eq!(bank[0], VALID | OVERFLOW);
    // Nobody has used the data yet.
    let quiet = Error {
        global_status: 0,
        ..error(VALID | UNCORRECTED)
    };
    let (delivery, bank) = report(quiet, Cr4::MCE);
    assert_eq!(delivery, Ok(Delivery::Silent));
    assert_eq!(bank, [VALID | UNCORRECTED, 0x1000, 7, 0]);
    // Fatal: without CR4.MCE, then with it, then while the first one is being handled.
    let fatal = error(VALID | UNCORRECTED | SIGNALLED);
    assert_eq!(report(fatal, Cr4::default()).0, Ok(Delivery::Shutdown));
    let (delivery, bank) = report(fatal, Cr4::MCE);
    assert_eq!(delivery, Ok(Delivery::Exception));
    assert_eq!(bank, [fatal.status | OVERFLOW, 0x1000, 7, 5]);
    assert_eq!(report(fatal, Cr4::MCE).0, Ok(Delivery::Shutdown));
    // A corrected error leaves it.
    let (_, bank) = report(error(VALID), Cr4::MCE);
    assert_eq!(bank[0], fatal.status | OVERFLOW);
}
