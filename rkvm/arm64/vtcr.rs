// SPDX-License-Identifier: GPL-2.0

//! VTCR_EL2: the shape of the stage-2 tables, and how wide guest physical addresses are.
//!
//! Source: Arm ARM (DDI 0487), D24.2 "VTCR_EL2", D8.2.6 "Translation using the 4KB granule".

use kernel::prelude::*;

use crate::{
    mmu::entry::{Level, RootShape, INDEX_BITS},
    types::PAGE_SHIFT,
};

/// What the processors can do about stage 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage2Caps {
    /// ID_AA64MMFR0_EL1.PARange: the code of the width of physical addresses.
    pub pa_range: u8,
    /// Whether descriptors can hold addresses of more than 48 bits.
    pub large_addresses: LargeAddresses,
    /// Bits of a VMID: 8 or 16.
    pub vmid_bits: u32,
    /// The processor sets access flags by itself.
    pub access_flag: AccessFlag,
    /// Who decides how the guest's memory is cached.
    pub cacheability: GuestCaches,
    /// Who keeps instruction caches up to date.
    pub instructions: InstructionCaches,
}

/// Whether descriptors of the 4 KiB granule can hold addresses of more than 48 bits (FEAT_LPA2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LargeAddresses {
    /// They can.
    Present,
    /// They cannot.
    Absent,
}

/// Who decides whether a guest's access to ordinary memory goes through the caches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuestCaches {
    /// Stage 2 forces it (FEAT_S2FWB).
    Forced,
    /// The guest, which starts with its caches off: what the host has in its caches must be in memory.
    Chosen,
}

/// Who keeps instruction caches up to date when memory is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstructionCaches {
    /// The processor: CTR_EL0.DIC.
    Coherent,
    /// Software.
    Maintained,
}

/// Who sets the access flag of a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessFlag {
    /// The processor.
    Hardware,
    /// The handler of a fault.
    Software,
}

/// Fewest bits of guest physical address that a VM can ask for.
pub const MIN_IPA_BITS: u32 = 32;
/// Most bits of guest physical addresses that do without FEAT_LPA2, and of host physical addresses.
pub const NARROW_BITS: u32 = 48;
/// Most bits with it.
const WIDE_BITS: u32 = 52;
/// Bits of a VM that does not ask.
pub const DEFAULT_IPA_BITS: u32 = 40;
/// The codes of 48 and 52 bits in PARange.
const PA_RANGE_48: u8 = 5;
const PA_RANGE_52: u8 = 6;

mod bit {
    pub(super) const SL0: u32 = 6;
    pub(super) const IRGN0_WRITE_BACK: u64 = 1 << 8;
    pub(super) const ORGN0_WRITE_BACK: u64 = 1 << 10;
    pub(super) const SH0_INNER: u64 = 0b11 << 12;
    pub(super) const PS: u32 = 16;
    pub(super) const VS_16_BITS: u64 = 1 << 19;
    pub(super) const HA: u64 = 1 << 21;
    pub(super) const RES1: u64 = 1 << 31;
    /// Descriptors are those of FEAT_LPA2: all leaves have SH0's shareability.
    pub(super) const DS: u64 = 1 << 32;
}

impl Stage2Caps {
    /// Bits of a physical address.
    pub fn pa_bits(&self) -> u32 {
        match self.pa_range {
            0 => 32,
            1 => 36,
            2 => 40,
            3 => 42,
            4 => 44,
            PA_RANGE_48 => NARROW_BITS,
            _ => match self.large_addresses {
                LargeAddresses::Present => WIDE_BITS,
                LargeAddresses::Absent => NARROW_BITS,
            },
        }
    }

    /// The width of guest physical addresses for a machine type of KVM_CREATE_VM: 0 stands for 40 bits. `EINVAL`
    /// for a width that the processors do not have, and for anything but a width.
    pub fn ipa_bits(&self, machine_type: usize) -> Result<u32> {
        let bits = match machine_type {
            0 => DEFAULT_IPA_BITS,
            asked => u32::try_from(asked).map_err(|_| EINVAL)?,
        };
        if (MIN_IPA_BITS..=self.pa_bits()).contains(&bits) {
            Ok(bits)
        } else {
            Err(EINVAL)
        }
    }

    /// VTCR_EL2 for tables of that root.
    pub fn vtcr(&self, ipa_bits: u32, root: RootShape) -> u64 {
        // Architecture level 0 is [`Level::P4d`].
        let start = root.level.index() as u64 - Level::Pmd.index() as u64;
        let mut vtcr = (64 - u64::from(ipa_bits))
            | start << bit::SL0
            | bit::IRGN0_WRITE_BACK
            | bit::ORGN0_WRITE_BACK
            | bit::SH0_INNER
            | bit::RES1;
        vtcr |= if ipa_bits > NARROW_BITS {
            bit::DS | u64::from(PA_RANGE_52) << bit::PS
        } else {
            u64::from(self.pa_range.min(PA_RANGE_48)) << bit::PS
        };
        if self.vmid_bits == 16 {
            vtcr |= bit::VS_16_BITS;
        }
        if self.access_flag == AccessFlag::Hardware {
            vtcr |= bit::HA;
        }
        vtcr
    }
}

/// The root of tables for addresses of that width, from 32 to 52 bits: of as few levels as can be, which up to 16
/// tables side by side make fewer, but no fewer than two, so that blocks of 2 MiB can be mapped.
pub fn root_shape(ipa_bits: u32) -> RootShape {
    const MAX_TABLES_SHIFT: u32 = 4;
    let reach = |level: Level| PAGE_SHIFT + level.shift() + INDEX_BITS;
    let level = [Level::Pmd, Level::Pud]
        .into_iter()
        .find(|level| ipa_bits <= reach(*level) + MAX_TABLES_SHIFT)
        .unwrap_or(Level::P4d);
    RootShape {
        level,
        tables: 1 << ipa_bits.saturating_sub(reach(level)),
    }
}
