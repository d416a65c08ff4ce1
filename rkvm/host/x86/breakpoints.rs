// SPDX-License-Identifier: GPL-2.0

//! The host's hardware breakpoints.

// UNSAFETY: calls the kernel's restore function.
#![expect(unsafe_code)]

use crate::host::{bindings, cpu::IrqOff, symbols};

/// Puts the host's debug registers back where it uses any; a VM exit has turned them off in DR7.
pub fn restore(_irq_off: &IrqOff<'_>) {
    // SAFETY: reads a per-CPU value with interrupts off.
    if unsafe { bindings::rkvm_host_breakpoints_active() } {
        if let Some(functions) = symbols::functions() {
            // SAFETY: interrupts are off, so that the per-CPU record cannot change.
            unsafe { (functions.hw_breakpoint_restore)() };
        }
    }
}
