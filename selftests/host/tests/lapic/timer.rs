// SPDX-License-Identifier: GPL-2.0

//! The timer.

use crate::bench::*;
use proptest::prelude::*;
use rkvm_host::x86::lapic::*;

const VECTOR: u32 = 0xec;
/// Ticks of a nanosecond.
const NS: u64 = HZ / 1_000_000_000;

fn with_timer(entry: u32, divide: u32) -> Lapic {
    let mut lapic = xapic(0);
    assert!(write(&mut lapic, LVT_TIMER, entry).timer);
    assert!(write(&mut lapic, DIVIDE, divide).timer);
    lapic
}

#[test]
fn one_shot() {
    let mut lapic = with_timer(VECTOR, DIVIDE_BY_1);
    assert_eq!(lapic.deadline(), None);
    assert!(write_at(&mut lapic, INITIAL_COUNT, 1000, &at(50)).timer);
    assert_eq!(lapic.deadline(), Some(50 + 1000 * NS));
    assert_eq!(read_at(&mut lapic, CURRENT_COUNT, &at(50)), 1000);
    assert_eq!(read_at(&mut lapic, CURRENT_COUNT, &at(50 + 400 * NS)), 600);
    assert!(!lapic.expire(&at(50 + 1000 * NS - 1)));
    assert!(lapic.expire(&at(50 + 1000 * NS)));
    assert_eq!(lapic.highest(), Some(VECTOR as u8));
    assert_eq!(lapic.deadline(), None);
    assert!(!lapic.expire(&at(1 << 40)));
    assert_eq!(read_at(&mut lapic, CURRENT_COUNT, &at(1 << 40)), 0);
    assert_eq!(read(&mut lapic, INITIAL_COUNT), 1000);
    let _ = write_at(&mut lapic, INITIAL_COUNT, 7, &at(0));
    let _ = write_at(&mut lapic, INITIAL_COUNT, 0, &at(0));
    assert_eq!(lapic.deadline(), None);
}

#[test]
fn dividers() {
    for (code, by) in [
        (0b1011, 1),
        (0b0000, 2),
        (0b0001, 4),
        (0b0010, 8),
        (0b0011, 16),
        (0b1000, 32),
        (0b1001, 64),
        (0b1010, 128),
    ] {
        let mut lapic = with_timer(VECTOR, code);
        let _ = write(&mut lapic, INITIAL_COUNT, 100);
        assert_eq!(lapic.deadline(), Some(100 * by * NS));
    }
}

#[test]
fn another_divider_while_counting() {
    let mut lapic = with_timer(VECTOR, DIVIDE_BY_1);
    let _ = write(&mut lapic, INITIAL_COUNT, 1_000_000);
    let clock = at(400_000 * NS);
    let _ = write_at(&mut lapic, DIVIDE, 0b0001, &clock);
    assert_eq!(lapic.deadline(), Some(clock.tsc + 600_000 * 4 * NS));
    assert_eq!(read_at(&mut lapic, CURRENT_COUNT, &clock), 600_000);
    let _ = write_at(&mut lapic, DIVIDE, DIVIDE_BY_1, &clock);
    assert_eq!(lapic.deadline(), Some(1_000_000 * NS));
}

#[test]
fn the_same_divider_changes_nothing() {
    let mut lapic = with_timer(VECTOR | PERIODIC, DIVIDE_BY_1);
    let period = 1_000_000 * NS;
    let _ = write(&mut lapic, INITIAL_COUNT, 1_000_000);
    let _ = write_at(&mut lapic, DIVIDE, DIVIDE_BY_1, &at(2 * period + 1));
    assert_eq!(lapic.deadline(), Some(3 * period));
    assert_eq!(lapic.highest(), Some(VECTOR as u8));
}

#[test]
fn periods_keep_their_phase() {
    let mut lapic = with_timer(VECTOR | PERIODIC, DIVIDE_BY_1);
    let period = 1_000_000 * NS;
    let _ = write(&mut lapic, INITIAL_COUNT, 1_000_000);
    assert!(lapic.expire(&at(period)));
    assert!(!lapic.expire(&at(period)));
    assert_eq!(lapic.deadline(), Some(2 * period));
    // Five and a half periods without a look are one interrupt.
    assert!(lapic.expire(&at(7 * period + period / 2)));
    assert_eq!(lapic.deadline(), Some(8 * period));
    assert_eq!(
        read_at(&mut lapic, CURRENT_COUNT, &at(7 * period + period / 2)),
        500_000
    );
}

#[test]
fn periods_do_not_drift() {
    let mut lapic = with_timer(VECTOR | PERIODIC, DIVIDE_BY_1);
    let hz = 2_399_998_765;
    let clock = |tsc| Clock { tsc, hz, offset: 0 };
    let _ = write_at(&mut lapic, INITIAL_COUNT, 1_000_001, &clock(0));
    for _ in 0..100_000u32 {
        let due = lapic.deadline().unwrap();
        assert!(lapic.expire(&clock(due)));
    }
    let exact = 100_001 * 1_000_001 * u128::from(hz) / 1_000_000_000;
    assert_eq!(u128::from(lapic.deadline().unwrap()), exact);
}

#[test]
fn short_periods_are_lengthened() {
    let mut lapic = with_timer(VECTOR | PERIODIC, DIVIDE_BY_1);
    let _ = write(&mut lapic, INITIAL_COUNT, 1);
    assert_eq!(lapic.deadline(), Some(200_000 * NS));
    assert_eq!(read(&mut lapic, CURRENT_COUNT), 1);
    let mut lapic = with_timer(VECTOR, DIVIDE_BY_1);
    let _ = write(&mut lapic, INITIAL_COUNT, 1);
    assert_eq!(lapic.deadline(), Some(NS));
}

#[test]
fn a_masked_timer_wakes_nobody() {
    let mut lapic = with_timer(VECTOR | PERIODIC | MASKED, DIVIDE_BY_1);
    let period = 1_000_000 * NS;
    let _ = write(&mut lapic, INITIAL_COUNT, 1_000_000);
    assert_eq!(lapic.deadline(), None);
    let clock = at(3 * period + period / 4);
    assert_eq!(read_at(&mut lapic, CURRENT_COUNT, &clock), 750_000);
    // What has passed before it is unmasked is lost.
    let clock = at(5 * period + period / 4);
    let _ = write_at(&mut lapic, LVT_TIMER, VECTOR | PERIODIC, &clock);
    assert_eq!(lapic.highest(), None);
    assert_eq!(lapic.deadline(), Some(6 * period));
    let _ = write_at(&mut lapic, SVR, 0xff, &clock);
    assert_eq!(lapic.deadline(), None);
}

#[test]
fn tsc_deadline() {
    let mut lapic = with_timer(VECTOR | TSC_DEADLINE, DIVIDE_BY_1);
    let clock = Clock {
        tsc: 1000,
        hz: HZ,
        offset: 500,
    };
    assert!(lapic.set_tsc_deadline(2000, &clock).timer);
    assert_eq!(lapic.deadline(), Some(1500));
    assert_eq!(lapic.tsc_deadline(&clock), 2000);
    assert_eq!(read(&mut lapic, CURRENT_COUNT), 0);
    let due = Clock { tsc: 1500, ..clock };
    assert!(lapic.expire(&due));
    assert_eq!((lapic.tsc_deadline(&due), lapic.deadline()), (0, None));
    assert_eq!(lapic.acknowledge(), Some(VECTOR as u8));
    lapic.eoi();
    // In the past: at once.
    assert!(lapic.set_tsc_deadline(1, &due).timer);
    assert_eq!(lapic.deadline(), Some(due.tsc));
    assert!(lapic.expire(&due));
    assert_eq!(lapic.highest(), Some(VECTOR as u8));
    assert_eq!(lapic.tsc_deadline(&due), 0);
    let _ = lapic.set_tsc_deadline(9000, &due);
    let _ = lapic.set_tsc_deadline(0, &due);
    assert_eq!(lapic.deadline(), None);
}

#[test]
fn a_deadline_moves_with_the_tsc() {
    let mut lapic = with_timer(VECTOR | TSC_DEADLINE, DIVIDE_BY_1);
    let _ = lapic.set_tsc_deadline(10_000, &NOW);
    lapic.tsc_changed(&Clock {
        tsc: 100,
        hz: HZ,
        offset: 4_000,
    });
    assert_eq!(lapic.deadline(), Some(6_000));
    lapic.tsc_changed(&Clock {
        tsc: 100,
        hz: HZ,
        offset: u64::MAX - 99,
    });
    assert_eq!(lapic.deadline(), Some(10_100));
}

#[test]
fn modes_exclude_each_other() {
    let mut lapic = with_timer(VECTOR, DIVIDE_BY_1);
    assert_eq!(lapic.set_tsc_deadline(5000, &NOW), Effect::NONE);
    assert_eq!(lapic.tsc_deadline(&NOW), 0);
    let _ = write(&mut lapic, INITIAL_COUNT, 1000);
    let _ = write(&mut lapic, LVT_TIMER, VECTOR | TSC_DEADLINE);
    assert_eq!(
        (lapic.deadline(), read(&mut lapic, INITIAL_COUNT)),
        (None, 0)
    );
    assert_eq!(write(&mut lapic, INITIAL_COUNT, 1000), Effect::NONE);
    assert_eq!(read(&mut lapic, INITIAL_COUNT), 0);
    let _ = lapic.set_tsc_deadline(5000, &NOW);
    let _ = write(&mut lapic, LVT_TIMER, VECTOR | PERIODIC);
    assert_eq!(lapic.deadline(), None);
    let _ = write(&mut lapic, LVT_TIMER, VECTOR | TSC_DEADLINE);
    assert_eq!(lapic.tsc_deadline(&NOW), 0);
    // Between the counting modes the count goes on.
    let _ = write(&mut lapic, LVT_TIMER, VECTOR);
    let _ = write(&mut lapic, INITIAL_COUNT, 1_000_000);
    let _ = write(&mut lapic, LVT_TIMER, VECTOR | PERIODIC);
    assert_eq!(lapic.deadline(), Some(1_000_000 * NS));
    assert!(lapic.expire(&at(1_000_000 * NS)));
    assert_eq!(lapic.deadline(), Some(2_000_000 * NS));
    // The reserved mode stands still.
    let _ = write(&mut lapic, LVT_TIMER, VECTOR | PERIODIC | TSC_DEADLINE);
    let _ = write(&mut lapic, INITIAL_COUNT, 1000);
    assert_eq!(read(&mut lapic, CURRENT_COUNT), 0);
}

#[test]
fn disabling_and_reset_stop_it() {
    let mut lapic = with_timer(VECTOR, DIVIDE_BY_1);
    let _ = write(&mut lapic, INITIAL_COUNT, 1000);
    let base = lapic.base();
    assert!(set_base(&mut lapic, base & !BASE_ENABLE).unwrap().timer);
    assert_eq!(lapic.deadline(), None);
    assert!(!lapic.expire(&at(1 << 40)));
    let mut lapic = with_timer(VECTOR, DIVIDE_BY_1);
    let _ = write(&mut lapic, INITIAL_COUNT, 1000);
    lapic.reset(Reset::Init);
    assert_eq!(lapic.deadline(), None);
    assert_eq!(read(&mut lapic, INITIAL_COUNT), 0);
}

#[test]
fn slower_buses() {
    let mut lapic = Lapic::new(
        0,
        Config {
            bus_cycle_ns: 40,
            ..CONFIG
        },
    )
    .unwrap();
    let _ = write(&mut lapic, SVR, ENABLED);
    let _ = write(&mut lapic, LVT_TIMER, VECTOR);
    let _ = write(&mut lapic, DIVIDE, DIVIDE_BY_1);
    let _ = write(&mut lapic, INITIAL_COUNT, 1000);
    assert_eq!(lapic.deadline(), Some(40_000 * NS));
    assert_eq!(read_at(&mut lapic, CURRENT_COUNT, &at(20_000 * NS)), 500);
}

/// Frequencies and moments at the edges and in between.
fn any_clock() -> impl Strategy<Value = Clock> {
    let hz = prop_oneof![
        Just(0),
        Just(1),
        Just(40_000_000),
        Just(999_999_999),
        Just(1_000_000_000),
        Just(2_399_998_765),
        Just(1 << 34),
        Just(u64::MAX),
        any::<u64>(),
        1u64..10_000_000_000,
    ];
    let tsc = prop_oneof![Just(0), Just(u64::MAX), any::<u64>(), 0u64..1 << 50];
    (tsc, hz, any::<u64>()).prop_map(|(tsc, hz, offset)| Clock { tsc, hz, offset })
}

proptest! {
    #[test]
    fn counts_end_when_they_should(
        count in 1u32..,
        shift in 0u32..8,
        tsc in 0u64..1 << 50,
        hz in 1_000_000u64..10_000_000_000,
    ) {
        let code = (shift + 7) & 7;
        let mut lapic = with_timer(VECTOR, code & 3 | (code & 4) << 1);
        let at = |tsc| Clock { tsc, hz, offset: 0 };
        let clock = at(tsc);
        let _ = write_at(&mut lapic, INITIAL_COUNT, count, &clock);
        let ns = u128::from(count) << shift;
        let exact = u128::from(tsc) + ns * u128::from(hz) / 1_000_000_000;
        let due = lapic.deadline().unwrap();
        prop_assert_eq!(u128::from(due), exact);
        let now = read_at(&mut lapic, CURRENT_COUNT, &clock);
        // A tick may be longer than a count.
        let slack = u32::try_from(1_000_000_000 / hz + 1).unwrap();
        prop_assert!(now <= count && now >= count.saturating_sub(slack), "{} of {}", now, count);
        if due > tsc {
            prop_assert!(!lapic.expire(&at(due - 1)));
        }
        prop_assert!(lapic.expire(&at(due)));
    }

    #[test]
    fn a_late_look_finds_the_next_period(
        count in 200_000u32..,
        hz in 1_000_000u64..10_000_000_000,
        late in 0u64..1 << 50,
    ) {
        let mut lapic = with_timer(VECTOR | PERIODIC, DIVIDE_BY_1);
        let clock = |tsc| Clock { tsc, hz, offset: 0 };
        let _ = write_at(&mut lapic, INITIAL_COUNT, count, &clock(0));
        let due = lapic.deadline().unwrap();
        let now = due + late;
        prop_assert!(lapic.expire(&clock(now)));
        let next = lapic.deadline().unwrap();
        prop_assert!(next > now);
        // The phase: a whole number of periods since the start.
        let scaled = u128::from(count) * u128::from(hz);
        let periods = (u128::from(next) * 1_000_000_000).div_ceil(scaled);
        let nearest = [periods - 1, periods].map(|n| n * scaled / 1_000_000_000);
        prop_assert!(nearest.contains(&u128::from(next)) || next == now + 1, "{} {:?}", next, nearest);
        prop_assert!(u128::from(next - now) <= scaled / 1_000_000_000 + 2);
    }

    /// Whatever the clock says, nothing panics.
    #[test]
    fn any_time(
        steps in proptest::collection::vec((0u8..8, any::<u64>(), any_clock()), 1..60),
        bus_cycle_ns: u32,
    ) {
        let mut lapic = Lapic::new(0, Config { bus_cycle_ns, ..CONFIG }).unwrap();
        let _ = write(&mut lapic, SVR, ENABLED);
        for (kind, value, clock) in steps {
            let low = value as u32;
            match kind {
                0 => drop(write_at(&mut lapic, LVT_TIMER, low, &clock)),
                1 => drop(write_at(&mut lapic, DIVIDE, low, &clock)),
                2 => drop(write_at(&mut lapic, INITIAL_COUNT, low, &clock)),
                3 => drop(lapic.set_tsc_deadline(value, &clock)),
                4 => drop(read_at(&mut lapic, CURRENT_COUNT, &clock)),
                5 => drop(lapic.expire(&clock)),
                6 => lapic.tsc_changed(&clock),
                _ => {
                    let state = lapic.save(IdFormat::Xapic, &clock);
                    lapic.restore(&state, IdFormat::Xapic, &clock).unwrap();
                }
            }
            let _ = (lapic.deadline(), lapic.tsc_deadline(&clock));
        }
    }
}
