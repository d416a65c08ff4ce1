// SPDX-License-Identifier: GPL-2.0

//! The form of KVM_GET_STATS_FD.

use rkvm_host::stats::{padded, piece, Counter, Description, Kind, Name, Source, NAME_BYTES};

const NAMES: [&str; 3] = ["first", "second", "third_of_them"];

/// Three values, whose numbers are their values.
struct Three;

impl Source for Three {
    fn name(&self) -> Name {
        padded(b"three")
    }

    fn count(&self) -> usize {
        NAMES.len()
    }

    fn description(&self, number: usize) -> Option<Description> {
        let kind = match number {
            1 => Kind::Nanoseconds,
            _ => Kind::Events,
        };
        NAMES.get(number).map(|name| Description { name, kind })
    }

    fn value(&self, number: usize) -> u64 {
        0x1111_1111_1111_1111 * (number as u64 + 1)
    }
}

/// Everything from `position` on.
fn read(mut position: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(piece) = piece(&Three, position) {
        assert!(!piece.bytes().is_empty());
        all.extend_from_slice(piece.bytes());
        position += piece.bytes().len();
    }
    all
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

#[test]
fn form() {
    let all = read(0);
    let header: Vec<u32> = (0..6).map(|word| u32_at(&all, 4 * word)).collect();
    assert_eq!(header, [0, 48, 3, 24, 72, 72 + 3 * 64]);
    assert_eq!(&all[24..29], b"three");
    assert!(all[29..72].iter().all(|byte| *byte == 0));
    for (number, name) in NAMES.iter().enumerate() {
        let descriptor = &all[72 + 64 * number..][..64];
        let nanoseconds = number == 1;
        assert_eq!(u32_at(descriptor, 0), if nanoseconds { 2 << 4 } else { 0 });
        let exponent = i16::from_le_bytes(descriptor[4..6].try_into().unwrap());
        assert_eq!(exponent, if nanoseconds { -9 } else { 0 });
        assert_eq!(descriptor[6..8], 1u16.to_le_bytes());
        assert_eq!(u32_at(descriptor, 8), 8 * number as u32);
        assert_eq!(u32_at(descriptor, 12), 0);
        assert_eq!(descriptor[16..], padded(name.as_bytes()));
        let value = &all[72 + 3 * 64 + 8 * number..][..8];
        assert!(value.iter().all(|byte| *byte == 0x11 * (number as u8 + 1)));
    }
    assert_eq!(all.len(), 72 + 3 * (64 + 8));
}

#[test]
fn from_anywhere() {
    let all = read(0);
    for position in 0..all.len() {
        assert_eq!(read(position), all[position..]);
    }
    for position in [all.len(), all.len() + 1, usize::MAX] {
        assert!(piece(&Three, position).is_none());
    }
}

#[test]
fn long_names() {
    let name = padded(&[b'x'; 100]);
    assert_eq!(name[NAME_BYTES - 2..], [b'x', 0]);
}

#[test]
fn counters_wrap() {
    let counter = Counter::new();
    counter.add(u64::MAX);
    counter.add(1);
    counter.add(1);
    assert_eq!(counter.get(), 1);
}
