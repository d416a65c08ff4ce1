// SPDX-License-Identifier: GPL-2.0
//! x86-64: a PC in outline, with ACPI tables.

pub mod boot;
mod cpuid;
mod device;
pub mod layout;
pub mod platform;
pub mod state;
mod vcpu_state;
pub mod vm;

use std::arch::x86_64::_rdtsc;

/// Ticks of the TSC. In an emulated machine that counts instructions with it, the host's instructions.
pub fn ticks() -> u64 {
    // SAFETY: every x86-64 processor has RDTSC.
    unsafe { _rdtsc() }
}
