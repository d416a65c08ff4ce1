// SPDX-License-Identifier: GPL-2.0

//! The queue of interrupts that a vCPU has to deal with, in the order in which they came.
//!
//! The links are in the interrupts, so that queueing needs no memory and works where nothing may sleep.

use super::{
    intid::{IrqRef, VcpuIndex},
    Gic,
};

/// A vCPU's queue.
#[derive(Clone, Copy, Debug, Default)]
pub struct Queue {
    first: Option<IrqRef>,
    last: Option<IrqRef>,
}

impl Queue {
    /// The first.
    pub fn first(&self) -> Option<IrqRef> {
        self.first
    }
}

impl Gic {
    /// Puts an interrupt at the end of a vCPU's queue. It must be in none.
    pub(super) fn enqueue(&mut self, at: IrqRef, vcpu: VcpuIndex) {
        let Some(cpu) = self.cpus.get_mut(vcpu.get()) else {
            return;
        };
        let last = cpu.queue.last.replace(at);
        if last.is_none() {
            cpu.queue.first = Some(at);
        }
        if let Some(before) = last.and_then(|last| self.irq_mut(last)) {
            before.next = Some(at);
        }
        if let Some(irq) = self.irq_mut(at) {
            irq.holder = Some(vcpu);
            irq.previous = last;
            irq.next = None;
        }
    }

    /// Takes an interrupt out of the queue that it is in.
    pub(super) fn dequeue(&mut self, at: IrqRef) {
        let Some(irq) = self.irq_mut(at) else {
            return;
        };
        let Some(vcpu) = irq.holder.take() else {
            return;
        };
        let (previous, next) = (irq.previous.take(), irq.next.take());
        match previous.and_then(|previous| self.irq_mut(previous)) {
            Some(before) => before.next = next,
            None => {
                if let Some(cpu) = self.cpus.get_mut(vcpu.get()) {
                    cpu.queue.first = next;
                }
            }
        }
        match next.and_then(|next| self.irq_mut(next)) {
            Some(after) => after.previous = previous,
            None => {
                if let Some(cpu) = self.cpus.get_mut(vcpu.get()) {
                    cpu.queue.last = previous;
                }
            }
        }
    }
}
