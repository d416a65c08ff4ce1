// SPDX-License-Identifier: GPL-2.0

//! Programs in AArch32, which a guest can have at EL0: instructions have conditions and may be of 2 bytes.
//!
//! Source: Arm ARM (DDI 0487), D24.2.45 "ESR_EL2", fields CV and COND; F1.3 "Conditional execution"; G1.16.4 "Saved Program
//! Status Registers".

use crate::arm64::{exit::Syndrome, regs::pstate};

/// The instruction set is T32, whose instructions have 2 or 4 bytes.
const T32: u64 = 1 << 5;
/// IT[1:0] and IT[7:2] of an SPSR: the conditions of the next instructions of T32.
const IT_LOW_SHIFT: u32 = 25;
const IT_LOW: u64 = 0b11 << IT_LOW_SHIFT;
const IT_HIGH_SHIFT: u32 = 10;
const IT_HIGH: u64 = 0b11_1111 << IT_HIGH_SHIFT;

/// COND of ESR_EL2, and whether it is there.
const COND_SHIFT: u32 = 20;
const COND_VALID: u64 = 1 << 24;
const ALWAYS: u64 = 0b1110;

/// Classes of ESR_EL2 whose instruction may have a condition that is not looked at: traps of WFI, of coprocessors and of
/// the floating point unit.
const CONDITIONAL: core::ops::RangeInclusive<u8> = 0x01..=0x0c;

/// The IT bits of an SPSR.
const fn it(state: u64) -> u64 {
    (state & IT_HIGH) >> IT_HIGH_SHIFT << 2 | (state & IT_LOW) >> IT_LOW_SHIFT
}

const fn with_it(state: u64, it: u64) -> u64 {
    state & !(IT_HIGH | IT_LOW) | it >> 2 << IT_HIGH_SHIFT | (it & 0b11) << IT_LOW_SHIFT
}

/// PSTATE behind an instruction: the next one of an IT block has the next condition.
pub const fn advanced(state: u64) -> u64 {
    const CONDITIONS_LEFT: u64 = 0b111;
    const SHIFTED: u64 = 0b1_1111;
    if state & T32 == 0 {
        return state;
    }
    let it = it(state);
    let next = if it & CONDITIONS_LEFT == 0 {
        0
    } else {
        it & !SHIFTED | it << 1 & SHIFTED
    };
    with_it(state, next)
}

/// Whether the condition of the instruction that has trapped holds: processors may trap before they look. AArch64 has no
/// conditions.
pub fn condition_holds(state: u64, syndrome: Syndrome) -> bool {
    if state & pstate::AARCH32 == 0 || !CONDITIONAL.contains(&syndrome.class_number()) {
        return true;
    }
    let condition = if syndrome.raw() & COND_VALID != 0 {
        syndrome.raw() >> COND_SHIFT & 0xf
    } else {
        match it(state) {
            0 => ALWAYS,
            it => it >> 4,
        }
    };
    let flag = |bit: u32| state >> bit & 1 != 0;
    let (negative, zero, carry, overflow) = (flag(31), flag(30), flag(29), flag(28));
    let holds = match condition >> 1 {
        0b000 => zero,
        0b001 => carry,
        0b010 => negative,
        0b011 => overflow,
        0b100 => carry && !zero,
        0b101 => negative == overflow,
        0b110 => negative == overflow && !zero,
        _ => return true,
    };
    holds != (condition & 1 != 0)
}
