// SPDX-License-Identifier: GPL-2.0

//! What the kernel knows of weaknesses in speculation.

// UNSAFETY: calls functions that read what the kernel and the world switch know.
#![expect(unsafe_code)]

use crate::{
    arm64::speculation::{Facts, Speculation},
    host::bindings,
};

/// What holds for guests on this machine's processors, once it has been noted what exits have to do.
pub fn host() -> Speculation {
    // SAFETY: reads flags.
    let facts = unsafe {
        Facts {
            weak_targets: bindings::rkvm_has_weak_targets(),
            weak_history: bindings::rkvm_has_weak_history(),
            weak_stores: bindings::rkvm_has_weak_stores(),
            targets_cleared: bindings::rkvm_exits_clear_targets(),
            history_cleared: bindings::rkvm_exits_clear_history(),
        }
    };
    Speculation::new(&facts)
}
