// SPDX-License-Identifier: GPL-2.0

//! MSRs and the MSR bitmap.

use crate::cpuid::full_features;
use crate::models::{HASWELL_4770, TIGERLAKE};
use proptest::prelude::*;
use rkvm_host::x86::cpuid::feature::{Feature, FLUSH_L1D, INTEL_STIBP, SPEC_CTRL, SPEC_CTRL_SSBD};
use rkvm_host::x86::cpuid::guest::GuestFeatures;
use rkvm_host::x86::msr::bitmap::{self, Passthrough};
use rkvm_host::x86::msr::index::*;
use rkvm_host::x86::msr::machine_check::{Delivery, Error, MachineCheck};
use rkvm_host::x86::msr::speculation::{Command, Support};
use rkvm_host::x86::msr::*;
use rkvm_host::x86::regs::rules::PagingState;
use rkvm_host::x86::regs::{Cr0, Cr4, Efer};
use std::collections::HashMap;

#[derive(Default)]
struct Cpu {
    registers: HashMap<u8, u64>,
    paging: PagingState,
    host_tsc: u64,
    tsc_offset: u64,
    wall_clock: u64,
    speculation: Support,
    commands: Vec<Command>,
}

impl Backing for Cpu {
    fn get(&self, register: Register) -> u64 {
        self.registers.get(&(register as u8)).copied().unwrap_or(0)
    }

    fn set(&mut self, register: Register, value: u64) {
        self.registers.insert(register as u8, value);
    }

    fn paging(&self) -> PagingState {
        self.paging
    }

    fn tsc(&self) -> u64 {
        self.host_tsc.wrapping_add(self.tsc_offset)
    }

    fn set_tsc(&mut self, value: u64) {
        self.tsc_offset = value.wrapping_sub(self.host_tsc);
    }

    fn shift_tsc(&mut self, delta: u64) {
        self.tsc_offset = self.tsc_offset.wrapping_add(delta);
    }

    fn wall_clock(&self) -> u64 {
        self.wall_clock
    }

    fn set_wall_clock(&mut self, address: u64) {
        self.wall_clock = address;
    }

    fn speculation(&self) -> Support {
        self.speculation
    }

    fn command(&mut self, command: Command) {
        self.commands.push(command);
    }
}

struct Vcpu {
    msrs: Msrs,
    features: GuestFeatures,
    cpu: Cpu,
}

impl Vcpu {
    fn new(features: GuestFeatures) -> Self {
        Self {
            msrs: Msrs::new(Role::Bootstrap, &FeatureMsrs::default()),
            features,
            cpu: Cpu::default(),
        }
    }

    fn full() -> Self {
        Self::new(full_features(&TIGERLAKE))
    }

    fn read(&self, msr: u32, initiator: Initiator) -> Result<u64, Refusal> {
        self.msrs.read(msr, initiator, &self.features, &self.cpu)
    }

    fn write(&mut self, msr: u32, value: u64, initiator: Initiator) -> Result<(), Refusal> {
        self.msrs
            .write(msr, value, initiator, &self.features, &mut self.cpu)
    }

    /// The guest writes, and reads back what it wrote.
    fn keeps(&mut self, msr: u32, value: u64) {
        self.write(msr, value, Initiator::Guest).unwrap();
        assert_eq!(self.read(msr, Initiator::Guest), Ok(value), "{msr:#x}");
    }

    fn faults(&mut self, msr: u32, value: u64) {
        let refused = self.write(msr, value, Initiator::Guest).is_err();
        assert!(refused, "{msr:#x} <- {value:#x}");
    }
}

#[test]
fn a_vmm_can_save_and_restore_what_is_advertised() {
    for features in [
        GuestFeatures::default(),
        full_features(&TIGERLAKE),
        full_features(&HASWELL_4770),
    ] {
        let mut vcpu = Vcpu::new(features);
        for msr in SAVED {
            let value = vcpu.read(*msr, Initiator::Vmm);
            let value = value.unwrap_or_else(|refusal| panic!("{msr:#x}: {refusal:?}"));
            let result = vcpu.write(*msr, value, Initiator::Vmm);
            assert_eq!(result, Ok(()), "{msr:#x} <- {value:#x}");
        }
    }
}

#[test]
fn the_msrs_of_firecracker_are_taken() {
    let mut vcpu = Vcpu::full();
    for (msr, value) in [
        (IA32_SYSENTER_CS, 0),
        (IA32_SYSENTER_ESP, 0),
        (IA32_SYSENTER_EIP, 0),
        (IA32_STAR, 0),
        (IA32_CSTAR, 0),
        (IA32_KERNEL_GS_BASE, 0),
        (IA32_FMASK, 0),
        (IA32_LSTAR, 0),
        (IA32_TIME_STAMP_COUNTER, 0),
        (IA32_MISC_ENABLE, 1),
        (0x2ff, 0x806),
    ] {
        assert_eq!(vcpu.write(msr, value, Initiator::Vmm), Ok(()), "{msr:#x}");
        assert_eq!(vcpu.read(msr, Initiator::Vmm), Ok(value), "{msr:#x}");
    }
}

#[test]
fn feature_msrs() {
    let features = FeatureMsrs::new(u64::MAX, 0x42);
    for msr in FEATURES {
        assert!(features.read(*msr).is_ok());
    }
    assert_eq!(features.arch_capabilities & (1 << 1 | 1 << 7 | 1 << 10), 0);
    assert_eq!(features.read(IA32_BIOS_SIGN_ID), Ok(0x42));
    assert_eq!(features.read(IA32_EFER), Err(Refusal::Unsupported));
}

#[test]
fn addresses_must_be_canonical() {
    let mut vcpu = Vcpu::full();
    let addresses = [
        IA32_FS_BASE,
        IA32_GS_BASE,
        IA32_KERNEL_GS_BASE,
        IA32_LSTAR,
        IA32_CSTAR,
        IA32_SYSENTER_ESP,
        IA32_SYSENTER_EIP,
    ];
    for msr in addresses {
        vcpu.keeps(msr, 0xffff_8000_0000_1000);
        vcpu.faults(msr, 0x8000_0000_0000);
        assert!(vcpu.write(msr, 1 << 63, Initiator::Vmm).is_err());
        assert_eq!(vcpu.read(msr, Initiator::Guest), Ok(0xffff_8000_0000_1000));
    }
}

#[test]
fn reserved_bits_fault() {
    let mut vcpu = Vcpu::full();
    vcpu.keeps(IA32_STAR, u64::MAX);
    vcpu.keeps(IA32_FMASK, 0x4_7700);
    vcpu.faults(IA32_FMASK, 1 << 32);
    vcpu.keeps(IA32_TSC_AUX, 0xffff_ffff);
    vcpu.faults(IA32_TSC_AUX, 1 << 32);
    vcpu.keeps(IA32_PAT, PAT_RESET);
    for bad in [2, 3, 8, 0xff, 2 << 56] {
        vcpu.faults(IA32_PAT, bad);
    }
    vcpu.faults(IA32_XSS, 1 << 11);
    vcpu.keeps(IA32_XSS, 0);
    vcpu.faults(MSR_PLATFORM_INFO, 0);
    vcpu.faults(0x1234_5678, 0);
    vcpu.faults(0x480, 0);
    assert_eq!(vcpu.read(0x480, Initiator::Vmm), Err(Refusal::Unsupported));
}

#[test]
fn debug_control_has_no_bit_to_keep() {
    let mut vcpu = Vcpu::full();
    for ignored in [0, 1, 2, 3] {
        assert_eq!(vcpu.write(IA32_DEBUGCTL, ignored, Initiator::Guest), Ok(()));
    }
    assert_eq!(vcpu.read(IA32_DEBUGCTL, Initiator::Guest), Ok(0));
    vcpu.faults(IA32_DEBUGCTL, 1 << 6);
}

#[test]
fn features_gate_guests_but_not_vmms() {
    let mut vcpu = Vcpu::new(GuestFeatures::default());
    vcpu.faults(IA32_TSC_AUX, 0);
    vcpu.faults(IA32_XSS, 0);
    assert!(vcpu.read(IA32_TSC_AUX, Initiator::Guest).is_err());
    assert!(vcpu.read(IA32_ARCH_CAPABILITIES, Initiator::Guest).is_err());
    assert_eq!(vcpu.read(IA32_ARCH_CAPABILITIES, Initiator::Vmm), Ok(0));
    assert!(vcpu
        .write(IA32_ARCH_CAPABILITIES, 1, Initiator::Vmm)
        .is_err());
    assert_eq!(vcpu.write(IA32_TSC_AUX, 7, Initiator::Vmm), Ok(()));
    assert_eq!(vcpu.read(IA32_TSC_AUX, Initiator::Vmm), Ok(7));
}

#[test]
fn efer_by_guest_and_vmm() {
    let mut vcpu = Vcpu::full();
    assert_eq!(vcpu.write(IA32_EFER, 0x901, Initiator::Guest), Ok(()));
    assert_eq!(vcpu.cpu.get(Register::Efer), 0x901);
    vcpu.faults(IA32_EFER, 1 << 12);
    vcpu.cpu.paging = PagingState {
        cr0: Cr0::PG.with(Cr0::PE),
        cr3: 0,
        cr4: Cr4::PAE,
        efer: Efer::LME.with(Efer::LMA),
    };
    vcpu.faults(IA32_EFER, 0);
    assert_eq!(vcpu.write(IA32_EFER, 0x101, Initiator::Guest), Ok(()));
    assert_eq!(vcpu.cpu.get(Register::Efer), 0x501);
}

#[test]
fn the_tsc_and_its_adjustment_move_together() {
    let mut vcpu = Vcpu::full();
    vcpu.cpu.host_tsc = 1000;
    vcpu.write(IA32_TIME_STAMP_COUNTER, 0, Initiator::Vmm)
        .unwrap();
    assert_eq!(vcpu.read(IA32_TIME_STAMP_COUNTER, Initiator::Guest), Ok(0));
    assert_eq!(vcpu.read(IA32_TSC_ADJUST, Initiator::Guest), Ok(0));
    vcpu.write(IA32_TIME_STAMP_COUNTER, 50, Initiator::Guest)
        .unwrap();
    assert_eq!(vcpu.read(IA32_TSC_ADJUST, Initiator::Guest), Ok(50));
    vcpu.write(IA32_TSC_ADJUST, 20, Initiator::Guest).unwrap();
    assert_eq!(vcpu.read(IA32_TIME_STAMP_COUNTER, Initiator::Guest), Ok(20));
    vcpu.write(IA32_TSC_ADJUST, 90, Initiator::Vmm).unwrap();
    assert_eq!(vcpu.read(IA32_TIME_STAMP_COUNTER, Initiator::Guest), Ok(20));
    assert_eq!(vcpu.read(IA32_TSC_ADJUST, Initiator::Vmm), Ok(90));
}

#[test]
fn apic_base_modes() {
    let mut vcpu = Vcpu::full();
    assert_eq!(vcpu.msrs.apic_base(), 0xfee0_0900);
    let application = Msrs::new(Role::Application, &FeatureMsrs::default());
    assert_eq!(application.apic_base(), 0xfee0_0800);
    vcpu.keeps(IA32_APIC_BASE, 0xfee0_0100);
    vcpu.keeps(IA32_APIC_BASE, 0xfee0_0900);
    // No x2APIC without its feature; reserved bits; the physical-address width.
    for bad in [0xfee0_0c00, 0xfee0_0400, 0xfee0_0801, 0xfee0_0a00, 1 << 52] {
        vcpu.faults(IA32_APIC_BASE, bad);
        assert!(vcpu.msrs.set_apic_base(bad, &vcpu.features).is_err());
    }
    assert!(vcpu.msrs.set_apic_base(0xfee0_0800, &vcpu.features).is_ok());
}

#[test]
fn misc_enable_bits() {
    let mut vcpu = Vcpu::full();
    assert_eq!(vcpu.read(IA32_MISC_ENABLE, Initiator::Guest), Ok(0x1800));
    vcpu.faults(IA32_MISC_ENABLE, 1);
    vcpu.keeps(IA32_MISC_ENABLE, 0x1801);
    vcpu.write(IA32_MISC_ENABLE, 0x1881, Initiator::Guest)
        .unwrap();
    assert_eq!(vcpu.read(IA32_MISC_ENABLE, Initiator::Guest), Ok(0x1801));
}

#[test]
fn cpuid_faulting_is_the_vmms_to_offer() {
    let mut vcpu = Vcpu::full();
    vcpu.keeps(MSR_MISC_FEATURES_ENABLES, 1);
    assert!(vcpu.msrs.has_cpuid_faulting());
    vcpu.faults(MSR_MISC_FEATURES_ENABLES, 2);
    vcpu.keeps(MSR_MISC_FEATURES_ENABLES, 0);
    vcpu.write(MSR_PLATFORM_INFO, 0, Initiator::Vmm).unwrap();
    vcpu.faults(MSR_MISC_FEATURES_ENABLES, 1);
    assert!(!vcpu.msrs.has_cpuid_faulting());
}

#[test]
fn feature_control_locks() {
    let mut vcpu = Vcpu::full();
    vcpu.faults(IA32_FEATURE_CONTROL, 5);
    vcpu.keeps(IA32_FEATURE_CONTROL, 1);
    vcpu.faults(IA32_FEATURE_CONTROL, 1);
    assert_eq!(vcpu.write(IA32_FEATURE_CONTROL, 0, Initiator::Vmm), Ok(()));
}

#[test]
fn microcode_revision_is_the_vmms() {
    let mut vcpu = Vcpu::full();
    assert_eq!(vcpu.write(IA32_BIOS_SIGN_ID, 0, Initiator::Guest), Ok(()));
    assert_eq!(vcpu.read(IA32_BIOS_SIGN_ID, Initiator::Guest), Ok(1 << 32));
    vcpu.write(IA32_BIOS_SIGN_ID, 7 << 32, Initiator::Vmm)
        .unwrap();
    assert_eq!(vcpu.read(IA32_BIOS_SIGN_ID, Initiator::Guest), Ok(7 << 32));
}

#[test]
fn mtrrs() {
    let mut vcpu = Vcpu::full();
    assert_eq!(vcpu.read(0xfe, Initiator::Guest), Ok(0x508));
    vcpu.faults(0xfe, 0x508);
    vcpu.keeps(0x2ff, 0xc06);
    for bad in [0x2, 0x7, 0x100, 1 << 12] {
        vcpu.faults(0x2ff, bad);
    }
    for fixed in [0x250, 0x258, 0x259].into_iter().chain(0x268..=0x26f) {
        vcpu.keeps(fixed, 0x0605_0401_0006_0606 - u64::from(fixed & 1));
        vcpu.faults(fixed, 0x0200_0000_0000_0000);
    }
    for range in 0..8 {
        vcpu.keeps(0x200 + 2 * range, u64::from(range) << 32 | 6);
        vcpu.keeps(0x201 + 2 * range, u64::from(range) << 32 | 0x800);
        vcpu.faults(0x200 + 2 * range, 0x100);
        vcpu.faults(0x201 + 2 * range, 0x400);
        vcpu.faults(0x201 + 2 * range, 1 << 52);
    }
    for absent in [0x210, 0x251, 0x25a, 0x267, 0x270] {
        vcpu.faults(absent, 0);
    }
}

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

#[test]
fn paravirtual_msrs() {
    let mut vcpu = Vcpu::full();
    vcpu.keeps(MSR_KVM_SYSTEM_TIME_NEW, 0x1001);
    assert_eq!(vcpu.read(MSR_KVM_SYSTEM_TIME, Initiator::Vmm), Ok(0x1001));
    assert_eq!(vcpu.msrs.pv.clock(), Some(0x1000));
    let pending = vcpu.msrs.pv.take_pending();
    assert!(pending.system_time && !pending.steal_time && pending.wall_clock.is_none());
    assert!(!vcpu.msrs.pv.is_pending());
    vcpu.keeps(MSR_KVM_SYSTEM_TIME, 0x1fe1);
    assert_eq!(vcpu.msrs.pv.clock(), Some(0x1fe0));
    for off in [0x1000, 0x1fe3, u64::MAX] {
        vcpu.keeps(MSR_KVM_SYSTEM_TIME, off);
        assert_eq!(vcpu.msrs.pv.clock(), None, "{off:#x}");
    }
    vcpu.keeps(MSR_KVM_WALL_CLOCK_NEW, 0x2000);
    assert_eq!(vcpu.read(MSR_KVM_WALL_CLOCK, Initiator::Guest), Ok(0x2000));
    assert_eq!(vcpu.msrs.pv.take_pending().wall_clock, Some(0x2000));
    vcpu.keeps(MSR_KVM_WALL_CLOCK, 0);
    assert_eq!(vcpu.msrs.pv.take_pending().wall_clock, None);
    vcpu.keeps(MSR_KVM_STEAL_TIME, 0x3041);
    assert_eq!(vcpu.msrs.pv.steal_time(), Some(0x3040));
    assert!(vcpu.msrs.pv.take_pending().steal_time);
    for reserved in [2, 4, 0x20] {
        vcpu.faults(MSR_KVM_STEAL_TIME, 0x3041 | reserved);
    }
    assert!(!vcpu.msrs.pv.is_pending());
    vcpu.keeps(MSR_KVM_PV_EOI_EN, 0x4005);
    assert_eq!(vcpu.msrs.pv.eoi(), Some(0x4004));
    vcpu.faults(MSR_KVM_PV_EOI_EN, 0x4003);
    assert_eq!(vcpu.read(MSR_KVM_POLL_CONTROL, Initiator::Guest), Ok(1));
    vcpu.keeps(MSR_KVM_POLL_CONTROL, 0);
    vcpu.faults(MSR_KVM_POLL_CONTROL, 2);
    for absent in [0x4b56_4d02, 0x4b56_4d06, 0x4b56_4d07, 0x4b56_4d08] {
        vcpu.faults(absent, 0);
        assert!(vcpu.read(absent, Initiator::Vmm).is_err());
    }
}

/// Whether RDMSR (0) or WRMSR (1) exits.
fn exits(map: &[u8; bitmap::SIZE], msr: u32, write: usize) -> bool {
    let (offset, within) = match msr {
        0xc000_0000.. => (1024, (msr - 0xc000_0000) as usize),
        _ => (0, msr as usize),
    };
    map[offset + write * 2048 + within / 8] >> (within % 8) & 1 == 1
}

#[test]
fn the_bitmap_passes_what_the_table_says() {
    let mut map = [0; bitmap::SIZE];
    bitmap::fill(&mut map);
    let exits = |msr, write| exits(&map, msr, write);
    for msr in (0..0x2000).chain(0xc000_0000..0xc000_2000) {
        let how = bitmap::passthrough(msr);
        assert_eq!(exits(msr, 0), how.is_none(), "{msr:#x}");
        assert_eq!(
            exits(msr, 1),
            how != Some(Passthrough::ReadWrite),
            "{msr:#x}"
        );
    }
    assert_eq!(
        bitmap::passthrough(IA32_TIME_STAMP_COUNTER),
        Some(Passthrough::Read)
    );
    assert_eq!(bitmap::passthrough(IA32_EFER), None);
    let open: u32 = map.iter().map(|byte| byte.count_zeros()).sum();
    assert_eq!(open, 13);
}

/// Registers of x2APIC mode that a processor can read and write by itself (SDM table 12-6, section 31.5).
#[test]
fn the_bitmap_for_x2apic_passes_the_registers_of_the_page() {
    let mut plain = [0; bitmap::SIZE];
    bitmap::fill(&mut plain);
    let mut map = [0; bitmap::SIZE];
    bitmap::fill_virtual_x2apic(&mut map);
    let passed = |write| (0x800..0x900).filter(move |msr| !exits(&map, *msr, write));
    let written: Vec<u32> = passed(1).collect();
    assert_eq!(written, [0x808, 0x80b, 0x83f]);
    let read: Vec<u32> = passed(0).collect();
    let single = [0x802, 0x803, 0x808, 0x80a, 0x80d, 0x80f];
    let expected: Vec<u32> = (single.into_iter())
        .chain(0x810..=0x828)
        .chain([0x830])
        .chain(0x832..=0x838)
        .chain([0x83e])
        .collect();
    assert_eq!(read, expected);
    for msr in (0..0x800)
        .chain(0x900..0x2000)
        .chain(0xc000_0000..0xc000_2000)
    {
        for write in [0, 1] {
            assert_eq!(exits(&map, msr, write), exits(&plain, msr, write));
        }
    }
}

proptest! {
    /// Any access ends, and a value that a write took without changing is what is read.
    #[test]
    fn any_access(msr in prop_oneof![any::<u32>(), 0u32..0x1000, 0xc000_0000u32..0xc000_0200], value: u64) {
        for initiator in [Initiator::Guest, Initiator::Vmm] {
            let mut vcpu = Vcpu::full();
            let _ = vcpu.read(msr, initiator);
            let _ = vcpu.write(msr, value, initiator);
            let _ = vcpu.read(msr, initiator);
        }
    }
}

fn speculation(features: &[Feature]) -> Support {
    Support::new(|feature| features.contains(&feature))
}

#[test]
fn spec_ctrl_has_the_bits_of_the_processor() {
    let every = [SPEC_CTRL, INTEL_STIBP, SPEC_CTRL_SSBD, FLUSH_L1D];
    for (has, bits) in [
        (&every[..], 0b111),
        (&every[..1], 0b001),
        (&every[2..3], 0b100),
        (&[], 0),
    ] {
        let mut vcpu = Vcpu::full();
        vcpu.cpu.speculation = speculation(has);
        for value in 0..16 {
            let expected = if value & !bits == 0 {
                Ok(())
            } else {
                Err(Refusal::Invalid)
            };
            assert_eq!(vcpu.write(IA32_SPEC_CTRL, value, Initiator::Vmm), expected);
        }
        assert_eq!(vcpu.read(IA32_SPEC_CTRL, Initiator::Vmm), Ok(bits));
        assert_eq!(vcpu.msrs.spec_ctrl(), bits);
    }
}

#[test]
fn speculation_is_the_guests_with_its_cpuid_alone() {
    let mut vcpu = Vcpu::new(GuestFeatures::default());
    vcpu.cpu.speculation = speculation(&[SPEC_CTRL, FLUSH_L1D]);
    for msr in [IA32_SPEC_CTRL, IA32_PRED_CMD, IA32_FLUSH_CMD] {
        assert_eq!(
            vcpu.write(msr, 1, Initiator::Guest),
            Err(Refusal::Unsupported)
        );
        assert_eq!(vcpu.read(msr, Initiator::Guest), Err(Refusal::Unsupported));
    }
    assert!(vcpu.cpu.commands.is_empty());
}

#[test]
fn commands_reach_the_processor_that_has_them() {
    let mut vcpu = Vcpu::full();
    vcpu.cpu.speculation = speculation(&[SPEC_CTRL]);
    assert_eq!(vcpu.write(IA32_PRED_CMD, 0, Initiator::Vmm), Ok(()));
    assert!(vcpu.cpu.commands.is_empty());
    assert_eq!(vcpu.write(IA32_PRED_CMD, 1, Initiator::Vmm), Ok(()));
    assert_eq!(vcpu.cpu.commands, [Command::PredictorBarrier]);
    assert_eq!(
        vcpu.write(IA32_PRED_CMD, 2, Initiator::Vmm),
        Err(Refusal::Invalid)
    );
    assert_eq!(
        vcpu.write(IA32_FLUSH_CMD, 1, Initiator::Vmm),
        Err(Refusal::Invalid)
    );
    assert_eq!(vcpu.cpu.commands, [Command::PredictorBarrier]);
}
