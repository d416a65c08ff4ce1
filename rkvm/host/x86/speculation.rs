// SPDX-License-Identifier: GPL-2.0

//! What a guest may tell the processor about speculation: IA32_SPEC_CTRL, IA32_PRED_CMD and IA32_FLUSH_CMD.
//!
//! IA32_SPEC_CTRL only ever forbids. While a guest runs, what it forbids is added to what the host does: neither is
//! less safe than it asked for, and where the host forbids as much already (a machine with enhanced IBRS, and a guest
//! that turns it on) nothing is written at all. Where the kernel writes the register at each of its entries (legacy
//! IBRS), the exit writes it, too, before anything of the host runs; it then holds what both forbid until the section
//! ends.
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

/// The register while a guest runs.
#[must_use]
#[derive(Clone, Copy, Debug)]
pub struct SpecCtrl {
    host: u64,
    guest: u64,
}

impl SpecCtrl {
    /// Adds what the guest forbids, which `support` allows.
    #[inline(always)]
    pub fn enter(_irq_off: &IrqOff<'_>, support: Support, guest: u64, ibrs: Ibrs) -> Self {
        let guest = guest & support.spec_ctrl();
        if guest == 0 && ibrs == Ibrs::Lasting {
            return Self { host: 0, guest };
        }
        // SAFETY: reads a variable of this CPU.
        let host = unsafe { bindings::rkvm_spec_ctrl() };
        let this = Self { host, guest };
        if this.differs() {
            // SAFETY: the processor has the register, since it supports a bit of it; the bits are the host's own and
            // supported ones, and with interrupts off nothing else of the host looks at it until `leave`.
            unsafe { registers::write_known_msr(IA32_SPEC_CTRL, this.in_force()) };
        }
        this
    }

    /// What the register holds while the guest runs; 0 for whatever the host has there, where no exit writes it.
    #[inline(always)]
    pub fn in_force(self) -> u64 {
        self.host | self.guest
    }

    #[inline(always)]
    fn differs(self) -> bool {
        self.in_force() != self.host
    }

    /// Puts the host's value back.
    #[inline(always)]
    pub fn leave(self, _irq_off: &IrqOff<'_>) {
        if self.differs() {
            // SAFETY: the value is what the kernel has there.
            unsafe { registers::write_known_msr(IA32_SPEC_CTRL, self.host) };
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
