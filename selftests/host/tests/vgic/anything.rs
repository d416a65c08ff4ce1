// SPDX-License-Identifier: GPL-2.0

//! Guests, VMMs and tables in memory that say anything: nothing panics, hangs or leaves the queues in disorder.

use crate::its::Guest;
use crate::machine::{vcpu, Machine};
use kernel::prelude::*;
use proptest::prelude::*;
use rkvm_host::arm64::vgic::gic::cpu_interface::{Features, Name};
use rkvm_host::arm64::vgic::gic::intid::{Intid, IrqRef};
use rkvm_host::arm64::vgic::gic::irq::Level;
use rkvm_host::arm64::vgic::gic::redistributor::Position;
use rkvm_host::arm64::vgic::its::service::{self, Surroundings};
use std::collections::HashSet;

const VCPUS: usize = 3;

#[derive(Clone, Debug)]
enum Op {
    /// The guest's accesses: to the distributor, or to the redistributor of a vCPU.
    Guest(Option<usize>, u32, u32, u64),
    /// The VMM's.
    Vmm(Option<usize>, u32, u32),
    Levels(usize, u32, u32),
    Interface(usize, u16, u64),
    Line(usize, u32, bool),
    Sgi(usize, u64),
    Dir(usize, u64),
    Enter(usize),
    Leave(usize),
    Acknowledge(usize),
    End(usize),
}

fn offset() -> impl Strategy<Value = u32> {
    prop_oneof![
        4 => (prop::sample::select(&[0u32, 0x70, 0x80, 0x100, 0x180, 0x200, 0x280, 0x300, 0x380,
            0x400, 0x800, 0xc00, 0x6000, 0x1_0000, 0x1_0080, 0x1_0100, 0x1_0180, 0x1_0200,
            0x1_0280, 0x1_0300, 0x1_0380, 0x1_0400, 0x1_0c00][..]), 0..0x20u32)
            .prop_map(|(base, word)| base + word * 4),
        1 => 0..0x2_0000u32,
        1 => any::<u32>(),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let cpu = || 0..VCPUS;
    let frame = || prop::option::of(0..VCPUS);
    prop_oneof![
        6 => (frame(), offset(), prop::sample::select(&[1u32, 2, 4, 8][..]), any::<u64>())
            .prop_map(|(frame, offset, bytes, value)| Op::Guest(frame, offset, bytes, value)),
        4 => (frame(), offset(), any::<u32>())
            .prop_map(|(frame, offset, value)| Op::Vmm(frame, offset, value)),
        1 => (cpu(), any::<u32>(), any::<u32>())
            .prop_map(|(cpu, first, levels)| Op::Levels(cpu, first, levels)),
        1 => (cpu(), any::<u16>(), any::<u64>())
            .prop_map(|(cpu, name, value)| Op::Interface(cpu, name, value)),
        3 => (cpu(), 0..100u32, any::<bool>())
            .prop_map(|(cpu, intid, high)| Op::Line(cpu, intid, high)),
        2 => (cpu(), any::<u64>()).prop_map(|(cpu, value)| Op::Sgi(cpu, value)),
        1 => (cpu(), any::<u64>()).prop_map(|(cpu, value)| Op::Dir(cpu, value)),
        3 => cpu().prop_map(Op::Enter),
        2 => cpu().prop_map(Op::Leave),
        2 => cpu().prop_map(Op::Acknowledge),
        2 => cpu().prop_map(Op::End),
    ]
}

fn apply(machine: &mut Machine, op: Op) {
    use rkvm_host::arm64::vgic::gic::sgi::Register;

    let gic = &mut machine.gic;
    match op {
        Op::Guest(None, offset, bytes, value) => {
            gic.distributor_write(offset, bytes, value);
            gic.distributor_read(offset, bytes);
        }
        Op::Guest(Some(cpu), offset, bytes, value) => {
            let _ = gic.redistributor_write(vcpu(cpu), offset, bytes, value);
            gic.redistributor_read(vcpu(cpu), Position::Last, offset, bytes);
        }
        // A VMM accesses registers while nothing is loaded.
        Op::Vmm(frame, offset, value) => {
            machine.fold_all();
            let gic = &mut machine.gic;
            match frame {
                None => {
                    let _ = gic.distributor_set(offset, value);
                    gic.distributor_get(offset);
                }
                Some(cpu) => {
                    let _ = gic.redistributor_set(vcpu(cpu), offset, value);
                    gic.redistributor_get(vcpu(cpu), Position::Last, offset);
                }
            }
        }
        Op::Levels(cpu, first, levels) => {
            let first = first & !31;
            gic.set_line_levels(vcpu(cpu), first, levels);
            gic.line_levels(vcpu(cpu), first);
        }
        Op::Interface(cpu, name, value) => {
            let features = Features::from_raw(value);
            if let (Some(name), Some(interface)) =
                (Name::from_encoding(name), gic.interface_mut(vcpu(cpu)))
            {
                let _ = interface.set(features, name, value);
                let _ = interface.get(features, name);
            }
        }
        Op::Line(cpu, intid, high) => {
            let at = IrqRef::of(vcpu(cpu), Intid::new(intid));
            let _ = gic.set_line(at, Level::from_high(high));
        }
        Op::Sgi(cpu, value) => gic.send_sgi(vcpu(cpu), Register::Sgi1, value),
        Op::Dir(cpu, value) => {
            machine.fold(cpu);
            let _ = machine.gic.write_dir(vcpu(cpu), value);
        }
        Op::Enter(cpu) => machine.sync(cpu),
        Op::Leave(cpu) => machine.fold(cpu),
        Op::Acknowledge(cpu) => drop(machine.acknowledge(cpu)),
        Op::End(cpu) => drop(machine.end(cpu)),
    }
}

/// Each interrupt is in one queue at most, and each queue ends.
fn check(machine: &Machine) {
    let mut queued = HashSet::new();
    for cpu in 0..VCPUS {
        for at in machine.gic.queued(vcpu(cpu)) {
            assert!(queued.insert(at), "{at:?} twice");
            let holder = machine.gic.irq(at).and_then(|irq| irq.holder);
            assert_eq!(holder, Some(vcpu(cpu)));
        }
    }
}

/// Words that tables and commands are made of: anything, or what looks like an entry.
fn word() -> impl Strategy<Value = u64> {
    prop_oneof![
        2 => any::<u64>(),
        3 => (prop::sample::select(&[1u64, 3, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15][..]), 0..4u64)
            .prop_map(|(command, device)| device << 32 | command),
        2 => (0..20u64, 8190..8200u64).prop_map(|(number, lpi)| lpi << 32 | number),
        2 => (0..0x100u64).prop_map(|page| 1 << 63 | page << 16),
        2 => (0..5u64, 8190..8200u64, 0..4u64)
            .prop_map(|(next, lpi, collection)| next << 48 | lpi << 16 | collection),
        1 => Just(0),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 500 }))]

    #[test]
    fn any_accesses(ops in prop::collection::vec(op(), 1..200)) {
        let mut machine = Machine::new(VCPUS, 4);
        machine.gic.add_its();
        machine.open();
        for op in ops {
            apply(&mut machine, op);
            check(&machine);
        }
    }

    #[test]
    fn any_commands(words in prop::collection::vec(word(), 4..400)) {
        let mut guest = Guest::new();
        for command in words.chunks_exact(4) {
            guest.command([command[0], command[1], command[2], command[3]]);
        }
        let _ = service::save(&mut guest);
        let _ = service::restore(&mut guest);
    }

    #[test]
    fn any_tables(
        writes in prop::collection::vec((0..0x1000u64, word()), 0..300),
        bases in prop::collection::vec(word(), 2),
    ) {
        let mut guest = Guest::new();
        guest.set(0x0, 0);
        for (base, offset) in bases.iter().zip([0x100, 0x108]) {
            guest.set(offset, *base);
        }
        for (at, value) in writes {
            // Where tables may be: the first words of each 64 KiB.
            let gpa = (at >> 4) << 16 | (at & 0xf) << 3;
            let _ = guest.write(rkvm_host::types::Gpa::new(gpa), value);
        }
        let _: Result = service::restore(&mut guest);
        let _: Result = service::save(&mut guest);
    }

    #[test]
    fn any_registers_of_an_its(
        writes in prop::collection::vec((0..0x200u64, any::<bool>(), word()), 1..50),
    ) {
        let mut guest = Guest::new();
        for (word, by_vmm, value) in writes {
            let offset = word * 8;
            if by_vmm {
                guest.set_whole(offset, value);
            } else {
                guest.set(offset as u32, value);
            }
        }
    }
}
