// SPDX-License-Identifier: GPL-2.0

//! Arithmetic and its flags (SDM volume 2, "Flags affected" of each instruction; volume 1,
//! appendix A). Flags that the SDM leaves undefined keep their value, except where named.

use crate::x86::insn::{Alu, Bit, Condition, Op, OperandSize, Shift};
use crate::x86::regs::Rflags;

const CF: u64 = Rflags::CF.raw();
const PF: u64 = Rflags::PF.raw();
const AF: u64 = Rflags::AF.raw();
const ZF: u64 = Rflags::ZF.raw();
const SF: u64 = Rflags::SF.raw();
const OF: u64 = Rflags::OF.raw();

/// A result with all of RFLAGS.
pub(super) struct Computed {
    pub(super) value: u64,
    pub(super) rflags: u64,
}

/// `op` on the destination `a` and the source `b`, both zero-extended from `size`.
pub(super) fn compute(op: Op, size: OperandSize, a: u64, b: u64, rflags: u64) -> Computed {
    let keep_flags = |value| Computed { value, rflags };
    match op {
        Op::Alu(Alu::Add) => add(size, a, b, rflags),
        Op::Alu(Alu::Adc) => add_with_carry(size, a, b, rflags & CF, rflags),
        Op::Alu(Alu::Sub | Alu::Cmp) => subtract(size, a, b, rflags),
        Op::Alu(Alu::Sbb) => subtract_with_borrow(size, a, b, rflags & CF, rflags),
        Op::Alu(Alu::Or) => logic(size, a | b, rflags),
        Op::Alu(Alu::Xor) => logic(size, a ^ b, rflags),
        Op::Alu(Alu::And) | Op::Test => logic(size, a & b, rflags),
        Op::Neg => subtract(size, 0, a, rflags),
        Op::Inc => keep_carry(add(size, a, 1, rflags), rflags),
        Op::Dec => keep_carry(subtract(size, a, 1, rflags), rflags),
        Op::Shift(shift) => self::shift(shift, size, a, b, rflags),
        Op::Bit(bit) => self::bit(bit, size, a, b, rflags),
        Op::Setcc(condition) => keep_flags(u64::from(holds(condition, rflags))),
        Op::Not => keep_flags(!a & size.mask()),
        // The others move data and change no flags.
        _ => keep_flags(a),
    }
}

/// `a` + `b`.
pub(super) fn add(size: OperandSize, a: u64, b: u64, rflags: u64) -> Computed {
    add_with_carry(size, a, b, 0, rflags)
}

/// `a` - `b`.
pub(super) fn subtract(size: OperandSize, a: u64, b: u64, rflags: u64) -> Computed {
    subtract_with_borrow(size, a, b, 0, rflags)
}

fn add_with_carry(size: OperandSize, a: u64, b: u64, carry: u64, rflags: u64) -> Computed {
    let value = a.wrapping_add(b).wrapping_add(carry) & size.mask();
    let carries = (a & b) | ((a | b) & !value);
    finish(size, value, carries, (a ^ value) & (b ^ value), rflags)
}

fn subtract_with_borrow(size: OperandSize, a: u64, b: u64, borrow: u64, rflags: u64) -> Computed {
    let value = a.wrapping_sub(b).wrapping_sub(borrow) & size.mask();
    let borrows = (!a & b) | ((!a | b) & value);
    finish(size, value, borrows, (a ^ b) & (a ^ value), rflags)
}

/// A result of AND, OR, XOR: CF and OF are clear, and so is AF (undefined) as CPUs do it.
fn logic(size: OperandSize, value: u64, rflags: u64) -> Computed {
    finish(size, value, 0, 0, rflags)
}

/// All six flags of an addition or subtraction: `carries` has the carry out of each bit, and
/// `overflow` the overflow in the sign bit.
fn finish(size: OperandSize, value: u64, carries: u64, overflow: u64, rflags: u64) -> Computed {
    /// The bit whose carry is AF.
    const NIBBLE_TOP: u64 = 1 << 3;
    let flags = flag(CF, carries & size.sign_bit())
        | flag(AF, carries & NIBBLE_TOP)
        | flag(OF, overflow & size.sign_bit())
        | result_flags(size, value);
    Computed {
        value,
        rflags: replace(rflags, CF | PF | AF | ZF | SF | OF, flags),
    }
}

fn keep_carry(computed: Computed, rflags: u64) -> Computed {
    Computed {
        rflags: replace(computed.rflags, CF, rflags & CF),
        ..computed
    }
}

/// SF, ZF, PF of a result.
fn result_flags(size: OperandSize, value: u64) -> u64 {
    let odd_parity = u64::from((value & OperandSize::Byte.mask()).count_ones() & 1);
    flag(SF, value & size.sign_bit()) | flag(ZF, u64::from(value == 0)) | flag(PF, odd_parity ^ 1)
}

/// `flag` if any bit of `bits` is set.
fn flag(flag: u64, bits: u64) -> u64 {
    if bits != 0 {
        flag
    } else {
        0
    }
}

fn replace(rflags: u64, mask: u64, flags: u64) -> u64 {
    (rflags & !mask) | flags
}

/// Shifts and rotations of `a` by the count in the low bits of `b`. OF is defined for a count
/// of 1; for others it is what the same formula gives.
fn shift(shift: Shift, size: OperandSize, a: u64, b: u64, rflags: u64) -> Computed {
    let bits = size.bits();
    let count_mask = match size {
        OperandSize::Qword => u64::BITS - 1,
        _ => u32::BITS - 1,
    };
    let count = b as u32 & count_mask;
    if count == 0 {
        return Computed { value: a, rflags };
    }
    let top = size.sign_bit();
    // Room for the carry beside a full operand.
    let wide = u128::from(a);
    // (result, carry out, overflow where not zero)
    let (value, carry, overflow) = match shift {
        Shift::Rol | Shift::Ror => {
            let left = match shift {
                Shift::Rol => count % bits,
                _ => (bits - count % bits) % bits,
            };
            let value = rotate_left(wide, bits, left) as u64;
            match shift {
                Shift::Rol => (value, value & 1, (value ^ flag(top, value & 1)) & top),
                _ => (value, value & top, (value ^ (value << 1)) & top),
            }
        }
        Shift::Rcl | Shift::Rcr => {
            let ring = bits + 1;
            let left = match shift {
                Shift::Rcl => count % ring,
                _ => (ring - count % ring) % ring,
            };
            let rotated = rotate_left(wide | (u128::from(rflags & CF) << bits), ring, left);
            let value = rotated as u64 & size.mask();
            let carry = (rotated >> bits) as u64;
            match shift {
                Shift::Rcl => (value, carry, (value ^ flag(top, carry)) & top),
                _ => (value, carry, (value ^ (value << 1)) & top),
            }
        }
        Shift::Shl => {
            let shifted = wide << count;
            let value = shifted as u64 & size.mask();
            let carry = (shifted >> bits) as u64 & 1;
            (value, carry, (value ^ flag(top, carry)) & top)
        }
        Shift::Shr => (a >> count, (a >> (count - 1)) & 1, a & top),
        Shift::Sar => {
            let signed = size.sign_extend(a) as i64;
            let value = (signed >> count) as u64 & size.mask();
            (value, (signed >> (count - 1)) as u64 & 1, 0)
        }
    };
    let mut mask = CF | OF;
    let mut flags = flag(CF, carry) | flag(OF, overflow);
    if matches!(shift, Shift::Shl | Shift::Shr | Shift::Sar) {
        mask |= SF | ZF | PF;
        flags |= result_flags(size, value);
    }
    Computed {
        value,
        rflags: replace(rflags, mask, flags),
    }
}

/// `value` of `bits` bits (at most 65), rotated by `left`, which is less than `bits`.
fn rotate_left(value: u128, bits: u32, left: u32) -> u128 {
    let mask = (1 << bits) - 1;
    ((value << left) | (value >> (bits - left))) & mask
}

/// CF = the bit of `a` at the position in the low bits of `b`; then the bit is changed.
fn bit(bit: Bit, size: OperandSize, a: u64, b: u64, rflags: u64) -> Computed {
    let selected = 1 << (b as u32 & (size.bits() - 1));
    let value = match bit {
        Bit::Test => a,
        Bit::Set => a | selected,
        Bit::Reset => a & !selected,
        Bit::Complement => a ^ selected,
    };
    Computed {
        value,
        rflags: replace(rflags, CF, flag(CF, a & selected)),
    }
}

/// Whether a condition holds (SDM volume 1, appendix B).
fn holds(condition: Condition, rflags: u64) -> bool {
    let is_set = |flag| rflags & flag != 0;
    let less = is_set(SF) != is_set(OF);
    let positive = match condition.code() >> 1 {
        0 => is_set(OF),
        1 => is_set(CF),
        2 => is_set(ZF),
        3 => is_set(CF | ZF),
        4 => is_set(SF),
        5 => is_set(PF),
        6 => less,
        _ => less || is_set(ZF),
    };
    // Bit 0 of the code inverts.
    positive != (condition.code() & 1 != 0)
}
