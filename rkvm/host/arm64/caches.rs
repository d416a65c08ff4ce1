// SPDX-License-Identifier: GPL-2.0

//! Cache maintenance of physical memory.

// UNSAFETY: passes addresses in the direct map to the kernel.
#![expect(unsafe_code)]

use crate::{
    host::{bindings, page::direct_map},
    types::Hpa,
};

/// What caches hold of this memory, a whole number of pages, is in memory, and not in the caches any more.
pub fn clean_to_memory(hpa: Hpa, bytes: u64) {
    // SAFETY: cleaning changes no contents; the address is that of RAM in the direct map.
    unsafe { bindings::rkvm_clean_to_memory(direct_map(hpa).cast(), bytes as usize) };
}

/// Instruction fetches see what was written to this memory, a whole number of pages.
pub fn sync_instructions(hpa: Hpa, bytes: u64) {
    // SAFETY: as above.
    unsafe { bindings::rkvm_sync_instructions(direct_map(hpa).cast(), bytes as usize) };
}
