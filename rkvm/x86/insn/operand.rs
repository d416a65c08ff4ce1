// SPDX-License-Identifier: GPL-2.0

//! Registers, memory operands, and operands as such.

/// A general-purpose register, numbered as in ModRM and REX.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gpr(u8);

impl Gpr {
    /// The number of general-purpose registers.
    pub const COUNT: usize = 16;
    /// RAX, the accumulator.
    pub const RAX: Self = Self(0);
    /// RCX, the counter of REP and of shifts.
    pub const RCX: Self = Self(1);
    /// RDX, the port of INS and OUTS.
    pub const RDX: Self = Self(2);
    /// RBX.
    pub const RBX: Self = Self(3);
    /// RSP, the stack pointer.
    pub const RSP: Self = Self(4);
    /// RBP.
    pub const RBP: Self = Self(5);
    /// RSI, the source of string instructions.
    pub const RSI: Self = Self(6);
    /// RDI, the destination of string instructions.
    pub const RDI: Self = Self(7);

    /// The register with this number; only the low four bits count.
    pub const fn new(number: u8) -> Self {
        Self(number & (Self::COUNT as u8 - 1))
    }

    /// The register's number, below [`Gpr::COUNT`].
    pub const fn number(self) -> usize {
        self.0 as usize & (Self::COUNT - 1)
    }
}

/// An SSE register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Xmm(u8);

impl Xmm {
    /// The register with this number; only the low four bits count.
    pub const fn new(number: u8) -> Self {
        Self(number & 15)
    }

    /// The register's number, 0 to 15.
    pub const fn number(self) -> usize {
        self.0 as usize
    }
}

/// A segment register, numbered as in ModRM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segment {
    /// ES, the fixed segment of string destinations.
    Es,
    /// CS.
    Cs,
    /// SS, the default segment of addresses based on RSP or RBP.
    Ss,
    /// DS, the default segment of other addresses.
    Ds,
    /// FS.
    Fs,
    /// GS.
    Gs,
}

/// What the base of a memory operand is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// No base: the displacement is absolute.
    None,
    /// A register.
    Gpr(Gpr),
    /// The address of the following instruction (64-bit code).
    NextRip,
}

/// The index of a memory operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Index {
    /// The index register.
    pub register: Gpr,
    /// log2 of the factor: 0 to 3.
    pub scale_shift: u8,
}

/// A memory operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// The segment: the override prefix's, or else the default one. In 64-bit code only FS and GS
    /// have an effect.
    pub segment: Segment,
    /// The base.
    pub base: Base,
    /// The index.
    pub index: Option<Index>,
    /// The displacement, sign-extended; added with wrap-around.
    pub displacement: i64,
}

/// An operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// The instruction has no such operand.
    None,
    /// The low bytes of a general-purpose register.
    Gpr(Gpr),
    /// Bits 15:8 of RAX, RCX, RDX or RBX: AH, CH, DH, BH.
    HighByte(Gpr),
    /// An SSE register.
    Xmm(Xmm),
    /// Memory.
    Memory(Memory),
    /// A constant, extended as the instruction says and cut to the operand size.
    Immediate(u64),
}
