// SPDX-License-Identifier: GPL-2.0

//! Interrupts, NMIs and machine checks of the host that a VM exit has consumed.

// UNSAFETY: enters the kernel's handlers.
#![expect(unsafe_code)]

use crate::host::{bindings, cpu::IrqOff, symbols};

/// Event types, as in the VM-exit interruption information.
const EVENT_TYPE_EXTERNAL: u32 = 0;
const EVENT_TYPE_NMI: u32 = 2;
const NMI_VECTOR: u32 = 2;

/// Runs the host's NMI handler; its return also unblocks NMIs, which the exit has blocked.
pub fn handle(_irq_off: &IrqOff<'_>) {
    if let Some(functions) = symbols::functions() {
        // SAFETY: interrupts are off, as after a VM exit.
        unsafe { (functions.x86_entry_from_kvm)(EVENT_TYPE_NMI, NMI_VECTOR) };
    }
}

/// Runs the host's handler of an interrupt that the exit has acknowledged.
pub fn external(_irq_off: &IrqOff<'_>, vector: u8) {
    if let Some(functions) = symbols::functions() {
        // SAFETY: interrupts are off, as after a VM exit, and are turned on next.
        unsafe { (functions.x86_entry_from_kvm)(EVENT_TYPE_EXTERNAL, vector.into()) };
    }
}

/// Runs the host's machine-check handler, which finds out by the machine-check banks what happened.
pub fn machine_check(_irq_off: &IrqOff<'_>) {
    // SAFETY: interrupts are off, as in the handler of the exception itself.
    unsafe { bindings::rkvm_machine_check() };
}
