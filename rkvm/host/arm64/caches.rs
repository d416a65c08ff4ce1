// SPDX-License-Identifier: GPL-2.0

//! Cache maintenance of physical memory.

// UNSAFETY: passes addresses in the direct map to the kernel.
#![expect(unsafe_code)]

use crate::{
    host::{bindings, page::direct_map},
    types::Hpa,
};

/// The bytes of the smallest line of any data cache of the machine, by which maintenance has to go.
#[derive(Clone, Copy, Debug)]
pub struct DataLine(usize);

impl DataLine {
    /// That of processors whose common CTR_EL0 is `ctr`: DminLine is log2 of words of 4 bytes.
    pub const fn new(ctr: u64) -> Self {
        const DMIN_LINE_SHIFT: u32 = 16;
        Self(4 << (ctr >> DMIN_LINE_SHIFT & 0xf))
    }
}

/// What caches hold of this memory, a whole number of pages, is in memory, and not in the caches any more.
pub fn clean_to_memory(hpa: Hpa, bytes: u64, line: DataLine) {
    let start = direct_map(hpa).cast();
    // SAFETY: cleaning changes no contents; the address is that of RAM in the direct map.
    unsafe { bindings::rkvm_clean_to_memory(start, bytes as usize, line.0) };
}

/// Instruction fetches see what was written to this memory, a whole number of pages.
pub fn sync_instructions(hpa: Hpa, bytes: u64) {
    // SAFETY: as above.
    unsafe { bindings::rkvm_sync_instructions(direct_map(hpa).cast(), bytes as usize) };
}
