// SPDX-License-Identifier: GPL-2.0

//! Weaknesses of processors in speculation: what guests and VMMs are told of them.
//!
//! Source: Arm, "Cache Speculation Side-channels" and "Spectre-BHB"; "SMC Calling Convention" (DEN0028), 7.4 to 7.6;
//! Linux, Documentation/virt/kvm/arm/fw-pseudo-registers.rst.

/// What is known of the host's processors, and what the world switch does. By default there is no weakness.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts {
    /// A processor lets one context train another's branch predictors (Spectre v2).
    pub weak_targets: bool,
    /// A processor lets one context's branch history steer another's branches (Spectre-BHB).
    pub weak_history: bool,
    /// A processor's loads pass stores that they depend on (Spectre v4).
    pub weak_stores: bool,
    /// Every exit has the firmware clear branch predictors.
    pub targets_cleared: bool,
    /// Every exit clears the branch history.
    pub history_cleared: bool,
}

/// Of a weakness, what holds for guests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// There is none on this machine.
    NotNeeded,
    /// Every exit does what there is to do: a guest that calls the firmware for it has it done.
    Active,
    /// Nothing is done.
    Missing,
}

/// SMCCC_ARCH_WORKAROUND_1: clears branch predictors.
pub const WORKAROUND_1: u32 = 0x8000_8000;
/// SMCCC_ARCH_WORKAROUND_2: turns speculation of loads on and off.
pub const WORKAROUND_2: u32 = 0x8000_7fff;
/// SMCCC_ARCH_WORKAROUND_3: clears the history, and what WORKAROUND_1 clears.
pub const WORKAROUND_3: u32 = 0x8000_3fff;

/// What holds for guests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speculation {
    /// Against Spectre v2.
    pub targets: Protection,
    /// Against Spectre-BHB.
    pub history: Protection,
    /// Against Spectre v4. Where it is needed the guest has PSTATE.SSBS for it, or nothing.
    pub stores: Protection,
}

impl Speculation {
    /// From the facts.
    pub const fn new(facts: &Facts) -> Self {
        let targets = match (facts.weak_targets, facts.targets_cleared) {
            (false, _) => Protection::NotNeeded,
            (true, true) => Protection::Active,
            (true, false) => Protection::Missing,
        };
        let history = match (facts.weak_history, facts.history_cleared, targets) {
            (false, _, _) => Protection::NotNeeded,
            // Where branches can be trained at will their history does not matter.
            (true, false, _) | (true, true, Protection::Missing) => Protection::Missing,
            (true, true, _) => Protection::Active,
        };
        let stores = if facts.weak_stores {
            Protection::Missing
        } else {
            Protection::NotNeeded
        };
        Self {
            targets,
            history,
            stores,
        }
    }
}
