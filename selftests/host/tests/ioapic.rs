// SPDX-License-Identifier: GPL-2.0

//! The I/O APIC, by its datasheet, by what guests do with it, and by properties under random use.

use proptest::prelude::*;

use rkvm_host::types::Gpa;
use rkvm_host::x86::ioapic::{Ioapic, RedirectionEntry, PINS};
use rkvm_host::x86::line::{Effects, Level, LineOutcome, Pins, Source, Vectors};
use rkvm_host::x86::message::{Broadcast, DeliveryMode, DestinationMode, Message, Trigger};

const LEVEL: u32 = 1 << 15;
const MASKED: u32 = 1 << 16;
const REMOTE_IRR: u32 = 1 << 14;
const DELIVERY_STATUS: u32 = 1 << 12;
const NOBODY: fn(RedirectionEntry) -> LineOutcome = |_| panic!("nothing is to be delivered");

/// An I/O APIC with somebody who takes all messages.
struct Bench {
    chip: Ioapic,
    taken: Vec<u8>,
}

impl Bench {
    fn new() -> Self {
        Self {
            chip: Ioapic::new(),
            taken: Vec::new(),
        }
    }

    fn with<T>(
        &mut self,
        f: impl FnOnce(&mut Ioapic, &mut dyn FnMut(RedirectionEntry) -> LineOutcome) -> T,
    ) -> T {
        let taken = &mut self.taken;
        f(&mut self.chip, &mut |entry| {
            taken.push(entry.vector());
            LineOutcome::Delivered(1)
        })
    }

    fn line(&mut self, pin: u8, source: Source, level: Level) -> LineOutcome {
        self.with(|chip, mut deliver| chip.set_line(pin, source, level, &mut deliver))
    }

    fn write(&mut self, register: u8, value: u32) -> Effects {
        self.with(|chip, mut deliver| {
            let selected = chip.mmio_write(0, &[register], &mut deliver);
            assert_eq!(selected, Default::default());
            chip.mmio_write(0x10, &value.to_le_bytes(), &mut deliver)
        })
    }

    /// Writes a register, whatever comes of it.
    fn set(&mut self, register: u8, value: u32) {
        let _ = self.write(register, value);
    }

    fn read(&mut self, register: u8) -> u32 {
        self.write_select(register);
        let mut data = [0xee; 4];
        self.chip.mmio_read(0x10, &mut data);
        u32::from_le_bytes(data)
    }

    fn write_select(&mut self, register: u8) {
        let _ = self.chip.mmio_write(0, &[register], &mut { NOBODY });
    }

    fn eoi(&mut self, vector: u8, trigger: Trigger) -> Pins {
        self.with(|chip, mut deliver| chip.eoi(vector, trigger, &mut deliver))
            .acknowledged
    }

    /// The vectors that were delivered since the last time.
    fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.taken)
    }
}

fn low_half(pin: u8) -> u8 {
    0x10 + 2 * pin
}

fn pins(mask: u32) -> Pins {
    Pins::from_mask(mask)
}

#[test]
fn registers_after_reset() {
    let mut bench = Bench::new();
    assert_eq!(bench.read(0), 0);
    assert_eq!(bench.read(1), 0x0017_0011);
    assert_eq!(bench.read(2), 0);
    for pin in 0..24 {
        assert_eq!(bench.read(low_half(pin)), MASKED);
        assert_eq!(bench.read(low_half(pin) + 1), 0);
    }
    for absent in [3, 0xf, 0x40, 0xff] {
        assert_eq!(bench.read(absent), u32::MAX);
        bench.set(absent, 0);
    }
    assert_eq!(bench.chip.save().redirtbl, [u64::from(MASKED); PINS]);
}

#[test]
fn the_id_has_four_bits_and_the_version_cannot_be_written() {
    let mut bench = Bench::new();
    bench.set(0, u32::MAX);
    bench.set(1, 0);
    bench.set(2, 0);
    assert_eq!(bench.read(0), 0x0f00_0000);
    assert_eq!(bench.read(1), 0x0017_0011);
    assert_eq!(bench.read(2), 0x0f00_0000);
}

#[test]
fn the_window_is_where_its_base_says() {
    let mut chip = Ioapic::new();
    assert_eq!(chip.offset_of(Gpa::new(0xfec0_0000)), Some(0));
    assert_eq!(chip.offset_of(Gpa::new(0xfec0_00ff)), Some(0xff));
    assert_eq!(chip.offset_of(Gpa::new(0xfec0_0100)), None);
    assert_eq!(chip.offset_of(Gpa::new(0xfebf_ffff)), None);
    let mut state = chip.save();
    state.base_address = u64::MAX;
    assert_eq!(
        chip.restore(&state, &mut { NOBODY }).vectors,
        Vectors::Changed
    );
    assert_eq!(chip.offset_of(Gpa::new(0)), None);
    assert_eq!(chip.offset_of(Gpa::new(u64::MAX)), Some(0));
}

#[test]
fn accesses_of_all_sizes() {
    let mut bench = Bench::new();
    bench.write_select(1);
    let mut wide = [0xee; 8];
    bench.chip.mmio_read(0x10, &mut wide);
    assert_eq!(wide, [0x11, 0, 0x17, 0, 0, 0, 0, 0]);
    let mut narrow = [0xee; 1];
    bench.chip.mmio_read(0x10, &mut narrow);
    assert_eq!(narrow, [0x11]);
    for offset in [4, 0x11, 0x20, 0x40, 0xff] {
        let mut nothing = [0xee; 4];
        bench.chip.mmio_read(offset, &mut nothing);
        assert_eq!(nothing, [0; 4]);
        let _ = bench.chip.mmio_write(offset, &[0xff; 4], &mut { NOBODY });
    }
    let _ = bench.chip.mmio_write(0x10, &[0xff; 3], &mut { NOBODY });
    let _ = bench
        .chip
        .mmio_write(0, &[0x10, 0, 0, 0, 9, 9, 9, 9], &mut { NOBODY });
    // A narrow write clears the rest, so that this one unmasks.
    assert_eq!(
        bench
            .chip
            .mmio_write(0x10, &[0x31, 0], &mut { NOBODY })
            .unmasked,
        pins(1)
    );
    assert_eq!(bench.read(0x10), 0x31);
}

#[test]
fn the_message_of_an_entry() {
    let entry = RedirectionEntry::from_raw(0xab00_0000_0000_0000 | 0x4931 | u64::from(LEVEL));
    let message = Message::from_redirection(entry.raw(), Broadcast::Quirk);
    assert_eq!(message.destination, 0xab);
    assert_eq!(message.mode, DestinationMode::Logical);
    assert_eq!(message.delivery, DeliveryMode::LowestPriority);
    assert_eq!((message.vector, message.trigger), (0x31, Trigger::Level));
}

#[test]
fn an_edge_is_delivered_once() {
    let mut bench = Bench::new();
    bench.set(low_half(4), 0x34);
    assert_eq!(
        bench.line(4, Source::User, Level::High),
        LineOutcome::Delivered(1)
    );
    assert_eq!(
        bench.line(4, Source::User, Level::High),
        LineOutcome::Coalesced
    );
    assert_eq!(
        bench.line(4, Source::Pit, Level::High),
        LineOutcome::Coalesced
    );
    assert_eq!(
        bench.line(4, Source::User, Level::Low),
        LineOutcome::Coalesced
    );
    assert_eq!(
        bench.line(4, Source::Pit, Level::Low),
        LineOutcome::Delivered(1)
    );
    assert_eq!(bench.take(), [0x34]);
    assert_eq!(
        bench.line(4, Source::User, Level::High),
        LineOutcome::Delivered(1)
    );
    assert_eq!(bench.take(), [0x34]);
    assert_eq!(bench.eoi(0x34, Trigger::Edge), pins(1 << 4));
    assert!(bench.take().is_empty());
}

#[test]
fn an_edge_at_a_masked_pin_is_lost() {
    let mut bench = Bench::new();
    assert_eq!(
        bench.line(4, Source::User, Level::High),
        LineOutcome::Ignored
    );
    bench.set(low_half(4), 0x34);
    assert!(bench.take().is_empty());
}

#[test]
fn pins_that_do_not_exist_ignore_their_lines() {
    let mut bench = Bench::new();
    for pin in [24, 31, 255] {
        assert_eq!(
            bench.line(pin, Source::User, Level::High),
            LineOutcome::Ignored
        );
    }
}

#[test]
fn a_level_is_delivered_until_it_falls() {
    let mut bench = Bench::new();
    bench.set(low_half(9), 0x39 | LEVEL);
    assert_eq!(
        bench.line(9, Source::User, Level::High),
        LineOutcome::Delivered(1)
    );
    assert_eq!(bench.read(low_half(9)), 0x39 | LEVEL | REMOTE_IRR);
    assert_eq!(
        bench.line(9, Source::User, Level::High),
        LineOutcome::Ignored
    );
    assert_eq!(bench.take(), [0x39]);
    assert_eq!(bench.eoi(0x39, Trigger::Level), pins(1 << 9));
    assert_eq!(bench.take(), [0x39]);
    assert_eq!(bench.eoi(0x38, Trigger::Level), Pins::NONE);
    bench.line(9, Source::User, Level::Low);
    assert_eq!(bench.eoi(0x39, Trigger::Level), pins(1 << 9));
    assert!(bench.take().is_empty());
    assert_eq!(bench.read(low_half(9)), 0x39 | LEVEL);
}

#[test]
fn a_level_that_was_masked_is_delivered_when_unmasked() {
    let mut bench = Bench::new();
    bench.set(low_half(9), 0x39 | LEVEL | MASKED);
    assert_eq!(
        bench.line(9, Source::User, Level::High),
        LineOutcome::Ignored
    );
    let effects = bench.write(low_half(9), 0x39 | LEVEL);
    assert_eq!(effects.unmasked, pins(1 << 9));
    assert_eq!(effects.acknowledged, Pins::NONE);
    assert_eq!(bench.take(), [0x39]);
}

#[test]
fn a_level_that_nobody_takes_is_tried_again() {
    let mut bench = Bench::new();
    bench.set(low_half(9), 0x39 | LEVEL);
    let outcome = bench
        .chip
        .set_line(9, Source::User, Level::High, &mut |_| LineOutcome::Ignored);
    assert_eq!(outcome, LineOutcome::Ignored);
    assert_eq!(bench.read(low_half(9)), 0x39 | LEVEL);
    bench.set(low_half(9) + 1, 0x0100_0000);
    assert_eq!(bench.take(), [0x39]);
}

#[test]
fn read_only_bits_are_not_written() {
    let mut bench = Bench::new();
    bench.set(low_half(9), 0x39 | LEVEL | REMOTE_IRR | DELIVERY_STATUS);
    assert_eq!(bench.read(low_half(9)), 0x39 | LEVEL);
    bench.line(9, Source::User, Level::High);
    bench.set(low_half(9), 0x39 | LEVEL);
    assert_eq!(bench.read(low_half(9)), 0x39 | LEVEL | REMOTE_IRR);
    assert_eq!(bench.take(), [0x39]);
}

#[test]
fn linux_ends_an_interrupt_by_the_trigger_mode() {
    // __eoi_ioapic_pin() of Linux, where there is no EOI register.
    let mut bench = Bench::new();
    bench.set(low_half(9), 0x39 | LEVEL);
    bench.line(9, Source::User, Level::High);
    bench.set(low_half(9), 0x39 | MASKED);
    assert_eq!(bench.read(low_half(9)), 0x39 | MASKED);
    assert_eq!(bench.take(), [0x39]);
    bench.set(low_half(9), 0x39 | LEVEL);
    assert_eq!(bench.take(), [0x39]);
}

#[test]
fn acknowledgement_lets_go_of_the_resampled_line() {
    let mut bench = Bench::new();
    bench.set(low_half(11), 0x41 | LEVEL);
    bench.line(11, Source::Resample, Level::High);
    assert_eq!(bench.take(), [0x41]);
    assert_eq!(bench.eoi(0x41, Trigger::Level), pins(1 << 11));
    assert!(bench.take().is_empty());
    // The device still asks.
    bench.line(11, Source::Resample, Level::High);
    assert_eq!(bench.take(), [0x41]);
    // Somebody else asks, too.
    bench.line(11, Source::User, Level::High);
    bench.eoi(0x41, Trigger::Level);
    assert_eq!(bench.take(), [0x41]);
}

#[test]
fn unmasking_asks_resampled_devices_again() {
    let mut bench = Bench::new();
    bench.set(low_half(11), 0x41 | LEVEL | MASKED);
    bench.line(11, Source::Resample, Level::High);
    let effects = bench.write(low_half(11), 0x41 | LEVEL);
    assert_eq!(effects.acknowledged, pins(1 << 11));
    assert!(bench.take().is_empty());
    bench.line(11, Source::Resample, Level::High);
    assert_eq!(bench.take(), [0x41]);
}

#[test]
fn an_eoi_is_for_all_pins_with_the_vector() {
    let mut bench = Bench::new();
    for pin in [3, 20] {
        bench.set(low_half(pin), 0x50 | LEVEL);
        bench.line(pin, Source::User, Level::High);
    }
    bench.line(3, Source::User, Level::Low);
    bench.take();
    assert_eq!(bench.eoi(0x50, Trigger::Level), pins(1 << 3 | 1 << 20));
    assert_eq!(bench.take(), [0x50]);
}

#[test]
fn the_vectors_whose_end_must_be_told() {
    let mut bench = Bench::new();
    assert_eq!(
        bench.write(low_half(9), 0xf9 | LEVEL).vectors,
        Vectors::Changed
    );
    assert_eq!(
        bench.write(low_half(9), 0xf9 | LEVEL | MASKED).vectors,
        Vectors::Same
    );
    assert_eq!(bench.write(low_half(0), 0x30).vectors, Vectors::Changed);
    let set = bench.chip.eoi_vectors(Pins::NONE);
    assert_eq!(set.words(), [0, 0, 0, 1 << (0xf9 - 192)]);
    let set = bench.chip.eoi_vectors(pins(1));
    assert_eq!(set.words(), [1 << 0x30, 0, 0, 1 << (0xf9 - 192)]);
}

#[test]
fn what_is_pending_survives_a_restore() {
    let mut bench = Bench::new();
    bench.set(low_half(1), 0x31);
    bench.set(low_half(9), 0x39 | LEVEL | MASKED);
    bench.line(1, Source::User, Level::High); // delivered
    bench.line(2, Source::User, Level::High); // masked edge
    bench.line(9, Source::User, Level::High); // masked level
    let mut state = bench.chip.save();
    assert_eq!(state.irr, 1 << 2 | 1 << 9);

    state.redirtbl[9] &= !u64::from(MASKED);
    let mut other = Bench::new();
    let effects = other.with(|chip, mut deliver| chip.restore(&state, &mut deliver));
    assert_eq!(effects.unmasked, pins(1 << 1 | 1 << 9));
    assert_eq!(other.take(), [0x39]);
    state.redirtbl[9] |= u64::from(REMOTE_IRR);
    assert_eq!(other.chip.save(), state);
}

#[derive(Clone, Debug)]
enum Op {
    Line(u8, Source, Level),
    Write(u8, u32),
    Eoi(u8, Trigger),
    Restore,
}

fn op() -> impl Strategy<Value = Op> {
    let source = prop_oneof![
        Just(Source::User),
        Just(Source::Resample),
        Just(Source::Pit)
    ];
    let level = prop_oneof![Just(Level::Low), Just(Level::High)];
    // Few vectors, so that pins share them.
    let value = (0u32..8, any::<u32>()).prop_map(|(vector, rest)| rest & !0xff | vector);
    prop_oneof![
        4 => (0u8..26, source, level).prop_map(|(pin, source, level)| Op::Line(pin, source, level)),
        3 => (any::<u8>(), value.clone()).prop_map(|(register, value)| Op::Write(register, value)),
        4 => (0x10u8..0x40, value).prop_map(|(register, value)| Op::Write(register, value)),
        3 => (0u8..8).prop_map(|vector| Op::Eoi(vector, Trigger::Level)),
        1 => (0u8..8).prop_map(|vector| Op::Eoi(vector, Trigger::Edge)),
        1 => Just(Op::Restore),
    ]
}

proptest! {
    #[test]
    fn no_level_is_forgotten_and_no_masked_pin_speaks(ops in prop::collection::vec(op(), 1..200)) {
        let mut chip = Ioapic::new();
        let mut sources = [[false; 3]; PINS];
        for op in ops {
            let mut sent = Vec::new();
            let mut deliver = |entry: RedirectionEntry| {
                sent.push(entry);
                LineOutcome::Delivered(1)
            };
            match op {
                Op::Line(pin, source, level) => {
                    chip.set_line(pin, source, level, &mut deliver);
                    if let Some(pin) = sources.get_mut(usize::from(pin)) {
                        pin[source as usize] = level == Level::High;
                    }
                }
                Op::Write(register, value) => {
                    let _ = chip.mmio_write(0, &[register], &mut deliver);
                    let effects = chip.mmio_write(0x10, &value.to_le_bytes(), &mut deliver);
                    for pin in effects.acknowledged.iter() {
                        sources[usize::from(pin)][Source::Resample as usize] = false;
                    }
                }
                Op::Eoi(vector, trigger) => {
                    let effects = chip.eoi(vector, trigger, &mut deliver);
                    for pin in effects.acknowledged.iter() {
                        prop_assert_eq!(chip.entry(pin).unwrap().vector(), vector);
                        sources[usize::from(pin)][Source::Resample as usize] = false;
                    }
                }
                Op::Restore => {
                    // Into itself: the lines are as they were, but edges that were sent are forgotten.
                    let state = chip.save();
                    let _ = chip.restore(&state, &mut deliver);
                    let again = chip.save();
                    prop_assert_eq!(state.irr & !again.irr & level_pins(&chip), 0);
                }
            }
            for entry in sent {
                prop_assert!(!entry.is_masked());
                prop_assert!(!(entry.is_level() && entry.remote_irr()));
            }
            for pin in 0..PINS {
                let entry = chip.entry(pin as u8).unwrap();
                let asserted = sources[pin].contains(&true);
                prop_assert!(entry.is_level() || !entry.remote_irr());
                // An edge pin that is restored while high, then made a level pin, waits for the next line event.
                let irr = chip.save().irr & 1 << pin != 0;
                if entry.is_level() && irr && !entry.is_masked() {
                    prop_assert!(entry.remote_irr());
                }
                prop_assert!(!irr || asserted);
            }
        }
    }

    #[test]
    fn any_state_is_taken(irr: u32, ioregsel: u32, id: u32, base_address: u64, table: [u64; PINS]) {
        let mut chip = Ioapic::new();
        let mut state = chip.save();
        (state.irr, state.ioregsel, state.id) = (irr, ioregsel, id);
        (state.base_address, state.redirtbl) = (base_address, table);
        let _ = chip.restore(&state, &mut |_| LineOutcome::Coalesced);
        let saved = chip.save();
        prop_assert_eq!(saved.redirtbl, table);
        prop_assert_eq!(saved.ioregsel, ioregsel & 0xff);
        prop_assert_eq!(saved.irr & !irr, 0);
    }
}

fn level_pins(chip: &Ioapic) -> u32 {
    (0..PINS as u8)
        .filter(|&pin| chip.entry(pin).unwrap().is_level())
        .fold(0, |mask, pin| mask | 1 << pin)
}
