// SPDX-License-Identifier: GPL-2.0

//! Copying to and from the memory of the current process.

// UNSAFETY: calls C for single words, which are read much faster than copied.
#![expect(unsafe_code)]

use super::bindings;
use crate::types::Hva;
use kernel::{
    error::to_result,
    prelude::*,
    uaccess::{UserPtr, UserSlice},
};

fn slice(hva: Hva, bytes: usize) -> UserSlice {
    UserSlice::new(UserPtr::from_addr(hva.raw() as usize), bytes)
}

/// Reads; sleeps. `EFAULT` if the memory is not readable.
pub fn read(hva: Hva, data: &mut [u8]) -> Result {
    slice(hva, data.len()).reader().read_slice(data)
}

/// Reads 4 bytes at once; sleeps. `EFAULT` if the memory is not readable.
pub fn read_u32(hva: Hva) -> Result<u32> {
    let mut value = 0;
    // SAFETY: any address may be passed; `value` is valid for the result.
    to_result(unsafe { bindings::rkvm_get_user_u32(hva.raw(), &mut value) })?;
    Ok(value)
}

/// Reads 8 bytes at once; sleeps. `EFAULT` if the memory is not readable.
pub fn read_u64(hva: Hva) -> Result<u64> {
    let mut value = 0;
    // SAFETY: any address may be passed; `value` is valid for the result.
    to_result(unsafe { bindings::rkvm_get_user_u64(hva.raw(), &mut value) })?;
    Ok(value)
}

/// Writes; sleeps. `EFAULT` if the memory is not writable.
pub fn write(hva: Hva, data: &[u8]) -> Result {
    slice(hva, data.len()).writer().write_slice(data)
}

/// Reads a byte without sleeping. `EFAULT` if it is not present.
pub fn read_u8_present(hva: Hva) -> Result<u8> {
    let mut value = 0;
    // SAFETY: any address may be passed; `value` is valid for the result.
    to_result(unsafe { bindings::rkvm_read_user_u8_nofault(hva.raw(), &mut value) })?;
    Ok(value)
}

/// Writes a byte without sleeping. `EFAULT` if it is not present and writable.
pub fn write_u8_present(hva: Hva, value: u8) -> Result {
    // SAFETY: any address may be passed.
    to_result(unsafe { bindings::rkvm_write_user_u8_nofault(hva.raw(), value) })
}
