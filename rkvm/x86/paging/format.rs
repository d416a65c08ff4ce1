// SPDX-License-Identifier: GPL-2.0

//! The formats of the guest's paging structures (SDM volume 3, 5.3 to 5.5).

use crate::types::Gpa;
use crate::x86::regs::rules::PagingState;
use crate::x86::regs::{Cr4, PhysicalBits};

/// The entry is used.
pub const PRESENT: u64 = 1 << 0;
/// The entry was used for a translation.
pub const ACCESSED: u64 = 1 << 5;
/// The page was written.
pub const DIRTY: u64 = 1 << 6;
/// Above level 1: the entry is a leaf.
const PAGE_SIZE: u64 = 1 << 7;
/// Instructions are not to be fetched, or reserved without EFER.NXE.
const EXECUTE_DISABLE: u64 = 1 << 63;
/// Bits 51:12, the frame in an 8-byte entry.
const FRAME: u64 = 0x000f_ffff_ffff_f000;
/// Bits 31:12, the frame in a 4-byte entry.
const FRAME_32: u64 = 0xffff_f000;
/// The PAT bit of a large leaf, the only bit between flags and frame that is not reserved.
const LARGE_PAT: u64 = 1 << 12;
/// Bits 62:52, reserved in PAE entries and ignored in those of IA-32e mode.
const PAE_RESERVED: u64 = 0x7ff0_0000_0000_0000;

/// Linear address bits from here on select the PDPTE register of PAE paging.
pub const PDPTE_SHIFT: u32 = 30;

/// The most levels of tables that there can be.
pub const MAX_LEVELS: usize = 5;

/// The size of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// 4 bytes; 1024 entries in a table.
    Four,
    /// 8 bytes; 512 entries in a table.
    Eight,
}

impl Width {
    const fn bytes(self) -> u64 {
        match self {
            Self::Four => 4,
            Self::Eight => 8,
        }
    }

    /// log2 of the number of entries in a table.
    const fn index_bits(self) -> u32 {
        match self {
            Self::Four => 10,
            Self::Eight => 9,
        }
    }
}

/// Whether 32-bit paging has 4 MiB pages (CR4.PSE).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LargePages {
    /// It has.
    Enabled,
    /// It has not: the bit for it is ignored.
    Disabled,
}

/// What the top bit of an 8-byte entry is (EFER.NXE).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExecuteDisable {
    /// It forbids instruction fetches.
    Enabled,
    /// It is reserved.
    Reserved,
}

/// A paging mode. Levels count from 1, the level of 4 KiB pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// 32-bit paging (SDM 5.3).
    Bits32 {
        /// Whether there are 4 MiB pages.
        large: LargePages,
    },
    /// PAE paging below the PDPTE registers (SDM 5.4).
    Pae,
    /// 4-level and 5-level paging (SDM 5.5).
    Long {
        /// 4 or 5.
        levels: u32,
    },
}

impl Format {
    /// The mode that the registers select; `None` if paging is off.
    pub fn of(state: &PagingState) -> Option<Self> {
        if !state.is_paging() {
            return None;
        }
        Some(if state.is_long_mode() {
            let levels = if state.cr4.contains(Cr4::LA57) { 5 } else { 4 };
            Self::Long { levels }
        } else if state.cr4.contains(Cr4::PAE) {
            Self::Pae
        } else if state.cr4.contains(Cr4::PSE) {
            let large = LargePages::Enabled;
            Self::Bits32 { large }
        } else {
            let large = LargePages::Disabled;
            Self::Bits32 { large }
        })
    }

    /// The number of levels of tables in memory.
    pub const fn levels(self) -> u32 {
        match self {
            Self::Bits32 { .. } | Self::Pae => 2,
            Self::Long { levels } => levels,
        }
    }

    /// The size of the entries.
    pub const fn width(self) -> Width {
        match self {
            Self::Bits32 { .. } => Width::Four,
            Self::Pae | Self::Long { .. } => Width::Eight,
        }
    }

    /// The table that CR3, a PDPTE or an entry points to.
    pub const fn table(self, raw: u64) -> Gpa {
        match self {
            Self::Bits32 { .. } => Gpa::new(raw & FRAME_32),
            Self::Pae | Self::Long { .. } => Gpa::new(raw & FRAME),
        }
    }

    /// Where the entry lies in `table`, a table of `level`, that `linear` goes through.
    pub const fn entry(self, table: Gpa, linear: u64, level: u32) -> Gpa {
        let index_mask = (1 << self.width().index_bits()) - 1;
        let index = (linear >> self.shift(level)) & index_mask;
        Gpa::new(table.raw() | (index * self.width().bytes()))
    }

    /// Whether `raw`, an entry of `level`, maps a page.
    pub const fn is_leaf(self, raw: u64, level: u32) -> bool {
        let can_be_large = match self {
            Self::Bits32 { large } => level == 2 && matches!(large, LargePages::Enabled),
            Self::Pae => level == 2,
            Self::Long { .. } => level == 2 || level == 3,
        };
        level == 1 || (can_be_large && raw & PAGE_SIZE != 0)
    }

    /// The address in the page that `raw`, a leaf of `level`, maps.
    pub const fn page(self, raw: u64, level: u32, linear: u64) -> Gpa {
        let offset_mask = (1 << self.shift(level)) - 1;
        let base = match (self, level) {
            (Self::Bits32 { .. }, 1) => raw & FRAME_32,
            (Self::Bits32 { .. }, _) => (raw & FRAME_32) | ((raw & PSE36_FRAME) << PSE36_SHIFT),
            (Self::Pae | Self::Long { .. }, _) => raw & FRAME,
        };
        Gpa::new((base & !offset_mask) | (linear & offset_mask))
    }

    /// The bits that are reserved in `raw`, an entry of `level`.
    pub const fn reserved(
        self,
        raw: u64,
        level: u32,
        execute_disable: ExecuteDisable,
        physical_bits: PhysicalBits,
    ) -> u64 {
        let is_large = level > 1 && self.is_leaf(raw, level);
        if let Self::Bits32 { .. } = self {
            let beyond = (physical_bits.reserved() >> PSE36_SHIFT) & PSE36_FRAME;
            return if is_large { PSE36_RESERVED | beyond } else { 0 };
        }

        let mode = match self {
            Self::Pae => PAE_RESERVED,
            Self::Bits32 { .. } | Self::Long { .. } => 0,
        };
        let top = match execute_disable {
            ExecuteDisable::Enabled => 0,
            ExecuteDisable::Reserved => EXECUTE_DISABLE,
        };
        let shape = if is_large {
            FRAME & ((1 << self.shift(level)) - 1) & !LARGE_PAT
        } else if level > 3 {
            PAGE_SIZE
        } else {
            0
        };
        mode | top | shape | (physical_bits.reserved() & FRAME)
    }

    /// The lowest linear address bit that an entry of `level` covers.
    const fn shift(self, level: u32) -> u32 {
        crate::types::PAGE_SHIFT + (level - 1) * self.width().index_bits()
    }
}

/// Bits 20:13 of a 4 MiB leaf, which are bits 39:32 of its address (SDM table 5-4).
const PSE36_FRAME: u64 = 0x001f_e000;
/// From one to the other.
const PSE36_SHIFT: u32 = 32 - 13;
/// Bit 21 of a 4 MiB leaf.
const PSE36_RESERVED: u64 = 1 << 21;

/// What entries let an access do, as their bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights(u64);

impl Rights {
    const WRITE: u64 = 1 << 1;
    const USER: u64 = 1 << 2;
    /// Everything.
    pub const ALL: Self = Self::of(Self::WRITE | Self::USER);

    /// What the entry `raw` allows by itself.
    pub const fn of(raw: u64) -> Self {
        // Turned round so that every bit grants something.
        Self((raw ^ EXECUTE_DISABLE) & (Self::WRITE | Self::USER | EXECUTE_DISABLE))
    }

    /// What both allow: an access needs the rights of every entry on its way.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether writes are allowed.
    pub const fn write(self) -> bool {
        self.0 & Self::WRITE != 0
    }

    /// Whether the page is a user-mode one.
    pub const fn user(self) -> bool {
        self.0 & Self::USER != 0
    }

    /// Whether fetches are allowed, if the mode knows to forbid them.
    pub const fn execute(self) -> bool {
        self.0 & EXECUTE_DISABLE != 0
    }
}
