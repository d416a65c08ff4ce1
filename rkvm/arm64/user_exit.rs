// SPDX-License-Identifier: GPL-2.0

//! Why KVM_RUN returns to the VMM.

use crate::{
    host::bindings::{
        kvm_debug_exit_arch, KVM_EXIT_ARM_NISV, KVM_EXIT_HYPERCALL, KVM_EXIT_SYSTEM_EVENT,
    },
    run_page::{member, Member, Reported, RunPage, MMIO_BYTES},
    types::Gpa,
};

/// Why KVM_RUN returns to the VMM.
#[derive(Clone, Copy, Debug)]
pub enum UserExit {
    /// KVM_EXIT_MMIO, a read of `len` bytes (at most 8).
    MmioRead { gpa: Gpa, len: usize },
    /// KVM_EXIT_MMIO, a write of the first `len` bytes of `data`.
    MmioWrite {
        gpa: Gpa,
        data: [u8; MMIO_BYTES],
        len: usize,
    },
    /// KVM_EXIT_ARM_NISV: an access to a device whose syndrome does not describe it, with what `iss` tells of it.
    Undescribed { gpa: Gpa, iss: u64 },
    /// KVM_EXIT_DEBUG.
    Debug(kvm_debug_exit_arch),
    /// KVM_EXIT_FAIL_ENTRY.
    FailEntry { reason: u64, cpu: u32 },
    /// KVM_EXIT_SYSTEM_EVENT with its data word, if it has one.
    SystemEvent { kind: u32, flags: Option<u64> },
    /// KVM_EXIT_HYPERCALL of a function.
    Hypercall { function: u64, flags: u64 },
}

impl UserExit {
    /// Tells the VMM.
    pub fn report(&self, page: &RunPage) -> Reported {
        match *self {
            Self::MmioRead { gpa, len } => page.report_mmio_read(gpa, len),
            Self::MmioWrite { gpa, data, len } => page.report_mmio_write(gpa, data, len),
            Self::Undescribed { gpa, iss } => {
                page.set(member!(exit arm_nisv.esr_iss), iss);
                page.set(member!(exit arm_nisv.fault_ipa), gpa.raw());
                page.report(KVM_EXIT_ARM_NISV)
            }
            Self::Debug(debug) => page.report_debug(debug),
            Self::FailEntry { reason, cpu } => page.report_fail_entry(reason, cpu),
            Self::SystemEvent { kind, flags } => {
                page.set(member!(exit system_event.type_), kind);
                page.set(member!(exit system_event.ndata), flags.is_some().into());
                let data: Member<[u64; 16]> = member!(exit system_event.__bindgen_anon_1.data);
                if let Some(first) = data.element(0) {
                    page.set(first, flags.unwrap_or(0));
                }
                page.report(KVM_EXIT_SYSTEM_EVENT)
            }
            Self::Hypercall { function, flags } => {
                page.set(member!(exit hypercall.nr), function);
                page.set(member!(exit hypercall.__bindgen_anon_1.flags), flags);
                page.report(KVM_EXIT_HYPERCALL)
            }
        }
    }
}

impl RunPage {
    /// Tells a VMM that has the interrupt controller which lines of devices in the kernel are high: bits
    /// KVM_ARM_DEV_EL1_.
    pub fn set_device_lines(&self, lines: u64) {
        self.set(member!(s.regs.device_irq_level), lines);
    }
}
