// SPDX-License-Identifier: GPL-2.0

//! The 8259A pair, by its datasheet, by what firmware and Linux do with it, and against a model.

use proptest::prelude::*;

use rkvm_host::x86::line::{Effects, Level, LineOutcome, Pins, Source};
use rkvm_host::x86::pic::{Pic, PicState, Which};

const MASTER: u16 = 0x20;
const SLAVE: u16 = 0xa0;

fn write(pics: &mut Pic, port: u16, value: u8) -> Effects {
    pics.io_write(port, &[value])
}

fn command(pics: &mut Pic, port: u16, values: &[u8]) {
    for &value in values {
        let _ = write(pics, port, value);
    }
}

fn read(pics: &mut Pic, port: u16) -> u8 {
    let mut data = [0xee];
    let _ = pics.io_read(port, &mut data);
    data[0]
}

fn isr(pics: &mut Pic, port: u16) -> u8 {
    command(pics, port, &[0x0b]);
    read(pics, port)
}

fn irr(pics: &mut Pic, port: u16) -> u8 {
    command(pics, port, &[0x0a]);
    read(pics, port)
}

/// As SeaBIOS does it: vectors 0x08 and 0x70; both unmasked by ICW1.
fn by_firmware() -> Pic {
    let mut pics = Pic::new();
    for (port, value) in [
        (MASTER, 0x11),
        (SLAVE, 0x11),
        (MASTER + 1, 0x08),
        (SLAVE + 1, 0x70),
        (MASTER + 1, 0x04),
        (SLAVE + 1, 0x02),
        (MASTER + 1, 0x01),
        (SLAVE + 1, 0x01),
    ] {
        let _ = write(&mut pics, port, value);
    }
    pics
}

/// As Linux does it: vectors 0x30 and 0x38; all masked but for the cascade.
fn by_linux() -> Pic {
    let mut pics = Pic::new();
    command(&mut pics, MASTER + 1, &[0xff]);
    command(&mut pics, MASTER, &[0x11]);
    command(&mut pics, MASTER + 1, &[0x30, 0x04, 0x01]);
    command(&mut pics, SLAVE, &[0x11]);
    command(&mut pics, SLAVE + 1, &[0x38, 0x02, 0x01]);
    command(&mut pics, MASTER + 1, &[0xfb]);
    command(&mut pics, SLAVE + 1, &[0xff]);
    pics
}

fn raise(pics: &mut Pic, pin: u8) -> LineOutcome {
    pics.set_line(pin, Source::User, Level::High)
}

fn lower(pics: &mut Pic, pin: u8) {
    pics.set_line(pin, Source::User, Level::Low);
}

fn pulse(pics: &mut Pic, pin: u8) -> LineOutcome {
    let outcome = raise(pics, pin);
    lower(pics, pin);
    outcome
}

fn acknowledge(pics: &mut Pic) -> u8 {
    pics.acknowledge().0
}

/// All interrupts that are given out without any EOI.
fn nested(pics: &mut Pic) -> Vec<u8> {
    let mut vectors = Vec::new();
    while pics.output() {
        vectors.push(acknowledge(pics));
    }
    vectors
}

#[test]
fn linux_finds_the_pair_and_its_mask() {
    let mut pics = by_linux();
    // probe_8259A(): what is written to the mask reads back.
    command(&mut pics, SLAVE + 1, &[0xff]);
    command(&mut pics, MASTER + 1, &[0xfb]);
    assert_eq!(read(&mut pics, MASTER + 1), 0xfb);
    assert_eq!(read(&mut pics, SLAVE + 1), 0xff);
    assert!(!pics.output());
}

#[test]
fn an_edge_interrupt_from_line_to_eoi() {
    let mut pics = by_firmware();
    assert_eq!(pulse(&mut pics, 1), LineOutcome::Delivered(1));
    assert!(pics.output());
    assert_eq!(irr(&mut pics, MASTER), 1 << 1);
    assert_eq!(pics.acknowledge(), (0x09, Effects::default()));
    assert!(!pics.output());
    assert_eq!(
        (irr(&mut pics, MASTER), isr(&mut pics, MASTER)),
        (0, 1 << 1)
    );
    let effects = write(&mut pics, MASTER, 0x20);
    assert_eq!(effects.acknowledged, Pins::from_mask(1 << 1));
    assert_eq!(isr(&mut pics, MASTER), 0);
}

#[test]
fn outcomes_of_lines() {
    let mut pics = by_linux();
    assert_eq!(raise(&mut pics, 4), LineOutcome::Ignored);
    lower(&mut pics, 4);
    let effects = write(&mut pics, MASTER + 1, 0xeb);
    assert_eq!(effects.unmasked, Pins::from_mask(1 << 4));
    assert!(pics.output());
    assert_eq!(raise(&mut pics, 4), LineOutcome::Coalesced);
    assert_eq!(acknowledge(&mut pics), 0x34);
    lower(&mut pics, 4);
    assert_eq!(raise(&mut pics, 4), LineOutcome::Delivered(1));
    assert_eq!(raise(&mut pics, 2), LineOutcome::Ignored);
    assert_eq!(raise(&mut pics, 16), LineOutcome::Ignored);
    assert_eq!(raise(&mut pics, 255), LineOutcome::Ignored);
}

#[test]
fn the_slave_asks_through_the_master() {
    let mut pics = by_firmware();
    pulse(&mut pics, 12);
    assert_eq!(acknowledge(&mut pics), 0x74);
    assert_eq!(isr(&mut pics, MASTER), 1 << 2);
    assert_eq!(isr(&mut pics, SLAVE), 1 << 4);
    // Higher in the slave, but the cascade is in service; higher in the master.
    pulse(&mut pics, 8);
    assert!(!pics.output());
    pulse(&mut pics, 1);
    assert_eq!(acknowledge(&mut pics), 0x09);
    command(&mut pics, MASTER, &[0x61]);
    // Linux ends the slave's by specific EOIs, the slave first.
    assert_eq!(
        write(&mut pics, SLAVE, 0x64).acknowledged,
        Pins::from_mask(1 << 12)
    );
    assert_eq!(write(&mut pics, MASTER, 0x62).acknowledged, Pins::NONE);
    assert_eq!(acknowledge(&mut pics), 0x70);
}

#[test]
fn the_special_fully_nested_mode_lets_the_slave_interrupt_itself() {
    let mut pics = by_firmware();
    command(&mut pics, MASTER, &[0x11]);
    command(&mut pics, MASTER + 1, &[0x08, 0x04, 0x11]);
    pulse(&mut pics, 12);
    assert_eq!(acknowledge(&mut pics), 0x74);
    pulse(&mut pics, 8);
    assert_eq!(acknowledge(&mut pics), 0x70);
    pulse(&mut pics, 13);
    assert!(!pics.output());
}

#[test]
fn requests_that_go_leave_a_spurious_interrupt() {
    let mut pics = by_firmware();
    assert_eq!(acknowledge(&mut pics), 0x0f);
    assert_eq!(isr(&mut pics, MASTER), 0);
    // The slave's request goes before the processor has asked for it.
    pulse(&mut pics, 12);
    assert!(pics.output());
    command(&mut pics, SLAVE + 1, &[0xff]);
    assert!(!pics.output());
    assert_eq!(acknowledge(&mut pics), 0x0f);
}

#[test]
fn priorities_nest() {
    let mut pics = by_firmware();
    for pin in [7, 3, 8, 15, 0, 1] {
        pulse(&mut pics, pin);
    }
    assert_eq!(acknowledge(&mut pics), 0x08);
    assert!(!pics.output());
    command(&mut pics, MASTER, &[0x20]);
    assert_eq!(acknowledge(&mut pics), 0x09);
    command(&mut pics, MASTER, &[0x20]);
    assert_eq!(acknowledge(&mut pics), 0x70);
    command(&mut pics, SLAVE, &[0x20]);
    command(&mut pics, MASTER, &[0x20]);
    assert_eq!(acknowledge(&mut pics), 0x77);
    command(&mut pics, SLAVE, &[0x20]);
    command(&mut pics, MASTER, &[0x20]);
    assert_eq!(acknowledge(&mut pics), 0x0b);
    pulse(&mut pics, 0);
    assert_eq!(acknowledge(&mut pics), 0x08);
    // The non-specific EOI is for the higher one.
    command(&mut pics, MASTER, &[0x20]);
    assert_eq!(isr(&mut pics, MASTER), 1 << 3);
}

#[test]
fn rotation_as_the_datasheet_shows_it() {
    // IS4 and IS6 in service, IR0 highest; a rotating EOI ends 4, which becomes the lowest.
    let mut pics = by_firmware();
    pulse(&mut pics, 6);
    acknowledge(&mut pics);
    pulse(&mut pics, 4);
    acknowledge(&mut pics);
    assert_eq!(isr(&mut pics, MASTER), 1 << 6 | 1 << 4);
    assert_eq!(
        write(&mut pics, MASTER, 0xa0).acknowledged,
        Pins::from_mask(1 << 4)
    );
    assert_eq!(pics.save(Which::Master).priority_add, 5);
    pulse(&mut pics, 4);
    assert!(!pics.output());
    pulse(&mut pics, 5);
    assert_eq!(acknowledge(&mut pics), 0x0d);
}

#[test]
fn priorities_can_be_set() {
    let mut pics = by_firmware();
    command(&mut pics, MASTER, &[0xc4]); // 4 is the lowest
    for pin in [0, 4, 5] {
        pulse(&mut pics, pin);
    }
    assert_eq!(acknowledge(&mut pics), 0x0d);
    command(&mut pics, MASTER, &[0xe5]); // ends 5, makes it the lowest
    assert_eq!(pics.save(Which::Master).priority_add, 6);
    assert_eq!(acknowledge(&mut pics), 0x08);
}

#[test]
fn automatic_eoi_with_and_without_rotation() {
    let mut pics = by_firmware();
    command(&mut pics, MASTER, &[0x11]);
    command(&mut pics, MASTER + 1, &[0x08, 0x04, 0x03]);
    pulse(&mut pics, 3);
    let (vector, effects) = pics.acknowledge();
    assert_eq!(
        (vector, effects.acknowledged),
        (0x0b, Pins::from_mask(1 << 3))
    );
    assert_eq!(isr(&mut pics, MASTER), 0);
    command(&mut pics, MASTER, &[0x80]);
    for pin in [3, 4] {
        pulse(&mut pics, pin);
    }
    assert_eq!(acknowledge(&mut pics), 0x0b);
    pulse(&mut pics, 3);
    assert_eq!(acknowledge(&mut pics), 0x0c);
    command(&mut pics, MASTER, &[0x00]);
    assert_eq!(acknowledge(&mut pics), 0x0b);
    assert_eq!(pics.save(Which::Master).priority_add, 5);
}

#[test]
fn a_slave_with_automatic_eoi_goes_on_asking() {
    let mut pics = by_firmware();
    for (port, base, wiring) in [(MASTER, 0x08, 4), (SLAVE, 0x70, 2)] {
        command(&mut pics, port, &[0x11]);
        command(&mut pics, port + 1, &[base, wiring, 0x03]);
    }
    for pin in [12, 9, 10] {
        pulse(&mut pics, pin);
    }
    assert_eq!(nested(&mut pics), [0x71, 0x72, 0x74]);
}

#[test]
fn special_mask_mode_lets_lower_ones_through() {
    let mut pics = by_firmware();
    pulse(&mut pics, 3);
    acknowledge(&mut pics);
    pulse(&mut pics, 5);
    command(&mut pics, MASTER + 1, &[1 << 3]);
    assert!(!pics.output());
    command(&mut pics, MASTER, &[0x68]);
    assert_eq!(acknowledge(&mut pics), 0x0d);
    // The masked one is not what a non-specific EOI ends.
    command(&mut pics, MASTER, &[0x20, 0x20]);
    assert_eq!(isr(&mut pics, MASTER), 1 << 3);
    command(&mut pics, MASTER, &[0x48, 0x20]);
    assert_eq!(isr(&mut pics, MASTER), 0);
}

#[test]
fn polling_acknowledges() {
    let mut pics = by_firmware();
    command(&mut pics, MASTER, &[0x0c]);
    assert_eq!(read(&mut pics, MASTER) & 0x80, 0);
    pulse(&mut pics, 12);
    command(&mut pics, MASTER, &[0x0c]);
    assert_eq!(read(&mut pics, MASTER), 0x82);
    command(&mut pics, SLAVE, &[0x0c]);
    assert_eq!(read(&mut pics, SLAVE), 0x84);
    assert_eq!(
        (isr(&mut pics, MASTER), isr(&mut pics, SLAVE)),
        (1 << 2, 1 << 4)
    );
    assert!(!pics.output());
    assert_eq!(read(&mut pics, SLAVE + 1), 0);
}

#[test]
fn level_triggered_inputs() {
    let mut pics = by_firmware();
    command(&mut pics, 0x4d0, &[0xff]);
    command(&mut pics, 0x4d1, &[0xff]);
    assert_eq!(
        (read(&mut pics, 0x4d0), read(&mut pics, 0x4d1)),
        (0xf8, 0xde)
    );
    raise(&mut pics, 10);
    raise(&mut pics, 10);
    assert_eq!(acknowledge(&mut pics), 0x72);
    command(&mut pics, SLAVE, &[0x20]);
    command(&mut pics, MASTER, &[0x20]);
    assert_eq!(acknowledge(&mut pics), 0x72);
    lower(&mut pics, 10);
    command(&mut pics, SLAVE, &[0x20]);
    command(&mut pics, MASTER, &[0x20]);
    assert!(!pics.output());
    // A level that goes before it is acknowledged is forgotten.
    raise(&mut pics, 10);
    lower(&mut pics, 10);
    assert!(!pics.output());
}

#[test]
fn lines_with_several_sources() {
    let mut pics = by_firmware();
    command(&mut pics, 0x4d1, &[1 << 2]);
    pics.set_line(10, Source::Resample, Level::High);
    raise(&mut pics, 10);
    lower(&mut pics, 10);
    assert!(pics.output());
    acknowledge(&mut pics);
    let effects = write(&mut pics, SLAVE, 0x20);
    assert_eq!(effects.acknowledged, Pins::from_mask(1 << 10));
    command(&mut pics, MASTER, &[0x20]);
    // The acknowledgement has let go of the line.
    assert!(!pics.output());
}

#[test]
fn initialization_forgets_edges_and_says_so() {
    let mut pics = by_firmware();
    pulse(&mut pics, 0);
    pulse(&mut pics, 3);
    acknowledge(&mut pics);
    command(&mut pics, MASTER + 1, &[0xff]);
    let effects = write(&mut pics, MASTER, 0x11);
    assert_eq!(effects.acknowledged, Pins::from_mask(1 << 0 | 1 << 3));
    command(&mut pics, MASTER + 1, &[0x08, 0x04, 0x01]);
    assert!(!pics.output());
    assert_eq!(read(&mut pics, MASTER + 1), 0);
}

#[test]
fn initialization_without_icw4() {
    let mut pics = by_firmware();
    command(&mut pics, MASTER, &[0x10]);
    command(&mut pics, MASTER + 1, &[0x47, 0x04, 0x55]);
    assert_eq!(read(&mut pics, MASTER + 1), 0x55);
    command(&mut pics, MASTER + 1, &[0]);
    pulse(&mut pics, 6);
    assert_eq!(acknowledge(&mut pics), 0x46);
}

#[test]
fn accesses_of_other_sizes() {
    let mut pics = by_firmware();
    for (port, size, claimed) in [
        (0x20, 1, true),
        (0x20, 2, true),
        (0x21, 1, true),
        (0x21, 2, false),
        (0x20, 4, false),
        (0x1f, 2, false),
        (0x22, 1, false),
        (0xa1, 1, true),
        (0x4d0, 2, true),
        (0x4d1, 1, true),
        (0x4d2, 1, false),
        (u16::MAX, 4, false),
        (0x20, usize::MAX, false),
    ] {
        assert_eq!(Pic::claims(port, size), claimed, "{port:#x} {size}");
    }
    let before = pics.save(Which::Master);
    let _ = pics.io_write(0x20, &[0x11, 0x11]);
    let _ = pics.io_write(0x30, &[0x11]);
    let _ = pics.io_write(0x20, &[]);
    assert_eq!(pics.save(Which::Master), before);
    let mut data = [0xee; 2];
    let _ = pics.io_read(0x20, &mut data);
    assert_eq!(data, [0, 0]);
}

#[test]
fn a_new_state_is_all_zero() {
    let pics = Pic::new();
    let zero = PicState::default();
    assert_eq!(
        pics.save(Which::Master),
        PicState {
            elcr_mask: 0xf8,
            ..zero
        }
    );
    assert_eq!(
        pics.save(Which::Slave),
        PicState {
            elcr_mask: 0xde,
            ..zero
        }
    );
}

/// A single chip as the datasheet tells it: a list of inputs by priority.
#[derive(Default)]
struct Model {
    order: Vec<u8>,
    requests: Vec<u8>,
    in_service: Vec<u8>,
    masked: Vec<u8>,
}

impl Model {
    fn new() -> Self {
        Self {
            order: (0..8).collect(),
            ..Self::default()
        }
    }

    fn request(&self) -> Option<u8> {
        for input in &self.order {
            if self.in_service.contains(input) {
                return None;
            }
            if self.requests.contains(input) && !self.masked.contains(input) {
                return Some(*input);
            }
        }
        None
    }

    /// Ends the highest in service, and tells which that was.
    fn end(&mut self) -> Option<u8> {
        let found = |input: &&u8| self.in_service.contains(input);
        let input = *self.order.iter().find(found)?;
        self.in_service.retain(|other| *other != input);
        Some(input)
    }

    fn make_lowest(&mut self, input: u8) {
        while self.order.last() != Some(&input) {
            self.order.rotate_left(1);
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Pulse(u8),
    Mask(u8),
    Acknowledge,
    Eoi,
    RotatingEoi,
    SpecificEoi(u8),
    SetLowest(u8),
    Copy,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0u8..8).prop_filter("the cascade", |pin| *pin != 2).prop_map(Op::Pulse),
        1 => any::<u8>().prop_map(Op::Mask),
        4 => Just(Op::Acknowledge),
        2 => Just(Op::Eoi),
        1 => Just(Op::RotatingEoi),
        1 => (0u8..8).prop_map(Op::SpecificEoi),
        1 => (0u8..8).prop_map(Op::SetLowest),
        1 => Just(Op::Copy),
    ]
}

proptest! {
    #[test]
    fn the_master_is_the_model(ops in prop::collection::vec(op(), 1..200)) {
        let mut pics = by_firmware();
        let mut model = Model::new();
        for op in ops {
            match op {
                Op::Pulse(pin) => {
                    pulse(&mut pics, pin);
                    model.requests.push(pin);
                }
                Op::Mask(mask) => {
                    command(&mut pics, MASTER + 1, &[mask]);
                    model.masked = (0..8).filter(|pin| mask & 1 << pin != 0).collect();
                }
                Op::Acknowledge => {
                    let vector = acknowledge(&mut pics);
                    match model.request() {
                        Some(pin) => {
                            prop_assert_eq!(vector, 0x08 + pin);
                            model.requests.retain(|other| *other != pin);
                            model.in_service.push(pin);
                        }
                        None => prop_assert_eq!(vector, 0x0f),
                    }
                }
                Op::Eoi => {
                    command(&mut pics, MASTER, &[0x20]);
                    model.end();
                }
                Op::RotatingEoi => {
                    command(&mut pics, MASTER, &[0xa0]);
                    if let Some(input) = model.end() {
                        model.make_lowest(input);
                    }
                }
                Op::SpecificEoi(pin) => {
                    command(&mut pics, MASTER, &[0x60 | pin]);
                    model.in_service.retain(|other| *other != pin);
                }
                Op::SetLowest(pin) => {
                    command(&mut pics, MASTER, &[0xc0 | pin]);
                    model.make_lowest(pin);
                }
                Op::Copy => {
                    let mut other = Pic::new();
                    for which in [Which::Master, Which::Slave] {
                        other.restore(which, &pics.save(which));
                        prop_assert_eq!(other.save(which), pics.save(which));
                    }
                    pics = other;
                }
            }
            prop_assert_eq!(pics.output(), model.request().is_some());
            let mask = |inputs: &[u8]| inputs.iter().fold(0u8, |mask, pin| mask | 1 << pin);
            prop_assert_eq!(isr(&mut pics, MASTER), mask(&model.in_service));
            prop_assert_eq!(irr(&mut pics, MASTER), mask(&model.requests));
        }
    }

    #[test]
    fn anything_can_be_written(
        ops in prop::collection::vec((0usize..8, any::<u8>(), 0u8..18), 0..300),
        states in any::<[[u8; 16]; 2]>(),
    ) {
        let mut pics = Pic::new();
        for (which, bytes) in [Which::Master, Which::Slave].into_iter().zip(states) {
            let [last_irr, irr, imr, isr, priority_add, irq_base, read_reg_select, poll, special_mask, init_state,
                auto_eoi, rotate_on_auto_eoi, special_fully_nested_mode, init4, elcr, elcr_mask] = bytes;
            pics.restore(which, &PicState {
                last_irr, irr, imr, isr, priority_add, irq_base, read_reg_select, poll, special_mask, init_state,
                auto_eoi, rotate_on_auto_eoi, special_fully_nested_mode, init4, elcr, elcr_mask,
            });
        }
        for (what, value, pin) in ops {
            match what {
                0 => drop(raise(&mut pics, pin)),
                1 => lower(&mut pics, pin),
                2 => drop(acknowledge(&mut pics)),
                3 => drop(read(&mut pics, [0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1][usize::from(pin) % 6])),
                _ => command(&mut pics, [0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1][usize::from(pin) % 6], &[value]),
            }
            // The cascade follows the slave.
            let (master, slave) = (pics.save(Which::Master), pics.save(Which::Slave));
            if slave.irr & !slave.imr == 0 {
                prop_assert_eq!(master.irr & 1 << 2, 0);
            }
            // Whatever is asked for is given out.
            if pics.output() {
                let before = (master, slave);
                let vector = pics.clone().acknowledge().0;
                let (base, pin) = (vector & 0xf8, vector & 7);
                let (chip, other) = if base == before.0.irq_base { before } else { (before.1, before.0) };
                let asked = chip.irr & !chip.imr & 1 << pin != 0 || other.irr & !other.imr & 1 << pin != 0;
                prop_assert!(asked);
            }
        }
    }
}
