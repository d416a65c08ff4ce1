// SPDX-License-Identifier: GPL-2.0

//! VMCS field encodings, capability MSRs and the negotiation of controls.

use crate::models::{CpuModel, ALL, HASWELL_4770, TIGERLAKE};
use proptest::prelude::*;
use rkvm_host::vmx::caps::*;
use rkvm_host::vmx::controls::*;
use rkvm_host::vmx::field::{self, Encoding, FieldValue, Kind, SegmentFields, Width};
use rkvm_host::vmx::interrupt_status::InterruptStatus;
use rkvm_host::x86::regs::segment::SegmentRegister;
use std::collections::{HashMap, HashSet};

fn caps(model: &CpuModel) -> VmxCaps {
    VmxCaps::read(|msr| model.msr(msr))
}

/// Haswell with some MSRs changed.
fn poor(changes: &[(u32, u64)]) -> VmxCaps {
    let changes: HashMap<_, _> = changes.iter().copied().collect();
    VmxCaps::read(|msr| {
        let model = HASWELL_4770.msr(msr);
        changes.get(&msr).copied().unwrap_or(model)
    })
}

/// A capability MSR of Haswell in which the control bit may not be 1.
fn without(msr: u32, bit: u32) -> (u32, u64) {
    (msr, HASWELL_4770.msr(msr) & !(1 << (32 + bit)))
}

/// A capability MSR of Haswell in which the control bit must be 1.
fn forcing(msr: u32, bit: u32) -> (u32, u64) {
    (msr, HASWELL_4770.msr(msr) | 1 << bit | 1 << (32 + bit))
}

fn refusal(changes: &[(u32, u64)]) -> &'static str {
    Controls::negotiate(&poor(changes)).unwrap_err().message()
}

#[test]
fn encodings_are_whole_fields_named_once() {
    let encodings: HashSet<_> = field::ALL.iter().map(|(_, one)| one.raw()).collect();
    assert_eq!(encodings.len(), field::ALL.len());
    for (name, encoding) in field::ALL {
        assert!(encoding.is_full(), "{name}");
        let kind = match name {
            name if name.starts_with("GUEST_") && !name.ends_with("_ADDRESS") => Kind::GuestState,
            name if name.starts_with("HOST_") => Kind::HostState,
            _ => continue,
        };
        assert_eq!(encoding.kind(), kind, "{name}");
    }
}

#[test]
fn encodings_give_width_and_kind() {
    let cases = [
        (field::VPID.encoding(), 0x0000, Width::Word, Kind::Control),
        (
            field::EPT_POINTER.encoding(),
            0x201a,
            Width::Quad,
            Kind::Control,
        ),
        (
            field::EXIT_REASON.encoding(),
            0x4402,
            Width::Long,
            Kind::ExitInformation,
        ),
        (
            field::GUEST_RIP.encoding(),
            0x681e,
            Width::Natural,
            Kind::GuestState,
        ),
        (
            field::HOST_RSP.encoding(),
            0x6c14,
            Width::Natural,
            Kind::HostState,
        ),
    ];
    for (encoding, raw, width, kind) in cases {
        assert_eq!(encoding, Encoding::new(raw));
        assert_eq!((encoding.width(), encoding.kind()), (width, kind));
    }
    assert!(!Encoding::new(0x201b).is_full());
    assert!(!Encoding::new(0x1_0000).is_full());
}

#[test]
fn segment_fields_lie_in_the_order_of_the_manual() {
    for (number, register) in SegmentRegister::ALL.into_iter().enumerate() {
        let fields = SegmentFields::of(register);
        let step = 2 * number as u32;
        assert_eq!(fields.selector.encoding().raw(), 0x800 + step);
        assert_eq!(fields.limit.encoding().raw(), 0x4800 + step);
        assert_eq!(fields.access_rights.encoding().raw(), 0x4814 + step);
        assert_eq!(fields.base.encoding().raw(), 0x6806 + step);
    }
}

#[test]
fn narrow_fields_drop_upper_bits() {
    assert_eq!(u16::from_vmread(0xffff_1234), 0x1234);
    assert_eq!(u32::from_vmread(0xf_1234_5678), 0x1234_5678);
    assert_eq!(0x8000u16.into_vmwrite(), 0x8000);
}

#[test]
fn every_model_runs_guests() {
    for model in ALL {
        let caps = caps(model);
        let controls = Controls::negotiate(&caps).unwrap_or_else(|missing| {
            panic!("{}: {}", model.name, missing.message());
        });
        let initial = controls.initial;
        for (value, allowed) in [
            (initial.pin.raw(), caps.pin),
            (initial.primary.raw(), caps.primary),
            (initial.secondary.raw(), caps.secondary),
            (initial.exit.raw(), caps.exit),
            (initial.entry.raw(), caps.entry),
        ] {
            assert!(allowed.allows_one(value), "{}", model.name);
            assert!(allowed.allows_zero(!value), "{}", model.name);
        }
        assert!(initial.secondary.contains(SecondaryControls::ENABLE_EPT));
        assert!(initial.secondary.contains(SecondaryControls::ENABLE_VPID));
        assert!(initial
            .secondary
            .contains(SecondaryControls::ENABLE_INVPCID));
        assert!(!initial.primary.contains(PrimaryControls::CR3_LOAD_EXITING));
        assert!(!initial
            .primary
            .contains(PrimaryControls::INTERRUPT_WINDOW_EXITING));
        assert!(!initial.pin.contains(PinControls::ACTIVATE_PREEMPTION_TIMER));
        assert!(!initial.exit.contains(ExitControls::ACKNOWLEDGE_INTERRUPT));
        assert!(!initial.exit.contains(ExitControls::SAVE_PREEMPTION_TIMER));
        assert!(!initial.entry.contains(EntryControls::IA32E_MODE_GUEST));
        let timer = PreemptionTimer {
            shift: caps.misc.preemption_timer_shift(),
            saving: Saving::Possible,
        };
        assert_eq!(controls.preemption_timer, Some(timer));
    }
}

#[test]
fn tigerlake_gives_known_values() {
    let caps = caps(&TIGERLAKE);
    assert_eq!(caps.basic.revision(), 4);
    assert_eq!(caps.basic.region_size(), 4096);
    assert!(caps.basic.is_write_back() && caps.basic.has_true_controls());
    assert!(caps.basic.has_ins_outs_information());
    assert_eq!(caps.misc.cr3_targets(), 4);
    assert_eq!(caps.misc.msr_list_limit(), 512);
    assert_eq!(caps.cr0.must_be_one(), 0x8000_0021);
    assert_eq!(caps.cr0.may_be_one(), 0xffff_ffff);
    assert_eq!(caps.cr4.must_be_one(), 0x2000);
    assert!(caps.ept_vpid.has_1g_pages() && caps.ept_vpid.has_accessed_dirty());
    let initial = Controls::negotiate(&caps).unwrap().initial;
    assert_eq!(initial.pin.raw(), 0x3f);
    assert_eq!(initial.primary.raw(), 0xb598_6dfa);
    assert_eq!(initial.secondary.raw(), 0x0010_14ea);
    assert_eq!(initial.exit.raw(), 0x003f_6fff);
    assert_eq!(initial.entry.raw(), 0x0000_d1ff);
}

#[test]
fn optional_controls_follow_the_processor() {
    let haswell = Controls::negotiate(&caps(&HASWELL_4770)).unwrap();
    let tigerlake = Controls::negotiate(&caps(&TIGERLAKE)).unwrap();
    let xsaves = SecondaryControls::ENABLE_XSAVES;
    assert!(!haswell.initial.secondary.contains(xsaves));
    assert!(!haswell.settable.secondary.contains(xsaves));
    assert!(tigerlake.initial.secondary.contains(xsaves));
}

#[test]
fn missing_controls_are_named() {
    let primary = IA32_VMX_TRUE_PROCBASED_CTLS;
    let secondary = IA32_VMX_PROCBASED_CTLS2;
    for (msr, bit, name) in [
        (IA32_VMX_TRUE_PINBASED_CTLS, 3, "\"NMI exiting\""),
        (IA32_VMX_TRUE_PINBASED_CTLS, 5, "\"virtual NMIs\""),
        (primary, 2, "\"interrupt-window exiting\""),
        (primary, 24, "\"unconditional I/O exiting\""),
        (primary, 28, "\"use MSR bitmaps\""),
        (primary, 31, "\"activate secondary controls\""),
        (secondary, 1, "\"enable EPT\""),
        (secondary, 7, "\"unrestricted guest\""),
        (IA32_VMX_TRUE_EXIT_CTLS, 21, "\"load IA32_EFER on exit\""),
        (IA32_VMX_TRUE_ENTRY_CTLS, 9, "\"IA-32e mode guest\""),
    ] {
        let message = refusal(&[without(msr, bit)]);
        assert_eq!(message, format!("no VMX control {name}"));
    }
}

#[test]
fn forced_controls_are_named() {
    let message = refusal(&[forcing(IA32_VMX_TRUE_PROCBASED_CTLS, 15)]);
    assert_eq!(
        message,
        "VMX control \"CR3-load exiting\" cannot be turned off"
    );
    let message = refusal(&[forcing(IA32_VMX_TRUE_EXIT_CTLS, 15)]);
    assert!(message.contains("acknowledge interrupt"));
}

#[test]
fn the_first_processors_with_vmx_are_refused() {
    let basic = HASWELL_4770.msr(IA32_VMX_BASIC) & !(1 << 55);
    let no_secondary = HASWELL_4770.msr(IA32_VMX_PROCBASED_CTLS) & !(1 << 63);
    let caps = VmxCaps::read(|msr| match msr {
        IA32_VMX_BASIC => basic,
        IA32_VMX_PROCBASED_CTLS => no_secondary,
        IA32_VMX_PROCBASED_CTLS2..=IA32_VMX_VMFUNC => panic!("{msr:#x} does not exist there"),
        _ => HASWELL_4770.msr(msr),
    });
    assert!(Controls::negotiate(&caps).is_err());
    assert_eq!(caps.secondary, AllowedSettings::default());
    assert_eq!(caps.vm_functions, 0);
}

#[test]
fn ept_needs_what_the_engine_uses() {
    let all = HASWELL_4770.msr(IA32_VMX_EPT_VPID_CAP);
    let lacking = |bits: u64| refusal(&[(IA32_VMX_EPT_VPID_CAP, all & !bits)]);
    assert_eq!(lacking(1 << 6), "no EPT with 4 levels");
    assert_eq!(lacking(1 << 14), "no write-back EPT");
    assert_eq!(lacking(1 << 20), "no INVEPT");
    assert_eq!(lacking(1 << 25 | 1 << 26), "no usable type of INVEPT");
    let basic = HASWELL_4770.msr(IA32_VMX_BASIC);
    let narrow = refusal(&[(IA32_VMX_BASIC, basic | 1 << 48)]);
    assert_eq!(narrow, "VMCS addresses are limited to 32 bits");
}

#[test]
fn vpid_needs_invvpid() {
    let all = HASWELL_4770.msr(IA32_VMX_EPT_VPID_CAP);
    let vpid = SecondaryControls::ENABLE_VPID;
    for lacking in [1 << 32, 1 << 41 | 1 << 42] {
        let controls = Controls::negotiate(&poor(&[(IA32_VMX_EPT_VPID_CAP, all & !lacking)]));
        let controls = controls.unwrap();
        assert!(!controls.initial.secondary.contains(vpid));
        assert!(!controls.settable.secondary.contains(vpid));
    }
    let controls = Controls::negotiate(&poor(&[without(IA32_VMX_PROCBASED_CTLS2, 5)]));
    assert!(!controls.unwrap().initial.secondary.contains(vpid));
}

#[test]
fn the_preemption_timer_may_be_absent() {
    let none = Controls::negotiate(&poor(&[without(IA32_VMX_TRUE_PINBASED_CTLS, 6)])).unwrap();
    assert_eq!(none.preemption_timer, None);
    let unsaved = Controls::negotiate(&poor(&[without(IA32_VMX_TRUE_EXIT_CTLS, 22)])).unwrap();
    let timer = unsaved.preemption_timer.unwrap();
    assert_eq!(timer.saving, Saving::Impossible);
}

proptest! {
    /// Whatever the MSRs hold, negotiation ends, and what it gives is allowed.
    #[test]
    fn any_processor(msrs in proptest::array::uniform18(any::<u64>()), open in any::<bool>()) {
        // Half of the cases let everything be 1, else hardly any passes.
        let value = |msr: u32| {
            let raw = msrs[(msr - IA32_VMX_BASIC) as usize];
            if open && msr != IA32_VMX_BASIC { raw << 32 >> 45 | u64::MAX << 32 } else { raw }
        };
        let caps = VmxCaps::read(value);
        if let Ok(controls) = Controls::negotiate(&caps) {
            let pin = controls.initial.pin.raw();
            prop_assert_eq!(pin & caps.pin.must_be_one(), caps.pin.must_be_one());
            let exit = controls.initial.exit.raw();
            prop_assert!(caps.exit.allows_one(exit & !caps.exit.must_be_one()));
        }
    }
}

/// What section 28.2.1.1 of the SDM demands of the controls that virtualize an APIC.
#[test]
fn the_local_apic_is_the_processors_or_the_softwares() {
    type Primary = PrimaryControls;
    type Secondary = SecondaryControls;
    let tigerlake = Controls::negotiate(&caps(&TIGERLAKE)).unwrap();
    assert!(tigerlake.has_virtual_x2apic());
    let software = tigerlake.initial;
    assert!(software.primary.contains(Primary::CR8_EXITING));
    assert!(!software.primary.contains(Primary::USE_TPR_SHADOW));
    let processor = software.with_virtual_x2apic();
    assert!(processor.primary.contains(Primary::USE_TPR_SHADOW));
    assert!(processor.secondary.contains(Secondary::VIRTUAL_X2APIC));
    assert!(processor
        .pin
        .contains(PinControls::EXTERNAL_INTERRUPT_EXITING));
    let apic_page = Secondary::VIRTUALIZE_APIC_ACCESSES;
    assert!(!processor.secondary.contains(apic_page));
    assert_eq!(processor.without_virtual_x2apic(), software);

    // Posted interrupts: section 28.2.1.1, too.
    assert!(tigerlake.has_posted_interrupts());
    let acknowledges = ExitControls::ACKNOWLEDGE_INTERRUPT;
    assert!(!software.exit.contains(acknowledges) && !processor.exit.contains(acknowledges));
    let posted = processor.with_posted_interrupts();
    assert!(posted.pin.contains(PinControls::PROCESS_POSTED_INTERRUPTS));
    assert!(posted.exit.contains(acknowledges));
    assert_eq!(posted.without_virtual_x2apic(), software);

    // Nothing of it may be missing.
    for (msr, bit) in [
        (IA32_VMX_TRUE_PROCBASED_CTLS, 21),
        (IA32_VMX_PROCBASED_CTLS2, 4),
        (IA32_VMX_PROCBASED_CTLS2, 8),
        (IA32_VMX_PROCBASED_CTLS2, 9),
    ] {
        let controls = Controls::negotiate(&poor(&[without(msr, bit)])).unwrap();
        assert!(!controls.has_virtual_x2apic(), "{msr:#x} {bit}");
    }
}

#[test]
fn interrupt_status() {
    assert_eq!(InterruptStatus::new(None, None).raw(), 0);
    assert_eq!(InterruptStatus::new(Some(0x51), None).raw(), 0x0051);
    assert_eq!(InterruptStatus::new(None, Some(0xef)).raw(), 0xef00);
    assert_eq!(InterruptStatus::new(Some(255), Some(16)).raw(), 0x10ff);
}
