// SPDX-License-Identifier: GPL-2.0

//! A mutex whose waiter can be killed.
//!
//! A vCPU's state is locked for as long as KVM_RUN lasts, which may be for ever: another thread that
//! waits for it has to remain killable, and the kernel crate's `Mutex` has no such wait.

// UNSAFETY: wraps `struct mutex` and hands out the data that it protects.
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

/// A `struct mutex` around `T` that is locked killably.
#[pin_data]
pub struct KillableMutex<T> {
    #[pin]
    raw: Opaque<kernel::bindings::mutex>,
    data: UnsafeCell<T>,
}

// SAFETY: moving the mutex to another thread moves the `T` only.
unsafe impl<T: Send> Send for KillableMutex<T> {}
// SAFETY: the mutex gives access to one thread at a time, which needs `T: Send` alone.
unsafe impl<T: Send> Sync for KillableMutex<T> {}

impl<T> KillableMutex<T> {
    /// An unlocked mutex around `data`; `key` is its lockdep class.
    pub fn new(data: T, key: Pin<&'static LockClassKey>) -> impl PinInit<Self> {
        pin_init!(Self {
            raw <- Opaque::ffi_init(move |slot| {
                // SAFETY: `slot` is valid for writes and pinned, name and key are static.
                unsafe {
                    kernel::bindings::__mutex_init(slot, c"rkvm".as_char_ptr(), key.as_ptr())
                }
            }),
            data: UnsafeCell::new(data),
        })
    }

    /// Waits for the mutex. `EINTR` if the task was killed while waiting.
    pub fn lock(&self) -> Result<Guard<'_, T>> {
        // SAFETY: `raw` was initialised in `new` and is pinned.
        match unsafe { bindings::rkvm_mutex_lock_killable(self.raw.get()) } {
            0 => Ok(Guard {
                mutex: self,
                _owner: NotThreadSafe,
            }),
            _ => Err(EINTR),
        }
    }
}

/// Access to what a [`KillableMutex`] protects, until it is dropped.
pub struct Guard<'a, T> {
    mutex: &'a KillableMutex<T>,
    _owner: NotThreadSafe,
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the guard exists only while the mutex is held.
        unsafe { &*self.mutex.data.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, and the borrow of the guard is exclusive.
        unsafe { &mut *self.mutex.data.get() }
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: this thread locked the mutex when it made the guard.
        unsafe { kernel::bindings::mutex_unlock(self.mutex.raw.get()) }
    }
}
