// SPDX-License-Identifier: GPL-2.0
//! Mutexes without poisoning: a thread that panics takes the process down (`panic = "abort"`).

use std::sync::{Mutex, MutexGuard, PoisonError};

pub fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
