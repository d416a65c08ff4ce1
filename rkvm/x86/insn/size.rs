// SPDX-License-Identifier: GPL-2.0

//! Sizes of code, addresses and operands (SDM volume 1, 3.6).

/// The kind of the code segment: CS.L and CS.D.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeSize {
    /// Real mode, virtual-8086 mode, or CS.D = 0.
    Bits16,
    /// CS.D = 1 outside 64-bit mode.
    Bits32,
    /// CS.L = 1 in long mode.
    Bits64,
}

impl CodeSize {
    /// The address size without an address-size prefix.
    pub const fn address_size(self) -> AddressSize {
        match self {
            Self::Bits16 => AddressSize::Bits16,
            Self::Bits32 => AddressSize::Bits32,
            Self::Bits64 => AddressSize::Bits64,
        }
    }
}

/// The width in which addresses, counters of REP and the stack pointer are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressSize {
    /// 16 bits.
    Bits16,
    /// 32 bits.
    Bits32,
    /// 64 bits.
    Bits64,
}

impl AddressSize {
    /// The part of a register of this width.
    pub const fn register_size(self) -> OperandSize {
        match self {
            Self::Bits16 => OperandSize::Word,
            Self::Bits32 => OperandSize::Dword,
            Self::Bits64 => OperandSize::Qword,
        }
    }

    /// The mask of an address of this width.
    pub const fn mask(self) -> u64 {
        self.register_size().mask()
    }
}

/// The size of an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperandSize {
    /// 1 byte.
    Byte = 1,
    /// 2 bytes.
    Word = 2,
    /// 4 bytes.
    Dword = 4,
    /// 8 bytes.
    Qword = 8,
    /// 16 bytes; [`Op::MovVector`] only.
    Xmmword = 16,
}

impl OperandSize {
    /// The size in bytes.
    pub const fn bytes(self) -> usize {
        self as usize
    }

    /// The size in bits.
    pub const fn bits(self) -> u32 {
        self as u32 * u8::BITS
    }

    /// The mask of an operand of this size in a 64-bit register (all of it for 16 bytes).
    pub const fn mask(self) -> u64 {
        match self {
            Self::Byte => u8::MAX as u64,
            Self::Word => u16::MAX as u64,
            Self::Dword => u32::MAX as u64,
            Self::Qword | Self::Xmmword => u64::MAX,
        }
    }

    /// The sign bit of an operand of this size.
    pub const fn sign_bit(self) -> u64 {
        self.mask() ^ (self.mask() >> 1)
    }

    /// `value` of this size, sign-extended to 64 bits.
    pub const fn sign_extend(self, value: u64) -> u64 {
        let low = value & self.mask();
        if low & self.sign_bit() != 0 {
            low | !self.mask()
        } else {
            low
        }
    }
}
