// SPDX-License-Identifier: GPL-2.0

//! The registers of a vCPU that are not system registers, and PSTATE.
//!
//! KVM_GET_ONE_REG names them by their place in `struct kvm_regs`, counted in 32-bit words.
//!
//! Source: Linux, arch/arm64/include/uapi/asm/kvm.h and ptrace.h; Arm ARM (DDI 0487), C5.2.18 "SPSR_EL1".

use crate::arm64::{aarch32, exit::Syndrome};
use kernel::prelude::*;

/// General registers that an instruction can name: X0 to X30.
pub const GENERAL_REGISTERS: usize = 31;
/// Vector registers: V0 to V31.
pub const VECTOR_REGISTERS: usize = 32;

/// A guest's general registers, PC and PSTATE, and the banked SPSRs of AArch32. The world switch knows
/// where the first of them are.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct CoreRegs {
    /// X0 to X30.
    pub x: [u64; GENERAL_REGISTERS],
    /// SP_EL0.
    pub sp_el0: u64,
    /// Where the guest goes on.
    pub pc: u64,
    /// PSTATE, in the form of an SPSR.
    pub pstate: u64,
    /// SPSR_abt, SPSR_und, SPSR_irq and SPSR_fiq: AArch32 at EL1 would have them. A VMM can store
    /// values there, and gets them back.
    pub spsr_aarch32: [u64; 4],
}

impl CoreRegs {
    /// The registers after a reset: all 0, at EL1 with its own stack and all exceptions masked.
    pub const RESET: Self = Self {
        x: [0; GENERAL_REGISTERS],
        sp_el0: 0,
        pc: 0,
        pstate: pstate::RESET,
        spsr_aarch32: [0; 4],
    };

    /// A register by the number in an instruction or a syndrome: 31 is XZR, which reads as 0.
    pub fn get(&self, number: u8) -> u64 {
        self.x.get(usize::from(number)).copied().unwrap_or(0)
    }

    /// Writes a register by the number in an instruction or a syndrome; a write to XZR has no effect.
    pub fn set(&mut self, number: u8, value: u64) {
        if let Some(register) = self.x.get_mut(usize::from(number)) {
            *register = value;
        }
    }

    /// Goes on after the instruction that was emulated, of which `syndrome` tells. What PSTATE says of that instruction
    /// alone ends with it.
    pub fn skip_instruction(&mut self, syndrome: Syndrome) {
        if self.pstate & pstate::AARCH32 == 0 {
            self.pc = self.pc.wrapping_add(4);
            self.pstate &= !(pstate::BTYPE | pstate::SS);
        } else {
            let next = self.pc.wrapping_add(syndrome.instruction_bytes());
            self.pc = next & u64::from(u32::MAX);
            self.pstate = aarch32::advanced(self.pstate) & !pstate::SS;
        }
    }

    /// Cuts registers to 32 bits where PSTATE says AArch32, since a VMM can write more: X0 to X14 and the PC.
    pub fn narrow(&mut self) {
        if self.pstate & pstate::AARCH32 == 0 {
            return;
        }
        for register in self.x.iter_mut().take(AARCH32_USER_REGISTERS) {
            *register &= u64::from(u32::MAX);
        }
        self.pc &= u64::from(u32::MAX);
    }
}

/// R0 to R14 in User mode are X0 to X14.
const AARCH32_USER_REGISTERS: usize = 15;

/// Bits and modes of PSTATE in the form of an SPSR.
pub mod pstate {
    use kernel::prelude::*;

    /// M[3:0] and, in bit 4, whether it is a mode of AArch32.
    pub const MODE: u64 = 0x1f;
    /// AArch32.
    pub const AARCH32: u64 = 1 << 4;
    /// EL0.
    pub const EL0T: u64 = 0b0_0000;
    /// EL1 with SP_EL0.
    pub const EL1T: u64 = 0b0_0100;
    /// EL1 with SP_EL1.
    pub const EL1H: u64 = 0b0_0101;
    /// AArch32's User mode, which is EL0.
    pub const AARCH32_USER: u64 = 0b1_0000;
    /// FIQs are masked.
    pub const F: u64 = 1 << 6;
    /// IRQs are masked.
    pub const I: u64 = 1 << 7;
    /// SErrors are masked.
    pub const A: u64 = 1 << 8;
    /// Debug exceptions are masked.
    pub const D: u64 = 1 << 9;
    /// What an indirect branch has to land on.
    pub const BTYPE: u64 = 0b11 << 10;
    /// The last result was negative.
    pub const N: u64 = 1 << 31;
    /// A software step is active.
    pub const SS: u64 = 1 << 21;
    /// After a reset.
    pub const RESET: u64 = EL1H | F | I | A | D;

    /// Whether EL0 can use AArch32.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Aarch32 {
        /// At EL0.
        AtEl0,
        /// Not at all.
        Absent,
    }

    /// Checks what a VMM writes: `EINVAL` for a mode that the guest cannot be in.
    pub fn check(value: u64, aarch32: Aarch32) -> Result {
        match value & MODE {
            EL0T | EL1T | EL1H => Ok(()),
            AARCH32_USER if aarch32 == Aarch32::AtEl0 => Ok(()),
            _ => Err(EINVAL),
        }
    }
}

/// A register of `struct kvm_regs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CoreReg {
    /// X0 to X30.
    X(u8),
    /// SP_EL0.
    SpEl0,
    /// PC.
    Pc,
    /// PSTATE.
    Pstate,
    /// SP_EL1.
    SpEl1,
    /// ELR_EL1.
    ElrEl1,
    /// SPSR_EL1.
    SpsrEl1,
    /// One of [`CoreRegs::spsr_aarch32`].
    SpsrAarch32(u8),
    /// V0 to V31.
    V(u8),
    /// FPSR.
    Fpsr,
    /// FPCR.
    Fpcr,
}

/// `struct kvm_regs` in 32-bit words: where things are, and how long all is.
mod word {
    pub(super) const X0: u32 = 0;
    pub(super) const SP_EL0: u32 = 62;
    pub(super) const PC: u32 = 64;
    pub(super) const PSTATE: u32 = 66;
    pub(super) const SP_EL1: u32 = 68;
    pub(super) const ELR_EL1: u32 = 70;
    pub(super) const SPSR_EL1: u32 = 72;
    pub(super) const SPSR_AARCH32: u32 = 74;
    /// Nothing, so that what follows is aligned to 16 bytes.
    pub(super) const PADDING: u32 = 82;
    pub(super) const V0: u32 = 84;
    pub(super) const FPSR: u32 = 212;
    pub(super) const FPCR: u32 = 213;
    pub(super) const END: u32 = 216;

    pub(super) const PER_X: u32 = 2;
    pub(super) const PER_V: u32 = 4;
}

impl CoreReg {
    /// A register by its place in `struct kvm_regs`, in words, and the bytes that the caller says it has:
    /// `ENOENT` beyond the structure, `EINVAL` where no register begins or its size is another.
    pub fn at(place: u64, bytes: usize) -> Result<Self> {
        let words = bytes.div_ceil(size_of::<u32>()) as u64;
        let end = place.checked_add(words).ok_or(ENOENT)?;
        if end >= u64::from(word::END) {
            return Err(ENOENT);
        }
        let register = Self::starting_at(place as u32).ok_or(EINVAL)?;
        if register.bytes() == bytes {
            Ok(register)
        } else {
            Err(EINVAL)
        }
    }

    /// The register that begins at a word.
    fn starting_at(place: u32) -> Option<Self> {
        /// The number of the register that begins at a word of an array.
        fn number(place: u32, first: u32, words: u32) -> Option<u8> {
            let offset = place - first;
            (offset % words == 0).then_some((offset / words) as u8)
        }

        Some(match place {
            word::X0..word::SP_EL0 => Self::X(number(place, word::X0, word::PER_X)?),
            word::SP_EL0 => Self::SpEl0,
            word::PC => Self::Pc,
            word::PSTATE => Self::Pstate,
            word::SP_EL1 => Self::SpEl1,
            word::ELR_EL1 => Self::ElrEl1,
            word::SPSR_EL1 => Self::SpsrEl1,
            word::SPSR_AARCH32..word::PADDING => {
                Self::SpsrAarch32(number(place, word::SPSR_AARCH32, word::PER_X)?)
            }
            word::V0..word::FPSR => Self::V(number(place, word::V0, word::PER_V)?),
            word::FPSR => Self::Fpsr,
            word::FPCR => Self::Fpcr,
            _ => return None,
        })
    }

    /// Its size in bytes.
    pub const fn bytes(self) -> usize {
        match self {
            Self::V(_) => size_of::<u128>(),
            Self::Fpsr | Self::Fpcr => size_of::<u32>(),
            _ => size_of::<u64>(),
        }
    }

    /// Its place in `struct kvm_regs`, in words.
    pub const fn place(self) -> u32 {
        match self {
            Self::X(number) => word::X0 + word::PER_X * number as u32,
            Self::SpEl0 => word::SP_EL0,
            Self::Pc => word::PC,
            Self::Pstate => word::PSTATE,
            Self::SpEl1 => word::SP_EL1,
            Self::ElrEl1 => word::ELR_EL1,
            Self::SpsrEl1 => word::SPSR_EL1,
            Self::SpsrAarch32(number) => word::SPSR_AARCH32 + word::PER_X * number as u32,
            Self::V(number) => word::V0 + word::PER_V * number as u32,
            Self::Fpsr => word::FPSR,
            Self::Fpcr => word::FPCR,
        }
    }

    /// All of them, in the order of the structure.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..word::END).filter_map(Self::starting_at)
    }
}
