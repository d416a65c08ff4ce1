// SPDX-License-Identifier: GPL-2.0

//! A timer whose handler may set it anew for any time. The kernel crate's `HrTimer` is set by a handle that
//! has to be kept and whose drop waits, which does not fit a device that is set from many places.

// UNSAFETY: wraps `struct hrtimer` and turns its address back into the object around it.
#![expect(unsafe_code)]

use crate::host::bindings;
use kernel::{prelude::*, sync::Arc, types::Opaque};

/// What a timer does.
pub trait Expire: Send + Sync {
    /// The time has come. Interrupts are off. `start` sets the timer anew, for a time as in
    /// [`Timer::start`]; it is called under whatever lock orders it with others who set the timer.
    fn expire(&self, start: impl FnOnce(u64));
}

/// A timer. Dropping it waits for its handler.
#[pin_data(PinnedDrop)]
pub struct Timer<T: Expire> {
    #[pin]
    raw: Opaque<kernel::bindings::hrtimer>,
    owner: Arc<T>,
}

// SAFETY: the kernel's timers may be used from any thread; the owner is `Send` and `Sync`.
unsafe impl<T: Expire> Send for Timer<T> {}
// SAFETY: likewise.
unsafe impl<T: Expire> Sync for Timer<T> {}

impl<T: Expire> Timer<T> {
    /// A timer that is not set.
    pub fn new(owner: Arc<T>) -> impl PinInit<Self> {
        pin_init!(Self {
            raw <- Opaque::ffi_init(|slot| {
                // SAFETY: `slot` is valid for writes and pinned.
                unsafe { bindings::rkvm_timer_init(slot, Some(Self::handler)) }
            }),
            owner,
        })
    }

    /// Sets the timer for a time of the monotonic clock, in nanoseconds. A time set before is replaced.
    /// Callable with interrupts off.
    pub fn start(&self, at: u64) {
        // SAFETY: `raw` is initialised; starting is locked by the kernel.
        unsafe { bindings::rkvm_timer_start(self.raw.get(), at) };
    }

    /// # Safety
    ///
    /// Called by the kernel for the timer in a `Timer<T>` alone.
    unsafe extern "C" fn handler(
        raw: *mut kernel::bindings::hrtimer,
    ) -> kernel::bindings::hrtimer_restart {
        let timer: *const Opaque<kernel::bindings::hrtimer> = Opaque::cast_from(raw);
        // SAFETY: `raw` is the field of a `Timer<T>`, whose drop waits for this handler.
        let this = unsafe { &*kernel::container_of!(timer, Self, raw) };
        this.owner.expire(|at| this.start(at));
        kernel::bindings::hrtimer_restart_HRTIMER_NORESTART
    }
}

#[pinned_drop]
impl<T: Expire> PinnedDrop for Timer<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: `raw` is initialised; process context, where waiting is allowed.
        unsafe { bindings::rkvm_timer_cancel(self.raw.get()) };
    }
}
