// SPDX-License-Identifier: GPL-2.0

//! Locked accesses across cache lines, which the host may have the processor report by #AC.

// UNSAFETY: calls the kernel's policy.
#![expect(unsafe_code)]

use crate::host::symbols;

/// Treats the current task as the host treats one whose own code had a split lock at `rip`: it is
/// slowed down and may go on, or gets SIGBUS. Sleeps.
pub fn handle(rip: u64) {
    if let Some(functions) = symbols::functions() {
        // SAFETY: called in process context.
        unsafe { (functions.handle_guest_split_lock)(rip as usize) };
    }
}
