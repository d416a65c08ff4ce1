// SPDX-License-Identifier: GPL-2.0

//! x86-64: what a vCPU is apart from how VMX runs it.

pub mod activity;
pub mod apic;
pub mod clock;
pub mod counters;
pub mod cpuid;
pub mod debug;
mod device;
pub mod devices;
pub mod doorbell;
pub mod emulate;
pub mod event;
pub mod extended_state;
pub mod guest_debug;
mod halt;
pub mod inbox;
pub mod insn;
pub mod interrupts;
pub mod ioapic;
pub mod ioctl;
pub mod lapic;
pub mod line;
pub mod machine;
pub mod message;
pub mod msr;
mod msr_backing;
pub mod msr_filter;
pub mod msr_io;
pub mod paging;
pub mod pic;
pub mod pit;
pub mod port;
pub mod pv;
pub mod pvclock;
pub mod regs;
pub mod routing;
mod run_state;
pub mod shared_msrs;
mod startup;
pub mod target;
pub mod task_switch;
pub mod tsc;
pub mod user_exit;
pub mod vcpu;
mod vm_ioctl;
pub mod vm_settings;
mod vm_state;

pub use crate::vmx::{
    ept::{EptEntry as EntryFormat, MemoryType},
    platform::{MemoryFormat, Platform},
};
pub use device::Device;
pub use vcpu::Vcpu;
pub use vm_state::VmState;

/// Pages of its own that a vCPU shares with its VMM: kvm_run, and one that VMMs expect for port I/O.
pub const OWN_RUN_PAGES: usize = 2;
/// Memory slots of a VM (`KVM_CAP_NR_MEMSLOTS`), as C KVM has it, which keeps three for what it once asked of the VMM.
pub const MEMORY_SLOTS: u32 = i16::MAX as u32 - 3;
/// vCPUs of a VM: as many as have xAPIC or x2APIC ids below 255 and some.
pub const MAX_VCPUS: usize = 1024;
/// One more than the largest vCPU id.
pub const MAX_VCPU_ID: u32 = 4096;
