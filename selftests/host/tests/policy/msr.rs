// SPDX-License-Identifier: GPL-2.0

//! MSRs.

mod bitmap;
mod machine_check;
mod speculation;
mod vcpu;

use crate::cpuid::full_features;
use crate::models::{HASWELL_4770, TIGERLAKE};
use proptest::prelude::*;
use rkvm_host::x86::cpuid::guest::GuestFeatures;
use rkvm_host::x86::msr::index::*;
use rkvm_host::x86::msr::*;
use rkvm_host::x86::regs::rules::PagingState;
use rkvm_host::x86::regs::{Cr0, Cr4, Efer};
use vcpu::Vcpu;

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
