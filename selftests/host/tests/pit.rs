// SPDX-License-Identifier: GPL-2.0

//! The 8254, by its datasheet, by what firmware and Linux do with it, and under random use.

use proptest::prelude::*;

use rkvm_host::x86::pit::{ChannelState, Deadline, Pit, PitState, Pulse, Reinject};

const SECOND: u64 = 1_000_000_000;
const FREQUENCY: u64 = 1_193_182;
/// When tests begin.
const START: u64 = 77 * SECOND;

const CONTROL: u16 = 0x43;
const SPEAKER: u16 = 0x61;

fn pit() -> Pit {
    Pit::new(START)
}

fn write(pit: &mut Pit, port: u16, values: &[u8], now: u64) {
    for &value in values {
        let _ = pit.io_write(port, &[value], now);
    }
}

fn read(pit: &mut Pit, port: u16, now: u64) -> u8 {
    let mut data = [0xee];
    pit.io_read(port, &mut data, now);
    data[0]
}

fn read_word(pit: &mut Pit, port: u16, now: u64) -> u16 {
    u16::from_le_bytes([read(pit, port, now), read(pit, port, now)])
}

/// The first nanosecond at which so many clock pulses have passed.
fn after(pulses: u64) -> u64 {
    START + (u128::from(pulses) * u128::from(SECOND)).div_ceil(FREQUENCY.into()) as u64
}

/// Counter 0 with a control word and a count.
fn timer(control: u8, count: u16) -> Pit {
    let mut pit = pit();
    write(&mut pit, CONTROL, &[control], START);
    write(&mut pit, 0x40, &count.to_le_bytes(), START);
    pit
}

#[test]
fn does_not_tick_after_reset() {
    let mut pit = pit();
    assert_eq!(pit.deadline(), None);
    assert_eq!(pit.expire(u64::MAX), Pulse::None);
    let channel = ChannelState {
        count: 0x10000,
        mode: 0xff,
        gate: 1,
        count_load_time: START as i64,
        ..Default::default()
    };
    let speaker = ChannelState { gate: 0, ..channel };
    let state = PitState {
        channels: [channel, channel, speaker],
        flags: 0,
    };
    assert_eq!(pit.save(), state);
}

#[test]
fn the_bios_ticks_18_times_a_second() {
    // SeaBIOS: mode 2, count 0.
    let mut pit = timer(0x34, 0);
    assert_eq!(pit.deadline(), Some(after(0x10000)));
    pit.set_reinject(Reinject::No);
    assert_eq!(pit.expire(after(0x10000) - 1), Pulse::None);
    assert_eq!(pit.expire(after(0x10000)), Pulse::Now);
    assert_eq!(pit.deadline(), Some(after(0x20000)));
}

#[test]
fn periodic_ticks_do_not_drift() {
    // Linux with HZ=250: mode 2, count 4773.
    let mut pit = timer(0x34, 4773);
    let hour = START + 3600 * SECOND;
    let mut ticks = 0;
    while let Some(now) = pit.deadline().filter(|&now| now <= hour) {
        assert_eq!(pit.expire(now), Pulse::Now);
        assert_eq!(pit.acknowledged(), Pulse::None);
        ticks += 1;
        assert_eq!(pit.deadline(), Some(after((ticks + 1) * 4773)));
    }
    assert_eq!(ticks, 3600 * FREQUENCY / 4773);
}

#[test]
fn one_shot_ticks_once() {
    for control in [0x30, 0x38, 0x32] {
        let mut pit = timer(control, 1000);
        assert_eq!(pit.deadline(), Some(after(1000)));
        assert_eq!(pit.expire(after(1000)), Pulse::Now);
        assert_eq!(pit.deadline(), None);
        assert_eq!(pit.expire(after(100_000)), Pulse::None);
        // The next count.
        let late = after(5000);
        write(&mut pit, 0x40, &[0x10, 0], late);
        assert!(pit.deadline().is_some_and(|deadline| deadline > late));
    }
    assert_eq!(timer(0x3a, 1000).deadline(), None);
}

#[test]
fn a_control_word_stops_the_ticks() {
    let mut pit = timer(0x34, 4773);
    assert_eq!(pit.io_write(CONTROL, &[0x30], after(10)), Deadline::Changed);
    assert_eq!(pit.deadline(), None);
    assert_eq!(pit.io_write(0x40, &[1], after(10)), Deadline::Same);
    assert_eq!(pit.io_write(0x40, &[0], after(10)), Deadline::Changed);
    assert!(pit.deadline().is_some());
}

#[test]
fn other_counters_do_not_tick() {
    let mut pit = pit();
    for (control, port) in [(0x74, 0x41), (0xb6, 0x42)] {
        assert_eq!(pit.io_write(CONTROL, &[control], START), Deadline::Same);
        assert_eq!(pit.io_write(port, &[0], START), Deadline::Same);
        assert_eq!(pit.io_write(port, &[1], START), Deadline::Same);
    }
    assert_eq!(pit.deadline(), None);
}

#[test]
fn ticks_are_not_closer_than_200_microseconds() {
    let mut pit = timer(0x34, 1);
    assert_eq!(pit.deadline(), Some(after(239)));
    assert_eq!(pit.expire(after(239)), Pulse::Now);
    assert_eq!(pit.deadline(), Some(after(478)));
    // That is not for a tick that comes alone.
    assert_eq!(timer(0x30, 1).deadline(), Some(after(1)));
}

#[test]
fn ticks_wait_for_the_acknowledgement_of_the_one_before() {
    let mut pit = timer(0x34, 10_000);
    assert_eq!(pit.reinject(), Reinject::Yes);
    assert_eq!(pit.expire(after(10_000)), Pulse::Now);
    assert_eq!(pit.expire(after(40_000)), Pulse::None);
    for _ in 0..3 {
        assert_eq!(pit.acknowledged(), Pulse::Now);
    }
    assert_eq!(pit.acknowledged(), Pulse::None);
    assert_eq!(pit.acknowledged(), Pulse::None);
    // Once: an unacknowledged tick at a masked pin stopped all others.
    assert_eq!(pit.expire(after(70_000)), Pulse::Now);
    pit.unmasked();
    assert_eq!(pit.expire(after(80_000)), Pulse::Now);
}

#[test]
fn without_reinjection_lost_ticks_stay_lost() {
    let mut pit = timer(0x34, 10_000);
    pit.set_reinject(Reinject::No);
    assert_eq!(pit.expire(after(50_000)), Pulse::Now);
    assert_eq!(pit.acknowledged(), Pulse::None);
    assert_eq!(pit.expire(after(60_000)), Pulse::Now);
    assert_eq!(pit.deadline(), Some(after(70_000)));
}

#[test]
fn linux_calibrates_with_counter_2() {
    // pit_calibrate_tsc(): gate up, mode 0, 50 ms, until OUT is high.
    let mut pit = pit();
    assert_eq!(read(&mut pit, SPEAKER, START) & 0x0f, 0);
    write(&mut pit, SPEAKER, &[0x01], START);
    write(&mut pit, CONTROL, &[0xb0], START);
    let latch = (FREQUENCY / 20) as u16;
    write(&mut pit, 0x42, &latch.to_le_bytes(), START);
    assert_eq!(
        read(&mut pit, SPEAKER, after(u64::from(latch) - 1)) & 0x20,
        0
    );
    assert_eq!(read(&mut pit, SPEAKER, after(latch.into())) & 0x23, 0x21);
    assert!(after(latch.into()) - START <= SECOND / 20);
}

#[test]
fn linux_calibrates_quickly_by_the_high_byte() {
    // quick_pit_calibrate(): mode 0, count 0xffff, reads word by word.
    let mut pit = pit();
    write(&mut pit, SPEAKER, &[0x01], START);
    write(&mut pit, CONTROL, &[0xb0], START);
    write(&mut pit, 0x42, &[0xff, 0xff], START);
    for passed in [0, 1, 0x100, 0x8000, 0xffff] {
        assert_eq!(
            read_word(&mut pit, 0x42, after(passed)),
            0xffff - passed as u16
        );
    }
    assert_eq!(read_word(&mut pit, 0x42, after(0x10000)), 0xffff);
}

#[test]
fn the_gate_holds_the_count() {
    let mut pit = pit();
    write(&mut pit, CONTROL, &[0xb0], START);
    write(&mut pit, 0x42, &[0, 0x10], START);
    assert_eq!(read_word(&mut pit, 0x42, after(500)), 0x1000);
    write(&mut pit, SPEAKER, &[0x01], after(500));
    let seen = read_word(&mut pit, 0x42, after(700));
    assert!((0x1000 - 201..=0x1000 - 199).contains(&seen), "{seen}");
    write(&mut pit, SPEAKER, &[0x00], after(700));
    assert_eq!(read_word(&mut pit, 0x42, after(9999)), seen);
    write(&mut pit, SPEAKER, &[0x01], after(9999));
    assert_eq!(read(&mut pit, SPEAKER, after(9999)) & 0x20, 0);
    assert_eq!(read(&mut pit, SPEAKER, after(9999 + 0x1000)) & 0x20, 0x20);
}

#[test]
fn a_rising_gate_begins_periodic_counts_anew() {
    let mut pit = pit();
    write(&mut pit, CONTROL, &[0xb4], START);
    write(&mut pit, 0x42, &[0, 0x10], START);
    write(&mut pit, SPEAKER, &[0x01], START + SECOND);
    assert_eq!(read_word(&mut pit, 0x42, START + SECOND), 0x1000);
    write(&mut pit, SPEAKER, &[0x03], START + SECOND + 1_000_000);
    let seen = read_word(&mut pit, 0x42, START + SECOND + 1_000_000);
    assert_eq!(seen, 0x1000 - (FREQUENCY / 1000) as u16);
}

#[test]
fn outputs_of_the_modes() {
    // Counter 2 with its gate up and count 5: OUT at each pulse, as the datasheet draws it.
    for (mode, expected) in [
        (0, "00000111111"),
        (1, "00000111111"),
        (2, "11110111101"),
        (3, "11100111001"),
        (4, "11111011111"),
        (5, "11111011111"),
        (6, "11110111101"),
        (7, "11100111001"),
    ] {
        let mut pit = pit();
        write(&mut pit, SPEAKER, &[0x01], START);
        write(&mut pit, CONTROL, &[0xb0 | mode << 1], START);
        write(&mut pit, 0x42, &[5, 0], START);
        let seen: String = (0..11)
            .map(|pulse| match read(&mut pit, SPEAKER, after(pulse)) & 0x20 {
                0 => '0',
                _ => '1',
            })
            .collect();
        assert_eq!(seen, expected, "mode {mode}");
    }
}

#[test]
fn the_square_wave_counts_by_two() {
    let mut pit = timer(0x36, 0x1000);
    assert_eq!(read_word(&mut pit, 0x40, after(1)), 0x0ffe);
    assert_eq!(read_word(&mut pit, 0x40, after(0x7ff)), 2);
    assert_eq!(read_word(&mut pit, 0x40, after(0x800)), 0x1000);
    // Ticks come once in the whole period.
    assert_eq!(pit.deadline(), Some(after(0x1000)));
}

#[test]
fn a_latched_count_waits_until_it_is_read() {
    let mut pit = timer(0x34, 0x1234);
    write(&mut pit, CONTROL, &[0x00], after(4));
    write(&mut pit, CONTROL, &[0x00], after(8));
    assert_eq!(read_word(&mut pit, 0x40, after(100)), 0x1230);
    assert_eq!(read_word(&mut pit, 0x40, after(0x10)), 0x1224);
}

#[test]
fn single_bytes() {
    let mut pit = pit();
    write(&mut pit, CONTROL, &[0x50], START); // counter 1, low byte, mode 0
    write(&mut pit, 0x41, &[0x80], START);
    assert_eq!(read(&mut pit, 0x41, after(1)), 0x7f);
    assert_eq!(read(&mut pit, 0x41, after(1)), 0x7f);
    write(&mut pit, CONTROL, &[0x60], START); // high byte
    write(&mut pit, 0x41, &[0x80], START);
    assert_eq!(read(&mut pit, 0x41, after(0x101)), 0x7e);
    write(&mut pit, CONTROL, &[0x40], after(0x101));
    assert_eq!(read(&mut pit, 0x41, after(0x1001)), 0x7e);
    assert_eq!(read(&mut pit, 0x41, after(0x1001)), 0x6f);
}

#[test]
fn read_back_latches_status_and_count_of_several() {
    let mut pit = timer(0x34, 0x1000);
    write(&mut pit, CONTROL, &[0xb6], START);
    write(&mut pit, 0x42, &[0x00, 0x20], START);
    write(&mut pit, CONTROL, &[0xca], after(0x10)); // counters 0 and 2, both
    assert_eq!(read(&mut pit, 0x40, after(0x99)), 0xb4);
    assert_eq!(read_word(&mut pit, 0x40, after(0x99)), 0x0ff0);
    assert_eq!(read(&mut pit, 0x42, after(0x99)), 0xb6);
    assert_eq!(read_word(&mut pit, 0x42, after(0x99)), 0x2000);
    write(&mut pit, CONTROL, &[0xe2], after(0x10)); // status alone
    assert_eq!(read(&mut pit, 0x40, after(0x20)), 0xb4);
    assert_eq!(read_word(&mut pit, 0x40, after(0x20)), 0x0fe0);
    write(&mut pit, CONTROL, &[0xd2], after(0x10)); // count alone
    assert_eq!(read_word(&mut pit, 0x40, after(0x20)), 0x0ff0);
}

#[test]
fn the_speaker_port() {
    let mut pit = pit();
    write(&mut pit, SPEAKER, &[0xff], START);
    assert_eq!(read(&mut pit, SPEAKER, START) & 0xcf, 0x03);
    assert_eq!(pit.save().flags, 2);
    assert_eq!(pit.save().channels[2].gate, 1);
    write(&mut pit, SPEAKER, &[0xfc], START);
    assert_eq!(read(&mut pit, SPEAKER, START) & 0xcf, 0);
    // Delay loops of old guests wait for the refresh bit to change.
    let bits = |pit: &mut Pit, from: u64| read(pit, SPEAKER, from) & 0x10;
    assert_ne!(bits(&mut pit, 1 << 14), bits(&mut pit, 2 << 14));
}

#[test]
fn ports_and_sizes() {
    for (port, size, claimed) in [
        (0x40, 1, true),
        (0x40, 4, true),
        (0x43, 1, true),
        (0x43, 2, false),
        (0x3f, 2, false),
        (0x44, 1, false),
        (0x40, usize::MAX, false),
        (u16::MAX, 4, false),
    ] {
        assert_eq!(Pit::claims(port, size), claimed, "{port:#x} {size}");
    }
    assert!(
        Pit::claims_speaker(0x61, 1)
            && !Pit::claims_speaker(0x60, 1)
            && !Pit::claims_speaker(0x62, 1)
    );
    let mut pit = timer(0x34, 0x1000);
    let mut data = [0xee; 4];
    pit.io_read(0x40, &mut data, START);
    assert_eq!(data, [0, 0, 0, 0]);
    pit.io_read(0x43, &mut data, START);
    assert_eq!(data, [0; 4]);
    pit.io_read(0x40, &mut [], START);
    assert_eq!(pit.io_write(0x40, &[], START), Deadline::Same);
    pit.io_read(0, &mut data, START);
    assert_eq!(pit.io_write(0xffff, &[1], START), Deadline::Same);
}

#[test]
fn an_hpet_takes_the_ticks() {
    let mut pit = timer(0x34, 4773);
    let mut state = pit.save();
    state.flags = 1;
    assert_eq!(pit.restore(&state, START), Deadline::Changed);
    assert_eq!(pit.deadline(), None);
    write(&mut pit, 0x40, &[1, 1], START);
    assert_eq!(pit.deadline(), None);
    assert_eq!(pit.expire(u64::MAX), Pulse::None);
    let mut state = pit.save();
    assert_eq!(state.flags, 1);
    state.flags = 0;
    assert_eq!(pit.restore(&state, START), Deadline::Changed);
    assert!(pit.deadline().is_some());
}

#[test]
fn a_restored_count_begins_then() {
    let pit = timer(0x34, 4773);
    let mut other = Pit::new(0);
    let now = after(1_000_000);
    let state = pit.save();
    assert_eq!(other.restore(&state, now), Deadline::Changed);
    assert_eq!(other.deadline(), Some(now + (after(4773) - START)));
    let mut expected = state;
    for channel in &mut expected.channels {
        channel.count_load_time = now as i64;
    }
    assert_eq!(other.save(), expected);
}

fn channel() -> impl Strategy<Value = ChannelState> {
    (
        any::<[u8; 10]>(),
        any::<u32>(),
        any::<u16>(),
        any::<i64>(),
        0u8..8,
    )
        .prop_map(
            |(bytes, count, latched_count, count_load_time, mode)| ChannelState {
                count: if bytes[9] & 1 == 0 {
                    count
                } else {
                    count & 0x3ff
                },
                latched_count,
                count_latched: bytes[0],
                status_latched: bytes[1],
                status: bytes[2],
                read_state: bytes[3],
                write_state: bytes[4],
                write_latch: bytes[5],
                rw_mode: bytes[6],
                mode,
                bcd: bytes[7],
                gate: bytes[8] & 1,
                count_load_time,
            },
        )
}

#[derive(Clone, Debug)]
enum Op {
    Write(u16, u8),
    Read(u16),
    Wait(u64),
    Acknowledged,
    Restore([ChannelState; 3], u32),
}

fn op() -> impl Strategy<Value = Op> {
    let port = prop_oneof![0x40u16..0x44, Just(0x61), any::<u16>()];
    let time = prop_oneof![
        0u64..1 << 20,
        any::<u64>().prop_map(|time| time >> (time & 63))
    ];
    prop_oneof![
        6 => (port.clone(), any::<u8>()).prop_map(|(port, value)| Op::Write(port, value)),
        3 => port.prop_map(Op::Read),
        6 => time.prop_map(Op::Wait),
        2 => Just(Op::Acknowledged),
        1 => ([channel(), channel(), channel()], 0u32..4).prop_map(|(channels, flags)| Op::Restore(channels, flags)),
    ]
}

proptest! {
    #[test]
    fn deadlines_lie_ahead(ops in prop::collection::vec(op(), 1..100), start: u64) {
        let mut now = start >> 1;
        let mut pit = Pit::new(now);
        for op in ops {
            let before = pit.deadline();
            let mut changed = Deadline::Same;
            match op {
                Op::Write(port, value) => changed = pit.io_write(port, &[value], now),
                Op::Read(port) => drop(read(&mut pit, port, now)),
                Op::Wait(time) => {
                    now = now.saturating_add(time).min(u64::MAX / 2);
                    let due = pit.deadline().is_some_and(|deadline| deadline <= now);
                    let pulse = pit.expire(now);
                    prop_assert!(due || pulse == Pulse::None);
                    changed = Deadline::Changed;
                }
                Op::Acknowledged => {
                    let _ = pit.acknowledged();
                }
                Op::Restore(channels, flags) => changed = pit.restore(&PitState { channels, flags }, now),
            }
            prop_assert!(pit.deadline().is_none_or(|deadline| deadline > now));
            prop_assert!(changed == Deadline::Changed || pit.deadline() == before || before.is_some_and(|b| b <= now));
        }
    }

    #[test]
    fn states_survive_a_round_trip(channels in [channel(), channel(), channel()], flags in 0u32..4, now: u64) {
        let mut pit = Pit::new(now);
        let _ = pit.restore(&PitState { channels, flags }, now);
        let saved = pit.save();
        let mut other = Pit::new(0);
        let _ = other.restore(&saved, now);
        prop_assert_eq!(other.save(), saved);
        prop_assert_eq!(other.deadline(), pit.deadline());
    }

    #[test]
    fn no_tick_is_lost(count in 239u16.., waits in prop::collection::vec(0u64..100_000_000, 1..100)) {
        let mut pit = timer(0x34, count);
        let (mut now, mut ticks) = (START, 0);
        for wait in waits {
            now += wait;
            let mut pulse = pit.expire(now);
            while pulse == Pulse::Now {
                ticks += 1;
                pulse = pit.acknowledged();
            }
            let passed = u128::from(now - START) * u128::from(FREQUENCY) / u128::from(SECOND);
            prop_assert_eq!(ticks, passed / u128::from(count));
        }
    }
}
