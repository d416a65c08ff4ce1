// SPDX-License-Identifier: GPL-2.0

//! Registers: what a guest and a VMM read of them.

use crate::machine::{vcpu, Machine};
use proptest::prelude::*;
use rkvm_host::arm64::vgic::gic::cpu_interface::{CpuInterface, Features, Name};
use rkvm_host::arm64::vgic::gic::intid::{Intid, IrqRef};
use rkvm_host::arm64::vgic::gic::irq::{Group, Level};
use rkvm_host::arm64::vgic::gic::redistributor::{Effect, Position};
use rkvm_host::arm64::vgic::gic::Gic;

const SGI_FRAME: u32 = 0x1_0000;

#[test]
fn the_distributor_describes_itself() {
    let mut machine = Machine::new(1, 4);
    let gic = &mut machine.gic;
    assert_eq!(gic.distributor_read(0x0, 4), 0x50, "DS, ARE");
    gic.distributor_write(0x0, 4, 0xffff_ffff);
    assert_eq!(gic.distributor_read(0x0, 4), 0x52);
    assert_eq!(
        gic.distributor_read(0x4, 4),
        9 << 19 | 1,
        "64 interrupts of 10 bits"
    );
    gic.add_its();
    assert_eq!(gic.distributor_read(0x4, 4), 15 << 19 | 1 << 17 | 1);
    assert_eq!(gic.distributor_read(0x8, 4), 0x4b00_343b);
    assert_eq!(gic.distributor_read(0xffe8, 4), 0x3b);
    // Not so wide, not aligned, not there.
    assert_eq!(gic.distributor_read(0x4, 1), 0);
    assert_eq!(gic.distributor_read(0x6, 4), 0);
    assert_eq!(gic.distributor_read(0x5000, 4), 0);
    assert_eq!(gic.distributor_get(0x5000), 0);
    assert!(!Gic::has_distributor_word(0x5000, 96));
    // Nor what other interrupts would have: IGROUPR and IROUTER.
    assert!(Gic::has_distributor_word(0x88, 96));
    assert!(!Gic::has_distributor_word(0x8c, 96));
    assert!(Gic::has_distributor_word(0x62fc, 96));
    assert!(!Gic::has_distributor_word(0x6300, 96));
}

#[test]
fn the_implementation_can_be_an_older_one() {
    let mut machine = Machine::new(1, 4);
    let gic = &mut machine.gic;
    assert!(gic.distributor_set(0x8, 0x4b00_243b).is_ok());
    assert_eq!(gic.distributor_get(0x8), 0x4b00_243b);
    assert_eq!(gic.redistributor_get(vcpu(0), Position::Last, 0), 0);
    assert!(gic.distributor_set(0x8, 0x4b00_143b).is_err());
    assert!(gic.distributor_set(0x8, 0x4c00_343b).is_err());
}

#[test]
fn the_distributor_has_no_private_interrupts() {
    let mut machine = Machine::new(1, 4);
    let gic = &mut machine.gic;
    for offset in [0x80, 0x100, 0x200, 0x300, 0x400, 0xc00] {
        gic.distributor_write(offset, 4, 0xffff_ffff);
        assert_eq!(gic.distributor_read(offset, 4), 0, "{offset:#x}");
    }
    assert_eq!(gic.distributor_read(0x6000, 8), 0);
    gic.distributor_write(0x6000 + 33 * 8, 8, 0xff_1234_5678_9abc);
    assert_eq!(gic.distributor_read(0x6000 + 33 * 8, 8), 0x78_9abc);
    assert_eq!(gic.distributor_read(0x6000 + 33 * 8 + 4, 4), 0);
}

#[test]
fn priorities_have_five_bits_and_bytes() {
    let mut machine = Machine::new(1, 4);
    let gic = &mut machine.gic;
    gic.distributor_write(0x421, 1, 0xff);
    assert_eq!(gic.distributor_read(0x420, 4), 0xf800);
    assert_eq!(gic.distributor_read(0x421, 1), 0xf8);
    assert_eq!(gic.distributor_read(0x420, 2), 0);
}

#[test]
fn sgis_are_edges_and_enabled() {
    let mut machine = Machine::new(1, 4);
    let gic = &mut machine.gic;
    let read =
        |gic: &Gic, offset| gic.redistributor_read(vcpu(0), Position::Last, SGI_FRAME + offset, 4);
    assert_eq!(read(gic, 0x100), 0xffff);
    assert_eq!(read(gic, 0xc00), 0xaaaa_aaaa);
    assert_eq!(read(gic, 0xc04), 0);
    let _ = gic.redistributor_write(vcpu(0), SGI_FRAME + 0xc00, 4, 0);
    let _ = gic.redistributor_write(vcpu(0), SGI_FRAME + 0xc04, 4, 0xffff_ffff);
    assert_eq!(read(gic, 0xc00), 0xaaaa_aaaa);
    assert_eq!(read(gic, 0xc04), 0);
    assert_eq!(read(gic, 0x80), 0xffff_ffff, "group 1");
}

#[test]
fn a_redistributor_describes_itself() {
    let machine = Machine::new(18, 4);
    let read = |index, position| {
        machine
            .gic
            .redistributor_read(vcpu(index), position, 0x8, 8)
    };
    assert_eq!(read(0, Position::Middle), 0);
    assert_eq!(read(17, Position::Last), 0x101 << 32 | 17 << 8 | 1 << 4);
    let high = machine
        .gic
        .redistributor_read(vcpu(17), Position::Last, 0xc, 4);
    assert_eq!(high, 0x101);
}

#[test]
fn tables_of_lpis_stay_while_they_are_used() {
    let mut machine = Machine::new(1, 4);
    let gic = &mut machine.gic;
    let write = |gic: &mut Gic, offset, value| gic.redistributor_write(vcpu(0), offset, 8, value);
    // There are no LPIs without an ITS.
    assert_eq!(write(gic, 0x0, 1), Effect::None);
    assert_eq!(gic.redistributor_write(vcpu(0), 0x0, 4, 1), Effect::None);
    gic.add_its();
    let _ = write(gic, 0x70, 0x4012_3000 | 1 << 10 | 0b111 << 7 | 15);
    let _ = write(gic, 0x78, 0x4020_0000 | 1 << 10 | 0b111 << 7 | 1 << 62);
    assert!(gic.has_empty_pending_table(vcpu(0)));
    assert_eq!(
        gic.redistributor_write(vcpu(0), 0x0, 4, 1),
        Effect::ReadPending
    );
    let _ = write(gic, 0x70, 0);
    let _ = write(gic, 0x78, 0);
    let read = |gic: &Gic, offset| gic.redistributor_read(vcpu(0), Position::Last, offset, 8);
    assert_eq!(read(gic, 0x70), 0x4012_3000 | 1 << 10 | 0b111 << 7 | 15);
    assert_eq!(read(gic, 0x78), 0x4020_0000 | 1 << 10 | 0b111 << 7);
    let lpi = Intid::new(8200);
    assert_eq!(gic.property_address(lpi).unwrap().raw(), 0x4012_3008);
    assert_eq!(gic.property_address(Intid::new(65536)), None);
    let bit = gic.pending_bit(vcpu(0), lpi).unwrap();
    assert_eq!((bit.gpa.raw(), bit.mask), (0x4020_0000 + 1025, 1));
    assert_eq!(write(gic, 0xa0, 8200), Effect::ReadProperty(lpi));
    assert_eq!(write(gic, 0xb0, 0), Effect::ReadProperties);
}

#[test]
fn a_vmm_sees_the_latch_and_the_guest_the_line_too() {
    let mut machine = Machine::new(1, 4);
    let gic = &mut machine.gic;
    let at = IrqRef::shared(Intid::new(40));
    gic.distributor_write(0xc08, 4, 0);
    gic.set_line(at, Level::High).unwrap();
    assert_eq!(gic.distributor_read(0x204, 4), 1 << 8);
    assert_eq!(gic.distributor_get(0x204), 0);
    assert_eq!(gic.line_levels(vcpu(0), 32), 1 << 8);
    gic.distributor_set(0x204, 1 << 9).unwrap();
    assert_eq!(gic.distributor_get(0x204), 1 << 9);
    assert_eq!(gic.distributor_get(0x284), 0);
    gic.distributor_set(0x284, 1 << 9).unwrap();
    assert_eq!(gic.distributor_get(0x204), 1 << 9);
    gic.distributor_set(0x204, 0).unwrap();
    assert_eq!(gic.distributor_get(0x204), 0);
}

const SYSREGS: [u16; 15] = [
    0xc230, // ICC_PMR_EL1
    0xc643, // ICC_BPR0_EL1
    0xc644, // ICC_AP0R0_EL1
    0xc645, 0xc646, 0xc647, // ICC_AP0R1-3_EL1
    0xc648, // ICC_AP1R0_EL1
    0xc649, 0xc64a, 0xc64b, // ICC_AP1R1-3_EL1
    0xc663, // ICC_BPR1_EL1
    0xc664, // ICC_CTLR_EL1
    0xc665, // ICC_SRE_EL1
    0xc666, // ICC_IGRPEN0_EL1
    0xc667, // ICC_IGRPEN1_EL1
];

/// 4 list registers, 5 bits of priority and preemption, 16-bit numbers, SEIS, A3V.
const FEATURES: Features = Features::from_raw(4 << 29 | 4 << 26 | 1 << 22 | 1 << 21 | 3);

#[test]
fn cpu_interface_registers_by_their_encodings() {
    let named: Vec<u16> = (0..=u16::MAX)
        .filter(|encoding| Name::from_encoding(*encoding).is_some())
        .collect();
    assert_eq!(named, SYSREGS);
    assert_eq!(FEATURES.list_registers(), 4);
    assert_eq!(FEATURES.active_priorities(), 1);
}

#[test]
fn the_control_register_can_only_lose() {
    let mut interface = CpuInterface::default();
    let get = |interface: &CpuInterface| interface.get(FEATURES, Name::Control).unwrap();
    assert_eq!(get(&interface), 0b11 << 14 | 4 << 8);
    assert!(interface
        .set(FEATURES, Name::Control, 0b11 << 14 | 5 << 8)
        .is_err());
    assert!(interface.set(FEATURES, Name::Control, 4 << 8).is_err());
    assert!(interface
        .set(FEATURES, Name::Control, 0b11 << 14 | 1 << 11)
        .is_err());
    interface
        .set(FEATURES, Name::Control, 0b11 << 14 | 3 << 8 | 0b11)
        .unwrap();
    assert_eq!(get(&interface), 0b11 << 14 | 3 << 8 | 0b11);
    assert!(interface
        .set(FEATURES, Name::Control, 0b11 << 14 | 4 << 8)
        .is_err());
}

#[test]
fn one_binary_point_for_both_groups() {
    let mut interface = CpuInterface::default();
    let group1 = Name::BinaryPoint(Group::One);
    interface.set(FEATURES, group1, 5).unwrap();
    interface
        .set(FEATURES, Name::BinaryPoint(Group::Zero), 3)
        .unwrap();
    assert_eq!(interface.get(FEATURES, group1).unwrap(), 5);
    interface
        .set(FEATURES, Name::Control, 0b11 << 14 | 4 << 8 | 1)
        .unwrap();
    assert_eq!(interface.get(FEATURES, group1).unwrap(), 4);
    interface.set(FEATURES, group1, 7).unwrap();
    assert_eq!(interface.get(FEATURES, group1).unwrap(), 4);
}

proptest! {
    #[test]
    fn what_a_vmm_reads_it_can_write_back(
        writes in prop::collection::vec((prop::sample::select(&SYSREGS[..]), any::<u64>()), 0..20),
    ) {
        let mut interface = CpuInterface::default();
        for (encoding, value) in writes {
            let name = Name::from_encoding(encoding).unwrap();
            let _ = interface.set(FEATURES, name, value);
        }
        let mut copy = CpuInterface::default();
        // The order in which QEMU restores does not matter but for BPR1, which CBPR hides.
        for encoding in SYSREGS {
            let name = Name::from_encoding(encoding).unwrap();
            if let Ok(value) = interface.get(FEATURES, name) {
                copy.set(FEATURES, name, value).unwrap();
            }
        }
        for encoding in SYSREGS {
            let name = Name::from_encoding(encoding).unwrap();
            prop_assert_eq!(interface.get(FEATURES, name), copy.get(FEATURES, name));
        }
    }

    #[test]
    fn any_access_is_harmless(
        accesses in prop::collection::vec(
            (0..0x2_0010u32, prop::sample::select(&[1u32, 2, 4, 8][..]), any::<u64>(), any::<bool>()),
            0..60,
        ),
    ) {
        let mut machine = Machine::new(2, 2);
        machine.gic.add_its();
        machine.open();
        for (offset, bytes, value, distributor) in accesses {
            if distributor {
                machine.gic.distributor_write(offset, bytes, value);
                let _ = machine.gic.distributor_read(offset, bytes);
                let _ = machine.gic.distributor_set(offset, value as u32);
                let _ = machine.gic.distributor_get(offset);
            } else {
                let _ = machine.gic.redistributor_write(vcpu(1), offset, bytes, value);
                let _ = machine.gic.redistributor_read(vcpu(1), Position::Last, offset, bytes);
                let _ = machine.gic.redistributor_set(vcpu(0), offset, value as u32);
                let _ = machine.gic.redistributor_get(vcpu(0), Position::Last, offset);
            }
            machine.sync(0);
            machine.sync(1);
            machine.fold_all();
        }
    }
}
