// SPDX-License-Identifier: GPL-2.0

//! What a guest may tell the processor about speculation: IA32_SPEC_CTRL, IA32_PRED_CMD and IA32_FLUSH_CMD.
//!
//! IA32_SPEC_CTRL only ever forbids. While a guest runs, what it forbids is added to what the host does: neither is
//! less safe than it asked for, and where the host forbids as much already (a machine with enhanced IBRS, and a guest
//! that turns it on) nothing is written at all. Where the kernel writes the register at each of its entries (legacy
//! IBRS, which is slow while it is on), the world switch does so at each entry and exit, and the host's IBRS is not in
//! force in the guest.
//!
//! Source: Intel SDM volume 4, table 2-2; volume 2, CPUID leaf 7.

// UNSAFETY: writes MSRs.
#![expect(unsafe_code)]

use super::{mitigations::Ibrs, registers};
use crate::{
    host::{bindings, cpu::IrqOff},
    x86::msr::{
        index::{IA32_FLUSH_CMD, IA32_PRED_CMD, IA32_SPEC_CTRL},
        speculation::{Command, Support},
    },
};

/// What the world switch writes at entries and at exits; its layout is known to `world_switch.S`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Exchanged {
    guest: u64,
    host: u64,
}

/// The register during a section.
#[must_use]
pub enum SpecCtrl {
    /// Neither is in need of a write.
    Unchanged,
    /// It holds what host and guest forbid; the host's value is kept here.
    Added { host: u64 },
    /// The world switch exchanges these.
    Exchanged(Exchanged),
}

impl SpecCtrl {
    /// Adds what the guest forbids, which `support` allows.
    #[inline(always)]
    pub fn enter(_irq_off: &IrqOff<'_>, support: Support, guest: u64, ibrs: Ibrs) -> Self {
        let guest = guest & support.spec_ctrl();
        if guest == 0 && ibrs == Ibrs::Lasting {
            return Self::Unchanged;
        }
        // SAFETY: reads a variable of this CPU.
        let host = unsafe { bindings::rkvm_spec_ctrl() };
        if ibrs == Ibrs::WrittenAtExit {
            let guest = host & !Support::IBRS | guest;
            return Self::Exchanged(Exchanged { guest, host });
        }
        if host | guest == host {
            return Self::Unchanged;
        }
        // SAFETY: the processor has the register, since it supports a bit of it; the bits are the host's own and
        // supported ones, and with interrupts off nothing else of the host looks at it until `leave`.
        unsafe { registers::write_known_msr(IA32_SPEC_CTRL, host | guest) };
        Self::Added { host }
    }

    /// What the world switch writes; nothing, unless the kernel has legacy IBRS.
    #[inline(always)]
    pub fn exchanged(&self) -> Option<Exchanged> {
        match self {
            Self::Exchanged(values) => Some(*values),
            Self::Unchanged | Self::Added { .. } => None,
        }
    }

    /// Puts the host's value back.
    #[inline(always)]
    pub fn leave(self, _irq_off: &IrqOff<'_>) {
        if let Self::Added { host } = self {
            // SAFETY: the value is what the kernel has there.
            unsafe { registers::write_known_msr(IA32_SPEC_CTRL, host) };
        }
    }
}

/// Carries out a command, if guests can have it.
pub fn command(support: Support, command: Command) {
    if support.has(command) {
        execute(command);
    }
}

/// Carries out a command that the processor has.
pub fn execute(command: Command) {
    let msr = match command {
        Command::PredictorBarrier => IA32_PRED_CMD,
        Command::FlushL1d => IA32_FLUSH_CMD,
    };
    // SAFETY: the command changes nothing but what the processor remembers; a register that is not there faults, which
    // the kernel reports and goes on from.
    unsafe { registers::write_known_msr(msr, Command::EXECUTE) };
}
