// SPDX-License-Identifier: GPL-2.0

//! The host's hardware breakpoints and its control of debug features.

// UNSAFETY: calls the kernel's restore function.
#![expect(unsafe_code)]

use super::registers;
use crate::host::{bindings, cpu::IrqOff, symbols};

const MSR_DEBUGCTL: u32 = 0x1d9;

/// The host's IA32_DEBUGCTL, which an exit clears.
#[derive(Clone, Copy, Debug, Default)]
pub struct DebugControl(u64);

impl DebugControl {
    /// Reads it, which interrupts may change (perf).
    #[inline]
    pub fn read(_irq_off: &IrqOff<'_>) -> Self {
        // SAFETY: every processor with VMX has the register.
        Self(unsafe { registers::read_known_msr(MSR_DEBUGCTL) })
    }

    /// Puts it back after an exit, if there is anything to put back.
    #[inline]
    pub fn restore(self, _irq_off: &IrqOff<'_>) {
        if self.0 != 0 {
            // SAFETY: the register held this value before the entry.
            unsafe { registers::write_known_msr(MSR_DEBUGCTL, self.0) };
        }
    }
}

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
