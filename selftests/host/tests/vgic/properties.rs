// SPDX-License-Identifier: GPL-2.0

//! Random operations, against what must hold of interrupts whatever comes.

use crate::machine::{group, intid, priority, vcpu, Machine};
use proptest::prelude::*;
use rkvm_host::arm64::vgic::gic::intid::{Intid, IrqRef, Kind};
use rkvm_host::arm64::vgic::gic::irq::{Group, Irq, Level, Priority, Trigger};
use rkvm_host::arm64::vgic::gic::sgi::Register;
use std::collections::HashMap;

const VCPUS: usize = 3;
const LIST_REGISTERS: usize = 2;
/// SGIs 0 to 3, PPIs 16 to 19, SPIs 32 to 39; of the SPIs the upper half are edges.
const NUMBERS: [u32; 16] = [0, 1, 2, 3, 16, 17, 18, 19, 32, 33, 34, 35, 36, 37, 38, 39];

#[derive(Clone, Debug)]
enum Op {
    Line(usize, u32, bool),
    Sgi(usize, u32, u16),
    Sync(usize),
    Fold(usize),
    Acknowledge(usize),
    End(usize),
    Enable(usize, u32, bool),
    Priority(usize, u32, u8),
    Latch(usize, u32, bool),
    Active(usize, u32, bool),
    Route(u32, u8),
    Forward(bool),
    Group(usize, u32, bool),
    Groups(usize, u8),
}

fn op() -> impl Strategy<Value = Op> {
    let cpu = 0..VCPUS;
    let number = prop::sample::select(&NUMBERS[..]);
    prop_oneof![
        6 => (cpu.clone(), number.clone(), any::<bool>()).prop_map(|(c, n, l)| Op::Line(c, n, l)),
        2 => (cpu.clone(), 0..4u32, 0..8u16).prop_map(|(c, n, t)| Op::Sgi(c, n, t)),
        6 => cpu.clone().prop_map(Op::Sync),
        2 => cpu.clone().prop_map(Op::Fold),
        6 => cpu.clone().prop_map(Op::Acknowledge),
        6 => cpu.clone().prop_map(Op::End),
        2 => (cpu.clone(), number.clone(), any::<bool>()).prop_map(|(c, n, e)| Op::Enable(c, n, e)),
        1 => (cpu.clone(), number.clone(), any::<u8>()).prop_map(|(c, n, p)| Op::Priority(c, n, p)),
        1 => (cpu.clone(), number.clone(), any::<bool>()).prop_map(|(c, n, e)| Op::Latch(c, n, e)),
        1 => (cpu.clone(), number.clone(), any::<bool>()).prop_map(|(c, n, e)| Op::Active(c, n, e)),
        1 => (32..40u32, 0..4u8).prop_map(|(n, a)| Op::Route(n, a)),
        1 => any::<bool>().prop_map(Op::Forward),
        1 => (cpu.clone(), number, any::<bool>()).prop_map(|(c, n, g)| Op::Group(c, n, g)),
        1 => (cpu, 0..4u8).prop_map(|(c, g)| Op::Groups(c, g)),
    ]
}

/// What is known of an edge from outside.
#[derive(Clone, Copy, Default)]
struct Edge {
    /// It was signalled and not taken since, so that it has to come.
    due: bool,
    /// How often it may come at most. A signal while the last one waits in a list register makes two of them or
    /// one, as the guest takes it before or after that is synchronised.
    credit: u32,
}

#[derive(Default)]
struct Model {
    edges: HashMap<IrqRef, Edge>,
}

impl Model {
    fn signal(&mut self, at: IrqRef) {
        let edge = self.edges.entry(at).or_default();
        edge.due = true;
        edge.credit += 1;
    }

    fn forget(&mut self, at: IrqRef) {
        self.edges.insert(at, Edge::default());
    }

    fn take(&mut self, at: IrqRef) {
        let edge = self.edges.entry(at).or_default();
        assert!(
            edge.credit > 0,
            "{at:?} was taken more often than it was signalled"
        );
        edge.due = false;
        edge.credit -= 1;
    }
}

fn every_irq() -> impl Iterator<Item = IrqRef> {
    (0..VCPUS).flat_map(|index| {
        NUMBERS
            .iter()
            .map(move |number| IrqRef::of(vcpu(index), Intid::new(*number)))
            .filter(move |at| at.owner().is_some() || index == 0)
    })
}

/// Offset of the word that has the bit of an interrupt, and the bit.
fn word(number: u32) -> (u32, u64) {
    (number / 32 * 4, 1 << (number % 32))
}

struct Run {
    machine: Machine,
    model: Model,
}

impl Run {
    fn write(&mut self, index: usize, number: u32, offset: u32, bytes: u32, value: u64) {
        let gic = &mut self.machine.gic;
        if number < 32 {
            let _ = gic.redistributor_write(vcpu(index), 0x1_0000 + offset, bytes, value);
        } else {
            gic.distributor_write(offset, bytes, value);
        }
    }

    fn irq(&self, at: IrqRef) -> &Irq {
        self.machine.gic.irq(at).unwrap()
    }

    fn acknowledge(&mut self, index: usize) {
        let Some(intid) = self.machine.acknowledge(index) else {
            return;
        };
        let at = IrqRef::of(vcpu(index), intid);
        if self.irq(at).trigger == Trigger::Edge {
            self.model.take(at);
        }
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Line(index, number, high) => {
                let at = IrqRef::of(vcpu(index), Intid::new(number));
                if matches!(at.intid().kind(), Kind::Sgi) {
                    return;
                }
                if self.irq(at).trigger == Trigger::Edge && high {
                    self.model.signal(at);
                }
                self.machine.set_line(at, Level::from_high(high));
            }
            Op::Sgi(index, number, targets) => {
                for target in (0..VCPUS).filter(|target| targets >> target & 1 != 0) {
                    let at = IrqRef::private(vcpu(target), Intid::new(number));
                    self.model.signal(at);
                }
                let value = u64::from(number) << 24 | u64::from(targets);
                self.machine
                    .gic
                    .send_sgi(vcpu(index), Register::Sgi1, value);
            }
            Op::Sync(index) => {
                self.machine.sync(index);
                self.check_urgent(index);
            }
            Op::Fold(index) => self.machine.fold(index),
            Op::Acknowledge(index) => self.acknowledge(index),
            Op::End(index) => {
                self.machine.end(index);
            }
            Op::Enable(index, number, on) => {
                let (offset, bit) = word(number);
                let base = if on { 0x100 } else { 0x180 };
                self.write(index, number, base + offset, 4, bit);
            }
            Op::Priority(index, number, priority) => {
                self.write(index, number, 0x400 + number, 1, priority.into());
            }
            Op::Latch(index, number, set) => {
                self.machine.fold_all();
                let (offset, bit) = word(number);
                let base = if set { 0x200 } else { 0x280 };
                self.write(index, number, base + offset, 4, bit);
                let at = IrqRef::of(vcpu(index), Intid::new(number));
                if self.irq(at).trigger == Trigger::Edge {
                    if set {
                        self.model.signal(at);
                    } else {
                        self.model.forget(at);
                    }
                }
            }
            Op::Active(index, number, set) => {
                let (offset, bit) = word(number);
                let base = if set { 0x300 } else { 0x380 };
                self.write(index, number, base + offset, 4, bit);
            }
            Op::Route(number, affinity) => {
                self.machine
                    .gic
                    .distributor_write(0x6000 + number * 8, 8, affinity.into());
            }
            Op::Forward(on) => {
                self.machine
                    .gic
                    .distributor_write(0, 4, if on { 0b10 } else { 0 });
            }
            Op::Group(index, number, one) => {
                let at = IrqRef::of(vcpu(index), Intid::new(number));
                let (offset, bit) = word(number);
                let others = every_irq()
                    .filter(|other| *other != at && self.irq(*other).group == Group::One)
                    .filter(|other| other.owner() == at.owner())
                    .filter(|other| other.intid().raw() / 32 == number / 32)
                    .fold(0, |bits, other| bits | 1 << (other.intid().raw() % 32));
                let value = others | if one { bit } else { 0 };
                self.write(index, number, 0x80 + offset, 4, value);
            }
            Op::Groups(index, groups) => self.machine.set_groups(index, groups),
        }
        self.check();
    }

    /// After a sync the most urgent interrupt is in a list register.
    fn check_urgent(&self, index: usize) {
        let lists = &self.machine.processors[index].lists;
        let forwards = self.machine.gic.distributor_read(0, 4) & 0b10 != 0;
        let groups = self.machine.groups(index);
        let most_urgent = self
            .machine
            .gic
            .queued(vcpu(index))
            .filter(|at| forwards && !self.irq(*at).active)
            .filter(|at| groups.has(self.irq(*at).group))
            .map(|at| self.irq(at).priority)
            .min();
        let loaded = lists
            .values()
            .iter()
            .filter(|register| register.state().pending && !register.state().active)
            .filter(|register| groups.has(group(register)))
            .map(|register| Priority::new(priority(register)))
            .min();
        assert_eq!(most_urgent, loaded);
    }

    /// Every interrupt is in at most one list register, and in the queue that it says.
    fn check(&self) {
        let mut loaded: HashMap<IrqRef, usize> = HashMap::new();
        for processor in &self.machine.processors {
            for (at, register) in processor.lists.interrupts() {
                assert_eq!(intid(&register), at.intid());
                assert!(
                    loaded.insert(at, processor.index.get()).is_none(),
                    "{at:?} twice"
                );
            }
        }
        let mut queued: HashMap<IrqRef, usize> = HashMap::new();
        for index in 0..VCPUS {
            let mut previous = None;
            for at in self.machine.gic.queued(vcpu(index)) {
                assert_eq!(self.irq(at).previous, previous);
                assert!(queued.insert(at, index).is_none());
                previous = Some(at);
            }
        }
        for at in every_irq() {
            let irq = self.irq(at);
            let holder = irq.holder.map(|vcpu| vcpu.get());
            assert_eq!(queued.get(&at).copied(), holder);
            assert_eq!(irq.loaded, loaded.contains_key(&at));
            if irq.loaded {
                assert_eq!(loaded.get(&at).copied(), holder);
            }
        }
    }

    /// Everything is turned on, and all processors take interrupts: each edge that was signalled comes, and each line
    /// that is high.
    fn finish(&mut self) {
        for index in 0..VCPUS {
            while self.machine.end(index).is_some() {}
            self.machine.set_groups(index, 0b11);
        }
        self.machine.open();
        for number in 32..40 {
            self.apply(&Op::Route(number, 0));
        }
        self.machine.fold_all();
        for number in NUMBERS {
            for index in 0..VCPUS {
                self.apply(&Op::Active(index, number, false));
            }
        }
        let mut expected: Vec<IrqRef> = every_irq()
            .filter(|at| match self.irq(*at).trigger {
                Trigger::Edge => self.model.edges.get(at).is_some_and(|edge| edge.due),
                Trigger::Level => self.irq(*at).is_pending(),
            })
            .collect();
        let model = &mut self.model;
        for index in 0..VCPUS {
            self.machine.drain(index, |machine, intid| {
                let at = IrqRef::of(vcpu(index), intid);
                if machine.gic.irq(at).unwrap().trigger == Trigger::Edge {
                    model.take(at);
                } else {
                    assert!(expected.contains(&at), "{at:?} came unasked");
                }
                expected.retain(|other| *other != at);
                if intid.kind() != Kind::Sgi {
                    machine.set_line(at, Level::Low);
                }
            });
        }
        assert_eq!(expected, [], "lost");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 2000 }))]

    #[test]
    fn no_interrupt_is_lost_or_doubled(ops in prop::collection::vec(op(), 0..120)) {
        let mut machine = Machine::new(VCPUS, LIST_REGISTERS);
        // SPIs 36 to 39 are edges.
        machine.gic.distributor_write(0xc08, 4, 0xaa00);
        machine.open();
        let mut run = Run { machine, model: Model::default() };
        for op in &ops {
            run.apply(op);
        }
        run.finish();
    }
}
