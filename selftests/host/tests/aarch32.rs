// SPDX-License-Identifier: GPL-2.0

//! Conditions of AArch32, IT blocks, and instructions of two bytes, by the pseudocode of the manual.

use proptest::prelude::*;
use rkvm_host::arm64::aarch32::{advanced, condition_holds};
use rkvm_host::arm64::exit::Syndrome;
use rkvm_host::arm64::regs::CoreRegs;

const USER: u64 = 0x10;
const T32: u64 = 1 << 5;
/// A trapped WFI with a condition.
const fn wfi(condition: u64) -> Syndrome {
    Syndrome::new(1 << 26 | 1 << 24 | condition << 20)
}

/// ConditionHolds().
fn holds(condition: u64, n: bool, z: bool, c: bool, v: bool) -> bool {
    match condition {
        0 => z,
        1 => !z,
        2 => c,
        3 => !c,
        4 => n,
        5 => !n,
        6 => v,
        7 => !v,
        8 => c && !z,
        9 => !c || z,
        10 => n == v,
        11 => n != v,
        12 => !z && n == v,
        13 => z || n != v,
        _ => true,
    }
}

fn with_it(state: u64, it: u64) -> u64 {
    state | (it & 3) << 25 | it >> 2 << 10
}

#[test]
fn every_condition() {
    for flags in 0..16u64 {
        let bit = |shift: u64| flags >> shift & 1 != 0;
        let state = USER | flags << 28;
        for condition in 0..16 {
            let expected = holds(condition, bit(3), bit(2), bit(1), bit(0));
            assert_eq!(condition_holds(state, wfi(condition)), expected);
            // Where the syndrome does not tell, the IT block does.
            let it = with_it(state | T32, condition << 4 | 8);
            assert_eq!(condition_holds(it, Syndrome::new(1 << 26)), expected);
        }
        assert!(condition_holds(state, Syndrome::new(1 << 26)));
        // A data abort is of an instruction that is executed; AArch64 has no conditions.
        assert!(condition_holds(state, Syndrome::new(0x24 << 26)));
        assert!(condition_holds(flags << 28 | 5, wfi(0)));
    }
}

#[test]
fn an_it_block_ends() {
    // ITTE EQ: three instructions, the third with the other condition.
    let mut state = with_it(USER | T32, 0b0000_0110);
    for it in [0b0000_1100, 0b0001_1000, 0, 0] {
        state = advanced(state);
        assert_eq!(state, with_it(USER | T32, it));
    }
    // In A32 these bits are no IT bits.
    assert_eq!(advanced(with_it(USER, 0xff)), with_it(USER, 0xff));
}

#[test]
fn the_pc_goes_on_by_the_length() {
    let mut regs = CoreRegs::RESET;
    regs.pstate = with_it(USER | T32, 0b0000_1100) | 1 << 21;
    regs.pc = 0xffff_fffe;
    regs.skip_instruction(Syndrome::new(0));
    assert_eq!(regs.pc, 0);
    assert_eq!(regs.pstate, with_it(USER | T32, 0b0001_1000));
    regs.skip_instruction(Syndrome::new(Syndrome::IL));
    assert_eq!(regs.pc, 4);
}

proptest! {
    #[test]
    fn nothing_but_it_bits_changes(state: u64) {
        let others = !(with_it(0, 0xff));
        prop_assert_eq!(advanced(state) & others, state & others);
    }
}
