// SPDX-License-Identifier: GPL-2.0

//! What an x86 VM has besides memory and vCPUs: one TSC.

use crate::{
    host::x86::{registers, tsc_frequency},
    x86::tsc::VmTsc,
};
use kernel::{
    prelude::*,
    sync::{new_spinlock, SpinLock},
};

/// The state of a VM. Its lock is taken last.
#[pin_data]
pub struct VmState {
    #[pin]
    tsc: SpinLock<VmTsc>,
}

impl VmState {
    /// A VM whose TSC starts now.
    pub fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            tsc <- new_spinlock!(VmTsc::new(registers::tsc()), "rkvm_tsc"),
        })
    }

    /// What a new vCPU adds to the host's TSC.
    pub fn tsc_offset(&self) -> u64 {
        self.tsc.lock().offset()
    }

    /// A VMM sets a vCPU's TSC; see [`VmTsc::set`].
    pub fn set_tsc(&self, value: u64) -> u64 {
        self.tsc
            .lock()
            .set(value, registers::tsc(), tsc_frequency::hz())
    }
}
