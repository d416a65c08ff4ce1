// SPDX-License-Identifier: GPL-2.0

//! Instruction prefixes: legacy ones and REX (SDM volume 2, 2.1.1 and 2.2.1).

use super::{bytes::Bytes, AddressSize, CodeSize, DecodeError, OperandSize, Repeat, Segment};

/// The prefix that selects among the SSE instructions of one opcode.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mandatory {
    None,
    Prefix66,
    PrefixF2,
    PrefixF3,
}

/// A REX prefix.
#[derive(Clone, Copy)]
pub(super) struct Rex(u8);

impl Rex {
    const W: u8 = 1 << 3;
    const R: u8 = 1 << 2;
    const X: u8 = 1 << 1;
    const B: u8 = 1 << 0;
}

/// All prefixes of an instruction.
pub(super) struct Prefixes {
    pub(super) code_size: CodeSize,
    pub(super) segment: Option<Segment>,
    pub(super) lock: bool,
    pub(super) repeat: Repeat,
    rex: Option<Rex>,
    operand_size: bool,
    address_size: bool,
}

impl Prefixes {
    /// Reads the prefixes and the first opcode byte.
    pub(super) fn read(
        code_size: CodeSize,
        bytes: &mut Bytes<'_>,
    ) -> Result<(Self, u8), DecodeError> {
        let mut prefixes = Self {
            code_size,
            segment: None,
            lock: false,
            repeat: Repeat::Once,
            rex: None,
            operand_size: false,
            address_size: false,
        };
        loop {
            let byte = bytes.next()?;
            if prefixes.is_64bit() && byte & 0xf0 == 0x40 {
                prefixes.rex = Some(Rex(byte));
                continue;
            }
            match byte {
                0x26 => prefixes.override_segment(Segment::Es),
                0x2e => prefixes.override_segment(Segment::Cs),
                0x36 => prefixes.override_segment(Segment::Ss),
                0x3e => prefixes.override_segment(Segment::Ds),
                0x64 => prefixes.override_segment(Segment::Fs),
                0x65 => prefixes.override_segment(Segment::Gs),
                0x66 => prefixes.operand_size = true,
                0x67 => prefixes.address_size = true,
                0xf0 => prefixes.lock = true,
                0xf2 => prefixes.repeat = Repeat::WhileNotEqual,
                0xf3 => prefixes.repeat = Repeat::WhileEqual,
                opcode => return Ok((prefixes, opcode)),
            }
            // REX counts only right before the opcode.
            prefixes.rex = None;
        }
    }

    /// 64-bit code ignores the overrides of segments that it treats as flat, even after one of
    /// FS or GS.
    fn override_segment(&mut self, segment: Segment) {
        if !self.is_64bit() || matches!(segment, Segment::Fs | Segment::Gs) {
            self.segment = Some(segment);
        }
    }

    /// Whether the code is 64-bit code.
    pub(super) fn is_64bit(&self) -> bool {
        self.code_size == CodeSize::Bits64
    }

    /// The size of operands that are not bytes.
    pub(super) fn operand_size(&self) -> OperandSize {
        match (self.code_size, self.operand_size) {
            _ if self.rex_bit(Rex::W) != 0 => OperandSize::Qword,
            (CodeSize::Bits16, true) | (CodeSize::Bits32 | CodeSize::Bits64, false) => {
                OperandSize::Dword
            }
            (CodeSize::Bits16, false) | (CodeSize::Bits32 | CodeSize::Bits64, true) => {
                OperandSize::Word
            }
        }
    }

    /// The size of what PUSH and POP move: 64-bit code has no 4-byte form.
    pub(super) fn stack_operand_size(&self) -> OperandSize {
        match self.operand_size() {
            OperandSize::Dword if self.is_64bit() => OperandSize::Qword,
            size => size,
        }
    }

    /// The size of effective addresses, and of the index and count registers of string instructions.
    pub(super) fn address_size(&self) -> AddressSize {
        match (self.code_size, self.address_size) {
            (CodeSize::Bits64, false) => AddressSize::Bits64,
            (CodeSize::Bits32, false) | (CodeSize::Bits16 | CodeSize::Bits64, true) => {
                AddressSize::Bits32
            }
            (CodeSize::Bits16, false) | (CodeSize::Bits32, true) => AddressSize::Bits16,
        }
    }

    /// The prefix that selects the instruction: F2 and F3 go before 66.
    pub(super) fn mandatory(&self) -> Mandatory {
        match self.repeat {
            Repeat::WhileNotEqual => Mandatory::PrefixF2,
            Repeat::WhileEqual => Mandatory::PrefixF3,
            Repeat::Once if self.operand_size => Mandatory::Prefix66,
            Repeat::Once => Mandatory::None,
        }
    }

    /// Whether byte registers 4 to 7 are SPL, BPL, SIL, DIL rather than AH, CH, DH, BH.
    pub(super) fn has_rex(&self) -> bool {
        self.rex.is_some()
    }

    /// REX.R as bit 3 of a register number.
    pub(super) fn reg_extension(&self) -> u8 {
        self.rex_bit(Rex::R)
    }

    /// REX.X as bit 3 of a register number.
    pub(super) fn index_extension(&self) -> u8 {
        self.rex_bit(Rex::X)
    }

    /// REX.B as bit 3 of a register number.
    pub(super) fn base_extension(&self) -> u8 {
        self.rex_bit(Rex::B)
    }

    fn rex_bit(&self, bit: u8) -> u8 {
        match self.rex {
            Some(Rex(rex)) if rex & bit != 0 => 1 << 3,
            _ => 0,
        }
    }
}
