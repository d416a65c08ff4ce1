// SPDX-License-Identifier: GPL-2.0

//! Features that a guest cannot use unless it is allowed to: those that it is not told of, among them all whose registers
//! nobody exchanges between guests. To use them is undefined in a guest.
//!
//! Older features have bits in HCR_EL2, CPTR_EL2 and MDCR_EL2 that trap. For newer ones it is the other way round: bits
//! of HCRX_EL2 turn them on, and in the fine-grained trap registers a bit that is 0 traps them, while 0 lets pass what
//! is older. The traps mean nothing for the host, at EL2 and, by HCR_EL2.TGE, at EL0; so they are not put back.
//!
//! Source: Arm ARM (DDI 0487), D24.2 "HCRX_EL2", "HFGRTR_EL2" and its like.

use crate::{
    arm64::{
        el1::{Extension, Extensions},
        id_regs::IdRegs,
        registers::*,
        sysreg::name,
    },
    host::{arm64::features::sanitised, cpu::PreemptOff},
};

/// ID_AA64MMFR1_EL1.HCX: HCRX_EL2 is there.
const HCX_SHIFT: u32 = 40;
/// ID_AA64MMFR0_EL1.FGT: 1 for fine-grained traps, 2 for more of them.
const FGT_SHIFT: u32 = 56;

/// Lowest bits of the fields of identification registers that tell guests of such features.
mod field {
    pub(super) const ISAR2_MOPS: u32 = 16;
}

/// Bits of HCRX_EL2.
mod hcrx {
    /// Exceptions of memory copies at EL1 go to EL2, too.
    pub(super) const MCE2: u64 = 1 << 10;
    /// Memory copies and memory sets.
    pub(super) const MSCEN: u64 = 1 << 11;
    /// TCR2_EL1.
    pub(super) const TCR2EN: u64 = 1 << 14;
    /// SCTLR2_EL1.
    pub(super) const SCTLR2EN: u64 = 1 << 15;
    /// FPMR.
    pub(super) const ENFPM: u64 = 1 << 23;
}

/// HFGRTR_EL2 and HFGWTR_EL2: PIR_EL1 and PIRE0_EL1 do not trap.
const NPIR: u64 = 0b11 << 57;

/// What a guest may use.
#[derive(Clone, Copy, Debug)]
pub struct Allowed {
    /// HCRX_EL2.
    controls: u64,
    /// HFGRTR_EL2 and HFGWTR_EL2.
    registers: u64,
    /// What has registers that are exchanged.
    pub extensions: Extensions,
}

impl Allowed {
    /// None of it.
    pub const NOTHING: Self = Self {
        controls: 0,
        registers: 0,
        extensions: Extensions::NONE,
    };

    /// What a guest is told of.
    pub fn new(ids: &IdRegs) -> Self {
        let mut allowed = Self::NOTHING;
        if ids.field(name::ID_AA64ISAR2_EL1, field::ISAR2_MOPS) != 0 {
            allowed.controls |= hcrx::MSCEN | hcrx::MCE2;
        }
        for extension in Extension::ALL {
            if !ids.has(extension) {
                continue;
            }
            allowed.extensions = allowed.extensions.with(extension);
            match extension {
                Extension::Tcr2 => allowed.controls |= hcrx::TCR2EN,
                Extension::Sctlr2 => allowed.controls |= hcrx::SCTLR2EN,
                Extension::Fpmr => allowed.controls |= hcrx::ENFPM,
                Extension::Indirection => allowed.registers |= NPIR,
            }
        }
        allowed
    }
}

/// What the processors have to keep newer features from guests by.
#[derive(Clone, Copy, Debug)]
pub struct NewerFeatures {
    /// The host's HCRX_EL2, where that is there.
    controls: Option<u64>,
    traps: u64,
}

impl NewerFeatures {
    /// What this machine's have.
    pub fn read() -> Self {
        let field = |register, shift: u32| sanitised(register) >> shift & 0xf;
        let has_controls = field(name::ID_AA64MMFR1_EL1, HCX_SHIFT) >= 1;
        Self {
            controls: has_controls.then(HcrxEl2::read),
            traps: field(name::ID_AA64MMFR0_EL1, FGT_SHIFT),
        }
    }

    /// Keeps all others from a guest that is about to run on this CPU.
    pub fn allow(self, here: &PreemptOff, allowed: Allowed) {
        if self.controls.is_some() {
            HcrxEl2::write(here, allowed.controls);
        }
        if self.traps >= 1 {
            HfgrtrEl2::write(here, allowed.registers);
            HfgwtrEl2::write(here, allowed.registers);
            HfgitrEl2::write(here, 0);
            HdfgrtrEl2::write(here, 0);
            HdfgwtrEl2::write(here, 0);
        }
        if self.traps >= 2 {
            Hfgrtr2El2::write(here, 0);
            Hfgwtr2El2::write(here, 0);
            Hfgitr2El2::write(here, 0);
            Hdfgrtr2El2::write(here, 0);
            Hdfgwtr2El2::write(here, 0);
        }
    }

    /// The host's again.
    pub fn leave(self, here: &PreemptOff) {
        if let Some(controls) = self.controls {
            HcrxEl2::write(here, controls);
        }
    }
}
