// SPDX-License-Identifier: GPL-2.0
//! arm64: a GICv3 with an ITS, PSCI in the kernel, and a device tree.

mod attribute;
pub mod boot;
mod gic;
mod its;
pub mod layout;
pub mod platform;
mod rtc;
pub mod state;
mod vcpu_state;
pub mod vm;

use std::arch::asm;

/// Ticks of the virtual counter, whose frequency the machine has chosen. In an emulated machine where it counts
/// instructions, the host's instructions.
pub fn ticks() -> u64 {
    let ticks;
    // SAFETY: Linux lets programs read the counter; reading it changes nothing.
    unsafe { asm!("isb", "mrs {}, cntvct_el0", out(reg) ticks, options(nostack)) };
    ticks
}
