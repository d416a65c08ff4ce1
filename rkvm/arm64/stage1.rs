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
/// IPS in TCR_EL1: the width of physical addresses; 6 is 52 bits.
const IPS_SHIFT: u32 = 32;
const IPS: u64 = 0b111;
const IPS_52: u64 = 6;
/// DS in TCR_EL1: with granules of 4 KiB and 16 KiB, addresses of up to 52 bits (FEAT_LPA2).
const DS: u64 = 1 << 59;

/// log2 of the granules of 4 KiB, 16 KiB and 64 KiB.
const GRANULE_4K: u32 = 12;
const GRANULE_16K: u32 = 14;
const GRANULE_64K: u32 = 16;
/// The widths of addresses that there are: up to 52 bits with FEAT_LPA2 or FEAT_LVA, else 48.
const NARROWEST: u32 = 16;
const NARROW: u32 = 48;
const WIDEST: u32 = 52;
/// The last level.
const LAST: i8 = 3;
/// log2 of the bytes of a descriptor.
const DESCRIPTOR_SHIFT: u32 = 3;
/// A descriptor that leads to another table.
const TABLE: u64 = 0b11;
/// The bits of a descriptor, and of TTBR, that are bits 47 to 12 of an address. Of a table's those within a granule are 0.
const ADDRESS: u64 = 0xffff_ffff_f000;
const PAGE: u64 = 0xfff;
/// TTBR: bits 11 to 6 of the address of a root that is smaller than a page; and bits 5 to 1, where the address has no
/// more than 48 bits.
const ROOT_IN_PAGE: u64 = 0xfc0;
const ROOT_IN_PAGE_NARROW: u64 = 0x3e;

/// Where descriptors have bits 51 to 48 of an address.
#[derive(Clone, Copy, PartialEq, Eq)]
enum HighBits {
    /// There are none.
    Nowhere,
    /// Bits 49 and 48 in their place, bits 51 and 50 in bits 9 and 8.
    Lpa2,
    /// In bits 15 to 12, which a granule of 64 KiB leaves free.
    Lpa,
}

impl HighBits {
    /// The address of a table, from the descriptor that leads to it.
    fn table(self, descriptor: u64, granule_shift: u32) -> u64 {
        let low = descriptor & ADDRESS & !((1 << granule_shift) - 1);
        low | match self {
            Self::Nowhere => 0,
            Self::Lpa2 => descriptor & 0b11 << 48 | (descriptor >> 8 & 0b11) << 50,
            Self::Lpa => (descriptor >> 12 & 0xf) << 48,
        }
    }
}

/// One half of the address space.
struct Half {
    bits: u32,
    granule_shift: u32,
    root: u64,
    high: HighBits,
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
            (false, 0b00) | (true, 0b10) => GRANULE_4K,
            (false, 0b10) | (true, 0b01) => GRANULE_16K,
            (false, 0b01) | (true, 0b11) => GRANULE_64K,
            _ => return None,
        };
        let high = match granule_shift {
            GRANULE_64K if self.tcr >> IPS_SHIFT & IPS == IPS_52 => HighBits::Lpa,
            GRANULE_4K | GRANULE_16K if self.tcr & DS != 0 => HighBits::Lpa2,
            _ => HighBits::Nowhere,
        };
        let widest = if granule_shift == GRANULE_64K || high == HighBits::Lpa2 {
            WIDEST
        } else {
            NARROW
        };
        let untranslated = (self.tcr >> size & TSZ) as u32;
        Some(Half {
            bits: (64 - untranslated).clamp(NARROWEST, widest),
            granule_shift,
            root: match high {
                HighBits::Nowhere => root & (ADDRESS | ROOT_IN_PAGE | ROOT_IN_PAGE_NARROW),
                HighBits::Lpa | HighBits::Lpa2 => {
                    root & (ADDRESS | ROOT_IN_PAGE) | (root >> 2 & 0xf) << 48
                }
            },
            high,
        })
    }

    /// The level, from -1 to 3, of the table that the walk for `address` reads in the page at `page`. `read` reads a
    /// descriptor. `None` if the walk does not come there, since the guest has changed its tables meanwhile.
    pub fn level_of_table(
        &self,
        address: u64,
        page: u64,
        mut read: impl FnMut(u64) -> Option<u64>,
    ) -> Option<i8> {
        let half = self.half(address)?;
        let stride = half.granule_shift - DESCRIPTOR_SHIFT;
        let resolved = half.bits.saturating_sub(half.granule_shift).max(1);
        let first = LAST + 1 - resolved.div_ceil(stride) as i8;
        let address = address & ((1 << half.bits) - 1);
        let mut table = half.root;
        for level in first..=LAST {
            let shift = half.granule_shift + stride * u32::from(LAST.abs_diff(level));
            let mask = (1 << stride) - 1;
            let offset = (address >> shift & mask) << DESCRIPTOR_SHIFT;
            let at = table | offset;
            if at & !PAGE == page {
                return Some(level);
            }
            let descriptor = read(at)?;
            if descriptor & TABLE != TABLE {
                return None;
            }
            table = half.high.table(descriptor, half.granule_shift);
        }
        None
    }
}
