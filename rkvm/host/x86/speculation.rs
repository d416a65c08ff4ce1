// SPDX-License-Identifier: GPL-2.0

//! What a guest may tell the processor about speculation: IA32_SPEC_CTRL, IA32_PRED_CMD and IA32_FLUSH_CMD.
//!
//! IA32_SPEC_CTRL only ever forbids. While a guest runs, what it forbids is added to what the host does: neither is
//! less safe than it asked for, and where the host forbids as much already (a machine with enhanced IBRS, and a guest
//! that turns it on) nothing is written at all.
//!
//! Source: Intel SDM volume 4, table 2-2; volume 2, CPUID leaf 7.

// UNSAFETY: writes MSRs.
#![expect(unsafe_code)]

use super::registers;
use crate::{
    host::cpu::IrqOff,
    x86::msr::{
        index::{IA32_FLUSH_CMD, IA32_PRED_CMD, IA32_SPEC_CTRL},
        speculation::{Command, Support},
    },
};

/// The host's value, while the guest's is added to it.
#[must_use]
pub struct SpecCtrl {
    host: Option<u64>,
}

impl SpecCtrl {
    /// Adds what the guest forbids, which `support` allows.
    #[inline(always)]
    pub fn enter(_irq_off: &IrqOff<'_>, support: Support, guest: u64) -> Self {
        let guest = guest & support.spec_ctrl();
        if guest == 0 {
            return Self { host: None };
        }
        // SAFETY: the processor has the register, since it supports a bit of it.
        let host = unsafe { registers::read_known_msr(IA32_SPEC_CTRL) };
        if host | guest == host {
            return Self { host: None };
        }
        // SAFETY: the bits are the host's own and supported ones; with interrupts off nothing else of the host looks
        // at the register until `leave`.
        unsafe { registers::write_known_msr(IA32_SPEC_CTRL, host | guest) };
        Self { host: Some(host) }
    }

    /// Puts the host's value back.
    #[inline(always)]
    pub fn leave(self, _irq_off: &IrqOff<'_>) {
        if let Some(host) = self.host {
            // SAFETY: the value was in the register before.
            unsafe { registers::write_known_msr(IA32_SPEC_CTRL, host) };
        }
    }
}

/// Carries out a command, if the processor has it.
pub fn command(support: Support, command: Command) {
    if !support.has(command) {
        return;
    }
    let msr = match command {
        Command::PredictorBarrier => IA32_PRED_CMD,
        Command::FlushL1d => IA32_FLUSH_CMD,
    };
    // SAFETY: the processor has the command, which changes nothing but what it remembers.
    unsafe { registers::write_known_msr(msr, Command::EXECUTE) };
}
