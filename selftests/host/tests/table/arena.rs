// SPDX-License-Identifier: GPL-2.0

//! Memory for tables that notices every misuse of a page, and a walker of its own.

use rkvm_host::mmu::entry::{Access, EntryFormat as _, Leaf, Level, RootShape, ENTRIES};
use rkvm_host::mmu::removed::Flush;
use rkvm_host::mmu::table::{MapError, Mapped, PageSource, PageTable, TableAddress, TableMemory};
use rkvm_host::types::{Gfn, Hpa, Pfn, PAGE_SHIFT};
use rkvm_host::vmx::ept::{EptEntry, MemoryType};
use std::cell::RefCell;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where the arena pretends to lie in physical memory.
pub const ARENA_FRAME: u64 = 0x12_3456;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum State {
    Free,
    Owned,
    Table,
}

/// Memory for tables that notices every misuse of a page.
pub struct Arena {
    pub words: Vec<[AtomicU64; ENTRIES]>,
    states: RefCell<Vec<State>>,
}

impl Arena {
    pub fn new(pages: usize) -> Self {
        let zeroed = || std::array::from_fn(|_| AtomicU64::new(0));
        Self {
            words: (0..pages).map(|_| zeroed()).collect(),
            states: RefCell::new(vec![State::Free; pages]),
        }
    }

    pub fn change(&self, index: usize, from: State, to: State) {
        let mut states = self.states.borrow_mut();
        assert_eq!(states[index], from, "page {index} on its way to {to:?}");
        states[index] = to;
    }

    pub fn alloc(&self) -> Option<Page<'_>> {
        let index = self
            .states
            .borrow()
            .iter()
            .position(|s| *s == State::Free)?;
        self.change(index, State::Free, State::Owned);
        self.words[index]
            .iter()
            .for_each(|word| word.store(0, Ordering::Relaxed));
        Some(Page { arena: self, index })
    }

    pub fn in_use(&self) -> usize {
        self.states
            .borrow()
            .iter()
            .filter(|s| **s != State::Free)
            .count()
    }

    pub fn index(hpa: u64) -> usize {
        assert_eq!(hpa % 4096, 0, "{hpa:#x} is not page-aligned");
        usize::try_from((hpa >> PAGE_SHIFT) - ARENA_FRAME).unwrap()
    }

    /// The word at `hpa`, which must be in a live table.
    pub fn word(&self, hpa: u64) -> &AtomicU64 {
        let index = Self::index(hpa & !0xfff);
        assert_eq!(
            self.states.borrow()[index],
            State::Table,
            "a walk through page {index}"
        );
        &self.words[index][(hpa & 0xfff) as usize / 8]
    }

    /// Walks the tables as hardware does, by the letter of the SDM and not by the code under
    /// test. Returns where the word lies that maps `gpa`, its level (0 is 4 KiB), and the address.
    pub fn walk(&self, root: u64, gpa: u64) -> Option<(&AtomicU64, u32, u64)> {
        let mut table = root;
        for level in (0..4u32).rev() {
            let shift = 12 + 9 * level;
            let word = self.word(table + (gpa >> shift) % 512 * 8);
            let entry = word.load(Ordering::Relaxed);
            if entry & 7 == 0 {
                return None;
            }
            let base = entry & 0x000f_ffff_ffff_f000;
            if level == 0 || entry & (1 << 7) != 0 {
                let offset = gpa & ((1 << shift) - 1);
                assert_eq!(base & ((1 << shift) - 1), 0, "an unaligned leaf {entry:#x}");
                return Some((word, level, base | offset));
            }
            assert_eq!(entry & 0xf8, 0, "reserved bits in {entry:#x}");
            table = base;
        }
        unreachable!()
    }
}

pub struct Page<'a> {
    arena: &'a Arena,
    index: usize,
}

impl Drop for Page<'_> {
    fn drop(&mut self) {
        self.arena.change(self.index, State::Owned, State::Free);
    }
}

#[derive(Clone, Copy)]
pub struct Memory<'a>(pub &'a Arena);

impl<'a> TableMemory for Memory<'a> {
    type Page = Page<'a>;

    fn into_table(&self, page: Page<'a>) -> Hpa {
        self.0.change(page.index, State::Owned, State::Table);
        let hpa = Pfn::new(ARENA_FRAME + page.index as u64).base();
        std::mem::forget(page);
        hpa
    }

    fn entries(&self, table: TableAddress) -> &[AtomicU64; ENTRIES] {
        let index = Arena::index(table.hpa().raw());
        assert_eq!(self.0.states.borrow()[index], State::Table);
        &self.0.words[index]
    }

    fn reclaim(&self, table: TableAddress) -> Page<'a> {
        let index = Arena::index(table.hpa().raw());
        self.0.change(index, State::Table, State::Owned);
        Page {
            arena: self.0,
            index,
        }
    }
}

/// Gives out the arena's pages, up to a number of them.
pub struct Stock<'a>(pub &'a Arena, pub usize);

impl<'a> PageSource<Page<'a>> for Stock<'a> {
    fn pop(&mut self) -> Option<Page<'a>> {
        self.1 = self.1.checked_sub(1)?;
        self.0.alloc()
    }
}

pub const ONE_TABLE: RootShape = RootShape {
    level: EptEntry::ROOT,
    tables: 1,
};

pub type Table<'a> = PageTable<EptEntry, Memory<'a>>;

pub fn table(arena: &Arena) -> Table<'_> {
    PageTable::new(Memory(arena), ONE_TABLE, arena.alloc()).unwrap()
}

pub fn leaf(frame: u64, access: Access) -> Leaf<MemoryType> {
    Leaf {
        frame: Pfn::new(frame),
        access: access.union(Access::READ),
        memory_type: MemoryType::WriteBack,
    }
}

pub fn gfns(range: Range<u64>) -> Range<Gfn> {
    Gfn::new(range.start)..Gfn::new(range.end)
}

/// Maps and says what happened; what a conflict removed is flushed and freed.
pub fn map<'a>(
    arena: &'a Arena,
    table: &mut Table<'a>,
    gfn: u64,
    level: Level,
    leaf: Leaf<MemoryType>,
) -> Result<&'static str, MapError> {
    Ok(
        match table.map(
            Gfn::new(gfn),
            level,
            leaf,
            &mut Stock(arena, Table::PAGES_PER_MAP),
        )? {
            Mapped::New => "new",
            Mapped::Upgraded => "upgraded",
            Mapped::Spurious => "spurious",
            Mapped::Conflict(removed) => {
                assert_eq!(removed.flush(), Flush::Needed);
                drop(removed.after_flush(|| ()));
                "conflict"
            }
        },
    )
}
