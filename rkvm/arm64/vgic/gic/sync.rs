// SPDX-License-Identifier: GPL-2.0

//! Between the queue of a vCPU and its list registers.
//!
//! There may be more interrupts than list registers. The most urgent pending one always gets one; then
//! come active ones, so that the guest's deactivation finds them; then other pending ones. If pending ones are
//! left over, the maintenance interrupt comes when those that are loaded have been acknowledged. Those of a group that
//! the CPU interface does not let through are not among them: it comes when the guest turns groups on or off, too. If
//! active ones are left over, the processor counts the ends of interrupts that it does not find: interrupts end in the
//! order of their priority, the most urgent one first, unless the guest ends them by ICC_DIR_EL1, which then
//! traps. It does not count those of LPIs, which have no active state but in list registers.

use super::{
    cpu_interface::Groups,
    intid::{IrqRef, Kind, VcpuIndex},
    irq::{Priority, Trigger},
    list_register::{Completion, ListRegister, ListRegisters, Requests, State, MAX},
    Gic,
};

/// SPIs that the guest has ended and whose line may have to go up again.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ended {
    spis: [Option<IrqRef>; MAX],
    count: usize,
}

impl Ended {
    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The interrupts.
    pub fn iter(&self) -> impl Iterator<Item = IrqRef> + '_ {
        self.spis.iter().flatten().copied()
    }

    fn note(&mut self, at: IrqRef) {
        if at.intid().kind() != Kind::Spi {
            return;
        }
        if let Some(free) = self.spis.get_mut(self.count) {
            *free = Some(at);
            self.count = self.count.saturating_add(1);
        }
    }
}

/// The most urgent interrupts of a queue, in order; those of one priority in the order of the queue.
struct Urgent {
    interrupts: [Option<(Priority, IrqRef)>; MAX],
    /// How many there are, also beyond the array.
    count: usize,
}

impl Urgent {
    const fn new() -> Self {
        Self {
            interrupts: [None; MAX],
            count: 0,
        }
    }

    fn add(&mut self, priority: Priority, at: IrqRef) {
        self.count = self.count.saturating_add(1);
        let mut carried = (priority, at);
        for slot in &mut self.interrupts {
            match slot {
                Some(there) if there.0 <= carried.0 => (),
                Some(there) => core::mem::swap(there, &mut carried),
                None => {
                    *slot = Some(carried);
                    return;
                }
            }
        }
    }

    fn iter(&self) -> impl Iterator<Item = IrqRef> + '_ {
        self.interrupts.iter().flatten().map(|(_, at)| *at)
    }
}

impl Gic {
    /// Takes the list registers of a vCPU back, as the processor has left them, and empties them.
    pub fn fold(&mut self, vcpu: VcpuIndex, lists: &mut ListRegisters) -> Ended {
        let mut ended = Ended::default();
        self.end_most_urgent(vcpu, lists.eoi_count, &mut ended);
        for (at, register) in lists.interrupts() {
            let Some(irq) = self.irq_mut(at) else {
                continue;
            };
            let state = register.state();
            irq.unload(State {
                active: state.active && at.intid().kind() != Kind::Lpi,
                ..state
            });
            if register.has_ended() {
                ended.note(at);
            }
        }
        for (at, _) in lists.interrupts() {
            self.requeue(at);
        }
        lists.clear();
        ended
    }

    /// Puts an interrupt that was loaded where it belongs. Unlike [`Gic::changed`], this is no news for the
    /// vCPU that it was loaded at.
    fn requeue(&mut self, at: IrqRef) {
        let Some(irq) = self.irq(at) else {
            return;
        };
        let wanted = self.wanted(irq);
        if irq.holder != wanted {
            self.dequeue(at);
            if let Some(vcpu) = wanted {
                self.enqueue(at, vcpu);
                self.news.leave(vcpu);
            }
        }
    }

    /// The guest has ended so many interrupts that were in no list register. The queue can be long: it is gone through
    /// once for as many as [`Urgent`] holds.
    fn end_most_urgent(&mut self, vcpu: VcpuIndex, count: u32, ended: &mut Ended) {
        let mut left = count as usize;
        while left != 0 {
            let mut active = Urgent::new();
            for at in self.queued(vcpu) {
                if let Some(irq) = self.irq(at).filter(|irq| irq.active && !irq.loaded) {
                    active.add(irq.priority, at);
                }
            }
            let batch = left.min(MAX);
            for at in active.iter().take(batch) {
                self.deactivate(at, ended);
            }
            if active.count <= batch {
                return;
            }
            left = left.saturating_sub(batch);
        }
    }

    fn deactivate(&mut self, at: IrqRef, ended: &mut Ended) {
        let Some(irq) = self.irq_mut(at) else {
            return;
        };
        irq.active = false;
        if irq.trigger == Trigger::Level {
            ended.note(at);
        }
        self.changed(at);
    }

    /// A write to ICC_DIR_EL1 that was trapped: ends an interrupt that is active at this vCPU, or one that another has
    /// acknowledged. Nothing may be loaded at this vCPU.
    pub fn write_dir(&mut self, vcpu: VcpuIndex, value: u64) -> Ended {
        let mut ended = Ended::default();
        let at = IrqRef::of(vcpu, super::Intid::new(value as u32));
        let Some(irq) = self.irq_mut(at) else {
            return ended;
        };
        if irq.loaded {
            irq.set_active(false);
            if irq.trigger == Trigger::Level {
                ended.note(at);
            }
            self.changed(at);
        } else if irq.active {
            self.deactivate(at, &mut ended);
        }
        ended
    }

    /// Loads the list registers of a vCPU, which are empty. `groups` tells what its CPU interface lets through now.
    pub fn fill(
        &mut self,
        vcpu: VcpuIndex,
        lists: &mut ListRegisters,
        groups: impl FnOnce() -> Groups,
    ) {
        let Some(first) = self.cpus.get(vcpu.get()).map(|cpu| cpu.queue.first()) else {
            return;
        };
        if self.queued(vcpu).nth(lists.count()).is_none() {
            // There is room for all: which of them is the most urgent, the processor sees.
            let mut next = first;
            while let Some(at) = next {
                next = self.irq(at).and_then(|irq| irq.next);
                self.load(at, lists);
            }
            return;
        }
        let groups = groups();
        let (mut pending, mut active) = (Urgent::new(), Urgent::new());
        for at in self.queued(vcpu) {
            match self.irq(at) {
                Some(irq) if irq.active => active.add(irq.priority, at),
                Some(irq) if self.forwarding && groups.has(irq.group) => {
                    pending.add(irq.priority, at);
                }
                Some(_) | None => (),
            }
        }
        let best = pending.iter().take(1);
        let rest = pending.iter().skip(1);
        let room = lists.count();
        for at in best.chain(active.iter()).chain(rest).take(room) {
            self.load(at, lists);
        }
        let loaded_active = room.saturating_sub(pending.count.min(1)).min(active.count);
        let loaded_pending = room.saturating_sub(loaded_active).min(pending.count);
        lists.requests = Requests {
            no_pending: pending.count > loaded_pending,
            ended_elsewhere: active.count > loaded_active,
            other_groups: Some(groups),
        };
    }

    /// Puts an interrupt into a list register, unless it is neither active nor forwarded: an empty one would ask for
    /// maintenance at once.
    fn load(&mut self, at: IrqRef, lists: &mut ListRegisters) {
        let forwarding = self.forwarding;
        let Some(irq) = self.irq_mut(at) else {
            return;
        };
        // An interrupt with a line becomes pending again when it has ended and the line is sampled, and
        // physical ones cannot be both.
        let both = irq.trigger == Trigger::Edge && irq.hardware.is_none();
        let forwarded = forwarding && irq.enabled && irq.is_pending();
        let state = State {
            pending: forwarded && (!irq.active || both),
            active: irq.active,
        };
        let completion = match (irq.hardware, irq.trigger) {
            (Some(physical), _) => Completion::Hardware(physical),
            (None, Trigger::Level) => Completion::Maintenance,
            (None, Trigger::Edge) => Completion::Silent,
        };
        if state == State::default() {
            return;
        }
        let register = ListRegister::new(at.intid(), state, irq.priority, irq.group, completion);
        irq.loaded = true;
        if state.pending {
            irq.loaded_latch = core::mem::take(&mut irq.latch);
        }
        lists.push(at, register);
    }

    /// Takes the list registers back and loads them anew, as [`Gic::fill`].
    pub fn sync(
        &mut self,
        vcpu: VcpuIndex,
        lists: &mut ListRegisters,
        groups: impl FnOnce() -> Groups,
    ) -> Ended {
        let ended = self.fold(vcpu, lists);
        self.fill(vcpu, lists, groups);
        ended
    }
}
