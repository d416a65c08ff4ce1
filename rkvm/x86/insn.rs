// SPDX-License-Identifier: GPL-2.0

//! The x86 instruction decoder.
//!
//! VMX reports *that* a guest access had no memory behind it, not what the access was to do: for
//! that the instruction itself has to be read. This decoder knows the instructions that compilers
//! and drivers use on device memory (moves, string moves, ALU operations on memory, bit operations,
//! exchanges, 4/8/16-byte SSE moves, INS/OUTS) in 16-, 32- and 64-bit code; it answers
//! [`DecodeError::Unsupported`] to everything else. The result is plain data, which
//! [`emulate`](crate::x86::emulate) executes.
//!
//! Source: Intel SDM volume 2, chapter 2 (formats) and appendix A (opcode maps).

mod bytes;
mod modrm;
mod op;
mod opcode;
mod operand;
mod prefix;
mod size;

use bytes::Bytes;
use opcode::Template;
use prefix::Prefixes;

pub use op::{Alu, Bit, Condition, Op, Shift};
pub use operand::{Base, Gpr, Index, Memory, Operand, Segment, Xmm};
pub use size::{AddressSize, CodeSize, OperandSize};

/// The longest instruction that a CPU executes, in bytes (SDM volume 2, 2.3.11).
pub const MAX_LENGTH: usize = 15;

/// The repetition of a string instruction; [`Repeat::Once`] on all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// No prefix.
    Once,
    /// F3: REP, and REPE on CMPS and SCAS.
    WhileEqual,
    /// F2: REPNE on CMPS and SCAS, like REP on others.
    WhileNotEqual,
}

/// A decoded instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Insn {
    /// The operation.
    pub op: Op,
    /// The operand size; 16 bytes for [`Op::MovVector`] only.
    pub size: OperandSize,
    /// The address size.
    pub address_size: AddressSize,
    /// The code segment's size, within which RIP wraps.
    pub code_size: CodeSize,
    /// The first operand.
    pub dst: Operand,
    /// The second operand.
    pub src: Operand,
    /// Whether there is a LOCK prefix; only on instructions that allow it.
    pub lock: bool,
    /// The repetition.
    pub repeat: Repeat,
    /// The length in bytes, 1 to [`MAX_LENGTH`].
    pub length: u8,
}

/// Why there is no instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The bytes end within the instruction.
    Truncated,
    /// The instruction is longer than [`MAX_LENGTH`]: a CPU raises #GP.
    TooLong,
    /// Not an instruction that this decoder knows; it need not be a valid one.
    Unsupported,
}

/// Decodes the instruction that `bytes` start with.
///
/// # Errors
///
/// See [`DecodeError`].
pub fn decode(code_size: CodeSize, bytes: &[u8]) -> Result<Insn, DecodeError> {
    let mut bytes = Bytes::new(bytes);
    let (prefixes, first) = Prefixes::read(code_size, &mut bytes)?;
    let template = Template::find(&prefixes, first, &mut bytes)?;
    let (dst, src) = template.operands(&prefixes, &mut bytes)?;
    let op = template.op;
    if prefixes.lock && !(op.allows_lock() && matches!(dst, Operand::Memory(_))) {
        return Err(DecodeError::Unsupported);
    }
    Ok(Insn {
        op,
        size: template.size,
        address_size: prefixes.address_size(),
        code_size,
        dst,
        src,
        lock: prefixes.lock,
        repeat: if op.is_string() {
            prefixes.repeat
        } else {
            Repeat::Once
        },
        length: bytes.consumed(),
    })
}
