// SPDX-License-Identifier: GPL-2.0

//! The page-table engine: maps guest frames to host frames in tables that hardware walks.
//!
//! One engine serves every [`EntryFormat`]. It changes entries and never touches memory or
//! processors itself: tables lie in a [`TableMemory`], new ones come from a [`PageSource`], and
//! flushing cached translations is the caller's.
//!
//! # Concurrency
//!
//! The caller serialises all use of a table (the MMU lock). Hardware walks it at any time without
//! that lock, and marks entries accessed, so:
//! - an entry changes by one atomic operation, never through an intermediate value;
//! - a new table is zeroed, and is linked by a store that releases those zeroes;
//! - an entry that maps something changes to other memory or to another shape (table or leaf) only
//!   by becoming empty, then being flushed, then filled. arm64 demands that order (DDI 0487,
//!   "break-before-make"), and on x86 it rules out two sizes of translation for one address.
//!
//! # Removed tables
//!
//! A processor may hold the address of an unlinked table until it is flushed. Unlinked tables
//! therefore come back as a [`Removed`], which gives up its pages only after the flush. While they
//! wait they are chained through their own first entries, in a form that hardware reads as empty:
//! removal allocates nothing, unlinks a whole subtree by one store, and takes the subtree apart
//! later, outside the lock.

use core::marker::PhantomData;
use core::ops::Range;
use core::sync::atomic::AtomicU64;

use kernel::prelude::*;

use crate::mmu::cursor::Cursor;
use crate::mmu::entry::{Entry, EntryFormat, Leaf, Level, RootShape, ENTRIES, INDEX_BITS};
use crate::mmu::removed::{Flush, Removed};
use crate::types::{Gfn, Hpa, Pfn, PAGE_SHIFT};

/// The address of a table that this engine made or found in an entry that it wrote.
///
/// Only the engine creates these, from pages of the same [`TableMemory`], and none of them
/// outlives the table. A `TableMemory` may rely on that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableAddress(Hpa);

impl TableAddress {
    /// Names a table; only for addresses that came from [`TableMemory::into_table`].
    pub(in crate::mmu) const fn new(address: Hpa) -> Self {
        Self(address)
    }

    /// The physical address, page-aligned.
    pub const fn hpa(self) -> Hpa {
        self.0
    }
}

/// Where hardware begins to walk: a table, or several that lie one after the other in memory and count as one, which
/// arm64 allows ("concatenated translation tables").
#[derive(Clone, Copy, Debug)]
pub struct Root {
    first: TableAddress,
    shape: RootShape,
}

impl Root {
    /// The level of the root's entries.
    pub(in crate::mmu) fn level(&self) -> Level {
        self.shape.level
    }

    /// The table that `gfn`, which is in reach, goes through.
    pub(in crate::mmu) fn table(&self, gfn: Gfn) -> TableAddress {
        let number = gfn.raw() >> (self.shape.level.shift() + INDEX_BITS);
        self.at(number.min(self.shape.tables as u64 - 1))
    }

    fn at(&self, number: u64) -> TableAddress {
        TableAddress(Hpa::new(self.first.0.raw() + (number << PAGE_SHIFT)))
    }
}

/// The memory that tables lie in; the only thing here that touches memory.
///
/// It is a handle that is copied freely: in the module a unit type over the kernel's direct map.
pub trait TableMemory: Copy {
    /// An owned page of 4 KiB. Dropping it frees it.
    type Page;

    /// Makes a table of `page`, whose bytes are all zero, and returns its address.
    #[allow(
        clippy::wrong_self_convention,
        reason = "it is the page that is consumed"
    )]
    fn into_table(&self, page: Self::Page) -> Hpa;
    /// The entries of `table`.
    fn entries(&self, table: TableAddress) -> &[AtomicU64; ENTRIES];
    /// Takes back the page of a `table` that nothing uses any more. Its contents are arbitrary.
    fn reclaim(&self, table: TableAddress) -> Self::Page;
}

/// A stock of zeroed pages for new tables, filled before the MMU lock is taken.
pub trait PageSource<P> {
    /// Takes a page, or `None` when the stock is used up.
    fn pop(&mut self) -> Option<P>;
}

/// Why nothing was mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// The stock of pages is used up: fill it outside the lock and try again. Tables that were
    /// linked so far stay, so every attempt gets further.
    NoPages,
    /// The frame, or the host's, lies beyond what the tables can address, or the page is not aligned to its size,
    /// or the format has no leaves of that level, or no access is granted.
    Invalid,
}

impl From<MapError> for Error {
    fn from(error: MapError) -> Self {
        match error {
            MapError::NoPages => ENOMEM,
            MapError::Invalid => EINVAL,
        }
    }
}

/// What [`PageTable::map`] did.
#[must_use]
pub enum Mapped<F: EntryFormat, M: TableMemory> {
    /// The page is mapped; nothing was before. No flush is needed.
    New,
    /// The same page was mapped with fewer rights and has more now. Whether a stale translation
    /// with fewer rights must be flushed is the architecture's business: on x86 the fault itself
    /// invalidated it (SDM volume 3, 30.4.3.1), on arm64 it must be.
    Upgraded,
    /// The page was mapped with these rights already, perhaps by a larger leaf: another processor
    /// was faster, or a stale translation faulted, or the leaf was not marked accessed, and now is.
    Spurious,
    /// Something else was mapped there and has been removed: flush, before anyone maps again.
    Conflict(Removed<F, M>),
}

/// The tables of one guest address space.
///
/// Dropping it frees all pages at once: no processor may use the table any more, nor hold cached
/// translations from it.
pub struct PageTable<F: EntryFormat, M: TableMemory> {
    memory: M,
    root: Root,
    format: PhantomData<F>,
}

impl<F: EntryFormat, M: TableMemory> PageTable<F, M> {
    /// The most pages that one call of [`Self::map`] takes from its [`PageSource`].
    pub const PAGES_PER_MAP: usize = F::ROOT.index();

    /// An empty table with a root of that shape. `pages` are zeroed, as many as the shape says, one after the other
    /// in memory. `None` without one.
    pub fn new(
        memory: M,
        shape: RootShape,
        pages: impl IntoIterator<Item = M::Page>,
    ) -> Option<Self> {
        let mut tables = pages.into_iter().map(|page| memory.into_table(page));
        let first = TableAddress(tables.next()?);
        tables.for_each(|_| ());
        Some(Self {
            memory,
            root: Root { first, shape },
            format: PhantomData,
        })
    }

    /// The physical address of the root.
    pub fn root(&self) -> Hpa {
        self.root.first.hpa()
    }

    /// The first frame that is beyond the reach of the tables.
    pub fn limit(&self) -> Gfn {
        self.root.shape.limit()
    }

    /// Maps the page of `level` at `gfn` as `leaf` says.
    ///
    /// # Errors
    ///
    /// See [`MapError`].
    pub fn map(
        &mut self,
        gfn: Gfn,
        level: Level,
        leaf: Leaf<F::MemoryType>,
        pages: &mut impl PageSource<M::Page>,
    ) -> Result<Mapped<F, M>, MapError> {
        let unaligned = (gfn.raw() | leaf.frame.raw()) & (level.pages() - 1);
        let nothing = leaf.access.into_raw() == 0;
        if gfn >= self.limit()
            || unaligned != 0
            || nothing
            || leaf.frame >= F::FRAME_LIMIT
            || level > F::MAX_LEAF.min(self.root.level())
        {
            return Err(MapError::Invalid);
        }

        let mut cursor = Cursor::<F, M>::new(&self.memory, self.root, gfn);
        while cursor.level() > level {
            match cursor.load() {
                Entry::Empty => {
                    let page = pages.pop().ok_or(MapError::NoPages)?;
                    let table = TableAddress(self.memory.into_table(page));
                    cursor.store(F::table(table.hpa()));
                    cursor.descend(table);
                }
                Entry::Table(table) => cursor.descend(TableAddress(table)),
                Entry::Leaf(larger) => {
                    let piece = leaf_at(larger, cursor.level(), gfn);
                    return Ok(if same_memory(piece, leaf) && grants(piece, leaf) {
                        cursor.update(F::with_accessed);
                        Mapped::Spurious
                    } else {
                        Mapped::Conflict(self.removed_at(&cursor))
                    });
                }
            }
        }

        match cursor.load() {
            Entry::Empty => {
                cursor.store(F::leaf(leaf, level));
                Ok(Mapped::New)
            }
            Entry::Leaf(old) if same_memory(old, leaf) && grants(old, leaf) => {
                cursor.update(F::with_accessed);
                Ok(Mapped::Spurious)
            }
            // What it granted before it goes on to grant: an instruction that needs two rights of its page, of
            // which each fault asks for one, would never be done otherwise.
            Entry::Leaf(old) if same_memory(old, leaf) => {
                let access = old.access.union(leaf.access);
                cursor.store(F::leaf(Leaf { access, ..leaf }, level));
                Ok(Mapped::Upgraded)
            }
            Entry::Leaf(_) | Entry::Table(_) => Ok(Mapped::Conflict(self.removed_at(&cursor))),
        }
    }

    /// The largest level, up to `level`, of a leaf for `gfn` that takes no table's place.
    pub fn room(&self, gfn: Gfn, level: Level) -> Level {
        if gfn >= self.limit() {
            return level;
        }
        let mut cursor = Cursor::<F, M>::new(&self.memory, self.root, gfn);
        while let Entry::Table(table) = cursor.load() {
            cursor.descend(TableAddress(table));
        }
        level.min(cursor.level())
    }

    /// The leaf that maps `gfn`, and its level. `None` where nothing is mapped.
    ///
    /// The leaf's frame is that of the leaf's first page; see [`leaf_at`].
    #[allow(dead_code, reason = "asked by the host tests")]
    pub fn lookup(&self, gfn: Gfn) -> Option<(Level, Leaf<F::MemoryType>)> {
        if gfn >= self.limit() {
            return None;
        }
        let mut cursor = Cursor::<F, M>::new(&self.memory, self.root, gfn);
        loop {
            match cursor.load() {
                Entry::Empty => return None,
                Entry::Leaf(leaf) => return Some((cursor.level(), leaf)),
                Entry::Table(table) => cursor.descend(TableAddress(table)),
            }
        }
    }

    /// Removes everything that maps a frame of `gfns`.
    ///
    /// A leaf that lies only partly in the range goes as a whole: what is lost beyond the range is
    /// mapped again by the next fault. Tables that lie wholly in the range go too.
    pub fn zap(&mut self, gfns: Range<Gfn>) -> Removed<F, M> {
        let mut removed = Removed::new(self.memory);
        self.walk(gfns, |cursor, covered| match cursor.load() {
            Entry::Empty => Step::Next,
            Entry::Table(table) if !covered => Step::Descend(TableAddress(table)),
            Entry::Table(_) | Entry::Leaf(_) => {
                removed.take(cursor);
                Step::Next
            }
        });
        removed
    }

    /// Takes away the right to write from everything that maps a frame of `gfns`.
    ///
    /// A leaf that lies only partly in the range loses it as a whole.
    pub fn write_protect(&mut self, gfns: Range<Gfn>) -> Flush {
        let mut flush = Flush::NotNeeded;
        self.each_leaf(gfns, |cursor| {
            if cursor.update(F::write_protected) {
                flush = Flush::Needed;
            }
            Step::Next
        });
        flush
    }

    /// Whether a page that maps a frame of `gfns` was accessed since this was last asked.
    ///
    /// The marks are cleared without a flush, so a page whose translation stays cached may look
    /// idle for a while; that costs an occasional wrong guess of what to reclaim and saves a flush
    /// on every scan. For hardware that does not mark entries, zap the range instead: what was
    /// removed had been accessed.
    pub fn age(&mut self, gfns: Range<Gfn>) -> bool {
        let mut young = false;
        self.each_leaf(gfns, |cursor| {
            if cursor.raw().is_accessed() && cursor.update(F::without_accessed) {
                young = true;
            }
            Step::Next
        });
        young
    }

    /// Whether a page that maps a frame of `gfns` was accessed since [`Self::age`] last asked.
    pub fn is_young(&self, gfns: Range<Gfn>) -> bool {
        let mut young = false;
        self.each_leaf(gfns, |cursor| {
            if cursor.raw().is_accessed() {
                young = true;
                return Step::Stop;
            }
            Step::Next
        });
        young
    }

    /// Calls `visit` with the host frames, a first one and how many, of what maps `gfns`: of a larger leaf those in the
    /// range alone.
    #[allow(dead_code, reason = "only arm64 has caches to maintain")]
    pub fn each_run(&self, gfns: Range<Gfn>, mut visit: impl FnMut(Pfn, u64)) {
        self.each_leaf(gfns.clone(), |cursor| {
            if let Entry::Leaf(leaf) = cursor.load() {
                let span = cursor.span();
                let (start, end) = (span.start.max(gfns.start), span.end.min(gfns.end));
                let pages = end.raw().saturating_sub(start.raw());
                visit(leaf_at(leaf, cursor.level(), start).frame, pages);
            }
            Step::Next
        });
    }

    /// Removes what the entry under `cursor` holds.
    fn removed_at(&self, cursor: &Cursor<'_, F, M>) -> Removed<F, M> {
        let mut removed = Removed::new(self.memory);
        removed.take(cursor);
        removed
    }

    /// Visits every leaf that maps a frame of `gfns`.
    fn each_leaf(&self, gfns: Range<Gfn>, mut visit: impl FnMut(&Cursor<'_, F, M>) -> Step) {
        self.walk(gfns, |cursor, _| match cursor.load() {
            Entry::Empty => Step::Next,
            Entry::Table(table) => Step::Descend(TableAddress(table)),
            Entry::Leaf(_) => visit(cursor),
        });
    }

    /// Visits the entries whose spans meet `gfns`, in order, from the root down as far as `visit`
    /// descends. `visit` is also told whether the entry's span lies wholly in the range.
    fn walk(&self, gfns: Range<Gfn>, mut visit: impl FnMut(&Cursor<'_, F, M>, bool) -> Step) {
        let end = gfns.end.min(self.limit());
        if gfns.start >= end {
            return;
        }
        let mut cursor = Cursor::<F, M>::new(&self.memory, self.root, gfns.start);
        loop {
            let span = cursor.span();
            let covered = gfns.start <= span.start && span.end <= end;
            match visit(&cursor, covered) {
                Step::Descend(table) => cursor.descend(table),
                Step::Next if span.end < end => cursor.advance(),
                Step::Next | Step::Stop => return,
            }
        }
    }
}

impl<F: EntryFormat, M: TableMemory> Drop for PageTable<F, M> {
    fn drop(&mut self) {
        let mut removed = Removed::<F, M>::new(self.memory);
        for number in 0..self.root.shape.tables as u64 {
            removed.push(self.root.at(number), self.root.level());
        }
        drop(removed.into_pages());
    }
}

/// What to do after visiting an entry.
enum Step {
    /// Go on with the table that the entry points to.
    Descend(TableAddress),
    /// Go on with the entry that follows.
    Next,
    /// End the walk.
    Stop,
}

/// The part of `leaf`, a leaf of `level`, that maps `gfn`: its frame is that of `gfn` itself.
pub fn leaf_at<T>(leaf: Leaf<T>, level: Level, gfn: Gfn) -> Leaf<T> {
    let offset = gfn.raw() & (level.pages() - 1);
    Leaf {
        frame: Pfn::new(leaf.frame.raw() | offset),
        ..leaf
    }
}

/// Whether both map the same memory in the same way, rights aside.
fn same_memory<T: PartialEq>(a: Leaf<T>, b: Leaf<T>) -> bool {
    a.frame == b.frame && a.memory_type == b.memory_type
}

/// Whether `leaf` grants all that `wanted` does.
fn grants<T>(leaf: Leaf<T>, wanted: Leaf<T>) -> bool {
    leaf.access.contains(wanted.access)
}
