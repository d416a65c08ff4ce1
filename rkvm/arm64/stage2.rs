// SPDX-License-Identifier: GPL-2.0

//! Stage-2 translation tables: descriptors of VMSAv8-64 with the 4 KiB granule.
//!
//! Architecture level 0 is [`Level::P4d`], level 3 is [`Level::Pte`]. Which level a table starts at is the business of
//! `vtcr.rs`. FEAT_HAFDBS changes nothing but who sets AF. With FEAT_LPA2, which VMs of more than 48 bits use, SH is
//! part of the address: of that which is mapped it is 0 then, as the host has no memory so far up.
//!
//! Source: Arm ARM (DDI 0487), D8.3 "Translation table descriptor formats", D8.4 "Memory access
//! control", D8.6 "Memory region attributes".

use kernel::num::Bounded;

use crate::mmu::entry::{Access, Entry, EntryFormat, Leaf, Level};
use crate::types::{Hpa, Pfn};

/// How far ordinary memory is cached in the inner or the outer caches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cacheability {
    /// Not at all.
    NonCacheable,
    /// Cached; writes go through.
    WriteThrough,
    /// Cached.
    WriteBack,
}

impl Cacheability {
    /// From two bits of MemAttr; `None` for 0, which is none of them.
    const fn decode(bits: u64) -> Option<Self> {
        match bits & 0b11 {
            0b01 => Some(Self::NonCacheable),
            0b10 => Some(Self::WriteThrough),
            0b11 => Some(Self::WriteBack),
            _ => None,
        }
    }

    /// The two bits of MemAttr.
    const fn encode(self) -> u64 {
        match self {
            Self::NonCacheable => 0b01,
            Self::WriteThrough => 0b10,
            Self::WriteBack => 0b11,
        }
    }
}

/// MemAttr: what stage 2 says of a memory's type, with HCR_EL2.FWB clear. The guest's own tables can
/// only make it stricter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryType {
    /// Device memory: no gathering, no reordering, no early acknowledgement of writes.
    DeviceNGnRnE,
    /// Device memory: no gathering, no reordering.
    DeviceNGnRE,
    /// Device memory: no gathering.
    DeviceNGRE,
    /// Device memory: gathering, reordering and early acknowledgement.
    DeviceGRE,
    /// Ordinary memory.
    Normal {
        /// In the outer caches.
        outer: Cacheability,
        /// In the inner caches.
        inner: Cacheability,
    },
    /// An encoding that is reserved, by its upper half; the lower half is 0.
    Reserved(Cacheability),
}

impl MemoryType {
    /// Ordinary memory, cached throughout.
    pub const WRITE_BACK: Self = Self::Normal {
        outer: Cacheability::WriteBack,
        inner: Cacheability::WriteBack,
    };

    /// With HCR_EL2.FWB set the encodings mean something else; this one is ordinary memory, cached throughout, whatever
    /// the guest's tables say (DDI 0487, D8.6.6).
    pub const FORCED_WRITE_BACK: Self = Self::Normal {
        outer: Cacheability::NonCacheable,
        inner: Cacheability::WriteThrough,
    };
}

impl From<Bounded<u64, 4>> for MemoryType {
    fn from(encoding: Bounded<u64, 4>) -> Self {
        let bits = encoding.get();
        let (outer, inner) = (Cacheability::decode(bits >> 2), Cacheability::decode(bits));
        match (outer, inner) {
            (Some(outer), Some(inner)) => Self::Normal { outer, inner },
            (Some(outer), None) => Self::Reserved(outer),
            (None, None) => Self::DeviceNGnRnE,
            (None, Some(Cacheability::NonCacheable)) => Self::DeviceNGnRE,
            (None, Some(Cacheability::WriteThrough)) => Self::DeviceNGRE,
            (None, Some(Cacheability::WriteBack)) => Self::DeviceGRE,
        }
    }
}

impl From<MemoryType> for Bounded<u64, 4> {
    fn from(memory_type: MemoryType) -> Self {
        let bits = match memory_type {
            MemoryType::DeviceNGnRnE => 0b0000,
            MemoryType::DeviceNGnRE => 0b0001,
            MemoryType::DeviceNGRE => 0b0010,
            MemoryType::DeviceGRE => 0b0011,
            MemoryType::Normal { outer, inner } => outer.encode() << 2 | inner.encode(),
            MemoryType::Reserved(outer) => outer.encode() << 2,
        };
        Self::from_expr(bits & 0b1111)
    }
}

/// SH: which processors and devices see the memory alike. Device memory and memory that is not
/// cached are outer shareable whatever it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shareability {
    /// Each processor by itself.
    NonShareable,
    /// Encoding 1, which is reserved.
    Reserved1,
    /// The outer shareability domain.
    Outer,
    /// The inner shareability domain: all processors of one Linux.
    Inner,
}

impl From<Bounded<u64, 2>> for Shareability {
    fn from(encoding: Bounded<u64, 2>) -> Self {
        match encoding.get() {
            0 => Self::NonShareable,
            1 => Self::Reserved1,
            2 => Self::Outer,
            _ => Self::Inner,
        }
    }
}

impl From<Shareability> for Bounded<u64, 2> {
    fn from(shareability: Shareability) -> Self {
        match shareability {
            Shareability::NonShareable => Self::new::<0>(),
            Shareability::Reserved1 => Self::new::<1>(),
            Shareability::Outer => Self::new::<2>(),
            Shareability::Inner => Self::new::<3>(),
        }
    }
}

/// What a leaf says of memory besides the rights to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// MemAttr.
    pub memory_type: MemoryType,
    /// SH.
    pub shareability: Shareability,
}

/// XN: where instructions may not be fetched. Without FEAT_XNX the lower bit is reserved; the
/// encodings that are made here leave it 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExecuteNever {
    /// They may be fetched at EL1 and EL0.
    Nowhere,
    /// At EL0 alone (FEAT_XNX).
    El1,
    /// Neither at EL1 nor at EL0.
    Everywhere,
    /// At EL1 alone (FEAT_XNX).
    El0,
}

impl From<Bounded<u64, 2>> for ExecuteNever {
    fn from(encoding: Bounded<u64, 2>) -> Self {
        match encoding.get() {
            0 => Self::Nowhere,
            1 => Self::El1,
            2 => Self::Everywhere,
            _ => Self::El0,
        }
    }
}

impl From<ExecuteNever> for Bounded<u64, 2> {
    fn from(execute_never: ExecuteNever) -> Self {
        match execute_never {
            ExecuteNever::Nowhere => Self::new::<0>(),
            ExecuteNever::El1 => Self::new::<1>(),
            ExecuteNever::Everywhere => Self::new::<2>(),
            ExecuteNever::El0 => Self::new::<3>(),
        }
    }
}

kernel::bitfield! {
    /// A stage-2 descriptor of any level (DDI 0487, D8.3.1 and D8.3.2).
    pub struct Descriptor(u64) {
        /// Hardware uses the descriptor; without it all other bits are software's.
        0:0 valid;
        /// Above the lowest level: it points to a table, else it is a block. At the lowest level:
        /// it is a page, else it is reserved and counts as invalid.
        1:1 table_or_page;
        /// Leaf: the memory type.
        5:2 memory_type => MemoryType;
        /// Leaf: S2AP\[0\], the guest may read.
        6:6 read;
        /// Leaf: S2AP\[1\], the guest may write.
        7:7 write;
        /// Leaf: SH, or bits 51 and 50 of the address.
        9:8 shareability => Shareability;
        /// Leaf: AF, the memory was accessed. Clear, an access faults.
        10:10 accessed;
        /// The host frame of the page, block or table.
        47:12 frame;
        /// Leaf: XN.
        54:53 execute_never => ExecuteNever;
    }
}

impl Descriptor {
    /// What a leaf lets the guest do, at EL1 and EL0 alike.
    pub fn access(self) -> Access {
        Access::NONE
            .with_read(self.read().into_bool())
            .with_write(self.write().into_bool())
            .with_execute(self.execute_never() == ExecuteNever::Nowhere)
    }

    /// A block's address ends where its offset begins; the bits below are reserved or hold nT.
    fn leaf_frame(self, level: Level) -> Pfn {
        Pfn::new(self.frame().get() & !(level.pages() - 1))
    }
}

impl EntryFormat for Descriptor {
    type MemoryType = Attributes;

    const ROOT: Level = Level::P4d;
    const MAX_LEAF: Level = Level::Pud;
    const FRAME_LIMIT: Pfn = Pfn::new(1 << 36);

    fn from_raw(raw: u64) -> Self {
        Self::from(raw)
    }

    fn into_raw(self) -> u64 {
        self.into()
    }

    fn table(table: Hpa) -> Self {
        Self::from(table.raw() & Self::FRAME_MASK)
            .with_const_valid::<1>()
            .with_const_table_or_page::<1>()
    }

    /// Every combination of rights can be expressed: S2AP and XN do not depend on each other.
    fn leaf(leaf: Leaf<Attributes>, level: Level) -> Self {
        let execute_never = if leaf.access.contains(Access::EXECUTE) {
            ExecuteNever::Nowhere
        } else {
            ExecuteNever::Everywhere
        };
        Self::from(leaf.frame.base().raw() & Self::FRAME_MASK)
            .with_const_valid::<1>()
            .with_table_or_page(level == Level::Pte)
            .with_memory_type(leaf.memory_type.memory_type)
            .with_read(leaf.access.contains(Access::READ))
            .with_write(leaf.access.contains(Access::WRITE))
            .with_shareability(leaf.memory_type.shareability)
            .with_const_accessed::<1>()
            .with_execute_never(execute_never)
    }

    /// Reserved descriptors are empty, as for hardware: they fault like invalid ones.
    fn classify(self, level: Level) -> Entry<Attributes> {
        if !self.valid().into_bool() {
            return Entry::Empty;
        }
        match (self.table_or_page().into_bool(), level) {
            (true, Level::Pte) | (false, Level::Pmd | Level::Pud) => Entry::Leaf(Leaf {
                frame: self.leaf_frame(level),
                access: self.access(),
                memory_type: Attributes {
                    memory_type: self.memory_type(),
                    shareability: self.shareability(),
                },
            }),
            (true, _) => Entry::Table(Pfn::new(self.frame().get()).base()),
            (false, _) => Entry::Empty,
        }
    }

    fn write_protected(self) -> Self {
        self.with_const_write::<0>()
    }

    fn is_accessed(self) -> bool {
        self.accessed().into_bool()
    }

    fn without_accessed(self) -> Self {
        self.with_const_accessed::<0>()
    }

    fn with_accessed(self) -> Self {
        self.with_const_accessed::<1>()
    }
}
