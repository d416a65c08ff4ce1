// SPDX-License-Identifier: GPL-2.0

//! What was taken out of a page table, held until processors have forgotten it.

use core::marker::PhantomData;
use core::sync::atomic::Ordering;

use crate::mmu::cursor::Cursor;
use crate::mmu::entry::{Entry, EntryFormat, Level};
use crate::mmu::table::{TableAddress, TableMemory};
use crate::types::{Hpa, PAGE_OFFSET_MASK};

/// Where the level of a chained table lies in a link; the bits below must be 0, see
/// [`EntryFormat`].
const LINK_LEVEL_SHIFT: u32 = 3;

/// Whether processors may hold translations that the table no longer has.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    /// Nothing changed that a processor could have cached.
    NotNeeded,
    /// Cached translations must be flushed before the change counts as done.
    Needed,
}

/// Mappings and tables taken out of a [`PageTable`](crate::mmu::table::PageTable).
///
/// Processors may still use them until the flush, so the pages come out of [`Self::after_flush`]
/// only. To drop a `Removed` leaks its pages, which is the lesser evil.
#[must_use = "cached translations must be flushed and the removed tables freed"]
pub struct Removed<F: EntryFormat, M: TableMemory> {
    memory: M,
    flush: Flush,
    chain: Chain,
    format: PhantomData<F>,
}

impl<F: EntryFormat, M: TableMemory> Removed<F, M> {
    /// Nothing yet.
    pub(in crate::mmu) fn new(memory: M) -> Self {
        Self {
            memory,
            flush: Flush::NotNeeded,
            chain: None,
            format: PhantomData,
        }
    }

    /// Whether a flush is needed. If not, there are no pages either.
    #[allow(dead_code, reason = "asked by the host tests")]
    pub fn flush(&self) -> Flush {
        self.flush
    }

    /// Calls `flush`, which must flush the removed translations from every processor, if that is
    /// needed at all, and gives the pages out.
    pub fn after_flush(self, flush: impl FnOnce()) -> Pages<F, M> {
        if self.flush == Flush::Needed {
            flush();
        }
        self.into_pages()
    }

    /// Empties the entry under `cursor` and takes over what it held.
    pub(in crate::mmu) fn take(&mut self, cursor: &Cursor<'_, F, M>) {
        match cursor.take() {
            Entry::Empty => return,
            Entry::Leaf(_) => {}
            Entry::Table(table) => {
                if let Some(level) = cursor.level().below() {
                    self.push(TableAddress::new(table), level);
                }
            }
        }
        self.flush = Flush::Needed;
    }

    /// Takes over `table`, an unlinked table of `level`, with all tables under it.
    pub(in crate::mmu) fn push(&mut self, table: TableAddress, level: Level) {
        push::<F, M>(&self.memory, &mut self.chain, table, level);
    }

    /// Gives the pages out without a flush: no processor uses them any more.
    pub(in crate::mmu) fn into_pages(self) -> Pages<F, M> {
        Pages {
            memory: self.memory,
            chain: self.chain,
            format: PhantomData,
        }
    }
}

/// The pages of removed tables, which nothing uses any more: an iterator that takes the subtrees
/// apart as it goes. Dropping it frees what is left; the work is proportional to the number of
/// tables, and the caller who wants to reschedule in between iterates.
pub struct Pages<F: EntryFormat, M: TableMemory> {
    memory: M,
    chain: Chain,
    format: PhantomData<F>,
}

impl<F: EntryFormat, M: TableMemory> Iterator for Pages<F, M> {
    type Item = M::Page;

    fn next(&mut self) -> Option<M::Page> {
        let (table, level) = self.chain?;
        let entries = self.memory.entries(table);
        let mut links = entries.iter().map(|entry| entry.load(Ordering::Acquire));
        // The first entry is the link; the table that it once pointed to is in the chain already.
        self.chain = links.next().and_then(decode_link);
        if let Some(below) = level.below() {
            // Most entries are empty, and need no closer look.
            for link in links.filter(|link| *link != 0) {
                if let Entry::Table(child) = F::from_raw(link).classify(level) {
                    push::<F, M>(
                        &self.memory,
                        &mut self.chain,
                        TableAddress::new(child),
                        below,
                    );
                }
            }
        }
        Some(self.memory.reclaim(table))
    }
}

impl<F: EntryFormat, M: TableMemory> Drop for Pages<F, M> {
    fn drop(&mut self) {
        self.for_each(drop);
    }
}

/// The first table of a chain and its level. Each table's first entry is the link to the next.
type Chain = Option<(TableAddress, Level)>;

/// Puts `table`, a table of `level`, at the head of `chain`.
///
/// The link displaces the table's first entry, so a table that hung there is put into the chain as
/// well, and so on down: at most one per level.
fn push<F: EntryFormat, M: TableMemory>(
    memory: &M,
    chain: &mut Chain,
    table: TableAddress,
    level: Level,
) {
    let mut next = Some((table, level));
    while let Some((table, level)) = next {
        let [first, ..] = memory.entries(table);
        let displaced = first.swap(encode_link(*chain), Ordering::AcqRel);
        *chain = Some((table, level));
        next = match (F::from_raw(displaced).classify(level), level.below()) {
            (Entry::Table(child), Some(below)) => Some((TableAddress::new(child), below)),
            _ => None,
        };
    }
}

/// The link to a chain, in a form that hardware reads as an empty entry.
fn encode_link(chain: Chain) -> u64 {
    match chain {
        None => 0,
        Some((table, level)) => table.hpa().raw() | (level.index() as u64) << LINK_LEVEL_SHIFT,
    }
}

fn decode_link(link: u64) -> Chain {
    if link == 0 {
        return None;
    }
    let level = Level::from_index(((link & PAGE_OFFSET_MASK) >> LINK_LEVEL_SHIFT) as usize)?;
    Some((TableAddress::new(Hpa::new(link & !PAGE_OFFSET_MASK)), level))
}
