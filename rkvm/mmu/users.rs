// SPDX-License-Identifier: GPL-2.0

//! Who uses the memory of slots at this moment, by the generation of the slots.
//!
//! A vCPU counts itself in for the generation that it knows, and looks whether that is still the
//! current one; a change of the slots steps the generation, and waits until nobody is counted for
//! the one before. Both sides are sequentially consistent, so that one sees the other. Two counters
//! do: the next change begins when this one has waited.

use crate::host::cpu;
use core::sync::atomic::{AtomicUsize, Ordering};

/// The counters, of even and of odd generations.
pub(super) struct Users([AtomicUsize; 2]);

impl Users {
    /// Nobody.
    pub(super) const fn new() -> Self {
        Self([AtomicUsize::new(0), AtomicUsize::new(0)])
    }

    fn counter(&self, generation: u64) -> &AtomicUsize {
        let [even, odd] = &self.0;
        if generation % 2 == 0 {
            even
        } else {
            odd
        }
    }

    /// Counts a user in until the result is dropped.
    pub(super) fn enter(&self, generation: u64) -> Using<'_> {
        let counter = self.counter(generation);
        counter.fetch_add(1, Ordering::SeqCst);
        Using(counter)
    }

    /// Waits until the users of a generation that is over have gone; sleeps. Mostly there are none,
    /// but one may be waiting for its page, which a VMM can take its time to bring.
    pub(super) fn wait(&self, generation: u64) {
        while self.counter(generation).load(Ordering::SeqCst) != 0 {
            cpu::nap();
        }
    }
}

/// A user.
#[must_use]
pub struct Using<'a>(&'a AtomicUsize);

impl Drop for Using<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Release);
    }
}
