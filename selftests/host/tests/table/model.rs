// SPDX-License-Identifier: GPL-2.0

//! The engine against a model.

use crate::arena::{gfns, leaf, map, table, Arena, Table};
use proptest::prelude::*;
use rkvm_host::mmu::entry::{Access, Leaf, Level};
use rkvm_host::mmu::removed::Flush;
use rkvm_host::types::{Gfn, Pfn};
use rkvm_host::vmx::ept::MemoryType;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::Ordering;

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
                } else if same && old.level == level {
                    self.insert(gfn, level, frame, old.access.union(access));
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
