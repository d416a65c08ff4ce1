// SPDX-License-Identifier: GPL-2.0

//! The pair, as software sets it up and works with it.

use rkvm_host::x86::line::{Effects, Level, LineOutcome, Source};
use rkvm_host::x86::pic::Pic;

pub const MASTER: u16 = 0x20;
pub const SLAVE: u16 = 0xa0;

pub fn write(pics: &mut Pic, port: u16, value: u8) -> Effects {
    pics.io_write(port, &[value])
}

pub fn command(pics: &mut Pic, port: u16, values: &[u8]) {
    for &value in values {
        let _ = write(pics, port, value);
    }
}

pub fn read(pics: &mut Pic, port: u16) -> u8 {
    let mut data = [0xee];
    let _ = pics.io_read(port, &mut data);
    data[0]
}

pub fn isr(pics: &mut Pic, port: u16) -> u8 {
    command(pics, port, &[0x0b]);
    read(pics, port)
}

pub fn irr(pics: &mut Pic, port: u16) -> u8 {
    command(pics, port, &[0x0a]);
    read(pics, port)
}

/// As SeaBIOS does it: vectors 0x08 and 0x70; both unmasked by ICW1.
pub fn by_firmware() -> Pic {
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
pub fn by_linux() -> Pic {
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

pub fn raise(pics: &mut Pic, pin: u8) -> LineOutcome {
    pics.set_line(pin, Source::User, Level::High)
}

pub fn lower(pics: &mut Pic, pin: u8) {
    pics.set_line(pin, Source::User, Level::Low);
}

pub fn pulse(pics: &mut Pic, pin: u8) -> LineOutcome {
    let outcome = raise(pics, pin);
    lower(pics, pin);
    outcome
}

pub fn acknowledge(pics: &mut Pic) -> u8 {
    pics.acknowledge().0
}

/// All interrupts that are given out without any EOI.
pub fn nested(pics: &mut Pic) -> Vec<u8> {
    let mut vectors = Vec::new();
    while pics.output() {
        vectors.push(acknowledge(pics));
    }
    vectors
}
