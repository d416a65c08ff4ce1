// SPDX-License-Identifier: GPL-2.0

//! The vector registers of the processor, for use by the kernel.

// UNSAFETY: calls the kernel's functions in pairs.
#![expect(unsafe_code)]

use crate::{
    arm64::sve::VectorLengths,
    host::{bindings, cpu::PreemptOff},
};
use kernel::{error::to_result, prelude::*};

/// Saves the thread's vector registers. Interrupts are on; a softirq that uses the registers meanwhile puts them back.
pub fn begin(_here: &PreemptOff) {
    // SAFETY: a thread with preemption off and interrupts on, which has not begun before.
    unsafe { bindings::rkvm_neon_begin() };
}

/// The thread's registers come back before it returns to user mode.
pub fn end(_here: &PreemptOff) {
    // SAFETY: pairs `begin`, with preemption off since.
    unsafe { bindings::rkvm_neon_end() };
}

/// The vector lengths of SVE that guests can have: none without SVE. `ENOMEM`.
pub fn vector_lengths() -> Result<VectorLengths> {
    let (mut common, mut some) = (0, 0);
    // SAFETY: the function fills both in.
    to_result(unsafe { bindings::rkvm_vector_lengths(&mut common, &mut some) })?;
    Ok(VectorLengths::usable(common, some))
}
