// SPDX-License-Identifier: GPL-2.0

//! arm64: no guests yet. The module says so when it is loaded.
//!
//! [`Platform`] cannot be made, so that nothing else here can be reached.

use crate::{
    mmu::{
        entry::{self, Entry, Leaf, Level},
        Mmu,
    },
    request::Kick,
    run_page::RunPage,
    types::{Gfn, Hpa},
    uapi::UserAddress,
    vm::Vm,
};
use kernel::{prelude::*, sync::Arc};

/// Pages of the mapping that a vCPU shares with its VMM: kvm_run, coalesced MMIO ring, one spare.
pub const RUN_PAGES: usize = 3;
/// Memory slots of a VM.
pub const MEMORY_SLOTS: u32 = crate::memslot::MAX_SLOTS;
/// vCPUs of a VM.
pub const MAX_VCPUS: usize = 512;
/// One more than the largest vCPU id.
pub const MAX_VCPU_ID: u32 = 512;

/// Processor support. There is none, so that there is no value.
pub enum Platform {}

impl Platform {
    /// `EOPNOTSUPP`.
    pub fn enable() -> Result<Self> {
        pr_err!("arm64 guests are not supported by this version\n");
        Err(EOPNOTSUPP)
    }

    /// Serves an ioctl on the device.
    pub fn system_ioctl(&self, _cmd: u32, _argument: UserAddress) -> Result<isize> {
        match *self {}
    }

    /// KVM_CHECK_EXTENSION.
    pub fn check_extension(&self, _extension: u32) -> isize {
        match *self {}
    }

    /// How guest memory is mapped.
    pub fn memory_format(&self) -> MemoryFormat {
        match *self {}
    }
}
