// SPDX-License-Identifier: GPL-2.0

//! Copying to and from the memory of the current process.

// UNSAFETY: calls C for single words, which are read much faster than copied.
#![expect(unsafe_code)]

use super::bindings;
use crate::types::Hva;
use kernel::{
    prelude::*,
    uaccess::{UserPtr, UserSlice},
};

fn slice(hva: Hva, bytes: usize) -> UserSlice {
    UserSlice::new(UserPtr::from_addr(hva.raw() as usize), bytes)
}

/// Reads; sleeps. `EFAULT` if the memory is not readable.
pub fn read(hva: Hva, data: &mut [u8]) -> Result {
    match data.len() {
        WORD..=TWO_WORDS => read_two_words(hva, data),
        bytes => slice(hva, bytes).reader().read_slice(data),
    }
}

const WORD: usize = size_of::<u64>();
const TWO_WORDS: usize = 2 * WORD;

/// Reads 8 to 16 bytes as two words, which may overlap.
fn read_two_words(hva: Hva, data: &mut [u8]) -> Result {
    let behind = data.len().saturating_sub(WORD);
    for offset in [0, behind] {
        let word = read_u64(hva.checked_add(offset as u64).ok_or(EFAULT)?)?;
        let part = data
            .get_mut(offset..)
            .and_then(<[u8]>::first_chunk_mut::<WORD>);
        *part.ok_or(EFAULT)? = word.to_ne_bytes();
    }
    Ok(())
}

/// Reads 8 bytes at once; sleeps. `EFAULT` if the memory is not readable.
pub fn read_u64(hva: Hva) -> Result<u64> {
    let mut value = 0;
    // SAFETY: any address may be passed; `value` is valid for the result.
    match unsafe { bindings::rkvm_get_user_u64(hva.raw(), &mut value) } {
        0 => Ok(value),
        _ => Err(EFAULT),
    }
}

/// Writes; sleeps. `EFAULT` if the memory is not writable.
pub fn write(hva: Hva, data: &[u8]) -> Result {
    slice(hva, data.len()).writer().write_slice(data)
}
