// SPDX-License-Identifier: GPL-2.0

//! Short texts, which need no memory of their own.

use core::{
    ffi::CStr,
    fmt::{self, Write},
};

/// Bytes of a text, with the zero at its end.
pub const BYTES: usize = 48;

/// A text of fewer than [`BYTES`] bytes, with zeros behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text {
    bytes: [u8; BYTES],
    length: usize,
}

impl Text {
    /// The text that `arguments` are formatted to, cut off where there is no more room.
    pub fn new(arguments: fmt::Arguments<'_>) -> Self {
        let mut text = Self {
            bytes: [0; BYTES],
            length: 0,
        };
        // Writing does not fail, and so nothing that is formatted here.
        let _ = text.write_fmt(arguments);
        text
    }

    /// Its bytes, with the zeros.
    pub fn bytes(&self) -> [u8; BYTES] {
        self.bytes
    }

    /// The text for C.
    pub fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or_default()
    }
}

impl Write for Text {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let room = self.bytes.get_mut(self.length..BYTES - 1);
        for (to, from) in room.unwrap_or_default().iter_mut().zip(part.bytes()) {
            *to = from;
            self.length = self.length.saturating_add(1);
        }
        Ok(())
    }
}
