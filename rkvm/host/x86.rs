// SPDX-License-Identifier: GPL-2.0

//! The x86 host: its system registers, its FPU, and the state that a VM exit does not bring back.

pub mod breakpoints;
pub mod clocks;
pub mod fpu;
pub mod heap;
pub mod mitigations;
pub mod nmi;
pub mod posted_interrupts;
pub mod registers;
pub mod segments;
pub mod speculation;
pub mod split_lock;
pub mod timer;
pub mod tsc_frequency;
pub mod user_word;
pub mod virtualization;
