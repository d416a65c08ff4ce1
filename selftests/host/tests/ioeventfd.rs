// SPDX-License-Identifier: GPL-2.0

//! The rules of KVM_IOEVENTFD.

use kernel::prelude::*;
use proptest::prelude::*;

use rkvm_host::bus::Space;
use rkvm_host::ioeventfd::{Doorbell, Doorbells, Filter, Request};

const DATAMATCH: u32 = 1;
const PIO: u32 = 2;
const DEASSIGN: u32 = 4;
const VIRTIO_CCW_NOTIFY: u32 = 8;

fn request(addr: u64, len: u32, value: Option<u64>) -> Request {
    Request {
        addr,
        len,
        datamatch: value.unwrap_or(0),
        flags: if value.is_some() { DATAMATCH } else { 0 },
    }
}

fn doorbell(addr: u64, len: u32, value: Option<u64>) -> Doorbell {
    Doorbell::new(&request(addr, len, value)).unwrap()
}

/// Doorbells that are numbered in their order.
/// A write of `data`.
fn of(data: &[u8]) -> impl Fn(Filter) -> bool + '_ {
    |filter| filter.accepts(data)
}

fn doorbells(of: &[(u64, u32, Option<u64>)]) -> Doorbells<usize> {
    of.iter()
        .enumerate()
        .fold(Doorbells::new(), |bells, (number, (addr, len, value))| {
            bells.with(&doorbell(*addr, *len, *value), number).unwrap()
        })
}

#[test]
fn malformed_requests_are_refused() {
    let refused = |request| Doorbell::new(&request) == Err(EINVAL);
    for len in [3, 5, 6, 7, 9, 16, u32::MAX] {
        assert!(refused(request(0, len, None)), "{len}");
    }
    assert!(refused(request(0, 0, Some(0))));
    assert!(refused(request(u64::MAX, 1, None)));
    assert!(!refused(request(u64::MAX, 0, None)));
    assert!(!refused(request(u64::MAX - 8, 8, None)));
    for flags in [VIRTIO_CCW_NOTIFY, 1 << 4, 1 << 31] {
        let flags = flags | PIO;
        assert!(refused(Request {
            flags,
            ..request(0, 4, None)
        }));
    }
    assert!(!refused(Request {
        flags: PIO | DEASSIGN | DATAMATCH,
        ..request(0, 4, None)
    }));
}

#[test]
fn the_space_is_in_the_flags() {
    let port = Request {
        flags: PIO,
        ..request(0x500, 2, None)
    };
    assert_eq!(Doorbell::new(&port).unwrap().space, Space::Port);
    assert_eq!(doorbell(0x500, 2, None).space, Space::Memory);
}

#[test]
fn size_and_value_decide() {
    let bells = doorbells(&[
        (0x100, 4, Some(1)),
        (0x100, 4, Some(2)),
        (0x100, 2, None),
        (0x104, 0, None),
        (0x108, 8, Some(0x0102_0304_0506_0708)),
        (0x110, 1, Some(0x1ff)),
    ]);
    assert_eq!(bells.find(0x100, of(&[1, 0, 0, 0])), Some(&0));
    assert_eq!(bells.find(0x100, of(&[2, 0, 0, 0])), Some(&1));
    assert_eq!(bells.find(0x100, of(&[3, 0, 0, 0])), None);
    assert_eq!(bells.find(0x100, of(&[1, 0])), Some(&2));
    assert_eq!(bells.find(0x100, of(&[1])), None);
    assert_eq!(bells.find(0x101, of(&[1, 0, 0, 0])), None);
    assert_eq!(bells.find(0x104, of(&[9])), Some(&3));
    assert_eq!(bells.find(0x104, of(&[9; 8])), Some(&3));
    assert_eq!(bells.find(0x108, of(&[8, 7, 6, 5, 4, 3, 2, 1])), Some(&4));
    // The whole value is compared, which a byte cannot have.
    assert_eq!(bells.find(0x110, of(&[0xff])), None);
    assert_eq!(bells.find(0x104, Filter::is_open), Some(&3));
    assert_eq!(bells.find(0x100, Filter::is_open), None);
    assert_eq!(bells.find(0x105, Filter::is_open), None);
}

#[test]
fn only_the_same_one_goes() {
    let bells = doorbells(&[(8, 4, Some(1)), (8, 4, Some(2)), (16, 0, None)]);
    let is = |number: usize| move |other: &usize| *other == number;
    let missing = |doorbell, number| bells.without(&doorbell, is(number)).err();
    assert_eq!(missing(doorbell(8, 4, Some(1)), 1), Some(ENOENT));
    assert_eq!(missing(doorbell(8, 4, None), 0), Some(ENOENT));
    assert_eq!(missing(doorbell(8, 2, Some(1)), 0), Some(ENOENT));
    assert_eq!(missing(doorbell(16, 1, None), 2), Some(ENOENT));
    let left = bells.without(&doorbell(8, 4, Some(1)), is(0)).unwrap();
    assert_eq!(left.find(8, of(&[1, 0, 0, 0])), None);
    assert_eq!(left.find(8, of(&[2, 0, 0, 0])), Some(&1));
    assert_eq!(left.find(16, Filter::is_open), Some(&2));
    assert!(left.with(&doorbell(8, 4, Some(1)), 7).is_ok());
}

type Shape = (u64, u32, Option<u64>);

fn shape() -> impl Strategy<Value = Shape> {
    let len = prop::sample::select(vec![0, 1, 2, 4, 8]);
    (0..3u64, len, prop::option::of(0..3u64))
        .prop_map(|(addr, len, value)| (addr, len, if len == 0 { None } else { value }))
}

fn write() -> impl Strategy<Value = (u64, Vec<u8>)> {
    let len = prop::sample::select(vec![1, 2, 4, 8]);
    (0..3u64, len, 0..3u64)
        .prop_map(|(addr, len, value)| (addr, value.to_le_bytes()[..len].to_vec()))
}

fn accepts(shape: &Shape, addr: u64, data: &[u8]) -> bool {
    let mut bytes = [0; 8];
    bytes[..data.len()].copy_from_slice(data);
    shape.0 == addr
        && (shape.1 == 0
            || shape.1 as usize == data.len()
                && shape
                    .2
                    .is_none_or(|value| value == u64::from_le_bytes(bytes)))
}

proptest! {
    /// Those that are taken never share a write; one is refused only if it would.
    #[test]
    fn every_write_has_one_target(
        shapes in prop::collection::vec(shape(), 0..12),
        writes in prop::collection::vec(write(), 64),
    ) {
        let mut bells = Doorbells::new();
        let mut taken: Vec<(usize, Shape)> = Vec::new();
        for (number, shape) in shapes.into_iter().enumerate() {
            match bells.with(&doorbell(shape.0, shape.1, shape.2), number) {
                Ok(next) => {
                    bells = next;
                    taken.push((number, shape));
                }
                Err(error) => {
                    prop_assert_eq!(error, EEXIST);
                    prop_assert!(taken.iter().any(|(_, other)| other.0 == shape.0));
                }
            }
        }
        for (addr, data) in writes {
            let meant: Vec<_> = taken
                .iter()
                .filter(|(_, shape)| accepts(shape, addr, &data))
                .map(|(number, _)| number)
                .collect();
            prop_assert!(meant.len() <= 1);
            prop_assert_eq!(bells.find(addr, of(&data)), meant.first().copied());
        }
    }
}
