// SPDX-License-Identifier: GPL-2.0

//! The bytes of an instruction, read one after the other.

use super::{DecodeError, OperandSize, MAX_LENGTH};

/// A reader that stops at the end of what was fetched and at the architectural length limit.
pub(super) struct Bytes<'a> {
    bytes: &'a [u8],
    consumed: u8,
}

impl<'a> Bytes<'a> {
    /// A reader of `bytes` from the first one on.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, consumed: 0 }
    }

    /// How many bytes were read: at most [`MAX_LENGTH`].
    pub(super) fn consumed(&self) -> u8 {
        self.consumed
    }

    /// The next byte, which stays the next one.
    pub(super) fn peek(&self) -> Result<u8, DecodeError> {
        let at = usize::from(self.consumed);
        if at >= MAX_LENGTH {
            return Err(DecodeError::TooLong);
        }
        self.bytes.get(at).copied().ok_or(DecodeError::Truncated)
    }

    /// The next byte.
    pub(super) fn next(&mut self) -> Result<u8, DecodeError> {
        let byte = self.peek()?;
        self.consumed += 1;
        Ok(byte)
    }

    /// A little-endian number of this size, sign-extended to 64 bits.
    pub(super) fn signed(&mut self, size: OperandSize) -> Result<i64, DecodeError> {
        let mut value = 0;
        for position in 0..size.bytes().min(size_of::<u64>()) {
            value |= u64::from(self.next()?) << (position * 8);
        }
        Ok(size.sign_extend(value) as i64)
    }
}
