// SPDX-License-Identifier: GPL-2.0

//! Clocks that hosts of both architectures have alike.

// UNSAFETY: calls C.
#![expect(unsafe_code)]

use super::bindings;

/// Nanoseconds of the monotonic clock.
pub fn now() -> u64 {
    // SAFETY: reads a clock.
    unsafe { bindings::rkvm_now() }
}

/// Nanoseconds that the current task has waited for a CPU since it began.
pub fn run_delay() -> u64 {
    // SAFETY: reads a counter of the current task.
    unsafe { bindings::rkvm_run_delay() }
}
