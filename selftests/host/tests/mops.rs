// SPDX-License-Identifier: GPL-2.0

//! Memory copies and memory sets that begin again: registers as the manual's formats have them.

use rkvm_host::arm64::mops::{begin_again, MopsIss};
use rkvm_host::arm64::regs::{pstate, CoreRegs};

const DESTINATION: u8 = 3;
const SOURCE: u8 = 4;
const SIZE: u8 = 5;

/// The ISS: the format that the processor uses is A; or it is B.
const OPTION_A: u32 = 1 << 16;
const WRONG_OPTION: u32 = 1 << 17;
const FROM_EPILOGUE: u32 = 1 << 18;
const SET: u32 = 1 << 24;

/// What the registers are with `left` of a copy or set to go, where `to` and `from` are the lowest addresses that are
/// left, and the registers are of one format.
struct Format {
    a: bool,
    down: bool,
    set: bool,
}

fn check(format: &Format, to: u64, from: u64, left: u64) {
    let mut regs = CoreRegs::RESET;
    let (end_to, end_from) = (to.wrapping_add(left), from.wrapping_add(left));
    let (destination, source, size) = match (format.a, format.down) {
        (true, false) => (end_to, end_from, left.wrapping_neg()),
        (true, true) => (to, from, left),
        (false, false) => (to, from, left),
        (false, true) => (end_to, end_from, left),
    };
    if !format.a && format.down {
        regs.pstate |= pstate::N;
    }
    for wrong in [true, false] {
        for epilogue in [true, false] {
            let mut regs = regs.clone();
            regs.pc = 0x1000;
            regs.pstate |= pstate::SS;
            regs.set(DESTINATION, destination);
            regs.set(SOURCE, source);
            regs.set(SIZE, size);
            let mut iss = u32::from(DESTINATION) << 10 | u32::from(SOURCE) << 5 | u32::from(SIZE);
            iss |= if format.a != wrong { OPTION_A } else { 0 };
            iss |= if wrong { WRONG_OPTION } else { 0 };
            iss |= if epilogue { FROM_EPILOGUE } else { 0 };
            iss |= if format.set { SET } else { 0 };
            begin_again(&mut regs, MopsIss::from(iss));
            assert_eq!(regs.get(DESTINATION), to);
            let kept = format.set.then_some(source).unwrap_or(from);
            assert_eq!(regs.get(SOURCE), kept);
            assert_eq!(regs.get(SIZE), left);
            assert_eq!(regs.pc, if epilogue { 0xff8 } else { 0xffc });
            assert_eq!(regs.pstate & pstate::SS, 0);
        }
    }
}

#[test]
fn every_format() {
    for (to, from, left) in [
        (0x10_0000, 0x20_0000, 0x123),
        (0x10_0000, 0x20_0000, 0),
        (u64::MAX - 5, 0x20, 0x1000),
        (0xffff_8000_0000_0000, 0xffff_9000_0000_0000, 1 << 40),
    ] {
        for a in [true, false] {
            for down in [true, false] {
                check(
                    &Format {
                        a,
                        down,
                        set: false,
                    },
                    to,
                    from,
                    left,
                );
            }
            let set = Format {
                a,
                down: false,
                set: true,
            };
            check(&set, to, from, left);
        }
    }
}

/// Registers that read as 0 are no trouble.
#[test]
fn zero_register() {
    let mut regs = CoreRegs::RESET;
    begin_again(&mut regs, MopsIss::from(SET | OPTION_A | 0x7fff));
    assert_eq!(regs.pc, 4u64.wrapping_neg());
}
