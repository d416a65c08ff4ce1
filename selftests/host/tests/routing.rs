// SPDX-License-Identifier: GPL-2.0

//! Routing tables, against the rules of the API and a model.

use std::collections::BTreeMap;

use kernel::prelude::*;
use proptest::prelude::*;

use rkvm_host::gsi_routing::{RoutingEntry, MAX_ROUTES};
use rkvm_host::x86::message::MsiFormat;
use rkvm_host::x86::routing::{Chip, Irqchip, Route, Routes};

const IRQCHIP: u32 = 1;
const MSI: u32 = 2;
const MASTER: u32 = 0;
const SLAVE: u32 = 1;
const IOAPIC: u32 = 2;

fn pin(gsi: u32, chip: u32, pin: u32) -> RoutingEntry {
    RoutingEntry {
        gsi,
        kind: IRQCHIP,
        destination: [chip, pin, 0, 0, 0, 0, 0, 0],
        ..Default::default()
    }
}

fn msi(gsi: u32, address: u64, data: u32) -> RoutingEntry {
    RoutingEntry {
        gsi,
        kind: MSI,
        destination: [address as u32, (address >> 32) as u32, data, 0, 0, 0, 0, 0],
        ..Default::default()
    }
}

fn full(entries: &[RoutingEntry]) -> Result<Routes> {
    Routes::from_entries(entries, Irqchip::Full, MsiFormat::Compatible)
}

fn refused(entries: &[RoutingEntry]) {
    assert_eq!(full(entries).err(), Some(EINVAL), "{entries:?}");
}

fn pins(routes: &Routes, gsi: u32) -> Vec<(Chip, u8)> {
    match routes.get(gsi) {
        Route::Wires(wires) => wires.pins().collect(),
        Route::None => Vec::new(),
        Route::Msi { .. } => panic!("a message"),
    }
}

#[test]
fn the_table_of_a_full_irqchip() {
    let routes = Routes::for_irqchip().unwrap();
    for gsi in 0..16u8 {
        assert_eq!(
            pins(&routes, gsi.into()),
            [(Chip::Pics, gsi), (Chip::Ioapic, gsi)]
        );
        assert_eq!(routes.gsi_of(Chip::Pics, gsi), Some(gsi.into()));
    }
    for gsi in 16..24u8 {
        assert_eq!(pins(&routes, gsi.into()), [(Chip::Ioapic, gsi)]);
        assert_eq!(routes.gsi_of(Chip::Ioapic, gsi), Some(gsi.into()));
    }
    assert_eq!(routes.get(24), Route::None);
    assert_eq!(routes.get(u32::MAX), Route::None);
    assert_eq!(routes.gsi_of(Chip::Pics, 16), None);
    assert_eq!(routes.gsi_of(Chip::Ioapic, 24), None);
}

#[test]
fn an_empty_table_is_allowed() {
    let routes = full(&[]).unwrap();
    assert_eq!(routes.get(0), Route::None);
    assert_eq!(routes.gsi_of(Chip::Ioapic, 0), None);
}

#[test]
fn a_timer_override_as_qemu_makes_it() {
    let routes = full(&[pin(0, MASTER, 0), pin(0, IOAPIC, 2), pin(9, SLAVE, 1)]).unwrap();
    assert_eq!(pins(&routes, 0), [(Chip::Pics, 0), (Chip::Ioapic, 2)]);
    assert_eq!(routes.gsi_of(Chip::Ioapic, 2), Some(0));
    assert_eq!(routes.gsi_of(Chip::Ioapic, 0), None);
    assert_eq!(pins(&routes, 9), [(Chip::Pics, 9)]);
    assert_eq!(routes.gsi_of(Chip::Pics, 9), Some(9));
}

#[test]
fn what_is_refused() {
    refused(&[pin(MAX_ROUTES, IOAPIC, 0)]);
    refused(&[msi(u32::MAX, 0, 0)]);
    refused(&[pin(0, MASTER, 8)]);
    refused(&[pin(0, SLAVE, 8)]);
    refused(&[pin(0, IOAPIC, 24)]);
    refused(&[pin(0, IOAPIC, 0x102)]);
    refused(&[pin(0, 3, 0)]);
    refused(&[RoutingEntry {
        flags: 1,
        ..pin(0, IOAPIC, 0)
    }]);
    refused(&[RoutingEntry {
        flags: 2,
        ..msi(0, 0, 0)
    }]);
    for kind in [0, 3, 4, 5, u32::MAX] {
        refused(&[RoutingEntry {
            kind,
            ..Default::default()
        }]);
    }
    refused(&[pin(5, IOAPIC, 5), pin(5, IOAPIC, 6)]);
    refused(&[msi(5, 0, 0), msi(5, 0, 1)]);
    refused(&[msi(5, 0, 0), pin(5, IOAPIC, 5)]);
    refused(&[pin(5, IOAPIC, 5), msi(5, 0, 0)]);
    refused(&vec![msi(0, 0, 0); MAX_ROUTES as usize + 1]);
}

#[test]
fn what_is_allowed() {
    full(&[RoutingEntry {
        flags: 1,
        ..msi(0, 0xfee0_0000, 0x30)
    }])
    .unwrap();
    full(&[pin(5, MASTER, 5), pin(5, SLAVE, 5), pin(5, IOAPIC, 5)]).unwrap();
    full(&[pin(4, IOAPIC, 5), pin(5, IOAPIC, 5)]).unwrap();
    let all: Vec<_> = (0..MAX_ROUTES)
        .map(|gsi| msi(gsi, 0xfee0_0000, gsi))
        .collect();
    let routes = full(&all).unwrap();
    let last = Route::Msi {
        address: 0xfee0_0000,
        data: 4095,
    };
    assert_eq!(routes.get(4095), last);
}

#[test]
fn a_split_irqchip_has_messages_only() {
    let split =
        |entries: &[_]| Routes::from_entries(entries, Irqchip::Split, MsiFormat::Compatible);
    assert_eq!(split(&[pin(0, IOAPIC, 0)]).err(), Some(EINVAL));
    let routes = split(&[
        msi(0, 0xfee0_0000, 0x30),
        msi(9, 0xfee0_0000, 0x8039),
        msi(24, 0xfee0_0000, 0x8050),
    ])
    .unwrap();
    let set = routes.eoi_vectors(24);
    assert_eq!(set.words(), [1 << 0x39, 0, 0, 0]);
    assert_eq!(routes.eoi_vectors(0).words(), [0; 4]);
    assert_eq!(
        routes.eoi_vectors(u32::MAX).words(),
        [1 << 0x39, 1 << (0x50 - 64), 0, 0]
    );
}

#[test]
fn extended_destinations_reserve_the_low_byte() {
    let extended =
        |entries: &[_]| Routes::from_entries(entries, Irqchip::Split, MsiFormat::Extended);
    extended(&[msi(0, 0x100_fee0_0000, 0)]).unwrap();
    assert_eq!(extended(&[msi(0, 0x101_fee0_0000, 0)]).err(), Some(EINVAL));
    full(&[msi(0, 0x101_fee0_0000, 0)]).unwrap();
}

fn entry() -> impl Strategy<Value = RoutingEntry> {
    prop_oneof![
        4 => (0u32..12, 0u32..4, 0u32..26).prop_map(|(gsi, chip, number)| pin(gsi, chip, number)),
        1 => (0u32..12, any::<u64>(), any::<u32>()).prop_map(|(gsi, address, data)| msi(gsi, address, data)),
        1 => (0u32..5000, any::<u32>(), any::<u32>()).prop_map(|(gsi, kind, flags)| RoutingEntry {
            gsi,
            kind: kind % 6,
            flags: flags & 1,
            ..Default::default()
        }),
    ]
}

fn model(entries: &[RoutingEntry]) -> Option<BTreeMap<u32, Vec<RoutingEntry>>> {
    let mut map = BTreeMap::<u32, Vec<RoutingEntry>>::new();
    for entry in entries {
        let there = map.entry(entry.gsi).or_default();
        let [chip, pin, ..] = entry.destination;
        let valid = match entry.kind {
            IRQCHIP => {
                entry.flags == 0
                    && chip < 3
                    && pin < [8, 8, 24][chip as usize]
                    && there
                        .iter()
                        .all(|other| other.kind == IRQCHIP && other.destination[0] != chip)
            }
            MSI => there.is_empty() && entry.flags < 2,
            _ => false,
        };
        if entry.gsi >= MAX_ROUTES || !valid {
            return None;
        }
        there.push(*entry);
    }
    Some(map)
}

proptest! {
    #[test]
    fn tables_are_those_of_the_model(entries in prop::collection::vec(entry(), 0..10)) {
        match (full(&entries), model(&entries)) {
            (Err(error), None) => prop_assert_eq!(error, EINVAL),
            (Ok(routes), Some(map)) => {
                for gsi in 0..MAX_ROUTES {
                    let expected = map.get(&gsi).map_or(&[][..], |list| &list[..]);
                    let found = match routes.get(gsi) {
                        Route::None => Vec::new(),
                        Route::Msi { address, data } => vec![msi(gsi, address, data)],
                        Route::Wires(wires) => wires
                            .pins()
                            .map(|(chip, number)| match (chip, number) {
                                (Chip::Ioapic, number) => pin(gsi, IOAPIC, number.into()),
                                (Chip::Pics, 0..8) => pin(gsi, MASTER, number.into()),
                                (Chip::Pics, _) => pin(gsi, SLAVE, u32::from(number) - 8),
                            })
                            .collect(),
                    };
                    prop_assert_eq!(found.len(), expected.len());
                    for entry in expected {
                        let same = |other: &RoutingEntry| {
                            (other.kind, other.destination) == (entry.kind, entry.destination)
                                || entry.kind == MSI && other.destination[..3] == entry.destination[..3]
                        };
                        prop_assert!(found.iter().any(same));
                    }
                }
            }
            (result, model) => prop_assert!(false, "{:?} {:?}", result, model),
        }
    }
}
