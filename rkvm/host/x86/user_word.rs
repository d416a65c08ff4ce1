// SPDX-License-Identifier: GPL-2.0

//! Single words of user memory: atomic changes, and accesses that do not sleep.

// UNSAFETY: calls C, whose access may fault.
#![expect(unsafe_code)]

use crate::{host::bindings, types::Hva};
use kernel::{error::to_result, prelude::*};

/// Reads 4 bytes at once; sleeps. `EFAULT` if the memory is not readable.
pub fn read_u32(hva: Hva) -> Result<u32> {
    let mut value = 0;
    // SAFETY: any address may be passed; `value` is valid for the result.
    match unsafe { bindings::rkvm_get_user_u32(hva.raw(), &mut value) } {
        0 => Ok(value),
        _ => Err(EFAULT),
    }
}

/// Replaces `old` by `new`, atomically; sleeps. Whether `old` was there. `EFAULT` if the memory is
/// not writable.
pub fn exchange_u32(hva: Hva, old: u32, new: u32) -> Result<bool> {
    // SAFETY: any address may be passed.
    outcome(unsafe { bindings::rkvm_exchange_user_u32(hva.raw(), old, new) })
}

/// [`exchange_u32`] for 8 bytes.
pub fn exchange_u64(hva: Hva, old: u64, new: u64) -> Result<bool> {
    // SAFETY: any address may be passed.
    outcome(unsafe { bindings::rkvm_exchange_user_u64(hva.raw(), old, new) })
}

fn outcome(result: i32) -> Result<bool> {
    match result {
        0 => Ok(true),
        error if error < 0 => Err(Error::from_errno(error)),
        _ => Ok(false),
    }
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
