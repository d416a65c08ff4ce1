// SPDX-License-Identifier: GPL-2.0

//! What instructions do.

use super::OperandSize;

/// The eight operations of the opcodes 00-3F and 80-83, in the order of their encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alu {
    /// ADD.
    Add,
    /// OR.
    Or,
    /// ADC: ADD plus CF.
    Adc,
    /// SBB: SUB minus CF.
    Sbb,
    /// AND.
    And,
    /// SUB.
    Sub,
    /// XOR.
    Xor,
    /// CMP: SUB for the flags only.
    Cmp,
}

/// The shifts and rotations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shift {
    /// ROL.
    Rol,
    /// ROR.
    Ror,
    /// RCL: ROL through CF.
    Rcl,
    /// RCR: ROR through CF.
    Rcr,
    /// SHL, also called SAL.
    Shl,
    /// SHR.
    Shr,
    /// SAR.
    Sar,
}

/// What BT, BTS, BTR, BTC do to the bit that they copy to CF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bit {
    /// BT: nothing.
    Test,
    /// BTS: set it.
    Set,
    /// BTR: clear it.
    Reset,
    /// BTC: invert it.
    Complement,
}

/// A condition of SETcc: the low four opcode bits (SDM volume 1, appendix B).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition(u8);

impl Condition {
    /// The condition with this code; only the low four bits count.
    pub const fn new(code: u8) -> Self {
        Self(code & 15)
    }

    /// The condition's code, 0 to 15.
    pub const fn code(self) -> u8 {
        self.0
    }
}

/// What an instruction does. Unless said otherwise both operands have the instruction's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Move; also MOVNTI.
    Mov,
    /// Move with zero-extension from a source of this size.
    MovZx(OperandSize),
    /// Move with sign-extension from a source of this size; also MOVSXD.
    MovSx(OperandSize),
    /// Move with the order of bytes reversed.
    Movbe,
    /// Move between an SSE register and 4, 8 or 16 bytes of memory; a load clears the rest of
    /// the register.
    MovVector,
    /// One of the eight basic operations, destination with source.
    Alu(Alu),
    /// AND for the flags only.
    Test,
    /// Ones' complement.
    Not,
    /// Two's complement.
    Neg,
    /// Plus one, CF kept.
    Inc,
    /// Minus one, CF kept.
    Dec,
    /// Shift or rotate by the source (a constant or CL).
    Shift(Shift),
    /// Test and change one bit. With a register as source and memory as destination, the source
    /// is a signed bit offset that can reach beyond the operand.
    Bit(Bit),
    /// Exchange.
    Xchg,
    /// Exchange and add.
    Xadd,
    /// Compare with the accumulator and exchange.
    Cmpxchg,
    /// Set the byte to the condition.
    Setcc(Condition),
    /// Push the destination.
    Push,
    /// Pop to the destination.
    Pop,
    /// String move, \[rSI\] to \[rDI\].
    Movs,
    /// String compare, \[rSI\] (destination) with \[rDI\] (source).
    Cmps,
    /// String store, accumulator to \[rDI\].
    Stos,
    /// String load, \[rSI\] to accumulator.
    Lods,
    /// String scan, accumulator with \[rDI\].
    Scas,
    /// String input, port DX (source) to \[rDI\].
    Ins,
    /// String output, \[rSI\] to port DX (destination).
    Outs,
}

impl Op {
    /// Whether this is a string instruction.
    pub const fn is_string(self) -> bool {
        matches!(
            self,
            Self::Movs | Self::Cmps | Self::Stos | Self::Lods | Self::Scas | Self::Ins | Self::Outs
        )
    }

    /// Whether a LOCK prefix is valid when the destination is memory (SDM volume 2, "LOCK").
    pub(super) const fn allows_lock(self) -> bool {
        match self {
            Self::Alu(op) => !matches!(op, Alu::Cmp),
            Self::Bit(op) => !matches!(op, Bit::Test),
            Self::Not | Self::Neg | Self::Inc | Self::Dec => true,
            Self::Xchg | Self::Xadd | Self::Cmpxchg => true,
            _ => false,
        }
    }
}
