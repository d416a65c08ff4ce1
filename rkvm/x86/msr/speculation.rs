// SPDX-License-Identifier: GPL-2.0

//! What IA32_SPEC_CTRL, IA32_PRED_CMD and IA32_FLUSH_CMD may hold.
//!
//! Source: Intel SDM volume 4, table 2-2; volume 2, CPUID leaf 7.

use crate::x86::cpuid::feature::{self, Feature};

/// A write to IA32_PRED_CMD or IA32_FLUSH_CMD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// IBPB: branches before it do not decide how those after it are predicted.
    PredictorBarrier,
    /// L1D_FLUSH: the first-level data cache is written back and emptied.
    FlushL1d,
}

impl Command {
    /// The bit that each of the two registers has.
    pub const EXECUTE: u64 = 1 << 0;
}

/// What a processor has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Support {
    spec_ctrl: u64,
    predictor_barrier: bool,
    flush_l1d: bool,
}

impl Support {
    /// Of IA32_SPEC_CTRL: indirect branches are not predicted by what less privileged code has done.
    pub const IBRS: u64 = 1 << 0;

    /// By its CPUID.
    pub fn new(has: impl Fn(Feature) -> bool) -> Self {
        const STIBP: u64 = 1 << 1;
        const SSBD: u64 = 1 << 2;
        let bit = |feature, bit| if has(feature) { bit } else { 0 };
        Self {
            spec_ctrl: bit(feature::SPEC_CTRL, Self::IBRS)
                | bit(feature::INTEL_STIBP, STIBP)
                | bit(feature::SPEC_CTRL_SSBD, SSBD),
            predictor_barrier: has(feature::SPEC_CTRL),
            flush_l1d: has(feature::FLUSH_L1D),
        }
    }

    /// The bits of IA32_SPEC_CTRL.
    pub const fn spec_ctrl(self) -> u64 {
        self.spec_ctrl
    }

    /// Whether it has a command.
    pub const fn has(self, command: Command) -> bool {
        match command {
            Command::PredictorBarrier => self.predictor_barrier,
            Command::FlushL1d => self.flush_l1d,
        }
    }
}
