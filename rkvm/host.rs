// SPDX-License-Identifier: GPL-2.0

//! Every call into the kernel that the kernel crate has no abstraction for.
//!
//! The files here are the only generic code that may use `unsafe`; each wraps one kernel facility in a
//! type whose safe methods cannot be misused. Nothing here knows what a guest is.

pub mod bindings;
pub mod cpu;
pub mod device;
pub mod eventfd;
pub mod file;
pub mod idle;
pub mod irq_lock;
pub mod mutex;
pub mod notifier;
pub mod page;
pub mod process;
pub mod published;
pub mod signal;
pub mod timer;
pub mod user_memory;
pub mod user_page;
pub mod waiter;

#[cfg(CONFIG_ARM64)]
pub mod arm64;
#[cfg(CONFIG_X86_64)]
pub mod symbols;
#[cfg(CONFIG_X86_64)]
pub mod x86;

use kernel::error::Error;

/// `ENOSYS`: nothing here can carry it out.
#[cfg(CONFIG_ARM64)]
pub fn not_implemented() -> Error {
    Error::from_errno(-(kernel::bindings::ENOSYS as i32))
}

/// `EOPNOTSUPP`: the machine lacks what is needed.
pub fn not_supported() -> Error {
    Error::from_errno(-(kernel::bindings::EOPNOTSUPP as i32))
}
