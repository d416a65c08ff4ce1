// SPDX-License-Identifier: GPL-2.0

//! The guest's vector registers. They come into the processor when the guest first uses them, and stay until the
//! vCPU leaves its CPU; the thread's own are kept by the kernel, which takes the guest's for kernel-mode NEON.

// UNSAFETY: calls assembly that moves vector registers.
#![expect(unsafe_code)]

use crate::{
    arm64::{loaded::Loaded, regs::VECTOR_REGISTERS, traps::FloatingPoint},
    host::arm64::neon,
};
use core::mem::offset_of;

/// V0 to V31 and what controls them.
#[derive(Clone, Debug)]
#[repr(C, align(16))]
pub struct FpsimdRegs {
    /// V0 to V31, in the order of memory.
    pub v: [[u8; 16]; VECTOR_REGISTERS],
    /// FPSR.
    pub fpsr: u32,
    /// FPCR.
    pub fpcr: u32,
}

// `vector_registers.S` knows where they are.
const _: () = assert!(offset_of!(FpsimdRegs, fpsr) == 512 && offset_of!(FpsimdRegs, fpcr) == 516);

extern "C" {
    fn rkvm_arm64_fpsimd_save(state: *mut FpsimdRegs);
    fn rkvm_arm64_fpsimd_load(state: *const FpsimdRegs);
}

/// The guest's vector registers, and where they are.
pub struct Fpsimd {
    /// As of when they were last in memory.
    pub regs: FpsimdRegs,
    owner: FloatingPoint,
}

impl Fpsimd {
    /// After a reset.
    pub const RESET: Self = Self {
        regs: FpsimdRegs {
            v: [[0; 16]; VECTOR_REGISTERS],
            fpsr: 0,
            fpcr: 0,
        },
        owner: FloatingPoint::Host,
    };

    /// Whose registers are in the processor.
    pub fn owner(&self) -> FloatingPoint {
        self.owner
    }

    /// Brings the guest's in. Interrupts are on.
    pub fn load(&mut self, loaded: &Loaded) {
        if self.owner == FloatingPoint::Guest {
            return;
        }
        neon::begin(loaded.here());
        // SAFETY: the thread's registers have been saved, and the kernel leaves them alone until `save`.
        unsafe { rkvm_arm64_fpsimd_load(&self.regs) };
        self.owner = FloatingPoint::Guest;
    }

    /// Takes them out again, if they are in.
    pub fn save(&mut self, loaded: &Loaded) {
        if self.owner == FloatingPoint::Host {
            return;
        }
        // SAFETY: the state is large enough.
        unsafe { rkvm_arm64_fpsimd_save(&mut self.regs) };
        neon::end(loaded.here());
        self.owner = FloatingPoint::Host;
    }
}
