// SPDX-License-Identifier: GPL-2.0

//! arm64: guests at EL1 and EL0, with the host at EL2 by VHE.

pub mod aarch32;
pub mod counters;
mod debug_registers;
mod device;
mod device_access;
pub mod el1;
pub mod enter;
pub mod exception;
pub mod exit;
pub mod features;
pub mod fpsimd;
mod guest_debug;
mod guest_memory;
mod handle;
mod hypercall;
pub mod id_regs;
pub mod interrupts;
mod ioctl;
pub mod loaded;
pub mod machine;
pub mod mmio;
pub mod mops;
mod newer_features;
pub mod one_reg;
pub mod options;
pub mod platform;
mod power;
pub mod processors;
pub mod psci;
pub mod pv_time;
pub mod registers;
pub mod regs;
mod residents;
pub mod routing;
pub mod run;
pub mod running_timers;
pub mod serror;
pub mod smccc;
pub mod speculation;
mod stage1;
pub mod stage2;
pub mod sve;
pub mod sysreg;
pub mod time;
pub mod timer;
pub mod traps;
pub mod trng;
pub mod user_exit;
pub mod vcpu;
pub mod vgic;
mod vm_ioctl;
pub mod vm_state;
pub mod vmid;
pub mod vtcr;

pub use device::Device;
pub use platform::{MemoryFormat, Platform};
pub use stage2::{Attributes as MemoryType, Descriptor as EntryFormat};
pub use vcpu::Vcpu;
pub use vm_state::VmState;

/// Pages of its own that a vCPU shares with its VMM: kvm_run.
pub const OWN_RUN_PAGES: usize = 1;
/// Memory slots of a VM (`KVM_CAP_NR_MEMSLOTS`), as C KVM has it.
pub const MEMORY_SLOTS: u32 = i16::MAX as u32;
/// vCPUs of a VM: as many as C KVM allows with a GICv3.
pub const MAX_VCPUS: usize = 512;
/// One more than the largest vCPU id.
pub const MAX_VCPU_ID: u32 = 512;
