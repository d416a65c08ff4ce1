// SPDX-License-Identifier: GPL-2.0

//! Known sequences: what a guest sees of one interrupt.

use crate::machine::{vcpu, Machine};
use rkvm_host::arm64::vgic::gic::intid::{Intid, IrqRef};
use rkvm_host::arm64::vgic::gic::irq::Level;
use rkvm_host::arm64::vgic::gic::list_register::Requests;
use rkvm_host::arm64::vgic::gic::lpi::{Pending, Property, Room};
use rkvm_host::arm64::vgic::gic::sgi::Register;

const SPI: Intid = Intid::new(40);
const PPI: Intid = Intid::new(27);

fn spi() -> IrqRef {
    IrqRef::shared(SPI)
}

/// ICFGR of the SPI: an edge.
fn make_edge(machine: &mut Machine) {
    machine.gic.distributor_write(0xc08, 4, 0xffff_ffff);
}

fn pulse(machine: &mut Machine) {
    machine.set_line(spi(), Level::High);
    machine.set_line(spi(), Level::Low);
}

#[test]
fn an_edge_interrupts_once() {
    let mut machine = Machine::new(1, 4);
    machine.open();
    make_edge(&mut machine);
    pulse(&mut machine);
    machine.sync(0);
    assert_eq!(machine.acknowledge(0), Some(SPI));
    assert_eq!(machine.acknowledge(0), None);
    machine.end(0);
    assert!(!machine.maintenance(0));
    machine.sync(0);
    assert_eq!(machine.processors[0].lists.used(), 0);
}

#[test]
fn an_edge_while_the_last_is_handled_is_not_lost() {
    let mut machine = Machine::new(1, 4);
    machine.open();
    make_edge(&mut machine);
    pulse(&mut machine);
    machine.sync(0);
    assert_eq!(machine.acknowledge(0), Some(SPI));
    pulse(&mut machine);
    machine.sync(0);
    assert_eq!(machine.acknowledge(0), None);
    machine.end(0);
    assert_eq!(machine.acknowledge(0), Some(SPI));
    machine.end(0);
    machine.sync(0);
    assert_eq!(machine.acknowledge(0), None);
}

#[test]
fn edges_before_the_guest_looks_are_one() {
    let mut machine = Machine::new(1, 4);
    machine.open();
    make_edge(&mut machine);
    pulse(&mut machine);
    machine.sync(0);
    pulse(&mut machine);
    machine.sync(0);
    assert_eq!(machine.acknowledge(0), Some(SPI));
    machine.end(0);
    machine.sync(0);
    assert_eq!(machine.acknowledge(0), None);
}

#[test]
fn a_line_that_stays_high_interrupts_again_and_tells_of_its_end() {
    let mut machine = Machine::new(1, 4);
    machine.open();
    machine.set_line(spi(), Level::High);
    machine.sync(0);
    for _ in 0..3 {
        assert_eq!(machine.acknowledge(0), Some(SPI));
        machine.end(0);
        assert!(machine.maintenance(0));
        let ended = machine.sync_ended(0);
        assert_eq!(ended.iter().collect::<Vec<_>>(), [spi()]);
    }
    machine.set_line(spi(), Level::Low);
    machine.sync(0);
    assert_eq!(machine.acknowledge(0), None);
}

#[test]
fn a_line_that_falls_takes_the_interrupt_back() {
    let mut machine = Machine::new(1, 4);
    machine.open();
    machine.set_line(spi(), Level::High);
    machine.sync(0);
    assert_eq!(machine.processors[0].lists.used(), 1);
    machine.gic.news.take(|_| ());
    machine.set_line(spi(), Level::Low);
    let mut told = Vec::new();
    machine.gic.news.take(|vcpu| told.push(vcpu.get()));
    assert_eq!(told, [0]);
    machine.sync(0);
    assert_eq!(machine.processors[0].lists.used(), 0);
}

#[test]
fn a_latched_level_interrupt_is_taken_once() {
    let mut machine = Machine::new(1, 4);
    machine.open();
    machine.gic.distributor_write(0x204, 4, 1 << 8);
    machine.sync(0);
    // Not taken: it stays latched.
    machine.sync(0);
    assert_eq!(machine.acknowledge(0), Some(SPI));
    machine.end(0);
    machine.sync(0);
    assert_eq!(machine.acknowledge(0), None);
    assert_eq!(machine.gic.distributor_read(0x204, 4), 0);
}

#[test]
fn a_hardware_interrupt_names_the_physical_one_and_is_never_both() {
    let mut machine = Machine::new(1, 4);
    machine.open();
    machine.gic.set_hardware(vcpu(0), PPI, Some(27));
    let at = IrqRef::private(vcpu(0), PPI);
    machine.set_line(at, Level::High);
    machine.sync(0);
    let raw = machine.processors[0].lists.values()[0].raw();
    assert_eq!(raw >> 61, 0b011, "hardware, pending");
    assert_eq!(raw >> 32 & 0x1fff, 27);
    assert_eq!(machine.acknowledge(0), Some(PPI));
    machine.sync(0);
    let raw = machine.processors[0].lists.values()[0].raw();
    assert_eq!(raw >> 61, 0b101, "hardware, active");
    machine.end(0);
    assert!(!machine.maintenance(0));
    machine.sync(0);
    assert_eq!(machine.acknowledge(0), Some(PPI));
}

#[test]
fn more_interrupts_than_list_registers_come_in_order() {
    let mut machine = Machine::new(1, 2);
    machine.open();
    for number in 32..40u32 {
        let offset = 0x400 + number;
        machine
            .gic
            .distributor_write(offset, 1, u64::from(0xf8 - (number - 32) * 8));
        machine.set_line(IrqRef::shared(Intid::new(number)), Level::High);
    }
    let mut seen = Vec::new();
    machine.drain(0, |machine, intid| {
        machine.set_line(IrqRef::shared(intid), Level::Low);
        seen.push(intid.raw());
    });
    assert_eq!(seen, (32..40).rev().collect::<Vec<_>>());
}

#[test]
fn an_urgent_interrupt_gets_in_beside_active_ones() {
    let mut machine = Machine::new(1, 1);
    machine.open();
    machine.gic.distributor_write(0x400 + 40, 1, 0x80);
    machine.gic.distributor_write(0x400 + 41, 1, 0x40);
    machine.set_line(spi(), Level::High);
    machine.sync(0);
    assert_eq!(machine.acknowledge(0), Some(SPI));
    machine.set_line(spi(), Level::Low);
    machine.set_line(IrqRef::shared(Intid::new(41)), Level::High);
    machine.sync(0);
    let expected = Requests {
        no_pending: false,
        ended_elsewhere: true,
        other_groups: Some(machine.groups(0)),
    };
    assert_eq!(machine.processors[0].lists.requests, expected);
    assert_eq!(machine.acknowledge(0), Some(Intid::new(41)));
    machine.set_line(IrqRef::shared(Intid::new(41)), Level::Low);
    machine.end(0);
    machine.end(0);
    assert!(machine.maintenance(0));
    machine.sync(0);
    assert!(!machine.gic.irq(spi()).unwrap().active);
}

#[test]
fn what_is_not_forwarded_is_in_no_list_register() {
    let mut machine = Machine::new(1, 4);
    machine.open();
    machine.gic.distributor_write(0, 4, 0);
    machine.set_line(spi(), Level::High);
    machine.sync(0);
    assert_eq!(machine.processors[0].lists.used(), 0);
    assert!(!machine.maintenance(0));
    machine.gic.distributor_write(0, 4, 2);
    machine.sync(0);
    assert_eq!(machine.acknowledge(0), Some(SPI));
}

#[test]
fn a_group_that_is_off_takes_no_list_register_from_others() {
    let mut machine = Machine::new(1, 2);
    machine.open();
    machine.set_groups(0, 0b10);
    machine.gic.distributor_write(0x84, 4, !0b111);
    machine.gic.distributor_write(0x400 + 35, 1, 0xa0);
    for number in 32..36 {
        machine.set_line(IrqRef::shared(Intid::new(number)), Level::High);
    }
    machine.sync(0);
    assert_eq!(machine.acknowledge(0), Some(Intid::new(35)));
    machine.end(0);
    machine.set_line(IrqRef::shared(Intid::new(35)), Level::Low);
    machine.sync(0);
    assert_eq!(machine.acknowledge(0), None);
    assert!(!machine.maintenance(0));
    // The guest turns the other group on.
    machine.set_groups(0, 0b11);
    assert!(machine.maintenance(0));
    machine.sync(0);
    assert_eq!(machine.acknowledge(0), Some(Intid::new(32)));
}

/// The processor does not count the end of an LPI that is in no list register.
#[test]
fn an_lpi_ends_without_a_list_register() {
    let mut machine = Machine::new(1, 1);
    let lpi = Intid::new(8192);
    machine.gic.add_its();
    let room = Room::new(machine.gic.room_wanted(lpi).unwrap()).unwrap();
    machine.gic.make_room(room);
    machine.open();
    let _ = machine.gic.redistributor_write(vcpu(0), 0, 4, 1);
    machine.gic.route_lpi(lpi, Some(vcpu(0)));
    machine.gic.set_property(lpi, Property::from_raw(0xa1));
    machine.gic.distributor_write(0x400 + 40, 1, 0x80);
    for _ in 0..3 {
        assert!(machine.gic.set_lpi_pending(lpi, Pending::Yes));
        machine.sync(0);
        assert_eq!(machine.acknowledge(0), Some(lpi));
        // A more urgent one needs the only list register meanwhile.
        machine.set_line(spi(), Level::High);
        machine.sync(0);
        assert_eq!(machine.acknowledge(0), Some(SPI));
        machine.set_line(spi(), Level::Low);
        machine.end(0);
        machine.sync(0);
        machine.end(0);
        machine.sync(0);
        assert_eq!(machine.gic.queued(vcpu(0)).count(), 0);
    }
}

#[test]
fn a_trapped_deactivation_finds_what_is_not_loaded() {
    let mut machine = Machine::new(1, 1);
    machine.open();
    machine.set_line(spi(), Level::High);
    machine.sync(0);
    machine.acknowledge(0);
    machine.fold(0);
    machine.set_line(spi(), Level::Low);
    let ended = machine.gic.write_dir(vcpu(0), SPI.raw().into());
    assert_eq!(ended.iter().collect::<Vec<_>>(), [spi()]);
    assert!(!machine.gic.irq(spi()).unwrap().active);
    assert_eq!(machine.gic.queued(vcpu(0)).count(), 0);
}

#[test]
fn sgis_reach_whom_they_name() {
    let mut machine = Machine::new(18, 4);
    machine.open();
    let pending = |machine: &Machine, sgi: u32| -> Vec<usize> {
        let at = |index| IrqRef::private(vcpu(index), Intid::new(sgi));
        (0..18)
            .filter(|index| machine.gic.irq(at(*index)).unwrap().is_pending())
            .collect()
    };
    // SGI 3 to Aff1 0, Aff0 1 and 15.
    machine
        .gic
        .send_sgi(vcpu(0), Register::Sgi1, 3 << 24 | 0x8002);
    assert_eq!(pending(&machine, 3), [1, 15]);
    // SGI 4 to Aff1 1, Aff0 0 to 15, of which two are there.
    machine
        .gic
        .send_sgi(vcpu(0), Register::Sgi1, 4 << 24 | 1 << 16 | 0xffff);
    assert_eq!(pending(&machine, 4), [16, 17]);
    // SGI 5 to all others.
    machine
        .gic
        .send_sgi(vcpu(2), Register::Sgi1, 5 << 24 | 1 << 40);
    assert_eq!(
        pending(&machine, 5),
        (0..18).filter(|i| *i != 2).collect::<Vec<_>>()
    );
    // Group 1 cannot be reached by ICC_SGI0R_EL1, nor a fourth level of affinity.
    machine.gic.send_sgi(vcpu(0), Register::Sgi0, 6 << 24 | 1);
    machine
        .gic
        .send_sgi(vcpu(0), Register::Sgi1, 6 << 24 | 1 | 1 << 48);
    assert!(pending(&machine, 6).is_empty());
}

#[test]
fn routing_moves_a_pending_interrupt() {
    let mut machine = Machine::new(2, 4);
    machine.open();
    machine.set_line(spi(), Level::High);
    machine.sync(0);
    machine.gic.distributor_write(0x6000 + 40 * 8, 8, 1);
    machine.sync(1);
    assert_eq!(machine.acknowledge(1), None, "it is still loaded elsewhere");
    machine.sync(0);
    assert_eq!(machine.acknowledge(0), None);
    machine.sync(1);
    assert_eq!(machine.acknowledge(1), Some(SPI));
    // An active one stays.
    machine.gic.distributor_write(0x6000 + 40 * 8, 8, 0);
    machine.set_line(spi(), Level::Low);
    machine.sync(1);
    assert_eq!(machine.end(1), Some(SPI));
    machine.sync(1);
    machine.set_line(spi(), Level::High);
    machine.sync(0);
    assert_eq!(machine.acknowledge(0), Some(SPI));
}

#[test]
fn what_ends_a_wfi() {
    let mut machine = Machine::new(1, 4);
    machine.open();
    assert!(!machine.gic.has_deliverable(vcpu(0)));
    machine.set_line(spi(), Level::High);
    assert!(machine.gic.has_deliverable(vcpu(0)));
    machine.gic.distributor_write(0x400 + 40, 1, 0xf0);
    machine.gic.interface_mut(vcpu(0)).unwrap().vmcr = 0xf0 << 24 | 0b10;
    assert!(!machine.gic.has_deliverable(vcpu(0)), "masked by priority");
    machine.gic.interface_mut(vcpu(0)).unwrap().vmcr = 0xf8 << 24 | 0b10;
    assert!(machine.gic.has_deliverable(vcpu(0)));
    machine.gic.interface_mut(vcpu(0)).unwrap().vmcr = 0xf8 << 24 | 0b01;
    assert!(!machine.gic.has_deliverable(vcpu(0)), "the group is off");
}
