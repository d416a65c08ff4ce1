// SPDX-License-Identifier: GPL-2.0

//! Coalesced I/O: zones, and the ring as a VMM reads it.

use std::sync::atomic::{AtomicU32, Ordering};

use kernel::prelude::*;

use rkvm_host::bus::Space;
use rkvm_host::coalesced::{push, Pushed, Zone, ZoneRequest, Zones, RING_ENTRIES, RING_WORDS};

struct Ring(Box<[AtomicU32; RING_WORDS]>);

impl Ring {
    fn new() -> Self {
        Self(Box::new([const { AtomicU32::new(0) }; RING_WORDS]))
    }

    fn set(&self, word: usize, value: u32) {
        self.0[word].store(value, Ordering::Relaxed);
    }

    fn word(&self, word: usize) -> u32 {
        self.0[word].load(Ordering::Relaxed)
    }

    fn push(&self, value: u32) -> Pushed {
        push(&self.0, Space::Memory, 0x1000, &value.to_le_bytes())
    }

    /// Takes the first entry out, as the VMM does: address, length, pio and data.
    fn take(&self) -> Option<(u64, u32, u32, u64)> {
        let first = self.word(0);
        if first == self.word(1) {
            return None;
        }
        let word = |at: usize| u64::from(self.word(2 + first as usize * 6 + at));
        let entry = (
            word(0) | word(1) << 32,
            word(2) as u32,
            word(3) as u32,
            word(4) | word(5) << 32,
        );
        self.set(0, (first + 1) % RING_ENTRIES);
        Some(entry)
    }
}

#[test]
fn a_page_holds_as_many_as_the_api_says() {
    assert_eq!(RING_ENTRIES as usize, (4096 - 8) / 24);
}

#[test]
fn entries_have_the_layout_of_the_api() {
    let ring = Ring::new();
    let data = [1, 2, 3, 4, 5, 6, 7, 8];
    assert_eq!(
        push(&ring.0, Space::Memory, 0x1_2345_6789, &data),
        Pushed::Done
    );
    assert_eq!(push(&ring.0, Space::Port, 0x3d4, &data[..2]), Pushed::Done);
    assert_eq!(
        ring.take(),
        Some((0x1_2345_6789, 8, 0, 0x0807_0605_0403_0201))
    );
    assert_eq!(ring.take(), Some((0x3d4, 2, 1, 0x0201)));
    assert_eq!(ring.take(), None);
}

#[test]
fn a_full_ring_takes_nothing_more() {
    let ring = Ring::new();
    // From everywhere in the ring.
    for round in 0..3 * RING_ENTRIES {
        for value in 0..RING_ENTRIES - 1 {
            assert_eq!(ring.push(value), Pushed::Done);
        }
        assert_eq!(ring.push(0), Pushed::Full);
        for value in 0..RING_ENTRIES - 1 {
            assert_eq!(ring.take(), Some((0x1000, 4, 0, value.into())));
        }
        assert_eq!(ring.take(), None);
        assert_eq!(ring.push(round), Pushed::Done);
        assert_eq!(ring.take(), Some((0x1000, 4, 0, round.into())));
    }
}

#[test]
fn what_the_vmm_writes_is_not_trusted() {
    for last in [RING_ENTRIES, RING_ENTRIES + 1, u32::MAX, 1 << 31] {
        let ring = Ring::new();
        ring.set(1, last);
        assert_eq!(ring.push(1), Pushed::Full);
        assert!((2..RING_WORDS).all(|word| ring.word(word) == 0));
    }
    // Any place to read from is as good as another, but the one after the next.
    let ring = Ring::new();
    ring.set(0, u32::MAX);
    assert_eq!(ring.push(1), Pushed::Done);
    ring.set(0, 2);
    assert_eq!(ring.push(1), Pushed::Full);
    // The last word of the last entry is in the page.
    let ring = Ring::new();
    ring.set(0, 5);
    ring.set(1, RING_ENTRIES - 1);
    assert_eq!(ring.push(7), Pushed::Done);
    assert_eq!(ring.word(1), 0);
    assert_eq!(push(&ring.0, Space::Memory, 0, &[0; 9]), Pushed::Full);
}

fn request(addr: u64, size: u32, pio: u32) -> Result<Zone> {
    Zone::new(&ZoneRequest { addr, size, pio })
}

fn zone(addr: u64, size: u32) -> Zone {
    request(addr, size, 0).unwrap()
}

#[test]
fn zones_are_of_memory_or_of_ports() {
    assert_eq!(zone(0, 1).space, Space::Memory);
    assert_eq!(request(0, 1, 1).unwrap().space, Space::Port);
    assert_eq!(request(0, 1, 2), Err(EINVAL));
    assert_eq!(request(0, 1, u32::MAX), Err(EINVAL));
}

#[test]
fn a_write_has_to_lie_in_a_zone() {
    let zones = Zones::new().with(&zone(0x1000, 0x100)).unwrap();
    let zones = zones.with(&zone(u64::MAX - 0x10, 0x100)).unwrap();
    assert!(zones.contain(0x1000, 8));
    assert!(zones.contain(0x10f8, 8));
    assert!(!zones.contain(0x10f9, 8));
    assert!(!zones.contain(0xfff, 2));
    assert!(zones.contain(u64::MAX - 8, 8));
    assert!(!zones.contain(u64::MAX, 1));
    assert!(!Zones::new().contain(0, 1));
}

#[test]
fn all_zones_around_the_one_to_go_do() {
    let of = [
        zone(0x1000, 0x1000),
        zone(0x1800, 0x100),
        zone(0x4000, 0x10),
    ];
    let zones = of
        .iter()
        .fold(Zones::new(), |zones, zone| zones.with(zone).unwrap());
    assert!(zones.without(&zone(0x1000, 0x1001)).unwrap().is_none());
    assert!(zones.without(&zone(0x9000, 1)).unwrap().is_none());
    let left = zones.without(&zone(0x1800, 0x10)).unwrap().unwrap();
    assert!(!left.contain(0x1800, 1));
    assert!(!left.contain(0x1000, 1));
    assert!(left.contain(0x4000, 1));
}

#[test]
fn there_is_an_end_to_zones() {
    let mut zones = Zones::new();
    for number in 0..1000 {
        zones = zones.with(&zone(number, 1)).unwrap();
    }
    assert_eq!(zones.with(&zone(0, 1)).err(), Some(ENOSPC));
}
