// SPDX-License-Identifier: GPL-2.0

//! Copying to and from the memory of the current process.

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
    slice(hva, data.len()).reader().read_slice(data)
}

/// Writes; sleeps. `EFAULT` if the memory is not writable.
pub fn write(hva: Hva, data: &[u8]) -> Result {
    slice(hva, data.len()).writer().write_slice(data)
}
