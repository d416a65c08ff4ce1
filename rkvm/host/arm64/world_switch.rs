// SPDX-License-Identifier: GPL-2.0

//! What a world switch does on some processors only.

// UNSAFETY: calls C functions that write registers of EL2.
#![expect(unsafe_code)]

use crate::host::{bindings, cpu::PreemptOff};

/// Writes HCR_EL2 of this CPU, as its errata demand. The caller puts back what the host needs.
#[inline]
pub fn write_hcr(_here: &PreemptOff, value: u64) {
    // SAFETY: the callers are the guards that give EL1 to a guest and take it back; all exceptions are masked.
    unsafe { bindings::rkvm_write_hcr(value) };
}

/// Whether what a guest writes to registers that control its translations always has to trap (erratum 219 of
/// ThunderX2).
pub fn translation_controls_trap() -> bool {
    // SAFETY: reads a flag that is fixed after boot.
    unsafe { bindings::rkvm_translation_controls_trap() }
}

/// A guest cannot change the partitions of memory system resources (FEAT_MPAM). Interrupts are off until
/// [`mpam_leave`].
#[inline]
pub fn mpam_enter(_here: &PreemptOff) {
    // SAFETY: does nothing without FEAT_MPAM; the host's own partition stays.
    unsafe { bindings::rkvm_mpam_enter() };
}

/// The host can again.
#[inline]
pub fn mpam_leave(_here: &PreemptOff) {
    // SAFETY: pairs `mpam_enter`.
    unsafe { bindings::rkvm_mpam_leave() };
}

/// The thread's rights to performance monitors, while what a guest's EL0 does with them traps to EL2.
#[derive(Clone, Copy, Debug)]
pub struct MonitorRights(u64);

/// Has it trap. Interrupts are off until [`monitors_leave`].
#[inline]
pub fn monitors_enter(_here: &PreemptOff) -> MonitorRights {
    // SAFETY: does nothing without performance monitors; the thread's rights come back by `monitors_leave`.
    MonitorRights(unsafe { bindings::rkvm_monitors_enter() })
}

/// Gives the thread its rights back.
#[inline]
pub fn monitors_leave(_here: &PreemptOff, rights: MonitorRights) {
    // SAFETY: pairs `monitors_enter`.
    unsafe { bindings::rkvm_monitors_leave(rights.0) };
}
