// SPDX-License-Identifier: GPL-2.0

//! The guest's vector registers. They come into the processor when the guest first uses them, and stay until the
//! vCPU leaves its CPU; the thread's own are kept by the kernel, which takes the guest's for kernel-mode NEON.
//!
//! When a softirq uses vector registers the kernel puts V0 to V31 back, but not what SVE has beyond them. So
//! those of a guest with SVE are in the processor during sections alone, where there are no softirqs.

// UNSAFETY: calls assembly that moves vector registers.
#![expect(unsafe_code)]

use crate::{
    arm64::{
        el1::Extension,
        features::ScalableVectors,
        loaded::Loaded,
        registers::{isb, Fpmr, ZcrEl12, ZcrEl2},
        regs::VECTOR_REGISTERS,
        sve::{ScalableRegs, Sve, VectorLength},
        traps::{FloatingPoint, InGuestWorld},
    },
    host::arm64::neon,
};
use core::mem::offset_of;
use kernel::prelude::*;

/// V0 to V31 and what controls them. With SVE the vectors are elsewhere, as the lower parts of Z0 to Z31.
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

impl FpsimdRegs {
    const RESET: Self = Self {
        v: [[0; 16]; VECTOR_REGISTERS],
        fpsr: 0,
        fpcr: 0,
    };
}

extern "C" {
    fn rkvm_arm64_fpsimd_save(state: *mut FpsimdRegs);
    fn rkvm_arm64_fpsimd_load(state: *const FpsimdRegs);
    fn rkvm_arm64_sve_save(state: *mut FpsimdRegs, vectors: *mut u8, predicates: *mut u8);
    fn rkvm_arm64_sve_load(state: *const FpsimdRegs, vectors: *const u8, predicates: *const u8);
}

/// The guest's vector registers, and where they are.
pub struct Fpsimd {
    /// As of when they were last in memory.
    pub regs: FpsimdRegs,
    /// Scalable registers, likewise.
    pub sve: Sve,
    /// ZCR_EL1, likewise.
    pub zcr: u64,
    /// FPMR, likewise.
    pub fpmr: u64,
    /// The host's ZCR_EL2 during a section.
    host_zcr: u64,
    owner: FloatingPoint,
}

impl Fpsimd {
    /// Those of a vCPU that has not been initialised.
    pub const NEW: Self = Self {
        regs: FpsimdRegs::RESET,
        sve: Sve::Absent,
        zcr: 0,
        fpmr: 0,
        host_zcr: 0,
        owner: FloatingPoint::Host,
    };

    /// Resets them. Vectors are up to `longest` if there are to be any and the VMM has not chosen for good.
    pub fn reset(&mut self, vectors: ScalableVectors, longest: Option<VectorLength>) {
        self.regs = FpsimdRegs::RESET;
        self.zcr = 0;
        self.fpmr = 0;
        match &mut self.sve {
            Sve::Final(regs) => regs.reset(),
            sve => {
                *sve = match (vectors, longest) {
                    (ScalableVectors::Present, Some(length)) => Sve::Open(length),
                    _ => Sve::Absent,
                }
            }
        }
    }

    /// KVM_ARM_VCPU_FINALIZE of KVM_ARM_VCPU_SVE: the length does not change any more. `EINVAL` without SVE, `EPERM`
    /// for the second time, `ENOMEM`.
    pub fn finalize(&mut self) -> Result {
        match self.sve {
            Sve::Absent => Err(EINVAL),
            Sve::Final(_) => Err(EPERM),
            Sve::Open(length) => {
                self.sve = Sve::Final(ScalableRegs::new(length)?);
                Ok(())
            }
        }
    }

    /// Whether the vCPU can run, or its registers be listed: `EPERM` before KVM_ARM_VCPU_FINALIZE if that is due.
    pub fn finalized(&self) -> Result {
        match self.sve {
            Sve::Open(_) => Err(EPERM),
            _ => Ok(()),
        }
    }

    /// Whether the guest has SVE.
    pub fn has_sve(&self) -> bool {
        !matches!(self.sve, Sve::Absent)
    }

    /// Whose registers are in the processor during sections.
    pub fn owner(&self) -> FloatingPoint {
        self.owner
    }

    /// The guest is to have the processor's registers. Interrupts are on.
    pub fn load(&mut self, loaded: &Loaded) {
        if self.owner != FloatingPoint::Host {
            return;
        }
        neon::begin(loaded.here());
        if loaded.extensions().has(Extension::Fpmr) {
            Fpmr::write(loaded.here(), self.fpmr);
        }
        self.owner = if self.has_sve() {
            FloatingPoint::GuestWithSve
        } else {
            // SAFETY: the thread's registers have been saved, and the kernel leaves them alone until `save`.
            unsafe { rkvm_arm64_fpsimd_load(&self.regs) };
            FloatingPoint::Guest
        };
    }

    /// Takes them out again, if they are in.
    pub fn save(&mut self, loaded: &Loaded) {
        match self.owner {
            FloatingPoint::Host => return,
            // SAFETY: the state is large enough.
            FloatingPoint::Guest => unsafe { rkvm_arm64_fpsimd_save(&mut self.regs) },
            FloatingPoint::GuestWithSve => (),
        }
        if loaded.extensions().has(Extension::Fpmr) {
            self.fpmr = Fpmr::read();
        }
        neon::end(loaded.here());
        self.owner = FloatingPoint::Host;
    }

    /// A section begins: brings in what the kernel would not put back.
    #[inline(always)]
    pub fn begin_section(&mut self, world: &InGuestWorld<'_>) {
        if self.owner == FloatingPoint::GuestWithSve {
            self.load_sve(world);
        }
    }

    /// It ends: takes that out again.
    #[inline(always)]
    pub fn end_section(&mut self, world: &InGuestWorld<'_>) {
        if self.owner == FloatingPoint::GuestWithSve {
            self.save_sve(world);
        }
    }

    fn load_sve(&mut self, world: &InGuestWorld<'_>) {
        self.host_zcr = ZcrEl2::read();
        let Sve::Final(scalable) = &mut self.sve else {
            return;
        };
        ZcrEl2::write(world.here(), scalable.length().zcr());
        isb();
        if let Some((vectors, predicates)) = scalable.parts_mut() {
            // SAFETY: ZCR_EL2 makes registers as long as they are in memory, and CPTR_EL2 lets SVE pass; the thread's
            // registers have been saved, and nothing of the host runs until `save_sve`.
            unsafe {
                rkvm_arm64_sve_load(&self.regs, vectors.as_ptr(), predicates.as_ptr());
            }
        }
        ZcrEl12::write(world.here(), self.zcr);
    }

    fn save_sve(&mut self, world: &InGuestWorld<'_>) {
        self.zcr = ZcrEl12::read();
        if let Sve::Final(scalable) = &mut self.sve {
            if let Some((vectors, predicates)) = scalable.parts_mut() {
                // SAFETY: registers are as long as there is room for each, as above.
                unsafe {
                    rkvm_arm64_sve_save(
                        &mut self.regs,
                        vectors.as_mut_ptr(),
                        predicates.as_mut_ptr(),
                    );
                }
            }
        }
        ZcrEl2::write(world.here(), self.host_zcr);
    }
}
