// SPDX-License-Identifier: GPL-2.0

//! Masking of all exceptions, not interrupts alone.

// UNSAFETY: calls the kernel's functions in pairs.
#![expect(unsafe_code)]

use crate::host::{bindings, cpu::IrqOff};

/// Masks SErrors and debug exceptions as well, and lets no NMI be masked by priority: from here on an interrupt that
/// is pending takes a guest out.
#[inline]
pub fn mask(_irq_off: &IrqOff<'_>) {
    // SAFETY: interrupts are off; `unmask` pairs it.
    unsafe { bindings::rkvm_mask_exceptions() };
}

/// Stops the machine, for an SError of this syndrome that says that wrong data may be anywhere.
pub fn stop_machine(syndrome: u64) -> ! {
    // SAFETY: any context will do; it does not return.
    unsafe { bindings::rkvm_stop_machine(syndrome) }
}

/// Unmasks all but interrupts.
#[inline]
pub fn unmask(_irq_off: &IrqOff<'_>) {
    // SAFETY: pairs `mask`; interrupts stay off.
    unsafe { bindings::rkvm_unmask_exceptions() };
}
