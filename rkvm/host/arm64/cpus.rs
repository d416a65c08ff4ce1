// SPDX-License-Identifier: GPL-2.0

//! All processors of the machine.

// UNSAFETY: reads how many there are.
#![expect(unsafe_code)]

use crate::host::{
    bindings,
    cpu::{call_on, Cpu},
};

/// The most CPUs that the machine can have; their numbers are below.
pub fn possible() -> usize {
    // SAFETY: reads a number that is fixed after boot.
    unsafe { bindings::rkvm_possible_cpus() as usize }
}

/// Runs `call` on every online CPU and waits for all to finish. Interrupts must be on.
pub fn call_on_all<F: Fn() + Sync>(call: &F) {
    for number in 0..possible() as u32 {
        // A CPU that is offline has nothing to do.
        let _ = call_on(Cpu::from_number(number), call);
    }
}
