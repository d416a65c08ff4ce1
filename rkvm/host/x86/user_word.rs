// SPDX-License-Identifier: GPL-2.0

//! Atomic changes of words in user memory.

// UNSAFETY: calls C, whose access may fault.
#![expect(unsafe_code)]

use crate::{host::bindings, types::Hva};
use kernel::prelude::*;

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
