// SPDX-License-Identifier: GPL-2.0

//! The page-table engine with the EPT format, against a model and against a walker of its own.

#![allow(clippy::reversed_empty_ranges, reason = "the kernel can ask for them")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;

use rkvm_host::mmu::entry::{Access, EntryFormat as _, Leaf, Level, RootShape, ENTRIES};
use rkvm_host::mmu::removed::Flush;
use rkvm_host::mmu::table::{
    leaf_at, MapError, Mapped, PageSource, PageTable, TableAddress, TableMemory,
};
use rkvm_host::types::{Gfn, Hpa, Pfn, PAGE_SHIFT};
use rkvm_host::vmx::ept::{EptEntry, MemoryType};

/// Where the arena pretends to lie in physical memory.
const ARENA_FRAME: u64 = 0x12_3456;

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Free,
    Owned,
    Table,
}

/// Memory for tables that notices every misuse of a page.
struct Arena {
    words: Vec<[AtomicU64; ENTRIES]>,
    states: RefCell<Vec<State>>,
}

impl Arena {
    fn new(pages: usize) -> Self {
        let zeroed = || std::array::from_fn(|_| AtomicU64::new(0));
        Self {
            words: (0..pages).map(|_| zeroed()).collect(),
            states: RefCell::new(vec![State::Free; pages]),
        }
    }

    fn change(&self, index: usize, from: State, to: State) {
        let mut states = self.states.borrow_mut();
        assert_eq!(states[index], from, "page {index} on its way to {to:?}");
        states[index] = to;
    }

    fn alloc(&self) -> Option<Page<'_>> {
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

    fn in_use(&self) -> usize {
        self.states
            .borrow()
            .iter()
            .filter(|s| **s != State::Free)
            .count()
    }

    fn index(hpa: u64) -> usize {
        assert_eq!(hpa % 4096, 0, "{hpa:#x} is not page-aligned");
        usize::try_from((hpa >> PAGE_SHIFT) - ARENA_FRAME).unwrap()
    }

    /// The word at `hpa`, which must be in a live table.
    fn word(&self, hpa: u64) -> &AtomicU64 {
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
    fn walk(&self, root: u64, gpa: u64) -> Option<(&AtomicU64, u32, u64)> {
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

struct Page<'a> {
    arena: &'a Arena,
    index: usize,
}

impl Drop for Page<'_> {
    fn drop(&mut self) {
        self.arena.change(self.index, State::Owned, State::Free);
    }
}

#[derive(Clone, Copy)]
struct Memory<'a>(&'a Arena);

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
struct Stock<'a>(&'a Arena, usize);

impl<'a> PageSource<Page<'a>> for Stock<'a> {
    fn pop(&mut self) -> Option<Page<'a>> {
        self.1 = self.1.checked_sub(1)?;
        self.0.alloc()
    }
}

const ONE_TABLE: RootShape = RootShape {
    level: EptEntry::ROOT,
    tables: 1,
};

type Table<'a> = PageTable<EptEntry, Memory<'a>>;

fn table(arena: &Arena) -> Table<'_> {
    PageTable::new(Memory(arena), ONE_TABLE, arena.alloc()).unwrap()
}

fn leaf(frame: u64, access: Access) -> Leaf<MemoryType> {
    Leaf {
        frame: Pfn::new(frame),
        access: access.union(Access::READ),
        memory_type: MemoryType::WriteBack,
    }
}

fn gfns(range: Range<u64>) -> Range<Gfn> {
    Gfn::new(range.start)..Gfn::new(range.end)
}

/// Maps and says what happened; what a conflict removed is flushed and freed.
fn map<'a>(
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

#[test]
fn each_level_is_indexed_by_its_own_bits() {
    // Once: an index used as a byte offset, and a parent's entry written at the child's index.
    let arena = Arena::new(8);
    let mut table = table(&arena);
    let indices = [3u64, 5, 7, 11];
    let gfn = indices.iter().fold(0, |gfn, index| gfn << 9 | index);
    assert_eq!(
        map(
            &arena,
            &mut table,
            gfn,
            Level::Pte,
            leaf(0x777, Access::ALL)
        ),
        Ok("new")
    );

    let mut at = table.root().raw();
    for (depth, index) in indices.iter().enumerate() {
        let words = &arena.words[Arena::index(at)];
        for (i, word) in words.iter().enumerate() {
            let set = word.load(Ordering::Relaxed) != 0;
            assert_eq!(set, i as u64 == *index, "depth {depth}, entry {i}");
        }
        at = words[*index as usize].load(Ordering::Relaxed) & !0xfff;
    }
    assert_eq!(at, 0x777 << 12);
    assert_eq!(arena.in_use(), 4);
}

#[test]
fn neighbours_have_frames_of_their_own() {
    // Once: every frame resolved to the first page of its slot.
    let arena = Arena::new(8);
    let mut table = table(&arena);
    for i in 0..ENTRIES as u64 {
        assert_eq!(
            map(
                &arena,
                &mut table,
                i,
                Level::Pte,
                leaf(0x9000 + i, Access::ALL)
            ),
            Ok("new")
        );
    }
    for i in 0..ENTRIES as u64 {
        let (_, level, hpa) = arena.walk(table.root().raw(), i << 12 | 0x123).unwrap();
        assert_eq!((level, hpa), (0, (0x9000 + i) << 12 | 0x123));
        assert_eq!(
            table.lookup(Gfn::new(i)),
            Some((Level::Pte, leaf(0x9000 + i, Access::ALL)))
        );
    }
}

#[test]
fn faults_on_what_is_mapped_are_told_apart() {
    let arena = Arena::new(16);
    let mut table = table(&arena);
    let read_only = leaf(0x40, Access::EXECUTE);
    let full = leaf(0x40, Access::ALL);
    assert_eq!(map(&arena, &mut table, 8, Level::Pte, read_only), Ok("new"));
    assert_eq!(
        map(&arena, &mut table, 8, Level::Pte, read_only),
        Ok("spurious")
    );
    assert_eq!(map(&arena, &mut table, 8, Level::Pte, full), Ok("upgraded"));
    assert_eq!(
        map(&arena, &mut table, 8, Level::Pte, read_only),
        Ok("spurious")
    );
    assert_eq!(table.lookup(Gfn::new(8)), Some((Level::Pte, full)));
    assert_eq!(
        map(&arena, &mut table, 8, Level::Pte, leaf(0x41, Access::ALL)),
        Ok("conflict")
    );
    assert_eq!(table.lookup(Gfn::new(8)), None);
    let uncached = Leaf {
        memory_type: MemoryType::Uncacheable,
        ..full
    };
    assert_eq!(map(&arena, &mut table, 8, Level::Pte, full), Ok("new"));
    assert_eq!(
        map(&arena, &mut table, 8, Level::Pte, uncached),
        Ok("conflict")
    );
}

#[test]
fn room_ends_where_a_table_is() {
    let arena = Arena::new(8);
    let mut table = table(&arena);
    let room = |table: &Table<'_>, gfn, level| table.room(Gfn::new(gfn), level);
    assert_eq!(room(&table, 0x201, Level::Pud), Level::Pud);

    let pte = leaf(0x1201, Access::ALL);
    let mapped = map(&arena, &mut table, 0x201, Level::Pte, pte);
    assert_eq!(mapped, Ok("new"));
    assert_eq!(room(&table, 0x201, Level::Pmd), Level::Pte);
    assert_eq!(room(&table, 0x3ff, Level::Pud), Level::Pte);
    assert_eq!(room(&table, 0x400, Level::Pud), Level::Pmd);
    assert_eq!(room(&table, 0x400, Level::Pte), Level::Pte);
    assert_eq!(room(&table, 0x4_0000, Level::Pud), Level::Pud);
    assert_eq!(room(&table, u64::MAX, Level::Pmd), Level::Pmd);
}

#[test]
fn a_large_leaf_takes_the_place_of_a_table_and_back() {
    let arena = Arena::new(16);
    let mut table = table(&arena);
    for gfn in [0x200, 0x201, 0x3ff] {
        let _ = map(
            &arena,
            &mut table,
            gfn,
            Level::Pte,
            leaf(0x5000 + gfn, Access::ALL),
        );
    }
    assert_eq!(arena.in_use(), 4);
    let large = leaf(0x8000, Access::ALL);
    assert_eq!(
        map(&arena, &mut table, 0x200, Level::Pmd, large),
        Ok("conflict")
    );
    assert_eq!(arena.in_use(), 3);
    assert_eq!(map(&arena, &mut table, 0x200, Level::Pmd, large), Ok("new"));

    // A small page inside of the same memory is there already; with other memory it is not.
    assert_eq!(
        map(
            &arena,
            &mut table,
            0x234,
            Level::Pte,
            leaf(0x8034, Access::READ)
        ),
        Ok("spurious")
    );
    let (level, whole) = table.lookup(Gfn::new(0x234)).unwrap();
    assert_eq!(
        leaf_at(whole, level, Gfn::new(0x234)),
        leaf(0x8034, Access::ALL)
    );
    assert_eq!(
        map(
            &arena,
            &mut table,
            0x234,
            Level::Pte,
            leaf(0x8035, Access::READ)
        ),
        Ok("conflict")
    );
    assert_eq!(table.lookup(Gfn::new(0x200)), None);
    assert_eq!(
        map(
            &arena,
            &mut table,
            0x234,
            Level::Pte,
            leaf(0x8035, Access::READ)
        ),
        Ok("new")
    );
}

/// A root of several tables is one long table: pages on both sides of a border, one walk and one zap over it, and
/// every page comes back.
#[test]
fn a_root_of_several_tables() {
    const SHAPE: RootShape = RootShape {
        level: Level::Pud,
        tables: 4,
    };
    const BORDER: u64 = Level::Pud.pages() * ENTRIES as u64;
    let arena = Arena::new(40);
    {
        let roots: Vec<_> = (0..SHAPE.tables).map(|_| arena.alloc().unwrap()).collect();
        let mut table = PageTable::new(Memory(&arena), SHAPE, roots).unwrap();
        assert_eq!(table.limit().raw(), 4 * BORDER);
        let places = [0, BORDER - 1, BORDER, 3 * BORDER - 1, 4 * BORDER - 1];
        for gfn in places {
            let leaf = leaf(gfn & 0xffff, Access::ALL);
            assert_eq!(map(&arena, &mut table, gfn, Level::Pte, leaf), Ok("new"));
            let (level, found) = table.lookup(Gfn::new(gfn)).unwrap();
            assert_eq!((level, found.frame), (Level::Pte, Pfn::new(gfn & 0xffff)));
        }
        let past = leaf(0, Access::ALL);
        let refused = map(&arena, &mut table, 4 * BORDER, Level::Pte, past);
        assert_eq!(refused, Err(MapError::Invalid));
        let removed = table.zap(gfns(BORDER - 1..3 * BORDER));
        drop(removed.after_flush(|| ()));
        let left: Vec<_> = places
            .into_iter()
            .filter(|gfn| table.lookup(Gfn::new(*gfn)).is_some())
            .collect();
        assert_eq!(left, [0, 4 * BORDER - 1]);
    }
    assert_eq!(arena.in_use(), 0);
}

#[test]
fn nonsense_is_refused() {
    let arena = Arena::new(4);
    let mut table = table(&arena);
    let limit = table.limit().raw();
    assert_eq!(limit, 1 << 36);
    let cases = [
        (limit, Level::Pte, leaf(0, Access::ALL)),
        (u64::MAX, Level::Pte, leaf(0, Access::ALL)),
        (0x201, Level::Pmd, leaf(0x200, Access::ALL)),
        (0x200, Level::Pmd, leaf(0x201, Access::ALL)),
        (0, Level::P4d, leaf(0, Access::ALL)),
        (0, Level::Pgd, leaf(0, Access::ALL)),
        (
            0,
            Level::Pte,
            Leaf {
                access: Access::NONE,
                ..leaf(0, Access::ALL)
            },
        ),
    ];
    for (gfn, level, leaf) in cases {
        assert_eq!(
            map(&arena, &mut table, gfn, level, leaf),
            Err(MapError::Invalid)
        );
    }
    assert_eq!(table.lookup(Gfn::new(limit)), None);
    assert_eq!(table.lookup(Gfn::new(u64::MAX)), None);
    for range in [limit..u64::MAX, u64::MAX..0, 5..5, 7..3, 0..u64::MAX] {
        assert_eq!(table.zap(gfns(range.clone())).flush(), Flush::NotNeeded);
        assert_eq!(table.write_protect(gfns(range.clone())), Flush::NotNeeded);
        assert!(!table.age(gfns(range)));
    }
    assert_eq!(arena.in_use(), 1);
}

#[test]
fn an_empty_stock_is_reported_and_the_next_attempt_goes_on() {
    let arena = Arena::new(8);
    let mut table = table(&arena);
    let mut attempt = || {
        let wanted = leaf(2, Access::ALL);
        let mapped = table.map(Gfn::new(1), Level::Pte, wanted, &mut Stock(&arena, 1))?;
        Ok(matches!(mapped, Mapped::New))
    };
    assert_eq!(attempt(), Err(MapError::NoPages));
    assert_eq!(attempt(), Err(MapError::NoPages));
    assert_eq!(attempt(), Ok(true));
}

#[test]
fn pages_come_back_only_after_the_flush() {
    let arena = Arena::new(32);
    let mut table = table(&arena);
    for gfn in [0, 1, 0x200, 0x4_0000, 0x4_0200, 0x800_0000] {
        assert_eq!(
            map(&arena, &mut table, gfn, Level::Pte, leaf(gfn, Access::ALL)),
            Ok("new")
        );
    }
    let before = arena.in_use();
    let root = table.root().raw();
    let stale = arena.word(root).load(Ordering::Relaxed) & !0xfff;
    let removed = table.zap(gfns(0..u64::MAX));
    // A processor that still holds the address of an unlinked table finds it empty or unchanged,
    // never anything else.
    assert_eq!(arena.in_use(), before);
    assert_eq!(arena.word(stale).load(Ordering::Relaxed) & 7, 0);
    let mut flushed = false;
    let pages = removed.after_flush(|| flushed = true);
    assert!(flushed);
    assert_eq!(pages.count(), before - 1);
    assert_eq!(arena.in_use(), 1);
    drop(table);
    assert_eq!(arena.in_use(), 0);
}

#[test]
fn half_taken_pages_are_freed_by_drop() {
    let arena = Arena::new(32);
    let mut table = table(&arena);
    for gfn in [0, 0x200, 0x400, 0x4_0000] {
        assert_eq!(
            map(&arena, &mut table, gfn, Level::Pte, leaf(gfn, Access::ALL)),
            Ok("new")
        );
    }
    let mut pages = table.zap(gfns(0..u64::MAX)).after_flush(|| ());
    assert!(pages.next().is_some());
    drop(pages);
    assert_eq!(arena.in_use(), 1);
}

/// What is mapped, by the first frame of each leaf.
#[derive(Default)]
struct Model(BTreeMap<u64, ModelLeaf>);

#[derive(Clone, Copy, Debug)]
struct ModelLeaf {
    level: Level,
    frame: u64,
    access: Access,
    young: bool,
}

impl Model {
    fn find(&self, gfn: u64) -> Option<(u64, ModelLeaf)> {
        let (&base, &leaf) = self.0.range(..=gfn).next_back()?;
        (gfn < base + leaf.level.pages()).then_some((base, leaf))
    }

    fn touching(&mut self, range: Range<u64>) -> impl Iterator<Item = &mut ModelLeaf> {
        self.0
            .iter_mut()
            .filter(move |(base, leaf)| {
                range.start < range.end
                    && **base < range.end
                    && range.start < **base + leaf.level.pages()
            })
            .map(|(_, leaf)| leaf)
    }

    fn zap(&mut self, range: Range<u64>) -> bool {
        let before = self.0.len();
        self.0.retain(|base, leaf| {
            range.start >= range.end
                || *base >= range.end
                || range.start >= *base + leaf.level.pages()
        });
        self.0.len() != before
    }

    /// The outcome to expect. A conflict may also come from a table that holds nothing any more,
    /// of which the model knows nothing.
    fn map(&mut self, gfn: u64, level: Level, frame: u64, access: Access) -> &'static str {
        let span = gfn..gfn + level.pages();
        match self.find(gfn) {
            Some((base, old)) if old.level >= level => {
                let same = old.frame + (gfn - base) == frame;
                if same && old.access.contains(access) {
                    // A fault may have come of a missing mark.
                    self.touching(base..base + 1)
                        .for_each(|leaf| leaf.young = true);
                    "spurious"
                } else if same && old.level == level && access.contains(old.access) {
                    self.insert(gfn, level, frame, access);
                    "upgraded"
                } else {
                    self.zap(base..base + 1);
                    "conflict"
                }
            }
            _ if self.zap(span) => "conflict",
            _ => {
                self.insert(gfn, level, frame, access);
                "new"
            }
        }
    }

    fn insert(&mut self, gfn: u64, level: Level, frame: u64, access: Access) {
        let young = true;
        self.0.insert(
            gfn,
            ModelLeaf {
                level,
                frame,
                access,
                young,
            },
        );
    }
}

#[derive(Clone, Debug)]
enum Op {
    Map(u64, Level, u64, Access),
    Zap(Range<u64>),
    Protect(Range<u64>),
    Age(Range<u64>),
    Touch(u64),
}

/// Frames around the boundaries of each level's tables.
fn frame() -> impl Strategy<Value = u64> {
    let base = prop::sample::select(vec![
        0u64,
        0x200,
        0x3_fe00,
        0x4_0000,
        0x7ff_fe00,
        0xf_ffff_fe00,
    ]);
    (base, 0u64..0x400).prop_map(|(base, offset)| (base + offset).min((1 << 36) - 1))
}

fn range() -> impl Strategy<Value = Range<u64>> {
    prop_oneof![
        4 => frame().prop_map(|gfn| gfn..gfn + 1),
        4 => (frame(), frame()).prop_map(|(a, b)| a.min(b)..a.max(b)),
        1 => frame().prop_map(|gfn| gfn..u64::MAX),
        1 => (any::<u64>(), any::<u64>()).prop_map(|(a, b)| a..b),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let level = prop::sample::select(vec![Level::Pte, Level::Pte, Level::Pmd, Level::Pud]);
    let access = prop::sample::select(vec![
        Access::READ,
        Access::READ.union(Access::WRITE),
        Access::READ.union(Access::EXECUTE),
        Access::ALL,
    ]);
    prop_oneof![
        // Frames follow the guest's mostly, so that the same page is mapped again.
        8 => (frame(), level, 0u64..8, access).prop_map(|(gfn, level, other, access)| {
            let gfn = level.align_down(Gfn::new(gfn)).raw();
            let frame = gfn + if other == 0 { level.pages() } else { 0 };
            Op::Map(gfn, level, frame, access)
        }),
        2 => range().prop_map(Op::Zap),
        1 => range().prop_map(Op::Protect),
        1 => range().prop_map(Op::Age),
        2 => frame().prop_map(Op::Touch),
    ]
}

/// The table and the model map the same, as hardware sees it and as `lookup` does.
fn check(arena: &Arena, table: &Table<'_>, model: &Model, gfn: u64) {
    let walked = arena.walk(table.root().raw(), gfn << 12);
    let looked_up = table.lookup(Gfn::new(gfn));
    let Some((base, leaf)) = model.find(gfn) else {
        assert!(
            walked.is_none() && looked_up.is_none(),
            "{gfn:#x} should not be mapped"
        );
        return;
    };
    let (word, level, hpa) = walked.unwrap_or_else(|| panic!("{gfn:#x} should be mapped"));
    let entry = word.load(Ordering::Relaxed);
    assert_eq!(hpa >> 12, leaf.frame + (gfn - base));
    assert_eq!(level as usize, leaf.level.index());
    assert_eq!((entry & 7) as u8, leaf.access.into_raw());
    assert_eq!(entry >> 8 & 1 != 0, leaf.young);
    assert_eq!(entry >> 3 & 7, 6);
    let expected = Leaf {
        frame: Pfn::new(leaf.frame),
        access: leaf.access,
        memory_type: MemoryType::WriteBack,
    };
    assert_eq!(looked_up, Some((leaf.level, expected)));
}

fn run(ops: &[Op]) {
    let arena = Arena::new(256);
    let mut table = table(&arena);
    let mut model = Model::default();
    for op in ops {
        match op.clone() {
            Op::Map(gfn, level, frame, access) => {
                let wanted = leaf(frame, access);
                let mut outcome = map(&arena, &mut table, gfn, level, wanted).unwrap();
                let mut expected = model.map(gfn, level, frame, access);
                if outcome == "conflict" && expected == "new" {
                    assert!(level > Level::Pte, "nothing was there to conflict with");
                    outcome = map(&arena, &mut table, gfn, level, wanted).unwrap();
                }
                assert_eq!(outcome, expected);
                if outcome == "conflict" {
                    outcome = map(&arena, &mut table, gfn, level, wanted).unwrap();
                    expected = model.map(gfn, level, frame, access);
                    assert_eq!((outcome, expected), ("new", "new"));
                }
                check(&arena, &table, &model, gfn);
                check(&arena, &table, &model, gfn + level.pages() - 1);
            }
            Op::Zap(range) => {
                let removed = table.zap(gfns(range.clone()));
                if model.zap(range) {
                    assert_eq!(removed.flush(), Flush::Needed);
                }
                drop(removed.after_flush(|| ()));
            }
            Op::Protect(range) => {
                let flush = table.write_protect(gfns(range.clone()));
                let mut changed = Flush::NotNeeded;
                for leaf in model.touching(range) {
                    if leaf.access.contains(Access::WRITE) {
                        changed = Flush::Needed;
                    }
                    leaf.access = leaf.access.without(Access::WRITE);
                }
                assert_eq!(flush, changed);
            }
            Op::Age(range) => {
                let young = model.touching(range.clone()).any(|leaf| leaf.young);
                assert_eq!(table.is_young(gfns(range.clone())), young);
                assert_eq!(table.age(gfns(range.clone())), young);
                assert!(!table.is_young(gfns(range.clone())));
                model.touching(range).for_each(|leaf| leaf.young = false);
            }
            Op::Touch(gfn) => {
                if let Some((word, ..)) = arena.walk(table.root().raw(), gfn << 12) {
                    word.fetch_or(1 << 8, Ordering::Relaxed);
                }
                model
                    .touching(gfn..gfn + 1)
                    .for_each(|leaf| leaf.young = true);
            }
        }
        for (base, leaf) in &model.0 {
            check(&arena, &table, &model, *base);
            check(&arena, &table, &model, base + leaf.level.pages() - 1);
        }
    }
    let removed = table.zap(gfns(0..u64::MAX));
    drop(removed.after_flush(|| ()));
    assert_eq!(arena.in_use(), 1, "the root alone is left");
    drop(table);
    assert_eq!(arena.in_use(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn agrees_with_the_model(ops in prop::collection::vec(op(), 1..48)) {
        run(&ops);
    }

    #[test]
    fn dropping_a_table_frees_it(ops in prop::collection::vec(op(), 1..24)) {
        let arena = Arena::new(256);
        let mut table = table(&arena);
        for op in ops {
            if let Op::Map(gfn, level, frame, access) = op {
                let _ = map(&arena, &mut table, gfn, level, leaf(frame, access));
            }
        }
        drop(table);
        prop_assert_eq!(arena.in_use(), 0);
    }
}
