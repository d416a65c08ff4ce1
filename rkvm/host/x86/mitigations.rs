// SPDX-License-Identifier: GPL-2.0

//! What the processors' speculative execution asks for between guests, the host and its programs.
//!
//! | weakness | what is done | where |
//! |---|---|---|
//! | MDS and its kin | buffers cleared (VERW) before each entry | `world_switch.S` |
//! | L1TF | first-level data cache emptied before the first entry of a section | [`L1dFlush`] |
//! | Spectre v2, host | return stack filled at each exit; IBRS written again where the kernel uses it so | `world_switch.S` |
//! | Spectre v2, guests | predictors forget when another vCPU comes to a CPU | [`Mitigations::separate_guests`] |
//! | branch history | overwritten at each exit | `world_switch.S` |
//! | VMSCAPE | predictors forget before the next program runs | [`guest_has_run`] |
//! | huge pages (CVE-2018-12207) | guests execute from small ones | [`avoids_itlb_multihit`] |
//!
//! Nothing of it is done, nor costs more than a look, on processors without the weakness and on kernels that are told
//! `mitigations=off`.
//!
//! Source: Linux, Documentation/admin-guide/hw-vuln; Intel, "L1 Terminal Fault", "Speculative Execution Side Channel
//! Mitigations", "Branch History Injection".

// UNSAFETY: calls the C functions that know the kernel's features.
#![expect(unsafe_code)]

use super::speculation;
use crate::{
    host::{
        bindings,
        cpu::{IrqOff, PreemptOff},
    },
    x86::msr::speculation::Command,
};
use kernel::{alloc::KVVec, prelude::*};

/// How the first-level data cache is emptied.
pub enum L1dFlush {
    /// By IA32_FLUSH_CMD.
    Command,
    /// By reading these bytes, more than the affected processors' caches hold.
    Fill(KVVec<u8>),
}

impl L1dFlush {
    /// Twice the 32 KiB of the affected processors' caches, which do not replace the oldest line first.
    const FILL_SIZE: usize = 64 << 10;

    /// Empties it: what is read into it until the guest is entered should be the vCPU's own.
    #[cold]
    pub fn carry_out(&self, _irq_off: &IrqOff<'_>) {
        match self {
            Self::Command => speculation::execute(Command::FlushL1d),
            // SAFETY: the bytes are there; they are read only.
            Self::Fill(bytes) => unsafe { bindings::rkvm_fill_l1d(bytes.as_ptr(), bytes.len()) },
        }
    }
}

/// How IBRS holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ibrs {
    /// For good, once it is on (enhanced IBRS); or the kernel does not use it.
    Lasting,
    /// Against what was predicted before its last write (legacy IBRS): every exit writes it.
    WrittenAtExit,
}

/// What is decided when the module is loaded.
pub struct Mitigations {
    l1d_flush: Option<L1dFlush>,
    separates_guests: bool,
    ibrs: Ibrs,
}

impl Mitigations {
    /// By the processors' weaknesses and the kernel's settings. `ENOMEM`.
    pub fn new() -> Result<Self> {
        // SAFETY: these read the boot CPU's features and bugs and settings of the kernel.
        let (flushes_l1d, has_command, separates_guests, legacy_ibrs, leaks_between_threads) = unsafe {
            (
                bindings::rkvm_flushes_l1d(),
                bindings::rkvm_has_l1d_flush(),
                bindings::rkvm_separates_guests(),
                bindings::rkvm_uses_legacy_ibrs(),
                bindings::rkvm_leaks_between_threads(),
            )
        };
        if leaks_between_threads {
            pr_notice!("L1TF and hyper-threads: a guest may read what runs beside it; see nosmt\n");
        }
        let l1d_flush = match (flushes_l1d, has_command) {
            (false, _) => None,
            (true, true) => Some(L1dFlush::Command),
            (true, false) => Some(L1dFlush::Fill(KVVec::from_elem(
                0,
                L1dFlush::FILL_SIZE,
                GFP_KERNEL,
            )?)),
        };
        Ok(Self {
            l1d_flush,
            separates_guests,
            ibrs: if legacy_ibrs {
                Ibrs::WrittenAtExit
            } else {
                Ibrs::Lasting
            },
        })
    }

    /// What is to be done before a guest is entered after other things than its own have run.
    #[inline(always)]
    pub fn l1d_flush(&self) -> Option<&L1dFlush> {
        self.l1d_flush.as_ref()
    }

    /// How IBRS holds.
    #[inline(always)]
    pub fn ibrs(&self) -> Ibrs {
        self.ibrs
    }

    /// A vCPU has come to this CPU: it is not to run by what others have taught the branch predictors.
    pub fn separate_guests(&self, _here: &PreemptOff) {
        if self.separates_guests {
            speculation::execute(Command::PredictorBarrier);
        }
    }
}

/// A guest has run on this CPU, which the kernel heeds before it returns to a program.
#[inline]
pub fn guest_has_run(_here: &PreemptOff) {
    // SAFETY: sets a flag of this CPU.
    unsafe { bindings::rkvm_guest_has_run() };
}

/// Whether a guest that executes from huge pages can stop the processor (CVE-2018-12207), and that is to be
/// prevented: the kernel was not told `mitigations=off`.
pub fn avoids_itlb_multihit() -> bool {
    // SAFETY: reads the boot CPU's bugs and a setting of the kernel.
    unsafe { bindings::rkvm_avoids_itlb_multihit() }
}
