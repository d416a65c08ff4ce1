// SPDX-License-Identifier: GPL-2.0

//! The host's clocks, and its random numbers.

// UNSAFETY: calls C.
#![expect(unsafe_code)]

use crate::{arm64::trng::MAX_WORDS, host::bindings};

/// A time of day, and the processor's counter at that time.
#[derive(Clone, Copy, Debug)]
pub struct RealTime {
    /// Since 1970.
    pub nanoseconds: u64,
    /// CNTPCT_EL0 without an offset.
    pub count: u64,
}

/// The time of day; `None` where the kernel keeps time by another counter.
pub fn real_time() -> Option<RealTime> {
    let (mut nanoseconds, mut count) = (0, 0);
    // SAFETY: the pointers are valid for the results.
    let known = unsafe { bindings::rkvm_real_time(&mut nanoseconds, &mut count) };
    known.then_some(RealTime { nanoseconds, count })
}

/// Random numbers fit for keys.
pub fn random_words() -> [u64; MAX_WORDS] {
    let mut words = [0; MAX_WORDS];
    // SAFETY: the pointer is valid for so many words.
    unsafe { bindings::rkvm_random_words(words.as_mut_ptr(), words.len()) };
    words
}
