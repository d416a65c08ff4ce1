// SPDX-License-Identifier: GPL-2.0

//! Which pages of a memory slot were written: the log behind `KVM_MEM_LOG_DIRTY_PAGES`.
//!
//! Marks come from page faults, under the MMU lock, and from emulated writes, without it; so a mark
//! is one atomic operation. A mark is never lost: it is in the log, or with whoever took it.

use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

use kernel::prelude::*;

/// The pages that a word of the log stands for.
pub const PAGES_PER_WORD: u64 = u64::BITS as u64;

/// The marks of a new log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Initial {
    /// No page counts as written.
    #[default]
    Clean,
    /// All do (KVM_DIRTY_LOG_INITIALLY_SET): the VMM has yet to look at each, and clears what it has looked at.
    Dirty,
}

/// A bit for each page of a slot: bit `n % 64` of word `n / 64` is page `n`.
#[derive(Debug)]
pub struct DirtyLog(KVVec<AtomicU64>);

impl DirtyLog {
    /// The log of a slot of `pages` pages. `ENOMEM`.
    pub fn new(pages: u64, initial: Initial) -> Result<Self> {
        let words = usize::try_from(pages.div_ceil(PAGES_PER_WORD))?;
        let mut log = KVVec::with_capacity(words, GFP_KERNEL_ACCOUNT)?;
        for first in (0..pages).step_by(PAGES_PER_WORD as usize) {
            let bits = match initial {
                Initial::Clean => 0,
                Initial::Dirty => low_bits(pages.saturating_sub(first)),
            };
            log.push(AtomicU64::new(bits), GFP_KERNEL_ACCOUNT)?;
        }
        Ok(Self(log))
    }

    /// The number of words.
    pub fn words(&self) -> usize {
        self.0.len()
    }

    /// The page of this number was written. Nothing happens for one that the slot does not have.
    pub fn mark(&self, page: u64) {
        let word = usize::try_from(page / PAGES_PER_WORD).unwrap_or(usize::MAX);
        self.put(word, 1 << (page % PAGES_PER_WORD));
    }

    /// The pages of a word were written.
    pub fn put(&self, word: usize, bits: u64) {
        if let Some(word) = self.0.get(word) {
            // Whoever takes the marks also sees what was written before.
            word.fetch_or(bits, Ordering::SeqCst);
        }
    }

    /// The marks of a word.
    pub fn get(&self, word: usize) -> u64 {
        self.0
            .get(word)
            .map_or(0, |word| word.load(Ordering::SeqCst))
    }

    /// Takes those marks of a word out of the log that `wanted` has.
    pub fn take(&self, word: usize, wanted: u64) -> u64 {
        self.0
            .get(word)
            .filter(|word| word.load(Ordering::SeqCst) & wanted != 0)
            .map_or(0, |word| word.fetch_and(!wanted, Ordering::SeqCst) & wanted)
    }
}

/// A word with the lowest `count` bits set, or all of them.
pub fn low_bits(count: u64) -> u64 {
    u32::try_from(count)
        .ok()
        .and_then(|count| 1u64.checked_shl(count))
        .map_or(u64::MAX, |bit| bit.wrapping_sub(1))
}

/// The runs of set bits in `bits`, in order.
pub fn runs(mut bits: u64) -> impl Iterator<Item = Range<u32>> {
    core::iter::from_fn(move || {
        if bits == 0 {
            return None;
        }
        let start = bits.trailing_zeros();
        let end = start + (bits >> start).trailing_ones();
        bits &= u64::MAX.checked_shl(end).unwrap_or(0);
        Some(start..end)
    })
}
