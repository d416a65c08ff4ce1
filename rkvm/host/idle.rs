// SPDX-License-Identifier: GPL-2.0

//! Whether a CPU has nothing better to do.

// UNSAFETY: asks the kernel's scheduler.
#![expect(unsafe_code)]

use crate::host::bindings;

/// Whether this CPU has nothing else to do than what the current task does, which has no signal: looking for something a
/// little longer is at nobody's expense then. Relaxes the CPU for a moment.
pub fn is_otherwise_idle() -> bool {
    // SAFETY: reads the run queue's length and the current task's flags.
    unsafe { bindings::rkvm_otherwise_idle() }
}
