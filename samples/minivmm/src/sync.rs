// SPDX-License-Identifier: GPL-2.0
//! Mutexes without poisoning: a thread that panics takes the process down (`panic = "abort"`).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A new mutex for several owners.
pub fn shared<T>(value: T) -> Arc<Mutex<T>> {
    Arc::new(Mutex::new(value))
}
