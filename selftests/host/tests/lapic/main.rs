// SPDX-License-Identifier: GPL-2.0

//! The local APIC and its messages.

mod access;
mod bench;
mod interrupts;
mod message;
mod state;
mod timer;
