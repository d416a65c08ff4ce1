// SPDX-License-Identifier: GPL-2.0

//! What of the host's segmentation a VM exit loads from the VMCS, and what it leaves to us.

// UNSAFETY: reads and reloads segment registers and descriptor tables.
#![expect(unsafe_code)]

use super::registers;
use crate::host::{
    bindings,
    cpu::{IrqOff, PreemptOff},
};
use core::arch::asm;

const MSR_KERNEL_GS_BASE: u32 = 0xc000_0102;

/// What depends on the CPU: refreshed whenever the vCPU's thread has moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuBases {
    /// The kernel's per-CPU base, in GS while in the kernel.
    pub gs: u64,
    /// The task-state segment.
    pub tr: u64,
    /// The descriptor table.
    pub gdtr: u64,
}

impl CpuBases {
    /// Those of the current CPU.
    pub fn read(_here: &PreemptOff) -> Self {
        // SAFETY: preemption is off, so that all three are of one CPU.
        unsafe {
            Self {
                gs: bindings::rkvm_kernel_gs_base(),
                tr: bindings::rkvm_tss_base(),
                gdtr: bindings::rkvm_gdt_base(),
            }
        }
    }
}

/// A selector that an instruction stores in a register; those that do neither fault at CPL 0 nor change
/// anything else.
macro_rules! read_selector {
    ($instruction:literal) => {{
        let selector: u16;
        asm!($instruction, out(reg) selector, options(nomem, nostack, preserves_flags));
        selector
    }};
}

/// The selector in TR.
pub fn tr_selector() -> u16 {
    // SAFETY: reads a register of this CPU.
    unsafe { read_selector!("str {:x}") }
}

/// The base of the interrupt descriptor table.
pub fn idt_base() -> u64 {
    let mut table = [0u8; 10];
    // SAFETY: SIDT stores ten bytes in 64-bit mode, the size of the array.
    unsafe { asm!("sidt [{}]", in(reg) table.as_mut_ptr(), options(nostack, preserves_flags)) };
    let [_, _, base @ ..] = table;
    u64::from_le_bytes(base)
}

/// The thread's own LDT, data segments and user GS base, taken before a guest runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ThreadSegments {
    ldt: u16,
    ds: u16,
    es: u16,
    fs: u16,
    gs: u16,
    fs_base: u64,
    user_gs_base: u64,
}

impl ThreadSegments {
    /// Those of the current thread.
    #[inline]
    pub fn save(_here: &PreemptOff) -> Self {
        // SAFETY: reads of this CPU's registers; the MSR exists in long mode.
        unsafe {
            Self {
                ldt: read_selector!("sldt {:x}"),
                ds: read_selector!("mov {:x}, ds"),
                es: read_selector!("mov {:x}, es"),
                fs: read_selector!("mov {:x}, fs"),
                gs: read_selector!("mov {:x}, gs"),
                fs_base: bindings::rkvm_user_fs_base(),
                user_gs_base: registers::read_known_msr(MSR_KERNEL_GS_BASE),
            }
        }
    }

    /// The FS base, which the VMCS's host area has to hold.
    pub fn fs_base(&self) -> u64 {
        self.fs_base
    }

    /// Loads the guest's KERNEL_GS_BASE, in whose register the host keeps the user's GS base.
    pub fn enter_guest(&self, _here: &PreemptOff, kernel_gs_base: u64) {
        // SAFETY: the value was checked to be canonical when it was set; `leave_guest` puts the
        // thread's back before it can be scheduled.
        unsafe { registers::write_known_msr(MSR_KERNEL_GS_BASE, kernel_gs_base) };
    }

    /// Puts back what exits do not, and returns the guest's KERNEL_GS_BASE.
    ///
    /// Exits load null selectors: the VMCS could not hold the user's, which have RPL 3, and mostly
    /// they are null anyway.
    pub fn leave_guest(&self, _irq_off: &IrqOff<'_>) -> u64 {
        // SAFETY: interrupts are off while a reload of GS changes its base; the MSR gets the value
        // that it had before.
        unsafe {
            let kernel_gs_base = registers::read_known_msr(MSR_KERNEL_GS_BASE);
            if self.ldt != 0 {
                bindings::rkvm_restore_ldt(self.ldt);
            }
            if self.ds | self.es | self.fs | self.gs != 0 {
                bindings::rkvm_restore_segments(self.ds, self.es, self.fs, self.fs_base, self.gs);
            }
            registers::write_known_msr(MSR_KERNEL_GS_BASE, self.user_gs_base);
            bindings::rkvm_restore_descriptor_limits();
            kernel_gs_base
        }
    }
}
