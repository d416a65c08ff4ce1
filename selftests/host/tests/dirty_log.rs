// SPDX-License-Identifier: GPL-2.0

//! Dirty logs: what is marked is taken, once; and logs follow their slots.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use kernel::sync::Arc;
use proptest::prelude::*;

use kernel::prelude::*;
use rkvm_host::dirty_log::{low_bits, runs, DirtyLog, Initial};
use rkvm_host::memslot::{Limit, Region, Slot, Slots, Stale};
use rkvm_host::types::Gfn;

const LIMIT: Limit = Limit {
    end: Gfn::new(1 << 24),
    error: EINVAL,
};
const LOGGED: u32 = 1;

fn taken(log: &DirtyLog) -> Vec<u64> {
    let words = (0..log.words()).map(|word| (word as u64, log.take(word, u64::MAX)));
    words
        .flat_map(|(word, bits)| {
            runs(bits)
                .flatten()
                .map(move |bit| word * 64 + u64::from(bit))
        })
        .collect()
}

#[test]
fn a_log_has_a_bit_for_each_page_in_whole_words() {
    for (pages, words) in [(1, 1), (64, 1), (65, 2), (128, 2), (129, 3)] {
        assert_eq!(DirtyLog::new(pages, Initial::Clean).unwrap().words(), words);
    }
}

#[test]
fn marks_are_taken_once() {
    let log = DirtyLog::new(200, Initial::Clean).unwrap();
    for page in [199, 0, 63, 64, 64, 130] {
        log.mark(page);
    }
    assert_eq!(taken(&log), [0, 63, 64, 130, 199]);
    assert_eq!(taken(&log), []);
    log.mark(64);
    assert_eq!(taken(&log), [64]);
}

#[test]
fn what_is_put_back_is_taken_again() {
    let log = DirtyLog::new(128, Initial::Clean).unwrap();
    log.mark(70);
    let bits = log.take(1, u64::MAX);
    log.mark(71);
    log.put(1, bits);
    assert_eq!(taken(&log), [70, 71]);
}

#[test]
fn beyond_the_end_there_is_nothing() {
    let log = DirtyLog::new(64, Initial::Clean).unwrap();
    log.mark(64);
    log.mark(u64::MAX);
    log.put(usize::MAX, 1);
    assert_eq!(log.take(1, u64::MAX), 0);
    assert_eq!(taken(&log), []);
}

#[test]
fn a_mark_is_not_lost_beside_a_taker() {
    const PAGES: u64 = 640;
    const ROUNDS: usize = 200;
    let log = DirtyLog::new(PAGES, Initial::Clean).unwrap();
    let done = AtomicBool::new(false);
    let mut seen = vec![0; PAGES as usize];
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..ROUNDS {
                (0..PAGES).for_each(|page| log.mark(page));
            }
            done.store(true, Ordering::Release);
        });
        loop {
            let last = done.load(Ordering::Acquire);
            taken(&log)
                .iter()
                .for_each(|page| seen[*page as usize] += 1);
            if last {
                break;
            }
        }
    });
    assert!(seen.iter().all(|count| (1..=ROUNDS).contains(count)));
    assert_eq!(taken(&log), []);
}

proptest! {
    #[test]
    fn runs_are_the_set_bits(bits in any::<u64>()) {
        let runs: Vec<_> = runs(bits).collect();
        let again = runs.iter().flat_map(|run| run.clone()).fold(0, |all, bit| all | 1 << bit);
        prop_assert_eq!(again, bits);
        prop_assert!(runs.windows(2).all(|pair| pair[0].end < pair[1].start));
    }
}

#[test]
fn a_full_word_is_one_run() {
    assert_eq!(runs(u64::MAX).collect::<Vec<_>>(), [0..64]);
    assert_eq!(runs(1 << 63).collect::<Vec<_>>(), [63..64]);
    assert_eq!(runs(0).count(), 0);
}

fn set(slots: &Slots, id: u32, gfn: u64, pages: u64, flags: u32) -> Slots {
    let region = Region {
        slot: id,
        flags,
        guest_phys_addr: gfn << 12,
        memory_size: pages << 12,
        userspace_addr: 0x7000_0000,
    };
    slots
        .with_region(&region, LIMIT, Initial::Clean)
        .unwrap()
        .unwrap()
        .slots
}

fn slot(slots: &Slots, id: u32) -> &Slot {
    slots.by_id(id).unwrap()
}

fn log(slots: &Slots, id: u32) -> Option<&Arc<DirtyLog>> {
    slots.log(slot(slots, id))
}

#[test]
fn a_log_comes_and_goes_with_the_flag() {
    let slots = set(&Slots::new(), 5, 0x100, 70, 0);
    assert!(log(&slots, 5).is_none());
    slots.mark_dirty(slot(&slots, 5), Gfn::new(0x100));
    let slots = set(&slots, 5, 0x100, 70, LOGGED);
    slots.mark_dirty(slot(&slots, 5), Gfn::new(0x100 + 69));
    slots.mark_dirty(slot(&slots, 5), Gfn::new(0x100 + 70));
    slots.mark_dirty(slot(&slots, 5), Gfn::new(0xff));
    let first = log(&slots, 5).unwrap();
    assert_eq!(taken(first), [69]);
    first.mark(1);

    let without = set(&slots, 5, 0x100, 70, 0);
    assert!(log(&without, 5).is_none());
    let again = set(&without, 5, 0x100, 70, LOGGED);
    assert_eq!(taken(log(&again, 5).unwrap()), []);
}

#[test]
fn a_log_follows_its_slot_through_the_changes() {
    let slots = set(&Slots::new(), 7, 0x100, 10, LOGGED);
    let first = log(&slots, 7).unwrap().clone();
    first.mark(3);
    let slots = set(&slots, 2, 0x1000, 20, LOGGED);
    let slots = set(&slots, 9, 0x2000, 30, 0);
    let slots = set(&slots, 7, 0x800, 10, LOGGED);
    assert!(Arc::ptr_eq(&first, log(&slots, 7).unwrap()));
    assert!(!Arc::ptr_eq(&first, log(&slots, 2).unwrap()));
    assert_eq!(taken(log(&slots, 7).unwrap()), [3]);

    let slots = set(&slots, 7, 0, 0, 0);
    assert!(slots.by_id(7).is_none());
    let slots = set(&slots, 7, 0x800, 10, LOGGED);
    assert!(!Arc::ptr_eq(&first, log(&slots, 7).unwrap()));
    assert!(log(&slots, 2).is_some() && log(&slots, 9).is_none());
}

#[test]
fn pages_of_a_slot_are_frames() {
    let slots = set(&Slots::new(), 0, 0x100, 70, 0);
    let slot = slot(&slots, 0);
    assert_eq!(slot.gfns_at(64..66), Gfn::new(0x140)..Gfn::new(0x142));
    assert_eq!(slot.gfns_at(64..128), Gfn::new(0x140)..slot.gfns().end);
}

#[test]
fn a_log_may_begin_with_all_marks() {
    for pages in [1, 63, 64, 65, 200] {
        let log = DirtyLog::new(pages, Initial::Dirty).unwrap();
        assert_eq!(taken(&log), (0..pages).collect::<Vec<_>>());
        assert_eq!(taken(&log), []);
    }
    let region = Region {
        slot: 1,
        flags: 0,
        guest_phys_addr: 0x10_0000,
        memory_size: 70 << 12,
        userspace_addr: 0x7000_0000,
    };
    let logged = Region {
        flags: LOGGED,
        ..region
    };
    let slots = Slots::new();
    let change = |slots: &Slots, region| {
        let change = slots.with_region(region, LIMIT, Initial::Dirty);
        change.unwrap().unwrap()
    };
    let slots = change(&slots, &region).slots;
    let next = change(&slots, &logged);
    // Every page has a mark: a write needs none.
    assert_eq!(next.stale, Stale::Nothing);
    assert_eq!(taken(log(&next.slots, 1).unwrap()).len(), 70);
}

#[test]
fn marks_are_taken_as_wanted() {
    let log = DirtyLog::new(64, Initial::Clean).unwrap();
    log.put(0, 0b1111);
    assert_eq!(log.take(0, 0b1_0110), 0b0110);
    assert_eq!(log.get(0), 0b1001);
    assert_eq!(log.take(0, 0), 0);
    assert_eq!(log.take(1, u64::MAX), 0);
    assert_eq!(log.get(1), 0);
}

#[test]
fn low_bits_of_a_word() {
    assert_eq!([0, 1, 63].map(low_bits), [0, 1, u64::MAX >> 1]);
    assert_eq!([64, 65, u64::MAX].map(low_bits), [u64::MAX; 3]);
}
