// SPDX-License-Identifier: GPL-2.0

//! The pure files of the module, compiled unchanged for tests on the build host.
//!
//! `src/arm64`, `src/mmu`, `src/vmx`, `src/x86` and the single files are symbolic links into the module's tree;
//! the inline modules here name the pure files only, under the paths that they have in the module
//! (`crate::mmu::table`, ...). The tests are in `tests/`, a file for each pure file.

#![forbid(unsafe_code)]

// `bitfield!` names the kernel's `pin_init` crate; the stand-in has what it needs of it.
extern crate kernel as pin_init;

pub mod bus;
pub mod coalesced;
pub mod dirty_log;
pub mod gsi_routing;
pub mod halt_poll;
pub mod ioeventfd;
pub mod memslot;
pub mod stats;
pub mod text;
pub mod types;

/// Of the seam, what pure files name: a limit of x86.
pub mod arch {
    pub const MEMORY_SLOTS: u32 = 32764;
}

pub mod arm64 {
    pub mod aarch32;
    pub mod el1;
    pub mod exception;
    pub mod exit;
    pub mod features;
    pub mod id_regs;
    pub mod mmio;
    pub mod mops;
    pub mod one_reg;
    pub mod psci;
    pub mod pv_time;
    pub mod regs;
    pub mod routing;
    pub mod serror;
    pub mod smccc;
    pub mod speculation;
    pub mod stage1;
    pub mod stage2;
    pub mod sve;
    pub mod sysreg;
    pub mod timer;
    pub mod trng;
    pub mod vtcr;

    pub mod vgic {
        pub mod gic;
        pub mod its;
        pub mod layout;
    }
}

pub mod mmu {
    pub mod cursor;
    pub mod entry;
    pub mod removed;
    pub mod table;
}

pub mod vmx {
    pub mod caps;
    pub mod controls;
    pub mod ept;
    pub mod exit;
    pub mod field;
    pub mod interrupt_status;
}

pub mod x86 {
    pub mod cpuid;
    pub mod emulate;
    pub mod event;
    pub mod inbox;
    pub mod insn;
    pub mod ioapic;
    pub mod lapic;
    pub mod line;
    pub mod message;
    pub mod msr;
    pub mod paging;
    pub mod pic;
    pub mod pit;
    pub mod pvclock;
    pub mod regs;
    pub mod routing;
    pub mod task_switch;
    pub mod tsc;

    pub mod pv {
        pub mod features;
        pub mod hypercall;
        pub mod msrs;
    }
}
