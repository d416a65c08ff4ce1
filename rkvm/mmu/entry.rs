// SPDX-License-Identifier: GPL-2.0

//! What the page-table engine needs to know of an architecture's entries.
//!
//! EPT and arm64 stage-2 tables (4 KiB granule) share one geometry: a table is a page of 512
//! entries of 8 bytes, an entry is empty, points to a table of the next level, or is a leaf that
//! maps a page of its level's size. Only the bits differ, and an [`EntryFormat`] is those bits.

use crate::types::{Gfn, Hpa, Pfn};

/// log2 of the number of entries in a table.
pub const INDEX_BITS: u32 = 9;
/// The number of entries in a table.
pub const ENTRIES: usize = 1 << INDEX_BITS;

/// A level of the tables, by the Linux name of its entries.
///
/// Ordered from the leaves up: `Level::Pte < Level::Pgd`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Entries of 4 KiB: always leaves.
    Pte,
    /// Entries of 2 MiB.
    Pmd,
    /// Entries of 1 GiB.
    Pud,
    /// Entries of 512 GiB: the root of four-level tables.
    P4d,
    /// Entries of 256 TiB: the root of five-level tables.
    Pgd,
}

/// The number of levels that [`Level`] can name.
pub const MAX_LEVELS: usize = Level::Pgd.index() + 1;

impl Level {
    /// The number of levels below this one.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The level with `index` levels below it.
    pub const fn from_index(index: usize) -> Option<Self> {
        match index {
            0 => Some(Self::Pte),
            1 => Some(Self::Pmd),
            2 => Some(Self::Pud),
            3 => Some(Self::P4d),
            4 => Some(Self::Pgd),
            _ => None,
        }
    }

    /// The next level towards the leaves.
    pub const fn below(self) -> Option<Self> {
        match self {
            Self::Pte => None,
            Self::Pmd => Some(Self::Pte),
            Self::Pud => Some(Self::Pmd),
            Self::P4d => Some(Self::Pud),
            Self::Pgd => Some(Self::P4d),
        }
    }

    /// The next level towards the root.
    pub const fn above(self) -> Option<Self> {
        Self::from_index(self.index() + 1)
    }

    /// log2 of [`Self::pages`].
    pub const fn shift(self) -> u32 {
        INDEX_BITS * self as u32
    }

    /// The number of 4 KiB pages that an entry of this level spans.
    pub const fn pages(self) -> u64 {
        1 << self.shift()
    }

    /// The first frame of the span of an entry of this level that `gfn` lies in.
    pub const fn align_down(self, gfn: Gfn) -> Gfn {
        Gfn::new(gfn.raw() & !(self.pages() - 1))
    }

    /// Which entry of a table of this level `gfn` goes through.
    pub const fn entry_index(self, gfn: Gfn) -> usize {
        (gfn.raw() >> self.shift()) as usize % ENTRIES
    }
}

/// What a root is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RootShape {
    /// The level of its entries.
    pub level: Level,
    /// How many tables it has, at least 1.
    pub tables: usize,
}

impl RootShape {
    /// The first frame beyond its reach.
    pub const fn limit(&self) -> Gfn {
        Gfn::new((self.level.pages() * ENTRIES as u64).wrapping_mul(self.tables as u64))
    }
}

kernel::bitfield! {
    /// Kinds of access to memory: what a fault wants, or what a leaf grants.
    ///
    /// The bits lie as in an EPT entry and in the exit qualification of an EPT violation.
    pub struct Access(u8) {
        /// Data reads.
        0:0 read;
        /// Data writes.
        1:1 write;
        /// Instruction fetches.
        2:2 execute;
    }
}

impl Access {
    /// No access.
    pub const NONE: Self = Self::from_raw(0);
    /// Data reads only.
    pub const READ: Self = Self::from_raw(1 << Self::READ_SHIFT);
    /// Data writes only.
    pub const WRITE: Self = Self::from_raw(1 << Self::WRITE_SHIFT);
    /// Instruction fetches only.
    pub const EXECUTE: Self = Self::from_raw(1 << Self::EXECUTE_SHIFT);
    /// All kinds of access.
    pub const ALL: Self = Self::READ.union(Self::WRITE).union(Self::EXECUTE);

    /// The kinds of access in either.
    pub const fn union(self, other: Self) -> Self {
        Self::from_raw(self.into_raw() | other.into_raw())
    }

    /// The kinds of access in `self` that are not in `other`.
    pub const fn without(self, other: Self) -> Self {
        Self::from_raw(self.into_raw() & !other.into_raw())
    }

    /// Whether every kind of access in `other` is in `self`.
    pub const fn contains(self, other: Self) -> bool {
        other.without(self).into_raw() == 0
    }
}

/// What a leaf maps: the memory behind it and how it may be used.
///
/// `T` is the memory type of the architecture ([`EntryFormat::MemoryType`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf<T> {
    /// The first host frame. Aligned to the size of the leaf.
    pub frame: Pfn,
    /// What the guest may do.
    pub access: Access,
    /// How the memory is cached.
    pub memory_type: T,
}

/// What the bits of an entry mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry<T> {
    /// Nothing is mapped.
    Empty,
    /// The address of a table of the next level.
    Table(Hpa),
    /// A page of the size of the level.
    Leaf(Leaf<T>),
}

/// An architecture's page-table entry, a 64-bit word.
///
/// The engine relies on three properties of every format:
/// - the word 0 is [`Entry::Empty`], so that a zeroed page is an empty table;
/// - so is, for hardware, a page-aligned address with a level number in bits 5:3, so that removed
///   tables can be chained through their own entries while hardware may still read them;
/// - an entry of [`Level::Pte`] is never [`Entry::Table`].
pub trait EntryFormat: Copy {
    /// How memory is cached.
    type MemoryType: Copy + PartialEq;

    /// The highest level that a root can have.
    const ROOT: Level;
    /// The highest level that can have leaves.
    const MAX_LEAF: Level;
    /// The first host frame that an entry cannot name, for a page or for a table: a multiple of all sizes of leaves.
    const FRAME_LIMIT: Pfn;

    /// The entry with these bits.
    fn from_raw(raw: u64) -> Self;
    /// The bits of the entry.
    fn into_raw(self) -> u64;

    /// An entry that points to the table at `table`, which must be page-aligned.
    fn table(table: Hpa) -> Self;
    /// A leaf entry of `level`. It counts as accessed, since a fault is what creates it, and may
    /// grant more than `leaf.access` where the format cannot express that alone.
    fn leaf(leaf: Leaf<Self::MemoryType>, level: Level) -> Self;
    /// What the entry, found in a table of `level`, means.
    fn classify(self, level: Level) -> Entry<Self::MemoryType>;

    /// The entry without the right to write.
    fn write_protected(self) -> Self;
    /// Whether a leaf was accessed since the mark was last cleared.
    fn is_accessed(self) -> bool;
    /// A leaf without the mark that it was accessed.
    fn without_accessed(self) -> Self;
    /// A leaf with the mark. Without it an access may fault, where hardware does not set it.
    fn with_accessed(self) -> Self;
}
