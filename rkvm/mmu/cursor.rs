// SPDX-License-Identifier: GPL-2.0

//! A place in a page table: the way to one entry, and steps from there.

use core::marker::PhantomData;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::mmu::entry::{Entry, EntryFormat, Level, MAX_LEVELS};
use crate::mmu::table::{Root, TableAddress, TableMemory};
use crate::types::Gfn;

/// Points at one entry of a table and remembers the tables above it.
///
/// It holds no locks: the user serialises access (see [`crate::mmu::table`]).
pub(in crate::mmu) struct Cursor<'a, F: EntryFormat, M: TableMemory> {
    memory: &'a M,
    root: Root,
    gfn: Gfn,
    level: Level,
    /// The table of each level that the cursor came through; those below `level` are stale.
    path: [TableAddress; MAX_LEVELS],
    entry: &'a AtomicU64,
    format: PhantomData<F>,
}

impl<'a, F: EntryFormat, M: TableMemory> Cursor<'a, F, M> {
    /// The entry of the root that `gfn` goes through.
    pub(in crate::mmu) fn new(memory: &'a M, root: Root, gfn: Gfn) -> Self {
        let table = root.table(gfn);
        Self {
            memory,
            root,
            gfn,
            level: root.level(),
            path: [table; MAX_LEVELS],
            entry: entry(memory, table, root.level(), gfn),
            format: PhantomData,
        }
    }

    /// The level of the table that the entry lies in.
    pub(in crate::mmu) fn level(&self) -> Level {
        self.level
    }

    /// The frames that the entry spans.
    pub(in crate::mmu) fn span(&self) -> Range<Gfn> {
        let start = self.level.align_down(self.gfn);
        // No wrap: the engine starts below its limit, which leaves room above.
        start..Gfn::new(start.raw().wrapping_add(self.level.pages()))
    }

    /// The entry as it stands.
    pub(in crate::mmu) fn raw(&self) -> F {
        F::from_raw(self.entry.load(Ordering::Acquire))
    }

    /// What the entry holds.
    pub(in crate::mmu) fn load(&self) -> Entry<F::MemoryType> {
        self.raw().classify(self.level)
    }

    /// Writes the entry; what was written to memory before is visible through it.
    pub(in crate::mmu) fn store(&self, entry: F) {
        self.entry.store(entry.into_raw(), Ordering::Release);
    }

    /// Empties the entry and returns what it held.
    pub(in crate::mmu) fn take(&self) -> Entry<F::MemoryType> {
        F::from_raw(self.entry.swap(0, Ordering::AcqRel)).classify(self.level)
    }

    /// Replaces the entry by `change` of it, keeping marks that hardware sets meanwhile. Returns
    /// whether that made a difference.
    ///
    /// Hardware only ever sets a mark or two, so the exchange is repeated at most as often.
    pub(in crate::mmu) fn update(&self, change: impl Fn(F) -> F) -> bool {
        self.entry
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |raw| {
                let new = change(F::from_raw(raw)).into_raw();
                (new != raw).then_some(new)
            })
            .is_ok()
    }

    /// Steps down into `table`, which the entry points to.
    pub(in crate::mmu) fn descend(&mut self, table: TableAddress) {
        if let Some(level) = self.level.below() {
            self.move_to(level, table);
        }
    }

    /// Steps to the first entry behind this one's span: in the same table, or, behind the last
    /// entry of a table, in the nearest one above that goes on, or in the next one of the root.
    ///
    /// The span must not be the last one of the whole table.
    pub(in crate::mmu) fn advance(&mut self) {
        self.gfn = self.span().end;
        let mut level = self.level;
        while let Some(above) = level.above() {
            if level >= self.root.level() || level.entry_index(self.gfn) != 0 {
                break;
            }
            level = above;
        }
        if level == self.root.level() {
            self.move_to(level, self.root.table(self.gfn));
        } else if let Some(&table) = self.path.get(level.index()) {
            self.move_to(level, table);
        }
    }

    fn move_to(&mut self, level: Level, table: TableAddress) {
        if let Some(slot) = self.path.get_mut(level.index()) {
            *slot = table;
        }
        self.level = level;
        self.entry = entry(self.memory, table, level, self.gfn);
    }
}

/// The entry of `table`, a table of `level`, that `gfn` goes through.
fn entry<M: TableMemory>(memory: &M, table: TableAddress, level: Level, gfn: Gfn) -> &AtomicU64 {
    let entries = memory.entries(table);
    &entries[level.entry_index(gfn)]
}
