// SPDX-License-Identifier: GPL-2.0

//! The guest's timers, against the Arm ARM.

use proptest::prelude::*;
use rkvm_host::arm64::timer::{line_of_control, nanoseconds, Count, Offset, Ppis, Timer, Which};
use rkvm_host::arm64::vgic::gic::intid::Intid;
use rkvm_host::arm64::vgic::gic::irq::Level;

#[test]
fn a_timer_fires_when_it_is_on_and_not_masked() {
    for control in 0..8 {
        let timer = Timer::from_registers(control, 100);
        let on = control & 0b11 == 0b01;
        assert_eq!(timer.line(Count(99)), Level::Low);
        assert_eq!(timer.line(Count(100)), Level::from_high(on));
        assert_eq!(timer.remaining(Count(40)), on.then_some(60));
        assert_eq!(timer.remaining(Count(140)), on.then_some(0));
        // The status does not depend on the mask, and cannot be written.
        let enabled = control & 1;
        assert_eq!(timer.control_at(Count(100)), control & 0b11 | enabled << 2);
        assert_eq!(timer.control_at(Count(99)), control & 0b11);
    }
}

#[test]
fn the_timer_value_is_signed_and_relative() {
    let mut timer = Timer::OFF;
    timer.set_value_at(Count(1000), 5);
    assert_eq!(timer.compare(), 1005);
    assert_eq!(timer.value_at(Count(1002)), 3);
    assert_eq!(timer.value_at(Count(1006)), 0xffff_ffff);
    timer.set_value_at(Count(1000), 0xffff_ffff);
    assert_eq!(timer.compare(), 999);
}

#[test]
fn ppis_are_ppis() {
    let mut ppis = Ppis::default();
    assert_eq!(ppis.get(Which::Virtual), Intid::new(27));
    assert_eq!(ppis.get(Which::Physical), Intid::new(30));
    assert!(ppis.set(Which::Virtual, Intid::new(15)).is_err());
    assert!(ppis.set(Which::Virtual, Intid::new(32)).is_err());
    assert!(ppis.set(Which::Virtual, Intid::new(30)).is_ok());
    assert!(!ppis.are_distinct());
}

#[test]
fn nanoseconds_do_not_overflow() {
    assert_eq!(nanoseconds(62_500_000, 62_500_000), 1_000_000_000);
    assert_eq!(nanoseconds(1, 3), 333_333_334);
    assert_eq!(nanoseconds(u64::MAX, 1), u64::MAX);
    assert_eq!(nanoseconds(1, 0), 1_000_000_000);
}

proptest! {
    #[test]
    fn an_offset_makes_a_counter(physical: u64, wanted: u64, later: u32) {
        let offset = Count(physical).offset_of(Count(wanted));
        let then = Count(physical.wrapping_add(later.into()));
        prop_assert_eq!(then.behind(offset), Count(wanted.wrapping_add(later.into())));
    }

    #[test]
    fn hardware_and_this_agree(control in 0..4u64, compare: u64, now: u64) {
        let timer = Timer::from_registers(control, compare);
        let line = timer.line(Count(now));
        prop_assert_eq!(line_of_control(timer.control_at(Count(now))), line);
        prop_assert_eq!(timer.remaining(Count(now)) == Some(0), line == Level::High);
    }
}

#[test]
fn the_processors_counter_does_not_wrap() {
    let now = Count(1000);
    let offset = now.offset_of(Count(1 << 63));
    assert_eq!(offset.ahead(now, (1 << 63) - 1), 999);
    assert_eq!(offset.ahead(now, (1 << 63) + 1), 1001);
    assert_eq!(offset.ahead(now, 4), 0, "long ago");
    let offset = now.offset_of(Count(5));
    assert_eq!(offset.ahead(now, u64::MAX), u64::MAX, "never");
    assert_eq!(Offset::default().ahead(now, 7), 7);
    assert_eq!(Offset::default().ahead(now, u64::MAX), u64::MAX);
}
