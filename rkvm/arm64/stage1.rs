// SPDX-License-Identifier: GPL-2.0

//! A guest's own page tables, as far as it has to be known which of them a walk has failed to read.
//!
//! Source: Arm ARM (DDI 0487), D8.2 "Translation process", D8.3 "Translation table descriptor formats", D24.2 "TCR_EL1".

/// The guest's registers that a walk begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Regime {
    /// TCR_EL1.
    pub tcr: u64,
    /// TTBR0_EL1.
    pub ttbr0: u64,
    /// TTBR1_EL1.
    pub ttbr1: u64,
}

/// Which of the two halves of the address space an address is in.
const UPPER_HALF: u64 = 1 << 55;
/// T0SZ and T1SZ in TCR_EL1: how many bits of an address are not translated.
const T0SZ_SHIFT: u32 = 0;
const T1SZ_SHIFT: u32 = 16;
const TSZ: u64 = 0x3f;
/// TG0 and TG1 in TCR_EL1: the granule.
const TG0_SHIFT: u32 = 14;
const TG1_SHIFT: u32 = 30;
const TG: u64 = 0b11;

/// The widths of addresses that there are.
const NARROWEST: u32 = 16;
const WIDEST: u32 = 52;
/// The last level.
const LAST: u32 = 3;
/// log2 of the bytes of a descriptor.
const DESCRIPTOR_SHIFT: u32 = 3;
/// A descriptor that leads to another table.
const TABLE: u64 = 0b11;
/// The bits of a table's address, of which those within a granule are 0.
const ADDRESS: u64 = 0xffff_ffff_f000;
const PAGE: u64 = 0xfff;

/// One half of the address space.
struct Half {
    bits: u32,
    granule_shift: u32,
    root: u64,
}

impl Regime {
    /// `None` for a granule that does not exist.
    fn half(&self, address: u64) -> Option<Half> {
        let is_upper = address & UPPER_HALF != 0;
        let (size, granule, root) = if is_upper {
            (T1SZ_SHIFT, TG1_SHIFT, self.ttbr1)
        } else {
            (T0SZ_SHIFT, TG0_SHIFT, self.ttbr0)
        };
        let granule_shift = match (is_upper, self.tcr >> granule & TG) {
            (false, 0b00) | (true, 0b10) => 12,
            (false, 0b10) | (true, 0b01) => 14,
            (false, 0b01) | (true, 0b11) => 16,
            _ => return None,
        };
        let untranslated = (self.tcr >> size & TSZ) as u32;
        Some(Half {
            bits: (64 - untranslated.min(64)).clamp(NARROWEST, WIDEST),
            granule_shift,
            root,
        })
    }

    /// The level of the table that the walk for `address` reads in the page at `page`. `read` reads a descriptor.
    /// `None` if the walk does not come there, since the guest has changed its tables meanwhile.
    pub fn level_of_table(
        &self,
        address: u64,
        page: u64,
        mut read: impl FnMut(u64) -> Option<u64>,
    ) -> Option<u8> {
        let half = self.half(address)?;
        let stride = half.granule_shift - DESCRIPTOR_SHIFT;
        let resolved = half.bits.saturating_sub(half.granule_shift).max(1);
        let levels = resolved.div_ceil(stride).min(LAST + 1);
        let address = address & ((1 << half.bits) - 1);
        let mut table = half.root & (ADDRESS | PAGE & !1);
        for level in LAST + 1 - levels..=LAST {
            let shift = half.granule_shift + stride * (LAST - level);
            // The root may be smaller than a granule, or some of them side by side.
            let mask = if level == LAST + 1 - levels {
                u64::MAX
            } else {
                (1 << stride) - 1
            };
            let offset = (address >> shift & mask) << DESCRIPTOR_SHIFT;
            let at = (table | offset) & (ADDRESS | PAGE);
            if at & !PAGE == page {
                return Some(level as u8);
            }
            let descriptor = read(at)?;
            if descriptor & TABLE != TABLE {
                return None;
            }
            table = descriptor & ADDRESS & !((1 << half.granule_shift) - 1);
        }
        None
    }
}
