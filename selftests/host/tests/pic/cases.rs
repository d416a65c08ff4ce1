// SPDX-License-Identifier: GPL-2.0

//! The pair case by case.

use crate::pair::*;
use rkvm_host::x86::line::{Effects, Level, LineOutcome, Pins, Source};
use rkvm_host::x86::pic::{Pic, PicState, Which};

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
