// SPDX-License-Identifier: GPL-2.0

//! The seam between generic code and an architecture.
//!
//! Generic code names what it needs by this module alone; each architecture provides:
//!
//! - `Platform`: the processors' virtualization support, held while the module is loaded. `enable`,
//!   `system_ioctl`, `check_extension`, and `memory_format` of a machine type (`EINVAL` for one that it lacks).
//! - `VmState`: what a VM has besides memory and vCPUs. `new`, `check_extension`, `has_ioctl`, `ioctl`, `irq_sink`.
//! - `Vcpu`: a virtual CPU's registers. `new`, `stats`, `has_ioctl`, `ioctl`, `run`.
//! - `Device`: devices that KVM_CREATE_DEVICE makes. `is_kind`, `new`, `name`, `attribute`.
//! - `EntryFormat`, `MemoryType`, `MemoryFormat`: second-level page tables. Of the latter `root`, `limit`,
//!   `beyond_limit`, `largest_leaf`, `largest_executable_leaf`, `access`, `prepare`, `ordinary_memory`.
//! - the limits below.
//!
//! The build tells architectures apart here, where `main.rs` and `host.rs` name their directories, and in the list
//! of plain structures in `uapi.rs`; functions of generic code do not.

#[cfg(CONFIG_ARM64)]
use crate::arm64 as imp;
#[cfg(CONFIG_X86_64)]
use crate::x86 as imp;

pub use imp::{
    Device, EntryFormat, MemoryFormat, MemoryType, Platform, Vcpu, VmState, MAX_VCPUS, MAX_VCPU_ID,
    MEMORY_SLOTS, OWN_RUN_PAGES,
};
