// SPDX-License-Identifier: GPL-2.0

//! Notifications of posted interrupts, on the vector that the kernel keeps for them. On a CPU that is not in a guest
//! the kernel's handler does nothing.

// UNSAFETY: sends interprocessor interrupts.
#![expect(unsafe_code)]

use crate::host::{bindings, cpu::Cpu};

/// The vector of notifications.
pub const VECTOR: u8 = bindings::POSTED_INTR_VECTOR as u8;

/// Notifies an online CPU; preemption is off, so that it stays online. Callable from any context but an NMI.
pub fn notify(cpu: Cpu) {
    // SAFETY: the kernel has a handler of the vector wherever it exports what KVM needs.
    unsafe { bindings::rkvm_notify_posted(cpu.number() as i32) };
}
