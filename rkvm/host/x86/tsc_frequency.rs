// SPDX-License-Identifier: GPL-2.0

//! How fast the host's TSC runs.

// UNSAFETY: reads the kernel's variable through C.
#![expect(unsafe_code)]

use crate::host::bindings;

/// Ticks in a millisecond.
pub fn khz() -> u32 {
    // SAFETY: the frequency does not change once modules are loaded.
    unsafe { bindings::rkvm_tsc_khz() }
}

/// Ticks in a second.
pub fn hz() -> u64 {
    const KILO: u64 = 1000;
    u64::from(khz()) * KILO
}
