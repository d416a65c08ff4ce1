// SPDX-License-Identifier: GPL-2.0

//! The caches that a guest sees. The processor's own may differ from CPU to CPU, and say nothing of what a guest has to
//! do; so it sees the least that CTR_EL0 demands.
//!
//! Source: Arm ARM (DDI 0487), D24.2.25 "CCSIDR_EL1", D24.2.28 "CLIDR_EL1", D24.2.36 "CTR_EL0".

use kernel::prelude::*;

use crate::arm64::{id_regs::CLIDR_WRITABLE, one_reg::CACHES};

/// Fields of CTR_EL0.
mod ctr {
    /// Lines of instruction and data caches, as log2 of words of 4 bytes.
    pub(super) const I_LINE: u32 = 0;
    pub(super) const D_LINE: u32 = 16;
    pub(super) const LINE_MASK: u64 = 0xf;
    /// Data need not be cleaned, instructions not be invalidated, for the one to be seen as the other.
    pub(super) const IDC: u64 = 1 << 28;
    pub(super) const DIC: u64 = 1 << 29;
}

/// Fields of CLIDR_EL1.
mod clidr {
    pub(super) const TYPE_BITS: u32 = 3;
    pub(super) const INSTRUCTIONS: u64 = 1;
    pub(super) const DATA: u64 = 2;
    pub(super) const UNIFIED: u64 = 4;
    /// Where caches are one for some purpose: inner shareable, coherent, of one processor.
    pub(super) const LOUIS: u32 = 21;
    pub(super) const LOC: u32 = 24;
    pub(super) const LOUU: u32 = 27;
    pub(super) const LEVEL_MASK: u64 = 7;
}

/// CSSELR_EL1: instructions; else data or both.
const SELECTS_INSTRUCTIONS: u8 = 1 << 0;
/// The bits of CSSELR_EL1 that select a cache: the level, and instructions.
const SELECTION: u64 = 0xf;
/// CCSIDR_EL1: log2 of a line's bytes, less that of the least, 16 bytes.
const LINE_SIZE: u32 = 7;
const LEAST_LINE: u32 = 4;

/// CLIDR_EL1 where CTR_EL0 is `ctr`: one level that is coherent, and one more if there is maintenance of instructions
/// alone.
pub const fn levels(ctr: u64) -> u64 {
    let instructions = if ctr & ctr::DIC == 0 {
        clidr::INSTRUCTIONS
    } else {
        0
    };
    if ctr & ctr::IDC == 0 {
        let unification = 1 << clidr::LOUU | 1 << clidr::LOUIS;
        return instructions | clidr::DATA | unification | 1 << clidr::LOC;
    }
    let level = if instructions == 0 { 1 } else { 2 };
    instructions | clidr::UNIFIED << (clidr::TYPE_BITS * (level - 1)) | (level as u64) << clidr::LOC
}

/// What a VMM writes to CLIDR_EL1: `EINVAL` for undefined bits, and for caches that need no maintenance where CTR_EL0
/// says that they do.
pub fn check_levels(value: u64, ctr: u64) -> Result {
    let level = |shift: u32| value >> shift & clidr::LEVEL_MASK;
    let coherent = level(clidr::LOC) == 0 || level(clidr::LOUIS) == 0 && level(clidr::LOUU) == 0;
    if value & !CLIDR_WRITABLE != 0 || coherent && ctr & ctr::IDC == 0 {
        Err(EINVAL)
    } else {
        Ok(())
    }
}

/// log2 of the bytes of the smallest line of the caches that `selection` tells of, as far as CCSIDR_EL1 can say.
const fn smallest_line(ctr: u64, selection: u8) -> u32 {
    let shift = if selection & SELECTS_INSTRUCTIONS != 0 {
        ctr::I_LINE
    } else {
        ctr::D_LINE
    };
    let line = (ctr >> shift & ctr::LINE_MASK) as u32 + 2;
    if line < LINE_SIZE + LEAST_LINE {
        line
    } else {
        LINE_SIZE + LEAST_LINE
    }
}

/// What CCSIDR_EL1 tells of each cache.
pub struct Sizes {
    /// The VMM's values, once it has chosen another.
    chosen: Option<KBox<[u32; CACHES as usize]>>,
}

impl Sizes {
    /// Those of one set and one way each.
    pub const DEFAULT: Self = Self { chosen: None };

    /// The cache that CSSELR_EL1 selects; 0 for none.
    pub fn selected(&self, csselr: u64, ctr: u64) -> u32 {
        let selection = (csselr & SELECTION) as u8;
        if selection < CACHES {
            self.get(selection, ctr)
        } else {
            0
        }
    }

    /// The value for a selection below [`CACHES`], where CTR_EL0 of the host is `ctr`.
    pub fn get(&self, selection: u8, ctr: u64) -> u32 {
        let chosen = self
            .chosen
            .as_ref()
            .and_then(|chosen| chosen.get(usize::from(selection)));
        match chosen {
            Some(value) => *value,
            None => smallest_line(ctr, selection).saturating_sub(LEAST_LINE),
        }
    }

    /// KVM_SET_ONE_REG for a selection below [`CACHES`]. `EINVAL` for lines smaller than those that CTR_EL0
    /// tells of; `ENOMEM`.
    pub fn set(&mut self, selection: u8, value: u32, ctr: u64) -> Result {
        let line = (value & LINE_SIZE) + LEAST_LINE;
        if line < smallest_line(ctr, selection) {
            return Err(EINVAL);
        }
        if value == self.get(selection, ctr) {
            return Ok(());
        }
        if self.chosen.is_none() {
            let mut values = [0; CACHES as usize];
            for (selection, value) in (0..).zip(&mut values) {
                *value = self.get(selection, ctr);
            }
            self.chosen = Some(KBox::new(values, GFP_KERNEL_ACCOUNT)?);
        }
        let chosen = self
            .chosen
            .as_mut()
            .and_then(|chosen| chosen.get_mut(usize::from(selection)));
        if let Some(slot) = chosen {
            *slot = value;
        }
        Ok(())
    }
}
