// SPDX-License-Identifier: GPL-2.0

//! GSI routing of arm64, against KVM's API documentation.

use kernel::prelude::*;
use rkvm_host::arm64::routing::{Route, Routes};
use rkvm_host::arm64::vgic::gic::intid::Intid;
use rkvm_host::gsi_routing::{Message, RoutingEntry};

fn pin(gsi: u32, chip: u32, pin: u32) -> RoutingEntry {
    RoutingEntry {
        gsi,
        kind: 1,
        destination: [chip, pin, 0, 0, 0, 0, 0, 0],
        ..Default::default()
    }
}

fn message(gsi: u32, flags: u32) -> RoutingEntry {
    RoutingEntry {
        gsi,
        kind: 2,
        flags,
        destination: [0x0808_0040, 0x1, 33, 0x100, 0, 0, 0, 0],
        ..Default::default()
    }
}

#[test]
fn a_gic_begins_with_its_spis() {
    let routes = Routes::of_spis(64);
    assert_eq!(routes.find(0), Route::Spi(Intid::new(32)));
    assert_eq!(routes.find(31), Route::Spi(Intid::new(63)));
    assert_eq!(routes.find(32), Route::None);
    assert_eq!(routes.find(u32::MAX), Route::None);
    assert_eq!(routes.gsi_of(Intid::new(40)), Some(8));
    assert_eq!(routes.gsi_of(Intid::new(64)), None);
    assert_eq!(Routes::of_spis(1024).find(988), Route::None);
}

#[test]
fn messages_may_name_their_device() {
    let routes = Routes::from_entries(&[message(5, 1), message(7, 0)]).unwrap();
    let sent = |device| {
        Route::Message(Message {
            address: 0x1_0808_0040,
            data: 33,
            device,
        })
    };
    assert_eq!(routes.find(5), sent(Some(0x100)));
    assert_eq!(routes.find(7), sent(None));
    assert_eq!(routes.find(6), Route::None);
}

#[test]
fn pins_can_be_renamed() {
    let routes = Routes::from_entries(&[pin(100, 0, 3), pin(0, 0, 987)]).unwrap();
    assert_eq!(routes.gsi_of(Intid::new(35)), Some(100));
    assert_eq!(routes.gsi_of(Intid::new(1019)), Some(0));
}

#[test]
fn wrong_entries_are_refused() {
    let refused = |entries: &[RoutingEntry]| Routes::from_entries(entries).err() == Some(EINVAL);
    assert!(refused(&[pin(4096, 0, 0)]));
    assert!(refused(&[pin(0, 1, 0)]));
    assert!(refused(&[pin(0, 0, 988)]));
    assert!(refused(&[pin(0, 0, 1), pin(0, 0, 2)]));
    assert!(refused(&[pin(0, 0, 1), message(0, 0)]));
    assert!(refused(&[message(0, 2)]));
    assert!(refused(&[RoutingEntry {
        flags: 1,
        ..pin(0, 0, 1)
    }]));
    assert!(refused(&[RoutingEntry {
        kind: 3,
        ..pin(0, 0, 1)
    }]));
    assert!(refused(&vec![message(1, 0); 4097]));
    assert!(Routes::from_entries(&[]).is_ok());
}
