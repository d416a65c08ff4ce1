// SPDX-License-Identifier: GPL-2.0

//! The emulator: against the CPU that the test runs on, and by hand where that CPU cannot be
//! asked (16- and 32-bit code, stops).

mod cases;
mod machine;
#[cfg(all(target_arch = "x86_64", not(miri)))]
mod native;
#[cfg(all(target_arch = "x86_64", not(miri)))]
mod oracle;
