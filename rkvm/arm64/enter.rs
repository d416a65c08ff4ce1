// SPDX-License-Identifier: GPL-2.0

//! The call into the world switch.

// UNSAFETY: calls assembly that leaves the kernel for the guest and comes back.
#![expect(unsafe_code)]

use crate::arm64::{exit::Syndrome, regs::CoreRegs, serror, traps::InGuestWorld};
use core::mem::offset_of;

/// How the guest was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// By what.
    pub exit: Exit,
    /// The SError that the guest has caused before.
    pub serror: Option<Syndrome>,
}

/// What a guest is left by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By a synchronous exception, which ESR_EL2 describes.
    Synchronous,
    /// By an interrupt of the host, which is still pending.
    Interrupt,
    /// By an SError.
    SError,
    /// Not at all: PSTATE is not one to return to.
    IllegalReturn,
}

extern "C" {
    fn rkvm_arm64_enter(regs: *mut CoreRegs, key: *mut [u64; 2]) -> u64;
}

// `world_switch.S` knows where they are.
const _: () = assert!(
    offset_of!(CoreRegs, x) == 0
        && offset_of!(CoreRegs, sp_el0) == 248
        && offset_of!(CoreRegs, pc) == 256
        && offset_of!(CoreRegs, pstate) == 264
);

/// Runs the guest until it is left. `key` is its APIAKey_EL1, if it can sign pointers.
#[inline]
pub fn enter(_world: &InGuestWorld<'_>, regs: &mut CoreRegs, key: Option<&mut [u64; 2]>) -> Left {
    let key = key.map_or(core::ptr::null_mut(), core::ptr::from_mut);
    // SAFETY: all exceptions are masked, and HCR_EL2 lets a return to EL1 or EL0 go to the guest, whose memory is
    // behind stage 2; keys are switched where the processor has them. Every way out of it comes back to this call with the registers of the host.
    let left = unsafe { rkvm_arm64_enter(regs, key) };
    let exit = match left as u32 {
        0 => Exit::Synchronous,
        1 => Exit::Interrupt,
        2 => Exit::SError,
        _ => Exit::IllegalReturn,
    };
    let disr = left >> DEFERRED_SHIFT;
    Left {
        exit,
        serror: (disr != 0).then(|| serror::deferred(disr)),
    }
}

/// Where DISR_EL1 begins in what the world switch returns.
const DEFERRED_SHIFT: u32 = 32;
