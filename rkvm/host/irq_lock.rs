// SPDX-License-Identifier: GPL-2.0

//! A spinlock that is also taken where interrupts are off: by the callback of an eventfd, a timer, or a
//! vCPU's exit handler. The kernel crate's `SpinLock` leaves interrupts on.

// UNSAFETY: wraps `raw_spinlock_t` and hands out the data that it protects.
#![expect(unsafe_code)]

use super::bindings;
use core::{
    cell::UnsafeCell,
    ops::{Deref, DerefMut},
};
use kernel::{
    prelude::*,
    sync::LockClassKey,
    types::{NotThreadSafe, Opaque},
};

/// A raw spinlock around `T`; interrupts are off while it is held.
///
/// What is done under it takes a bounded time, does not sleep and does not allocate or free.
#[pin_data]
pub struct IrqLock<T> {
    #[pin]
    raw: Opaque<kernel::bindings::raw_spinlock_t>,
    data: UnsafeCell<T>,
}

// SAFETY: moving the lock to another thread moves the `T` only.
unsafe impl<T: Send> Send for IrqLock<T> {}
// SAFETY: the lock gives access to one CPU at a time, which needs `T: Send` alone.
unsafe impl<T: Send> Sync for IrqLock<T> {}

impl<T> IrqLock<T> {
    /// An unlocked lock around `data`; `key` is its lockdep class.
    pub fn new(data: T, key: Pin<&'static LockClassKey>) -> impl PinInit<Self> {
        pin_init!(Self {
            raw <- Opaque::ffi_init(move |slot| {
                // SAFETY: `slot` is valid for writes and pinned, name and key are static.
                unsafe {
                    bindings::rkvm_raw_lock_init(slot, c"rkvm_irq".as_char_ptr(), key.as_ptr())
                }
            }),
            data: UnsafeCell::new(data),
        })
    }

    /// Takes the lock and shuts interrupts out.
    pub fn lock(&self) -> IrqGuard<'_, T> {
        // SAFETY: `raw` was initialised in `new` and is pinned.
        let flags = unsafe { bindings::rkvm_raw_lock(self.raw.get()) };
        IrqGuard {
            lock: self,
            flags,
            _here: NotThreadSafe,
        }
    }
}

/// Access to what an [`IrqLock`] protects, until it is dropped.
pub struct IrqGuard<'a, T> {
    lock: &'a IrqLock<T>,
    /// The flags register as it was before.
    flags: usize,
    _here: NotThreadSafe,
}

impl<T> Deref for IrqGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the guard exists only while the lock is held.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T> DerefMut for IrqGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, and the borrow of the guard is exclusive.
        unsafe { &mut *self.lock.data.get() }
    }
}

impl<T> Drop for IrqGuard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: `lock` took the lock and saved the flags.
        unsafe { bindings::rkvm_raw_unlock(self.lock.raw.get(), self.flags) }
    }
}
