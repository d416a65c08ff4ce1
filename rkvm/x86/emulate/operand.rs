// SPDX-License-Identifier: GPL-2.0

//! Where operands are, and their values.

use super::{next_rip, AccessKind, Gpr, Insn, Machine, Memory, Operand, OperandSize};
use crate::x86::insn::Base;

/// How far the byte of AH, CH, DH, BH is shifted in its register.
const HIGH_BYTE_SHIFT: u32 = u8::BITS;

/// An operand whose address is known.
#[derive(Clone, Copy)]
pub(super) enum Place {
    /// The low bytes of a register.
    Gpr(Gpr),
    /// Bits 15:8 of a register.
    HighByte(Gpr),
    /// Memory at a linear address.
    Linear(u64),
    /// A constant.
    Value(u64),
}

/// The effective address of a memory operand: the offset in its segment.
pub(super) fn effective_address<M: Machine>(insn: &Insn, machine: &mut M, memory: Memory) -> u64 {
    let base = match memory.base {
        Base::None => 0,
        Base::Gpr(register) => machine.gpr(register),
        Base::NextRip => next_rip(insn, machine),
    };
    let index = match memory.index {
        None => 0,
        Some(index) => machine
            .gpr(index.register)
            .wrapping_shl(u32::from(index.scale_shift)),
    };
    base.wrapping_add(index)
        .wrapping_add_signed(memory.displacement)
        & insn.address_size.mask()
}

/// Computes where an operand of `size` is.
pub(super) fn resolve<M: Machine>(
    insn: &Insn,
    machine: &mut M,
    operand: Operand,
    size: OperandSize,
    kind: AccessKind,
) -> Result<Place, M::Stop> {
    Ok(match operand {
        Operand::Gpr(register) => Place::Gpr(register),
        Operand::HighByte(register) => Place::HighByte(register),
        Operand::Memory(memory) => {
            let effective = effective_address(insn, machine, memory);
            Place::Linear(machine.linear(memory.segment, effective, size.bytes(), kind)?)
        }
        Operand::Immediate(value) => Place::Value(value),
        // SSE registers do not come here: only MOVs of their own have them.
        Operand::None | Operand::Xmm(_) => Place::Value(0),
    })
}

/// The value at `place`, zero-extended.
pub(super) fn load<M: Machine>(
    machine: &mut M,
    place: Place,
    size: OperandSize,
) -> Result<u64, M::Stop> {
    let value = match place {
        Place::Gpr(register) => machine.gpr(register),
        Place::HighByte(register) => machine.gpr(register) >> HIGH_BYTE_SHIFT,
        Place::Linear(address) => {
            let mut data = [0; size_of::<u64>()];
            let length = size.bytes().min(data.len());
            machine.read(address, &mut data[..length])?;
            u64::from_le_bytes(data)
        }
        Place::Value(value) => value,
    };
    Ok(value & size.mask())
}

/// Sets what is at `place` to the low bytes of `value`.
pub(super) fn store<M: Machine>(
    machine: &mut M,
    place: Place,
    size: OperandSize,
    value: u64,
) -> Result<(), M::Stop> {
    match place {
        Place::Gpr(register) => write_gpr(machine, register, size, value),
        Place::HighByte(register) => {
            let mask = OperandSize::Byte.mask() << HIGH_BYTE_SHIFT;
            let rest = machine.gpr(register) & !mask;
            machine.set_gpr(register, rest | (value << HIGH_BYTE_SHIFT) & mask);
        }
        Place::Linear(address) => {
            let data = value.to_le_bytes();
            let length = size.bytes().min(data.len());
            machine.write(address, &data[..length])?;
        }
        Place::Value(_) => {}
    }
    Ok(())
}

/// Sets the low bytes of a register: 1 and 2 bytes keep the rest, 4 bytes clear the upper half.
pub(super) fn write_gpr<M: Machine>(machine: &mut M, register: Gpr, size: OperandSize, value: u64) {
    let low = value & size.mask();
    let value = match size {
        OperandSize::Byte | OperandSize::Word => machine.gpr(register) & !size.mask() | low,
        OperandSize::Dword | OperandSize::Qword | OperandSize::Xmmword => low,
    };
    machine.set_gpr(register, value);
}

/// The element of a bit string at `memory` that holds the bit at the signed `offset`.
pub(super) fn bit_string_element(memory: Memory, size: OperandSize, offset: u64) -> Memory {
    let bit = size.sign_extend(offset) as i64;
    let element = bit >> size.bits().trailing_zeros();
    let bytes = element.wrapping_mul(size.bytes() as i64);
    Memory {
        displacement: memory.displacement.wrapping_add(bytes),
        ..memory
    }
}
