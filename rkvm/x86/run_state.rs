// SPDX-License-Identifier: GPL-2.0

//! What goes along with every KVM_RUN in `struct kvm_run`: what the VMM asks for, what it finds afterwards, and which
//! registers are synchronized.

use crate::run_page::{member, RunPage};

/// What a VMM asks for before KVM_RUN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunRequest {
    /// Return as soon as an interrupt can be injected.
    pub interrupt_window: bool,
    /// Return at once, after what is pending is completed.
    pub immediate_exit: bool,
    /// CR8, where the VMM has the local APIC.
    pub cr8: u64,
}

impl RunRequest {
    /// What the VMM asks for now.
    pub fn of(page: &RunPage) -> Self {
        Self {
            interrupt_window: page.get(member!(request_interrupt_window)) != 0,
            immediate_exit: page.immediate_exit(),
            cr8: page.get(member!(cr8)),
        }
    }
}

/// What a VMM finds after KVM_RUN, whatever the exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunReport {
    /// An interrupt can be injected now.
    pub ready_for_interrupt_injection: bool,
    /// RFLAGS.IF.
    pub interrupt_flag: bool,
    /// CR8.
    pub cr8: u64,
    /// IA32_APIC_BASE.
    pub apic_base: u64,
}

impl RunReport {
    /// Tells the VMM.
    pub fn give(&self, page: &RunPage) {
        let ready = self.ready_for_interrupt_injection.into();
        page.set(member!(ready_for_interrupt_injection), ready);
        page.set(member!(if_flag), self.interrupt_flag.into());
        page.set(member!(flags), 0);
        page.set(member!(cr8), self.cr8);
        page.set(member!(apic_base), self.apic_base);
    }
}

/// Which of the registers in `kvm_run.s.regs` count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncRequest {
    /// Sets that the VMM wants to find there after KVM_RUN: `kvm_valid_regs`.
    pub valid: u64,
    /// Sets that the VMM has put there: `kvm_dirty_regs`.
    pub dirty: u64,
}

impl SyncRequest {
    /// What the VMM asks for now.
    pub fn of(page: &RunPage) -> Self {
        Self {
            valid: page.get(member!(kvm_valid_regs)),
            dirty: page.get(member!(kvm_dirty_regs)),
        }
    }
}

impl RunPage {
    /// Tells the VMM which of its registers have not been taken.
    pub fn set_dirty_registers(&self, sets: u64) {
        self.set(member!(kvm_dirty_regs), sets);
    }
}
