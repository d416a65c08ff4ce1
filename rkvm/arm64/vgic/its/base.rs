// SPDX-License-Identifier: GPL-2.0

//! GITS_BASER: the tables in guest memory in which the ITS would keep its devices and collections, and into which it
//! saves them.
//!
//! Source: IHI 0069, section 12.19.1 "GITS_BASER<n>"; Linux Documentation/virt/kvm/devices/arm-vgic-its.rst.

use crate::{
    arm64::vgic::gic::table_base::{sanitise, Attributes},
    types::Gpa,
};

/// Bytes of an entry of any table.
pub const ENTRY: u64 = 8;
/// Bytes of a page of a table, the only size.
const PAGE: u64 = 64 << 10;
/// Devices and collections have numbers of 16 bits.
pub const IDS: u32 = 1 << 16;

const VALID: u64 = 1 << 63;
const INDIRECT: u64 = 1 << 62;
const TYPE_SHIFT: u32 = 56;
const TYPE: u64 = 0b111 << TYPE_SHIFT;
const ENTRY_SIZE_SHIFT: u32 = 48;
const ENTRY_SIZE: u64 = 0x1f << ENTRY_SIZE_SHIFT;
const PAGE_SIZE_SHIFT: u32 = 8;
const PAGE_SIZE: u64 = 0b11 << PAGE_SIZE_SHIFT;
const PAGE_64K: u64 = 0b10 << PAGE_SIZE_SHIFT;
const PAGES: u64 = 0xff;
/// Bits 47 to 16 of the address; bits 51 to 48 are further down.
const ADDRESS: u64 = 0xffff_ffff_0000;
const ADDRESS_HIGH_SHIFT: u32 = 12;
const ADDRESS_HIGH: u64 = 0xf << ADDRESS_HIGH_SHIFT;

/// What a table is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Devices.
    Devices,
    /// Collections.
    Collections,
}

/// Where an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// There is no place for it.
    None,
    /// At this address.
    Direct(Gpa),
    /// In a page whose address is here, so many bytes from its start.
    Indirect(Gpa, u64),
}

impl Place {
    /// The entry's address, with what is read at the address of an indirect one. `None` if there is no page.
    pub fn through(first_level: u64, offset: u64) -> Option<Gpa> {
        const PAGE_ADDRESS: u64 = 0xf_ffff_ffff_0000;
        let page = first_level & PAGE_ADDRESS;
        (first_level & VALID != 0).then(|| Gpa::new(page.wrapping_add(offset)))
    }
}

/// A register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Base {
    raw: u64,
    content: Content,
}

impl Base {
    /// No table.
    pub fn new(content: Content) -> Self {
        let mut this = Self { raw: 0, content };
        this.set(0);
        this
    }

    /// The register's value.
    pub fn raw(self) -> u64 {
        self.raw
    }

    /// Writes it; what cannot be changed stays.
    pub fn set(&mut self, value: u64) {
        let (number, reserved) = match self.content {
            Content::Devices => (1, 0),
            Content::Collections => (4, INDIRECT),
        };
        let fixed = TYPE | ENTRY_SIZE | PAGE_SIZE;
        self.raw = sanitise(value, Attributes::ITS, reserved) & !fixed
            | number << TYPE_SHIFT
            | ENTRY.wrapping_sub(1) << ENTRY_SIZE_SHIFT
            | PAGE_64K;
    }

    /// Whether there is a table.
    pub fn is_valid(self) -> bool {
        self.raw & VALID != 0
    }

    /// Whether the table has two levels.
    pub fn is_indirect(self) -> bool {
        self.raw & INDIRECT != 0
    }

    fn address(self) -> u64 {
        self.raw & ADDRESS | (self.raw & ADDRESS_HIGH) >> ADDRESS_HIGH_SHIFT << 48
    }

    /// Bytes of the table, or of its first level.
    pub fn bytes(self) -> u64 {
        (self.raw & PAGES).saturating_add(1).saturating_mul(PAGE)
    }

    /// Entries that share a page of the second level.
    pub const ENTRIES_OF_PAGE: u32 = (PAGE / ENTRY) as u32;

    /// Where the entry with a number is.
    pub fn place(self, id: u32) -> Place {
        if !self.is_valid() || id >= IDS {
            return Place::None;
        }
        let id = u64::from(id);
        let at = |index: u64| {
            let offset = index.saturating_mul(ENTRY);
            (offset < self.bytes()).then(|| Gpa::new(self.address().wrapping_add(offset)))
        };
        if self.is_indirect() {
            let per_page = u64::from(Self::ENTRIES_OF_PAGE);
            match at(id / per_page) {
                Some(first_level) => {
                    Place::Indirect(first_level, (id % per_page).saturating_mul(ENTRY))
                }
                None => Place::None,
            }
        } else {
            at(id).map_or(Place::None, Place::Direct)
        }
    }
}
