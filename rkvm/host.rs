// SPDX-License-Identifier: GPL-2.0

//! Every call into the kernel that the kernel crate has no abstraction for.
//!
//! Each file wraps one kernel facility in a type whose safe methods cannot be misused. Nothing here knows what a
//! guest is.

pub mod bindings;
pub mod clock;
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

/// `EOPNOTSUPP`: the machine lacks what is needed.
pub fn not_supported() -> Error {
    Error::from_errno(-(kernel::bindings::EOPNOTSUPP as i32))
}
