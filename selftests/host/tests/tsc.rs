// SPDX-License-Identifier: GPL-2.0

//! A VM's time-stamp counter.

use proptest::prelude::*;
use rkvm_host::x86::tsc::{is_same_frequency, VmTsc};

const SECOND: u64 = 2_000_000_000;

#[test]
fn starts_at_0() {
    let tsc = VmTsc::new(12345);
    assert_eq!(12345u64.wrapping_add(tsc.offset()), 0);
}

#[test]
fn writes_one_after_the_other_are_one() {
    let mut tsc = VmTsc::new(0);
    let first = tsc.set(1 << 50, 1000, SECOND);
    let second = tsc.set(1 << 50, 500_000, SECOND);
    assert_eq!(first, second);
    assert_eq!(1000u64.wrapping_add(first), 1 << 50);
}

#[test]
fn a_reset_to_0_soon_after_the_start_changes_nothing() {
    let mut tsc = VmTsc::new(7_000);
    let before = tsc.offset();
    assert_eq!(tsc.set(0, 900_000, SECOND), before);
}

proptest! {
    #[test]
    fn a_far_value_is_taken_exactly(start: u64, value: u64, host: u64, second in 1u64..1 << 40) {
        let mut tsc = VmTsc::new(start);
        let expected = host.wrapping_add(tsc.offset());
        let offset = tsc.set(value, host, second);
        let off_by = host.wrapping_add(offset).wrapping_sub(value) as i64;
        prop_assert!(off_by.unsigned_abs() < second);
        let far = (value.wrapping_sub(expected) as i64).unsigned_abs() >= second;
        prop_assert!(!far || off_by == 0);
    }
}

#[test]
fn frequencies_within_the_tolerance_are_the_same() {
    for host in [1u32, 40_000, 2_400_000, u32::MAX] {
        assert!(is_same_frequency(host, host), "{host}");
        assert!(!is_same_frequency(host / 2, host) || host == 1, "{host}");
        assert!(!is_same_frequency(0, host) || host == 1, "{host}");
    }
    for (khz, same) in [
        (39_989, false),
        (39_990, true),
        (40_010, true),
        (40_011, false),
    ] {
        assert_eq!(is_same_frequency(khz, 40_000), same, "{khz}");
    }
}
