// SPDX-License-Identifier: GPL-2.0

//! The opcode maps (SDM volume 2, appendix A), and the operands that each encoding has.

use super::{
    bytes::Bytes,
    modrm::{gpr, Modrm},
    prefix::{Mandatory, Prefixes},
    Alu, Base, Bit, Condition, DecodeError, Gpr, Memory, Op, Operand, OperandSize, Segment, Shift,
};

/// How the operands are encoded.
enum Form {
    /// r/m, register.
    RmReg,
    /// Register, r/m.
    RegRm,
    /// Memory, register.
    MemReg,
    /// Register, memory.
    RegMem,
    /// Memory, SSE register.
    MemXmm,
    /// SSE register, memory.
    XmmMem,
    /// r/m and a fixed second operand.
    Rm(Operand),
    /// r/m, constant of the operand size but at most 4 bytes, sign-extended.
    RmImm,
    /// r/m, constant of one byte, sign-extended.
    RmImm8,
    /// Accumulator, constant of the operand size but at most 4 bytes, sign-extended.
    AccImm,
    /// Register in the opcode.
    Reg,
    /// Register in the opcode, constant of the operand size.
    RegImm,
    /// Accumulator, absolute address.
    AccOffset,
    /// Absolute address, accumulator.
    OffsetAcc,
    /// Operands without an encoding.
    Fixed(Operand, Operand),
}

use Form::*;

/// An opcode's meaning.
pub(super) struct Template {
    pub(super) op: Op,
    pub(super) size: OperandSize,
    form: Form,
    opcode: u8,
}

const ACCUMULATOR: Operand = Operand::Gpr(Gpr::RAX);

impl Template {
    /// Looks up the opcode whose first byte is `first`; leaves the ModRM byte unread.
    pub(super) fn find(
        prefixes: &Prefixes,
        first: u8,
        bytes: &mut Bytes<'_>,
    ) -> Result<Self, DecodeError> {
        let mut opcode = first;
        let (op, size, form) = if first == 0x0f {
            opcode = bytes.next()?;
            if opcode == 0x38 {
                opcode = bytes.next()?;
                map_0f38(prefixes, opcode)
            } else {
                map_0f(prefixes, opcode, bytes)?
            }
        } else {
            map_primary(prefixes, opcode, bytes)?
        }
        .ok_or(DecodeError::Unsupported)?;
        Ok(Self {
            op,
            size,
            form,
            opcode,
        })
    }

    /// Reads the operands: the destination and the source.
    pub(super) fn operands(
        &self,
        prefixes: &Prefixes,
        bytes: &mut Bytes<'_>,
    ) -> Result<(Operand, Operand), DecodeError> {
        let size = self.size;
        let immediate_size = if size == OperandSize::Qword {
            OperandSize::Dword
        } else {
            size
        };
        match self.form {
            Fixed(dst, src) => return Ok((dst, src)),
            AccImm => return Ok((ACCUMULATOR, immediate(bytes, immediate_size, size)?)),
            Reg => return Ok((self.opcode_register(prefixes), Operand::None)),
            RegImm => {
                let src = immediate(bytes, size, size)?;
                return Ok((self.opcode_register(prefixes), src));
            }
            AccOffset => return Ok((ACCUMULATOR, offset(prefixes, bytes)?)),
            OffsetAcc => return Ok((offset(prefixes, bytes)?, ACCUMULATOR)),
            _ => {}
        }
        let modrm = Modrm::new(bytes.next()?);
        let reg = modrm.register(prefixes, size);
        let rm_size = match self.op {
            Op::MovZx(from) | Op::MovSx(from) => from,
            _ => size,
        };
        let rm = match self.form {
            MemReg | RegMem | MemXmm | XmmMem => modrm.memory(prefixes, bytes)?,
            _ => modrm.register_or_memory(prefixes, rm_size, bytes)?,
        };
        Ok(match self.form {
            RegRm | RegMem => (reg, rm),
            MemXmm => (rm, modrm.xmm(prefixes)),
            XmmMem => (modrm.xmm(prefixes), rm),
            Rm(src) => (rm, src),
            RmImm => (rm, immediate(bytes, immediate_size, size)?),
            RmImm8 => (rm, immediate(bytes, OperandSize::Byte, size)?),
            _ => (rm, reg),
        })
    }

    /// The register in the low three bits of the opcode.
    fn opcode_register(&self, prefixes: &Prefixes) -> Operand {
        let number = (self.opcode & 7) | prefixes.base_extension();
        gpr(prefixes, number, self.size)
    }
}

/// The meaning of an opcode, `None` where it is not supported.
type Meaning = Option<(Op, OperandSize, Form)>;

/// The one-byte opcodes.
fn map_primary(prefixes: &Prefixes, opcode: u8, bytes: &Bytes<'_>) -> Result<Meaning, DecodeError> {
    let full = prefixes.operand_size();
    // In most pairs of opcodes, bit 0 tells the full size from the byte size.
    let size = if opcode & 1 == 0 {
        OperandSize::Byte
    } else {
        full
    };
    let legacy = !prefixes.is_64bit();
    let group = || Ok(Modrm::new(bytes.peek()?).reg);
    let si = Operand::Memory(string_operand(
        Gpr::RSI,
        prefixes.segment.unwrap_or(Segment::Ds),
    ));
    let di = Operand::Memory(string_operand(Gpr::RDI, Segment::Es));
    let port = Operand::Gpr(Gpr::RDX);
    // There is no 8-byte port access.
    let port_size = if size == OperandSize::Qword {
        OperandSize::Dword
    } else {
        size
    };

    Ok(Some(match opcode {
        0x00..=0x3f => {
            let form = match opcode & 7 {
                0 | 1 => RmReg,
                2 | 3 => RegRm,
                4 | 5 => AccImm,
                _ => return Ok(None),
            };
            (alu(opcode >> 3), size, form)
        }
        0x40..=0x47 if legacy => (Op::Inc, full, Reg),
        0x48..=0x4f if legacy => (Op::Dec, full, Reg),
        0x63 if !legacy => {
            let from = match full {
                OperandSize::Word => OperandSize::Word,
                _ => OperandSize::Dword,
            };
            (Op::MovSx(from), full, RegRm)
        }
        0x6c | 0x6d => (Op::Ins, port_size, Fixed(di, port)),
        0x6e | 0x6f => (Op::Outs, port_size, Fixed(port, si)),
        0x80 | 0x81 => (alu(group()?), size, RmImm),
        0x82 if legacy => (alu(group()?), size, RmImm),
        0x83 => (alu(group()?), size, RmImm8),
        0x84 | 0x85 => (Op::Test, size, RmReg),
        0x86 | 0x87 => (Op::Xchg, size, RmReg),
        0x88 | 0x89 => (Op::Mov, size, RmReg),
        0x8a | 0x8b => (Op::Mov, size, RegRm),
        0x8f if group()? == 0 => (Op::Pop, prefixes.stack_operand_size(), Rm(Operand::None)),
        0xa0 | 0xa1 => (Op::Mov, size, AccOffset),
        0xa2 | 0xa3 => (Op::Mov, size, OffsetAcc),
        0xa4 | 0xa5 => (Op::Movs, size, Fixed(di, si)),
        0xa6 | 0xa7 => (Op::Cmps, size, Fixed(si, di)),
        0xa8 | 0xa9 => (Op::Test, size, AccImm),
        0xaa | 0xab => (Op::Stos, size, Fixed(di, ACCUMULATOR)),
        0xac | 0xad => (Op::Lods, size, Fixed(ACCUMULATOR, si)),
        0xae | 0xaf => (Op::Scas, size, Fixed(ACCUMULATOR, di)),
        0xb0..=0xb7 => (Op::Mov, OperandSize::Byte, RegImm),
        0xb8..=0xbf => (Op::Mov, full, RegImm),
        0xc0 | 0xc1 => (shift(group()?), size, RmImm8),
        0xd0 | 0xd1 => (shift(group()?), size, Rm(Operand::Immediate(1))),
        0xd2 | 0xd3 => (shift(group()?), size, Rm(Operand::Gpr(Gpr::RCX))),
        0xc6 | 0xc7 if group()? == 0 => (Op::Mov, size, RmImm),
        0xf6 | 0xf7 => match group()? {
            // The SDM names /0 only; CPUs treat /1 alike.
            0 | 1 => (Op::Test, size, RmImm),
            2 => (Op::Not, size, Rm(Operand::None)),
            3 => (Op::Neg, size, Rm(Operand::None)),
            _ => return Ok(None),
        },
        0xfe | 0xff => match group()? {
            0 => (Op::Inc, size, Rm(Operand::None)),
            1 => (Op::Dec, size, Rm(Operand::None)),
            6 if opcode == 0xff => (Op::Push, prefixes.stack_operand_size(), Rm(Operand::None)),
            _ => return Ok(None),
        },
        _ => return Ok(None),
    }))
}

/// The opcodes behind 0F.
fn map_0f(prefixes: &Prefixes, opcode: u8, bytes: &Bytes<'_>) -> Result<Meaning, DecodeError> {
    let full = prefixes.operand_size();
    let size = if opcode & 1 == 0 {
        OperandSize::Byte
    } else {
        full
    };
    // Where bit 0 tells the size of the source.
    let from = if opcode & 1 == 0 {
        OperandSize::Byte
    } else {
        OperandSize::Word
    };
    Ok(Some(match opcode {
        0x90..=0x9f => {
            let op = Op::Setcc(Condition::new(opcode));
            (op, OperandSize::Byte, Rm(Operand::None))
        }
        0xa3 | 0xab | 0xb3 | 0xbb => (bit(opcode >> 3), full, RmReg),
        0xb0 | 0xb1 => (Op::Cmpxchg, size, RmReg),
        0xb6 | 0xb7 => (Op::MovZx(from), full, RegRm),
        0xba => match Modrm::new(bytes.peek()?).reg {
            group @ 4..=7 => (bit(group), full, RmImm8),
            _ => return Ok(None),
        },
        0xbe | 0xbf => (Op::MovSx(from), full, RegRm),
        0xc0 | 0xc1 => (Op::Xadd, size, RmReg),
        0xc3 if prefixes.mandatory() == Mandatory::None => {
            (Op::Mov, integer_size(prefixes), MemReg)
        }
        _ => return Ok(vector_move(prefixes, opcode)),
    }))
}

/// The size of MOVNTI, MOVD and MOVQ, which only REX.W changes.
fn integer_size(prefixes: &Prefixes) -> OperandSize {
    match prefixes.operand_size() {
        OperandSize::Qword => OperandSize::Qword,
        _ => OperandSize::Dword,
    }
}

/// The SSE moves among the opcodes behind 0F.
fn vector_move(prefixes: &Prefixes, opcode: u8) -> Meaning {
    use Mandatory::{None as NoPrefix, Prefix66, PrefixF2, PrefixF3};

    let integer = integer_size(prefixes);
    let (size, form) = match (prefixes.mandatory(), opcode) {
        (NoPrefix | Prefix66, 0x10 | 0x28) => (OperandSize::Xmmword, XmmMem),
        (NoPrefix | Prefix66, 0x11 | 0x29 | 0x2b) => (OperandSize::Xmmword, MemXmm),
        (Prefix66 | PrefixF3, 0x6f) => (OperandSize::Xmmword, XmmMem),
        (Prefix66 | PrefixF3, 0x7f) => (OperandSize::Xmmword, MemXmm),
        (Prefix66, 0xe7) => (OperandSize::Xmmword, MemXmm),
        (PrefixF2, 0xf0) => (OperandSize::Xmmword, XmmMem),
        (PrefixF3, 0x10) => (OperandSize::Dword, XmmMem),
        (PrefixF3, 0x11) => (OperandSize::Dword, MemXmm),
        (PrefixF2, 0x10) => (OperandSize::Qword, XmmMem),
        (PrefixF2, 0x11) => (OperandSize::Qword, MemXmm),
        (Prefix66, 0x6e) => (integer, XmmMem),
        (Prefix66, 0x7e) => (integer, MemXmm),
        (PrefixF3, 0x7e) => (OperandSize::Qword, XmmMem),
        (Prefix66, 0xd6) => (OperandSize::Qword, MemXmm),
        _ => return None,
    };
    Some((Op::MovVector, size, form))
}

/// The opcodes behind 0F 38.
fn map_0f38(prefixes: &Prefixes, opcode: u8) -> Meaning {
    let full = prefixes.operand_size();
    match (prefixes.mandatory(), opcode) {
        (Mandatory::Prefix66, 0x2a) => Some((Op::MovVector, OperandSize::Xmmword, XmmMem)),
        (Mandatory::None | Mandatory::Prefix66, 0xf0) => Some((Op::Movbe, full, RegMem)),
        (Mandatory::None | Mandatory::Prefix66, 0xf1) => Some((Op::Movbe, full, MemReg)),
        _ => None,
    }
}

/// The basic operation with this number; only the low three bits count.
fn alu(number: u8) -> Op {
    Op::Alu(match number & 7 {
        0 => Alu::Add,
        1 => Alu::Or,
        2 => Alu::Adc,
        3 => Alu::Sbb,
        4 => Alu::And,
        5 => Alu::Sub,
        6 => Alu::Xor,
        _ => Alu::Cmp,
    })
}

/// The shift with this number; 6 is a second encoding of 4.
fn shift(number: u8) -> Op {
    Op::Shift(match number & 7 {
        0 => Shift::Rol,
        1 => Shift::Ror,
        2 => Shift::Rcl,
        3 => Shift::Rcr,
        5 => Shift::Shr,
        7 => Shift::Sar,
        _ => Shift::Shl,
    })
}

/// The bit operation with this number; only the low two bits count.
fn bit(number: u8) -> Op {
    Op::Bit(match number & 3 {
        0 => Bit::Test,
        1 => Bit::Set,
        2 => Bit::Reset,
        _ => Bit::Complement,
    })
}

/// A constant of `encoded` bytes, for an operand of size `size`.
fn immediate(
    bytes: &mut Bytes<'_>,
    encoded: OperandSize,
    size: OperandSize,
) -> Result<Operand, DecodeError> {
    Ok(Operand::Immediate(
        bytes.signed(encoded)? as u64 & size.mask(),
    ))
}

/// The absolute address of A0-A3.
fn offset(prefixes: &Prefixes, bytes: &mut Bytes<'_>) -> Result<Operand, DecodeError> {
    Ok(Operand::Memory(Memory {
        segment: prefixes.segment.unwrap_or(Segment::Ds),
        base: Base::None,
        index: None,
        displacement: bytes.signed(prefixes.address_size().register_size())?,
    }))
}

/// The memory operand of a string instruction.
fn string_operand(register: Gpr, segment: Segment) -> Memory {
    Memory {
        segment,
        base: Base::Gpr(register),
        index: None,
        displacement: 0,
    }
}
