// SPDX-License-Identifier: GPL-2.0

//! A thread that sleeps until another, or an interrupt handler, has something for it.

// UNSAFETY: wraps `struct rcuwait`.
#![expect(unsafe_code)]

use super::{bindings, cpu::signal_pending};
use core::time::Duration;
use kernel::{prelude::*, types::Opaque};

/// Where one thread at a time sleeps.
#[pin_data]
pub struct Waiter {
    #[pin]
    raw: Opaque<kernel::bindings::rcuwait>,
}

// SAFETY: `struct rcuwait` is made to be woken from other threads.
unsafe impl Send for Waiter {}
// SAFETY: likewise.
unsafe impl Sync for Waiter {}

/// Why a sleep is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// What was waited for is there.
    Ready,
    /// The time is over.
    TimeOut,
    /// The thread has a signal.
    Signal,
}

impl Waiter {
    /// Nobody sleeps.
    pub fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            raw <- Opaque::ffi_init(|slot| {
                // SAFETY: `slot` is valid for writes.
                unsafe { bindings::rkvm_waiter_init(slot) }
            }),
        })
    }

    /// Wakes the sleeper, if there is one, to look again. Callable from any context but an NMI.
    pub fn wake(&self) {
        // SAFETY: `raw` is initialised.
        unsafe { bindings::rkvm_waiter_wake(self.raw.get()) }
    }

    /// Sleeps until `ready`, `limit` is over, or a signal comes. `ready` is called before every sleep and
    /// must not sleep itself; whatever makes it true has to be followed by [`Waiter::wake`].
    ///
    /// The caller sees to it that no two threads sleep here at once.
    pub fn sleep(&self, limit: Option<Duration>, mut ready: impl FnMut() -> bool) -> Woken {
        // SAFETY: process context; `finish` below pairs it.
        unsafe { bindings::rkvm_waiter_prepare(self.raw.get()) };
        let woken = loop {
            // SAFETY: this thread's own state, set back by `finish`.
            unsafe { bindings::rkvm_waiter_begin() };
            if ready() {
                break Woken::Ready;
            }
            if signal_pending() {
                break Woken::Signal;
            }
            let timed_out = match limit {
                // SAFETY: process context, preemption on, no lock held.
                Some(limit) => unsafe {
                    let nanoseconds = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
                    bindings::rkvm_sleep_for(nanoseconds)
                },
                None => {
                    // SAFETY: likewise.
                    unsafe { bindings::rkvm_sleep() };
                    false
                }
            };
            if timed_out {
                break Woken::TimeOut;
            }
        };
        // SAFETY: pairs `prepare`.
        unsafe { bindings::rkvm_waiter_finish(self.raw.get()) };
        woken
    }
}
