// SPDX-License-Identifier: GPL-2.0

//! Reaching a vCPU that runs on another CPU, or sleeps.
//!
//! A thread that changes what guests may see (a mapping, say) makes the change, steps the
//! [`Generation`], and calls [`Group::expel`]. A vCPU says where it is by [`Kick::enter`] with
//! interrupts off, then looks at the generation, then enters the guest. Both sides are sequentially
//! consistent, so that either the vCPU sees the new generation, or the other side sees the vCPU inside
//! and waits for an interrupt to take it out; and an interrupt cannot be missed, since it stays
//! pending while interrupts are off and ends guest mode at once.

use crate::{
    host::{
        cpu::{self, call_on, Cpu, IrqOff, PreemptOff},
        waiter::Waiter,
    },
    shared_list::SharedList,
};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use kernel::{prelude::*, static_lock_class, sync::Arc};

/// Where a vCPU is, for others.
#[pin_data]
pub struct Kick {
    /// The CPU whose interrupts are off for the guest's sake, or [`OUTSIDE`].
    inside: AtomicU32,
    #[pin]
    waiter: Waiter,
}

const OUTSIDE: u32 = u32::MAX;

impl Kick {
    /// A vCPU that is not running.
    pub fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            inside: AtomicU32::new(OUTSIDE),
            waiter <- Waiter::new(),
        })
    }

    /// Where the vCPU's thread sleeps while the guest waits.
    pub fn waiter(&self) -> &Waiter {
        &self.waiter
    }

    /// The vCPU is about to enter the guest on this CPU.
    #[inline]
    pub fn enter(&self, here: &PreemptOff, _irq_off: &IrqOff<'_>) {
        self.inside.store(here.cpu().number(), Ordering::SeqCst);
    }

    /// The vCPU will look at the generation again before it next enters.
    #[inline]
    pub fn leave(&self) {
        self.inside.store(OUTSIDE, Ordering::Release);
    }

    /// Has the vCPU look for what was left for it, whether it runs or sleeps, and does not wait.
    ///
    /// Whatever is left is written, sequentially consistently, before the call; the vCPU looks after
    /// [`Kick::enter`], and before it sleeps. Callable from any context but an NMI.
    pub fn rouse(&self) {
        self.rouse_by(cpu::interrupt);
    }

    /// The same by an interrupt of the caller's kind, which the CPU has to take if the guest runs.
    pub fn rouse_by(&self, interrupt: impl FnOnce(Cpu)) {
        let number = self.inside.load(Ordering::SeqCst);
        if number == OUTSIDE {
            self.waiter.wake();
            return;
        }
        let here = PreemptOff::new();
        let cpu = Cpu::from_number(number);
        // On this CPU it would be the vCPU itself that calls, and looks before it enters.
        if cpu != here.cpu() {
            interrupt(cpu);
        }
    }

    /// Waits until the vCPU is, or has been since the call, outside of the guest.
    fn expel(&self) {
        let cpu = self.inside.load(Ordering::SeqCst);
        if cpu != OUTSIDE {
            // The interrupt alone does it. An offline CPU runs no guest.
            let _ = call_on(Cpu::from_number(cpu), &|| ());
        }
    }
}

/// Counts changes that vCPUs have to notice before they enter a guest.
pub struct Generation(AtomicU64);

impl Generation {
    /// The number of changes so far.
    #[inline]
    pub fn current(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// The vCPUs of a VM, as far as others have to reach them.
#[pin_data]
pub struct Group {
    generation: Generation,
    #[pin]
    members: SharedList<Kick>,
}

impl Group {
    /// No vCPU yet.
    pub fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            generation: Generation(AtomicU64::new(0)),
            members <- SharedList::new(static_lock_class!()),
        })
    }

    /// The generation that members compare.
    #[inline]
    pub fn generation(&self) -> &Generation {
        &self.generation
    }

    /// Makes a vCPU reachable. `ENOMEM` if there is no memory.
    pub fn add(&self, member: Arc<Kick>) -> Result {
        self.members.add(member)
    }

    /// Makes a vCPU unreachable; it will not enter a guest again.
    pub fn remove(&self, member: &Arc<Kick>) {
        self.members.remove(member);
    }

    /// Steps the generation and waits until no vCPU runs guest code that has not noticed.
    ///
    /// Called with interrupts on; preemption may be off.
    pub fn expel(&self) {
        self.generation.0.fetch_add(1, Ordering::SeqCst);
        self.members.for_each(Kick::expel);
    }
}
