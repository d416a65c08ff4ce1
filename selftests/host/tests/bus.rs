// SPDX-License-Identifier: GPL-2.0

//! Tables of address ranges, against a list that is searched from end to end.

use std::ops::Range;

use proptest::prelude::*;

use rkvm_host::bus::Table;

type Entry = (Range<u64>, u32);

fn table(entries: &[Entry]) -> Table<u32> {
    entries.iter().fold(Table::new(), |table, (range, item)| {
        table.with(range.clone(), *item).unwrap()
    })
}

fn sorted(items: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut items: Vec<_> = items.collect();
    items.sort_unstable();
    items
}

fn containing(table: &Table<u32>, wanted: Range<u64>) -> Vec<u32> {
    sorted(table.containing(wanted).copied())
}

#[test]
fn a_long_range_behind_short_ones_is_found() {
    let table = table(&[
        (0x1000..0x9000, 1),
        (0x2000..0x2010, 2),
        (0x3000..0x3004, 3),
    ]);
    assert_eq!(containing(&table, 0x8000..0x8004), [1]);
    assert_eq!(containing(&table, 0x3000..0x3004), [1, 3]);
    assert_eq!(containing(&table, 0x3000..0x3008), [1]);
    assert_eq!(containing(&table, 0x8ffe..0x9002), []);
    assert_eq!(containing(&table, 0xfff..0x1001), []);
}

#[test]
fn those_that_start_alike_stay_in_order() {
    let table = table(&[(8..8, 3), (4..4, 9), (8..8, 1), (8..12, 2), (9..9, 7)]);
    assert_eq!(table.at(8).copied().collect::<Vec<_>>(), [3, 1, 2]);
    assert_eq!(table.at(5).count(), 0);
    assert_eq!(table.at(u64::MAX).count(), 0);
}

#[test]
fn the_end_of_the_space_is_reached() {
    let table = table(&[(u64::MAX - 8..u64::MAX, 1), (0..u64::MAX, 2)]);
    assert_eq!(containing(&table, u64::MAX - 4..u64::MAX), [1, 2]);
    assert_eq!(containing(&table, u64::MAX..u64::MAX), [1, 2]);
}

#[test]
fn the_old_table_stays_as_it_was() {
    let old = table(&[(1..2, 1)]);
    let new = old.with(0..4, 2).unwrap();
    let newer = new.without(|_, item| *item == 1).unwrap();
    assert_eq!((old.len(), new.len(), newer.len()), (1, 2, 1));
    assert_eq!(newer.without(|_, _| true).unwrap().len(), 0);
}

fn range() -> impl Strategy<Value = Range<u64>> {
    (0..40u64, 0..12u64).prop_map(|(start, size)| start..start + size)
}

proptest! {
    #[test]
    fn finds_what_a_walk_finds(
        ranges in prop::collection::vec(range(), 0..24),
        wanted in range(),
        threshold in 0..24u32,
    ) {
        let entries: Vec<Entry> = ranges.into_iter().zip(0..).collect();
        let whole = table(&entries);
        let part = whole.without(|_, item| *item < threshold).unwrap();
        for (table, first) in [(whole, 0), (part, threshold)] {
            let there = || entries.iter().filter(|(_, item)| *item >= first);
            prop_assert_eq!(table.len(), there().count());
            prop_assert_eq!(
                containing(&table, wanted.clone()),
                sorted(
                    there()
                        .filter(|(range, _)| range.start <= wanted.start && wanted.end <= range.end)
                        .map(|(_, item)| *item)
                )
            );
            let at: Vec<_> = table.at(wanted.start).copied().collect();
            let model = there().filter(|(range, _)| range.start == wanted.start);
            prop_assert_eq!(at, model.map(|(_, item)| *item).collect::<Vec<_>>());
        }
    }
}
