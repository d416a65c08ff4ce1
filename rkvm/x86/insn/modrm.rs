// SPDX-License-Identifier: GPL-2.0

//! Operands that ModRM and SIB encode (SDM volume 2, 2.1.3 to 2.1.5 and 2.2.1).

use super::{
    bytes::Bytes, prefix::Prefixes, AddressSize, Base, DecodeError, Gpr, Index, Memory, Operand,
    OperandSize, Segment, Xmm,
};

/// `rm` that announces a SIB byte, and the SIB `index` that means none.
const SIB: u8 = 4;
/// `rm` or SIB `base` that, with mode 0, means a displacement in place of the register.
const DISPLACEMENT: u8 = 5;
/// `rm` of 16-bit addresses that, with mode 0, means a displacement alone.
const DISPLACEMENT16: u8 = 6;
/// The mode that names a register.
const REGISTER: u8 = 3;

/// The three fields of a ModRM or SIB byte.
#[derive(Clone, Copy)]
pub(super) struct Modrm {
    /// Bits 7:6, the mode; in SIB the scale.
    mode: u8,
    /// Bits 5:3, a register or part of the opcode; in SIB the index.
    pub(super) reg: u8,
    /// Bits 2:0, a register or the kind of address; in SIB the base.
    rm: u8,
}

impl Modrm {
    /// Takes a byte apart.
    pub(super) fn new(byte: u8) -> Self {
        Self {
            mode: byte >> 6,
            reg: (byte >> 3) & 7,
            rm: byte & 7,
        }
    }

    /// The register of the `reg` field.
    pub(super) fn register(self, prefixes: &Prefixes, size: OperandSize) -> Operand {
        gpr(prefixes, self.reg | prefixes.reg_extension(), size)
    }

    /// The SSE register of the `reg` field.
    pub(super) fn xmm(self, prefixes: &Prefixes) -> Operand {
        Operand::Xmm(Xmm::new(self.reg | prefixes.reg_extension()))
    }

    /// The operand of the `rm` field: a register or memory.
    pub(super) fn register_or_memory(
        self,
        prefixes: &Prefixes,
        size: OperandSize,
        bytes: &mut Bytes<'_>,
    ) -> Result<Operand, DecodeError> {
        if self.mode == REGISTER {
            return Ok(gpr(prefixes, self.rm | prefixes.base_extension(), size));
        }
        self.memory(prefixes, bytes)
    }

    /// The operand of the `rm` field where only memory is allowed.
    pub(super) fn memory(
        self,
        prefixes: &Prefixes,
        bytes: &mut Bytes<'_>,
    ) -> Result<Operand, DecodeError> {
        if self.mode == REGISTER {
            return Err(DecodeError::Unsupported);
        }
        let (base, index) = if prefixes.address_size() == AddressSize::Bits16 {
            self.registers16()
        } else if self.rm == SIB {
            self.registers_sib(prefixes, bytes)?
        } else {
            (self.base(prefixes, self.rm), None)
        };
        let wide = match prefixes.address_size() {
            AddressSize::Bits16 => OperandSize::Word,
            AddressSize::Bits32 | AddressSize::Bits64 => OperandSize::Dword,
        };
        let displacement = match self.mode {
            0 if !matches!(base, Base::Gpr(_)) => bytes.signed(wide)?,
            0 => 0,
            1 => bytes.signed(OperandSize::Byte)?,
            _ => bytes.signed(wide)?,
        };
        // RIP replaces the plain displacement of 64-bit code, but not the one behind a SIB byte.
        let base = match base {
            Base::None if prefixes.is_64bit() && self.rm == DISPLACEMENT => Base::NextRip,
            base => base,
        };
        Ok(Operand::Memory(Memory {
            segment: prefixes.segment.unwrap_or(default_segment(base)),
            base,
            index,
            displacement,
        }))
    }

    /// The registers of a 16-bit address (SDM volume 2, table 2-1).
    fn registers16(self) -> (Base, Option<Index>) {
        let (base, index) = match self.rm {
            0 => (Gpr::RBX, Some(Gpr::RSI)),
            1 => (Gpr::RBX, Some(Gpr::RDI)),
            2 => (Gpr::RBP, Some(Gpr::RSI)),
            3 => (Gpr::RBP, Some(Gpr::RDI)),
            4 => (Gpr::RSI, None),
            5 => (Gpr::RDI, None),
            DISPLACEMENT16 if self.mode == 0 => return (Base::None, None),
            DISPLACEMENT16 => (Gpr::RBP, None),
            _ => (Gpr::RBX, None),
        };
        let index = index.map(|register| Index {
            register,
            scale_shift: 0,
        });
        (Base::Gpr(base), index)
    }

    fn registers_sib(
        self,
        prefixes: &Prefixes,
        bytes: &mut Bytes<'_>,
    ) -> Result<(Base, Option<Index>), DecodeError> {
        let sib = Self::new(bytes.next()?);
        let index = sib.reg | prefixes.index_extension();
        let index = (index != SIB).then_some(Index {
            register: Gpr::new(index),
            scale_shift: sib.mode,
        });
        Ok((self.base(prefixes, sib.rm), index))
    }

    /// The base register, from the low bits of its number in ModRM or SIB.
    fn base(self, prefixes: &Prefixes, low: u8) -> Base {
        if self.mode == 0 && low == DISPLACEMENT {
            Base::None
        } else {
            Base::Gpr(Gpr::new(low | prefixes.base_extension()))
        }
    }
}

/// A general-purpose register operand.
pub(super) fn gpr(prefixes: &Prefixes, number: u8, size: OperandSize) -> Operand {
    if size == OperandSize::Byte && !prefixes.has_rex() && (4..8).contains(&number) {
        Operand::HighByte(Gpr::new(number - 4))
    } else {
        Operand::Gpr(Gpr::new(number))
    }
}

fn default_segment(base: Base) -> Segment {
    match base {
        Base::Gpr(Gpr::RSP | Gpr::RBP) => Segment::Ss,
        _ => Segment::Ds,
    }
}
