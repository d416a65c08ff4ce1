// SPDX-License-Identifier: GPL-2.0

//! Extended page tables: entries, the pointer to them, and what their faults report.
//!
//! Source: Intel SDM volume 3, 30.3 "The Extended Page Table Mechanism (EPT)".

use kernel::num::Bounded;

use crate::mmu::entry::{Access, Entry, EntryFormat, Leaf, Level};
use crate::types::{Hpa, Pfn, PAGE_SHIFT};

/// How memory is cached (SDM volume 3, 13.3, in the encoding of EPT and the PAT).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryType {
    /// UC: not cached, strongly ordered.
    Uncacheable,
    /// WC: not cached, writes combined.
    WriteCombining,
    /// Encoding 2, which is reserved.
    Reserved2,
    /// Encoding 3, which is reserved.
    Reserved3,
    /// WT: cached, writes go through.
    WriteThrough,
    /// WP: reads cached, writes not.
    WriteProtected,
    /// WB: cached; ordinary memory.
    WriteBack,
    /// Encoding 7, which is reserved here (UC- in the PAT).
    Reserved7,
}

impl MemoryType {
    /// Whether the encoding is reserved, so that an entry with it is misconfigured.
    pub const fn is_reserved(self) -> bool {
        matches!(self, Self::Reserved2 | Self::Reserved3 | Self::Reserved7)
    }
}

impl From<Bounded<u64, 3>> for MemoryType {
    fn from(encoding: Bounded<u64, 3>) -> Self {
        match encoding.get() {
            0 => Self::Uncacheable,
            1 => Self::WriteCombining,
            2 => Self::Reserved2,
            3 => Self::Reserved3,
            4 => Self::WriteThrough,
            5 => Self::WriteProtected,
            6 => Self::WriteBack,
            _ => Self::Reserved7,
        }
    }
}

impl From<MemoryType> for Bounded<u64, 3> {
    fn from(memory_type: MemoryType) -> Self {
        match memory_type {
            MemoryType::Uncacheable => Self::new::<0>(),
            MemoryType::WriteCombining => Self::new::<1>(),
            MemoryType::Reserved2 => Self::new::<2>(),
            MemoryType::Reserved3 => Self::new::<3>(),
            MemoryType::WriteThrough => Self::new::<4>(),
            MemoryType::WriteProtected => Self::new::<5>(),
            MemoryType::WriteBack => Self::new::<6>(),
            MemoryType::Reserved7 => Self::new::<7>(),
        }
    }
}

kernel::bitfield! {
    /// An entry of an EPT table of any level (SDM volume 3, tables 30-1 to 30-7).
    pub struct EptEntry(u64) {
        /// The guest may read.
        0:0 read;
        /// The guest may write.
        1:1 write;
        /// The guest may fetch instructions.
        2:2 execute;
        /// Leaf: how the memory is cached.
        5:3 memory_type => MemoryType;
        /// Leaf: the guest's PAT does not weigh in.
        6:6 ignore_pat;
        /// Above the lowest level: the entry is a leaf.
        7:7 large;
        /// The processor used the entry (with [`AccessedDirty::Tracked`]).
        8:8 accessed;
        /// Leaf: the processor wrote through it (with [`AccessedDirty::Tracked`]).
        9:9 dirty;
        /// The host frame of the page or table.
        51:12 frame;
    }
}

/// What makes the processor refuse an entry (SDM volume 3, 30.3.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misconfiguration {
    /// Writes are allowed, reads are not.
    WriteOnly,
    /// Fetches are allowed, reads are not, and the processor cannot do that.
    ExecuteOnly,
    /// A reserved bit is set.
    ReservedBit,
    /// The memory type is a reserved encoding.
    MemoryType,
}

/// Whether the processor can map memory for fetches alone (IA32_VMX_EPT_VPID_CAP bit 0).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExecuteOnly {
    /// It cannot: such an entry is misconfigured.
    Unsupported,
    /// It can.
    Supported,
}

impl EptEntry {
    /// The bits of [`Access`], which lie alike.
    const ACCESS_MASK: u64 = Self::READ_MASK | Self::WRITE_MASK | Self::EXECUTE_MASK;
    /// Bits 6:3, reserved in an entry that points to a table.
    const LEAF_BITS_MASK: u64 = Self::MEMORY_TYPE_MASK | Self::IGNORE_PAT_MASK;

    /// What the entry lets the guest do.
    pub const fn access(self) -> Access {
        Access::from_raw((self.into_raw() & Self::ACCESS_MASK) as u8)
    }

    /// Whether the processor takes the entry for a leaf, in a table of `level`.
    pub fn is_leaf(self, level: Level) -> bool {
        level == Level::Pte || self.large().into_bool()
    }

    /// Why a processor with `maxphyaddr` physical address bits refuses the entry, found in a table
    /// of `level`; `None` if it does not.
    pub fn misconfiguration(
        self,
        level: Level,
        maxphyaddr: u32,
        execute_only: ExecuteOnly,
    ) -> Option<Misconfiguration> {
        let access = self.access();
        if access == Access::NONE {
            return None;
        }
        if !access.contains(Access::READ) {
            if access.contains(Access::WRITE) {
                return Some(Misconfiguration::WriteOnly);
            }
            if execute_only == ExecuteOnly::Unsupported {
                return Some(Misconfiguration::ExecuteOnly);
            }
        }

        let beyond_maxphyaddr =
            Self::FRAME_MASK & !1u64.checked_shl(maxphyaddr).map_or(0, |b| b - 1);
        let by_shape = match (self.is_leaf(level), level > Level::Pud) {
            (true, true) => Self::LARGE_MASK,
            (true, false) => (level.pages() - 1) << PAGE_SHIFT,
            (false, _) => Self::LEAF_BITS_MASK,
        };
        if self.into_raw() & (beyond_maxphyaddr | by_shape) != 0 {
            return Some(Misconfiguration::ReservedBit);
        }
        if self.is_leaf(level) && self.memory_type().is_reserved() {
            return Some(Misconfiguration::MemoryType);
        }
        None
    }
}

impl EntryFormat for EptEntry {
    type MemoryType = MemoryType;

    const ROOT: Level = Level::P4d;
    const MAX_LEAF: Level = Level::Pud;
    const FRAME_LIMIT: Pfn = Pfn::new(1 << 40);

    fn from_raw(raw: u64) -> Self {
        Self::from(raw)
    }

    fn into_raw(self) -> u64 {
        self.into()
    }

    fn table(table: Hpa) -> Self {
        Self::from(table.raw() & Self::FRAME_MASK | Self::ACCESS_MASK)
    }

    /// Reading is always granted: the processor refuses to map memory for writes alone, and only
    /// some can for fetches alone. RAM is cached whatever the guest's PAT says: the host maps it so
    /// too, and flushes of caches by the guest do nothing. Marks are set ahead, which spares the
    /// processor the locked write that setting them takes.
    fn leaf(leaf: Leaf<MemoryType>, level: Level) -> Self {
        let access = leaf.access.union(Access::READ);
        Self::from(leaf.frame.base().raw() & Self::FRAME_MASK | u64::from(access.into_raw()))
            .with_memory_type(leaf.memory_type)
            .with_ignore_pat(leaf.memory_type == MemoryType::WriteBack)
            .with_large(level != Level::Pte)
            .with_const_accessed::<1>()
            .with_dirty(access.write().into_bool())
    }

    fn classify(self, level: Level) -> Entry<MemoryType> {
        if self.access() == Access::NONE {
            return Entry::Empty;
        }
        let frame = Pfn::new(self.frame().get());
        if !self.is_leaf(level) {
            return Entry::Table(frame.base());
        }
        Entry::Leaf(Leaf {
            frame,
            access: self.access(),
            memory_type: self.memory_type(),
        })
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

kernel::bitfield! {
    /// The EPT pointer, a VMCS field (SDM volume 3, table 26-9).
    pub struct Eptp(u64) {
        /// How the processor caches the tables themselves.
        2:0 memory_type => MemoryType;
        /// The number of levels, less one.
        5:3 walk_length;
        /// Whether the processor marks entries accessed and dirty.
        6:6 accessed_dirty => AccessedDirty;
        /// The frame of the root table.
        51:12 root;
    }
}

/// Whether the processor marks entries accessed and dirty (IA32_VMX_EPT_VPID_CAP bit 21).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessedDirty {
    /// It does not.
    Untracked,
    /// It does.
    Tracked,
}

impl From<Bounded<u64, 1>> for AccessedDirty {
    fn from(bit: Bounded<u64, 1>) -> Self {
        if bit.into_bool() {
            Self::Tracked
        } else {
            Self::Untracked
        }
    }
}

impl From<AccessedDirty> for Bounded<u64, 1> {
    fn from(accessed_dirty: AccessedDirty) -> Self {
        (accessed_dirty == AccessedDirty::Tracked).into()
    }
}

impl Eptp {
    /// Points at four-level tables under `root`, in write-back memory.
    pub fn new(root: Hpa, accessed_dirty: AccessedDirty) -> Self {
        /// The levels below the root, which is also the encoding of the walk's length.
        const WALK_LENGTH: u64 = EptEntry::ROOT.index() as u64;

        Self::from(root.raw() & Self::ROOT_MASK)
            .with_memory_type(MemoryType::WriteBack)
            .with_const_walk_length::<WALK_LENGTH>()
            .with_accessed_dirty(accessed_dirty)
    }
}

kernel::bitfield! {
    /// The exit qualification of an EPT violation (SDM volume 3, table 29-7).
    pub struct EptViolation(u64) {
        /// It was a data read.
        0:0 read;
        /// It was a data write. With [`AccessedDirty::Tracked`], access to the guest's own page
        /// tables counts as both a read and a write.
        1:1 write;
        /// It was an instruction fetch.
        2:2 fetch;
        /// All entries on the way allow reads.
        3:3 readable;
        /// All entries on the way allow writes.
        4:4 writable;
        /// All entries on the way allow fetches.
        5:5 executable;
        /// The guest linear address field is valid.
        7:7 linear_valid;
        /// If so: the access was to that linear address itself, not to a guest page table on
        /// the way.
        8:8 final_access;
        /// NMIs were unblocked by the IRET that faulted.
        12:12 nmi_unblocked_by_iret;
        /// The access was not made by an instruction (trace, PEBS or posted-interrupt writes).
        16:16 asynchronous;
    }
}

impl EptViolation {
    /// What the guest wanted to do.
    pub const fn wanted(self) -> Access {
        Access::from_raw((self.into_raw() & EptEntry::ACCESS_MASK) as u8)
    }

    /// What the tables allowed. Nothing: the address was not mapped.
    pub const fn granted(self) -> Access {
        Access::from_raw(((self.into_raw() >> Self::READABLE_SHIFT) & EptEntry::ACCESS_MASK) as u8)
    }
}
