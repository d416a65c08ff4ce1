// SPDX-License-Identifier: GPL-2.0

//! What a VMM can choose for a VM by KVM_ENABLE_CAP whenever it likes.
//!
//! Source: Linux, Documentation/virt/kvm/api.rst, "KVM_CAP_ARM_SYSTEM_SUSPEND", "KVM_CAP_ARM_NISV_TO_USER".

use super::psci::SystemSuspend;
use core::sync::atomic::{AtomicU32, Ordering};

/// What can be turned on, and not off again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum VmOption {
    /// Guests can ask the VMM to suspend the VM: KVM_CAP_ARM_SYSTEM_SUSPEND.
    SystemSuspend = 1 << 0,
    /// Accesses to devices that the syndrome does not describe are the VMM's: KVM_CAP_ARM_NISV_TO_USER.
    UndescribedToVmm = 1 << 1,
}

/// What has been chosen for a VM.
pub struct VmOptions(AtomicU32);

impl VmOptions {
    /// None is on.
    pub const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Turns one on.
    pub fn turn_on(&self, option: VmOption) {
        self.0.fetch_or(option as u32, Ordering::Relaxed);
    }

    /// Whether it is on.
    pub fn has(&self, option: VmOption) -> bool {
        self.0.load(Ordering::Relaxed) & option as u32 != 0
    }

    /// Whether guests can suspend the VM.
    pub fn suspend(&self) -> SystemSuspend {
        if self.has(VmOption::SystemSuspend) {
            SystemSuspend::Offered
        } else {
            SystemSuspend::Absent
        }
    }
}
