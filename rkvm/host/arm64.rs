// SPDX-License-Identifier: GPL-2.0

//! The arm64 host: what its processors have, its exceptions, its vector registers.

pub mod caches;
pub mod clocks;
pub mod cpus;
pub mod exceptions;
pub mod features;
pub mod guest_irqs;
pub mod neon;
pub mod speculation;
pub mod world_switch;

use kernel::error::Error;

/// `ENOSYS`: nothing here can carry it out.
pub fn not_implemented() -> Error {
    Error::from_errno(-(kernel::bindings::ENOSYS as i32))
}
