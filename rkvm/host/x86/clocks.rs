// SPDX-License-Identifier: GPL-2.0

//! The host's clocks.

// UNSAFETY: calls C.
#![expect(unsafe_code)]

use crate::{
    host::bindings,
    x86::pvclock::{HostClocks, HostTsc},
};

/// All at one moment.
pub fn now() -> HostClocks {
    let mut clocks = HostClocks::default();
    let HostClocks { tsc, boot, real } = &mut clocks;
    // SAFETY: the pointers are valid for the results.
    unsafe { bindings::rkvm_read_clocks(tsc, boot, real) };
    clocks
}

/// What the kernel knows of the TSC; it may find it unstable at any time.
pub fn tsc() -> HostTsc {
    // SAFETY: reads a variable of the kernel.
    if unsafe { bindings::rkvm_tsc_is_stable() } {
        HostTsc::Stable
    } else {
        HostTsc::Unstable
    }
}
