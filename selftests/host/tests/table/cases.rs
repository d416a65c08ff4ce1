// SPDX-License-Identifier: GPL-2.0

//! The engine case by case.

use crate::arena::{gfns, leaf, map, table, Arena, Memory, Stock, Table};
use rkvm_host::mmu::entry::{Access, EntryFormat as _, Leaf, Level, RootShape, ENTRIES};
use rkvm_host::mmu::removed::Flush;
use rkvm_host::mmu::table::{leaf_at, MapError, Mapped, PageTable};
use rkvm_host::types::{Gfn, Pfn};
use rkvm_host::vmx::ept::{EptEntry, MemoryType};
use std::ops::{Deref, DerefMut};
use std::sync::atomic::Ordering;

/// A table in an arena.
struct Case<'a> {
    arena: &'a Arena,
    table: Table<'a>,
}

impl<'a> Case<'a> {
    fn new(arena: &'a Arena) -> Self {
        let table = table(arena);
        Self { arena, table }
    }

    /// Maps a leaf, and checks what became of it.
    #[track_caller]
    fn maps(&mut self, gfn: u64, level: Level, leaf: Leaf<MemoryType>, outcome: &str) {
        let mapped = map(self.arena, &mut self.table, gfn, level, leaf);
        assert_eq!(mapped, Ok(outcome));
    }
}

impl<'a> Deref for Case<'a> {
    type Target = Table<'a>;

    fn deref(&self) -> &Self::Target {
        &self.table
    }
}

impl DerefMut for Case<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.table
    }
}

#[test]
fn each_level_is_indexed_by_its_own_bits() {
    // Once: an index used as a byte offset, and a parent's entry written at the child's index.
    let arena = Arena::new(8);
    let mut table = Case::new(&arena);
    let indices = [3u64, 5, 7, 11];
    let gfn = indices.iter().fold(0, |gfn, index| gfn << 9 | index);
    table.maps(gfn, Level::Pte, leaf(0x777, Access::ALL), "new");

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
    let mut table = Case::new(&arena);
    for i in 0..ENTRIES as u64 {
        table.maps(i, Level::Pte, leaf(0x9000 + i, Access::ALL), "new");
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
    let mut table = Case::new(&arena);
    let read_only = leaf(0x40, Access::EXECUTE);
    let full = leaf(0x40, Access::ALL);
    table.maps(8, Level::Pte, read_only, "new");
    table.maps(8, Level::Pte, read_only, "spurious");
    table.maps(8, Level::Pte, full, "upgraded");
    table.maps(8, Level::Pte, read_only, "spurious");
    assert_eq!(table.lookup(Gfn::new(8)), Some((Level::Pte, full)));
    table.maps(8, Level::Pte, leaf(0x41, Access::ALL), "conflict");
    assert_eq!(table.lookup(Gfn::new(8)), None);
    let uncached = Leaf {
        memory_type: MemoryType::Uncacheable,
        ..full
    };
    table.maps(8, Level::Pte, full, "new");
    table.maps(8, Level::Pte, uncached, "conflict");
}

#[test]
fn rights_that_are_asked_for_one_by_one_add_up() {
    // Once: each took the place of the other, for ever.
    let arena = Arena::new(16);
    let mut table = Case::new(&arena);
    let written = leaf(0x40, Access::WRITE);
    let fetched = leaf(0x40, Access::EXECUTE);
    table.maps(8, Level::Pte, written, "new");
    table.maps(8, Level::Pte, fetched, "upgraded");
    let both = leaf(0x40, Access::ALL);
    assert_eq!(table.lookup(Gfn::new(8)), Some((Level::Pte, both)));
    table.maps(8, Level::Pte, written, "spurious");
}

#[test]
fn runs_are_what_of_a_leaf_is_in_the_range() {
    let arena = Arena::new(16);
    let mut table = Case::new(&arena);
    let small = leaf(0x41, Access::READ);
    let large = leaf(0x1000, Access::ALL);
    table.maps(3, Level::Pte, small, "new");
    table.maps(512, Level::Pmd, large, "new");
    let runs = |range| {
        let mut runs = Vec::new();
        table.each_run(gfns(range), |frame, pages| runs.push((frame.raw(), pages)));
        runs
    };
    assert_eq!(runs(0..2048), [(0x41, 1), (0x1000, 512)]);
    assert_eq!(runs(600..610), [(0x1000 + 88, 10)]);
    assert_eq!(runs(1023..2048), [(0x1000 + 511, 1)]);
    assert_eq!(runs(4..512), []);
}

#[test]
fn room_ends_where_a_table_is() {
    let arena = Arena::new(8);
    let mut table = Case::new(&arena);
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
    let mut table = Case::new(&arena);
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
    table.maps(0x200, Level::Pmd, large, "conflict");
    assert_eq!(arena.in_use(), 3);
    table.maps(0x200, Level::Pmd, large, "new");

    // A small page inside of the same memory is there already; with other memory it is not.
    table.maps(0x234, Level::Pte, leaf(0x8034, Access::READ), "spurious");
    let (level, whole) = table.lookup(Gfn::new(0x234)).unwrap();
    assert_eq!(
        leaf_at(whole, level, Gfn::new(0x234)),
        leaf(0x8034, Access::ALL)
    );
    table.maps(0x234, Level::Pte, leaf(0x8035, Access::READ), "conflict");
    assert_eq!(table.lookup(Gfn::new(0x200)), None);
    table.maps(0x234, Level::Pte, leaf(0x8035, Access::READ), "new");
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
            let mapped = map(&arena, &mut table, gfn, Level::Pte, leaf);
            assert_eq!(mapped, Ok("new"));
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
    let mut table = Case::new(&arena);
    let limit = table.limit().raw();
    assert_eq!(limit, 1 << 36);
    let cases = [
        (limit, Level::Pte, leaf(0, Access::ALL)),
        (u64::MAX, Level::Pte, leaf(0, Access::ALL)),
        (0x201, Level::Pmd, leaf(0x200, Access::ALL)),
        (0x200, Level::Pmd, leaf(0x201, Access::ALL)),
        (
            0,
            Level::Pte,
            leaf(EptEntry::FRAME_LIMIT.raw(), Access::ALL),
        ),
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
    let mut table = Case::new(&arena);
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
    let mut table = Case::new(&arena);
    for gfn in [0, 1, 0x200, 0x4_0000, 0x4_0200, 0x800_0000] {
        table.maps(gfn, Level::Pte, leaf(gfn, Access::ALL), "new");
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
    let mut table = Case::new(&arena);
    for gfn in [0, 0x200, 0x400, 0x4_0000] {
        table.maps(gfn, Level::Pte, leaf(gfn, Access::ALL), "new");
    }
    let mut pages = table.zap(gfns(0..u64::MAX)).after_flush(|| ());
    assert!(pages.next().is_some());
    drop(pages);
    assert_eq!(arena.in_use(), 1);
}
