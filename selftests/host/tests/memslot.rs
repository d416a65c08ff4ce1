// SPDX-License-Identifier: GPL-2.0

//! Memory slots, against the rules of the API and against a model.

#![allow(clippy::reversed_empty_ranges, reason = "the kernel can ask for them")]

use std::collections::BTreeMap;
use std::ops::Range;

use kernel::prelude::*;
use proptest::prelude::*;

use rkvm_host::arch::MEMORY_SLOTS;
use rkvm_host::dirty_log::Initial;
use rkvm_host::memslot::{Hint, Limit, Region, Slots, Stale, MAX_SLOT_PAGES};
use rkvm_host::types::{Gfn, Hva};

/// A VM with 36 physical address bits.
const LIMIT: Limit = Limit {
    end: Gfn::new(1 << (36 - 12)),
    error: EINVAL,
};

const LOG_DIRTY_PAGES: u32 = 1;
const READONLY: u32 = 2;

fn region(slot: u32, gfn: u64, pages: u64, hva: u64) -> Region {
    Region {
        slot,
        flags: 0,
        guest_phys_addr: gfn << 12,
        memory_size: pages << 12,
        userspace_addr: hva,
    }
}

fn gfns(range: Range<u64>) -> Range<Gfn> {
    Gfn::new(range.start)..Gfn::new(range.end)
}

fn hvas(range: Range<u64>) -> Range<Hva> {
    Hva::new(range.start)..Hva::new(range.end)
}

/// Applies a region that must be accepted and must change something.
fn apply(slots: Slots, region: Region) -> (Slots, Stale) {
    let change = slots
        .with_region(&region, LIMIT, Initial::Clean)
        .unwrap()
        .unwrap();
    (change.slots, change.stale)
}

fn refusal(slots: &Slots, region: Region) -> Error {
    slots
        .with_region(&region, LIMIT, Initial::Clean)
        .err()
        .unwrap()
}

/// Two slots with a hole between them, made in the wrong order.
fn two() -> Slots {
    let (slots, stale) = apply(Slots::new(), region(1, 0x100, 0x10, 0x7000_0000));
    assert_eq!(stale, Stale::Nothing);
    apply(slots, region(0, 0, 0xa0, 0x6000_0000)).0
}

#[test]
fn a_slot_beyond_the_limit_has_the_limits_error() {
    let limit = Limit {
        error: EFAULT,
        ..LIMIT
    };
    let beyond = region(1, LIMIT.end.raw() - 1, 2, 0x1000);
    let refused = Slots::default().with_region(&beyond, limit, Initial::Clean);
    assert_eq!(refused.err(), Some(EFAULT));
}

#[test]
fn every_frame_has_memory_of_its_own() {
    // Once: every frame resolved to the slot's first page, and the VMM's address was ignored.
    let slots = two();
    let mut hint = Hint::default();
    for gfn in 0..0xa0 {
        let slot = slots.find(Gfn::new(gfn), &mut hint).unwrap();
        assert_eq!(
            slot.hva(Gfn::new(gfn)),
            Some(Hva::new(0x6000_0000 + (gfn << 12)))
        );
    }
    for gfn in [0xa0, 0xff, 0x110, u64::MAX] {
        assert!(slots.find(Gfn::new(gfn), &mut hint).is_none());
    }
    let slot = slots.find(Gfn::new(0x10f), &mut hint).unwrap();
    assert_eq!(
        (slot.id(), slot.hva(Gfn::new(0x10f))),
        (1, Some(Hva::new(0x7000_f000)))
    );
    assert_eq!(slot.hva(Gfn::new(0xff)), None);
    assert_eq!(slot.hva(Gfn::new(0x110)), None);
}

#[test]
fn einval_for_what_is_malformed() {
    let slots = two();
    let good = region(7, 0x1000, 1, 0x1000);
    assert!(slots.with_region(&good, LIMIT, Initial::Clean).is_ok());
    let bad = [
        Region {
            flags: 1 << 2,
            ..good
        },
        Region {
            flags: 1 << 31,
            ..good
        },
        Region {
            slot: MEMORY_SLOTS,
            ..good
        },
        Region {
            slot: 1 << 16 | 7,
            ..good
        },
        Region {
            slot: u32::MAX,
            ..good
        },
        Region {
            guest_phys_addr: good.guest_phys_addr + 1,
            ..good
        },
        Region {
            userspace_addr: good.userspace_addr + 0x800,
            ..good
        },
        Region {
            memory_size: 0xfff,
            ..good
        },
        Region {
            memory_size: 0x1001,
            ..good
        },
        Region {
            memory_size: (MAX_SLOT_PAGES + 1) << 12,
            ..good
        },
        Region {
            memory_size: !0xfff,
            ..good
        },
        Region {
            guest_phys_addr: !0xfff,
            ..good
        },
        Region {
            userspace_addr: !0xfff,
            ..good
        },
        Region {
            guest_phys_addr: LIMIT.end.raw() << 12,
            ..good
        },
        Region {
            guest_phys_addr: (LIMIT.end.raw() - 1) << 12,
            memory_size: 0x2000,
            ..good
        },
        // Deletes what is not there.
        Region {
            memory_size: 0,
            ..good
        },
    ];
    for region in bad {
        assert_eq!(refusal(&slots, region), EINVAL, "{region:x?}");
    }
    let last = region(MEMORY_SLOTS - 1, LIMIT.end.raw() - 1, 1, 0x1000);
    assert!(slots.with_region(&last, LIMIT, Initial::Clean).is_ok());
}

#[test]
fn eexist_for_frames_of_another_slot() {
    let slots = two();
    for (gfn, pages) in [
        (0x9f, 1),
        (0x9f, 2),
        (0, 1),
        (0xa0, 0x61),
        (0xff, 0x20),
        (0x10f, 1),
        (0, 0x200),
    ] {
        assert_eq!(
            refusal(&slots, region(7, gfn, pages, 0)),
            EEXIST,
            "{gfn:#x}+{pages:#x}"
        );
    }
    for (gfn, pages) in [(0xa0, 0x60), (0x110, 1)] {
        assert!(slots
            .with_region(&region(7, gfn, pages, 0), LIMIT, Initial::Clean)
            .is_ok());
    }
    // A move onto another slot, too; onto itself is fine.
    assert_eq!(refusal(&slots, region(1, 0x9f, 0x10, 0x7000_0000)), EEXIST);
    assert!(slots
        .with_region(&region(1, 0x101, 0x10, 0x7000_0000), LIMIT, Initial::Clean)
        .is_ok());
}

#[test]
fn a_slot_can_move_and_go_but_not_change_its_memory() {
    let slots = two();
    let one = region(1, 0x100, 0x10, 0x7000_0000);
    assert!(slots
        .with_region(&one, LIMIT, Initial::Clean)
        .unwrap()
        .is_none());
    for changed in [
        Region {
            memory_size: 0x11000,
            ..one
        },
        Region {
            userspace_addr: 0x7000_1000,
            ..one
        },
        Region {
            flags: READONLY,
            ..one
        },
    ] {
        assert_eq!(refusal(&slots, changed), EINVAL);
    }

    let (slots, stale) = apply(slots, region(1, 0x200, 0x10, 0x7000_0000));
    assert_eq!(stale, Stale::Mappings(gfns(0x100..0x110)));
    let mut hint = Hint::default();
    assert!(slots.find(Gfn::new(0x100), &mut hint).is_none());
    assert_eq!(slots.find(Gfn::new(0x20f), &mut hint).unwrap().id(), 1);

    let (slots, stale) = apply(slots, region(1, 0, 0, 0));
    assert_eq!(stale, Stale::Mappings(gfns(0x200..0x210)));
    assert!(slots.by_id(1).is_none());
    assert_eq!(slots.iter().count(), 1);
}

#[test]
fn dirty_logging_starts_by_taking_write_access() {
    let slots = two();
    let logged = Region {
        flags: LOG_DIRTY_PAGES,
        ..region(1, 0x100, 0x10, 0x7000_0000)
    };
    let (slots, stale) = apply(slots, logged);
    assert_eq!(stale, Stale::WriteAccess(gfns(0x100..0x110)));
    assert!(slots
        .by_id(1)
        .unwrap()
        .flags()
        .log_dirty_pages()
        .into_bool());
    let (slots, stale) = apply(slots, Region { flags: 0, ..logged });
    assert_eq!(stale, Stale::Nothing);
    assert!(!slots
        .by_id(1)
        .unwrap()
        .flags()
        .log_dirty_pages()
        .into_bool());
}

#[test]
fn user_memory_is_found_by_whole_pages() {
    let slots = two();
    let found = |range| -> Vec<_> {
        slots
            .gfns_of(hvas(range))
            .map(|(slot, gfns)| (slot.id(), gfns))
            .collect()
    };
    assert_eq!(found(0x6000_0000..0x6000_1000), [(0, gfns(0..1))]);
    assert_eq!(found(0x6000_0fff..0x6000_1001), [(0, gfns(0..2))]);
    assert_eq!(found(0x7000_f000..u64::MAX), [(1, gfns(0x10f..0x110))]);
    assert_eq!(
        found(0..u64::MAX),
        [(0, gfns(0..0xa0)), (1, gfns(0x100..0x110))]
    );
    for nothing in [
        0..0x6000_0000,
        0x7001_0000..u64::MAX,
        0x6000_0005..0x6000_0005,
        u64::MAX..0,
    ] {
        assert_eq!(found(nothing), []);
    }
    assert_eq!(Slots::new().gfns_of(hvas(0..u64::MAX)).count(), 0);
}

#[test]
fn all_slots_can_be_used() {
    let mut slots = Slots::new();
    for slot in 0..509 {
        let gfn = u64::from(slot) * 7919 % 509 * 2;
        slots = apply(slots, region(slot, gfn, 1, 0x1000)).0;
    }
    assert_eq!(slots.iter().count(), 509);
    assert!(slots.iter().is_sorted_by_key(|slot| slot.gfns().start));
    assert_eq!(slots.gfns_of(hvas(0x1fff..0x2000)).count(), 509);
    // One after the other they are the same, and none without memory in common.
    let mut first = Gfn::new(0);
    for (_, gfns) in slots.gfns_of(hvas(0x1fff..0x2000)) {
        let next = slots.next_gfns_of(hvas(0x1fff..0x2000), first);
        assert_eq!(next, Some(gfns.clone()));
        first = gfns.end;
    }
    assert_eq!(slots.next_gfns_of(hvas(0x1fff..0x2000), first), None);
    assert_eq!(slots.next_gfns_of(hvas(0x2000..0x3000), Gfn::new(0)), None);
    for slot in 0..509 {
        slots = apply(slots, region(slot, 0, 0, 0)).0;
    }
    assert_eq!(slots.iter().count(), 0);
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct ModelSlot {
    gfn: u64,
    pages: u64,
    hva: u64,
    flags: u32,
}

fn expected(model: &mut BTreeMap<u32, ModelSlot>, region: &Region) -> Result<()> {
    let new = ModelSlot {
        gfn: region.guest_phys_addr >> 12,
        pages: region.memory_size >> 12,
        hva: region.userspace_addr,
        flags: region.flags,
    };
    let old = model.get(&region.slot).copied();
    if new.pages == 0 {
        return model.remove(&region.slot).map(|_| ()).ok_or(EINVAL);
    }
    if let Some(old) = old {
        if (new.pages, new.hva, new.flags & READONLY) != (old.pages, old.hva, old.flags & READONLY)
        {
            return Err(EINVAL);
        }
    }
    let clashes = model.iter().any(|(id, other)| {
        *id != region.slot && other.gfn < new.gfn + new.pages && new.gfn < other.gfn + other.pages
    });
    if clashes {
        return Err(EEXIST);
    }
    if new.gfn + new.pages > LIMIT.end.raw() {
        return Err(EINVAL);
    }
    model.insert(region.slot, new);
    Ok(())
}

prop_compose! {
    fn any_region()(
        slot in 0u32..6,
        flags in prop::sample::select(vec![0, 0, 0, LOG_DIRTY_PAGES, READONLY, 3]),
        gfn in prop_oneof![3 => 0u64..24, 1 => LIMIT.end.raw() - 4..LIMIT.end.raw() + 2],
        pages in prop::sample::select(vec![0u64, 1, 3, 8]),
        hva in prop::sample::select(vec![0x10_0000u64, 0x20_0000]),
    ) -> Region {
        Region { flags, ..region(slot, gfn, pages, hva) }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn agrees_with_the_model(regions in prop::collection::vec(any_region(), 1..40)) {
        let mut slots = Slots::new();
        let mut model = BTreeMap::new();
        let mut hint = Hint::default();
        for region in regions {
            let outcome = slots.with_region(&region, LIMIT, Initial::Clean);
            prop_assert_eq!(outcome.as_ref().map(|_| ()).map_err(|e| *e), expected(&mut model, &region));
            if let Ok(Some(change)) = outcome {
                slots = change.slots;
            }
            prop_assert_eq!(slots.iter().count(), model.len());
            for gfn in (0..40).chain(LIMIT.end.raw() - 5..LIMIT.end.raw() + 2) {
                let found = slots.find(Gfn::new(gfn), &mut hint);
                let should = model.iter().find(|(_, s)| s.gfn <= gfn && gfn < s.gfn + s.pages);
                prop_assert_eq!(found.map(|slot| slot.id()), should.map(|(id, _)| *id));
                if let (Some(slot), Some((_, should))) = (found, should) {
                    let hva = Hva::new(should.hva + ((gfn - should.gfn) << 12));
                    prop_assert_eq!(slot.hva(Gfn::new(gfn)), Some(hva));
                    prop_assert_eq!(slot.flags().into_raw(), should.flags);
                    let back = slot.gfns_of(hva..hva.checked_add(1).unwrap());
                    prop_assert_eq!(back, Some(gfns(gfn..gfn + 1)));
                }
            }
        }
    }

    #[test]
    fn no_request_is_too_strange(
        slot: u32, flags: u32, guest_phys_addr: u64, memory_size: u64, userspace_addr: u64, mask: u64,
    ) {
        let region = Region {
            slot: slot & mask as u32,
            flags: flags & 3,
            guest_phys_addr: guest_phys_addr & !0xfff & mask,
            memory_size: memory_size & !0xfff & mask,
            userspace_addr: userspace_addr & !0xfff & mask,
        };
        if let Ok(Some(change)) = two().with_region(&region, Limit { end: Gfn::new(u64::MAX), ..LIMIT }, Initial::Clean) {
            let mut hint = Hint::default();
            for slot in change.slots.iter() {
                let gfns = slot.gfns();
                prop_assert!(gfns.start < gfns.end);
                prop_assert_eq!(change.slots.find(gfns.start, &mut hint), Some(slot));
                prop_assert!(slot.hva(gfns.start).is_some());
            }
        }
    }
}
