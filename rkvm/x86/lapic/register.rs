// SPDX-License-Identifier: GPL-2.0

//! The registers of a local APIC (Intel SDM volume 3, tables 12-1 and 12-6), and the page they are in.
//!
//! The page has the layout of the hardware, a register every 16 bytes, so that a processor with APIC-register
//! virtualization can work on it. The words are atomic since that processor writes them beside this module,
//! though never at the same time.

use crate::x86::message::ApicMode;
use core::sync::atomic::{AtomicU32, Ordering};

/// Bytes of the register page.
pub const PAGE_BYTES: usize = 4096;
/// Words from one register to the next.
const STRIDE: usize = 4;
const WORDS: usize = PAGE_BYTES / 4;

/// IA32_X2APIC_APICID and its neighbours: the first MSR of x2APIC mode's registers.
pub const FIRST_MSR: u32 = 0x800;
/// The last.
pub const LAST_MSR: u32 = 0x8ff;

/// A register, by its number: the offset divided by 16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Register(u8);

/// What software may do with a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// There is no such register.
    None,
    /// Read it.
    Read,
    /// Write it.
    Write,
    /// Both.
    ReadWrite,
}

impl Register {
    const fn at(offset: u16) -> Self {
        Self((offset >> 4) as u8)
    }

    /// Local APIC id: bits 31:24, all in x2APIC mode.
    pub const ID: Self = Self::at(0x20);
    /// Version, number of LVT entries.
    pub const VERSION: Self = Self::at(0x30);
    /// Task priority (TPR).
    pub const TPR: Self = Self::at(0x80);
    /// Arbitration priority, which nothing uses.
    pub const APR: Self = Self::at(0x90);
    /// Processor priority (PPR).
    pub const PPR: Self = Self::at(0xa0);
    /// End of interrupt.
    pub const EOI: Self = Self::at(0xb0);
    /// Remote read, which nothing uses.
    pub const RRD: Self = Self::at(0xc0);
    /// Logical destination.
    pub const LDR: Self = Self::at(0xd0);
    /// Destination format.
    pub const DFR: Self = Self::at(0xe0);
    /// Spurious-interrupt vector.
    pub const SVR: Self = Self::at(0xf0);
    /// In-service, the first of 8.
    pub const ISR: Self = Self::at(0x100);
    /// Trigger mode, the first of 8.
    pub const TMR: Self = Self::at(0x180);
    /// Interrupt request, the first of 8.
    pub const IRR: Self = Self::at(0x200);
    /// Error status.
    pub const ESR: Self = Self::at(0x280);
    /// LVT: corrected machine check.
    pub const LVT_CMCI: Self = Self::at(0x2f0);
    /// Interrupt command, low half; in x2APIC mode all 64 bits, in adjacent words.
    pub const ICR: Self = Self::at(0x300);
    /// Interrupt command, high half.
    pub const ICR_HIGH: Self = Self::at(0x310);
    /// LVT: timer.
    pub const LVT_TIMER: Self = Self::at(0x320);
    /// LVT: thermal sensor.
    pub const LVT_THERMAL: Self = Self::at(0x330);
    /// LVT: performance counters.
    pub const LVT_PERFORMANCE: Self = Self::at(0x340);
    /// LVT: pin LINT0.
    pub const LVT_LINT0: Self = Self::at(0x350);
    /// LVT: pin LINT1.
    pub const LVT_LINT1: Self = Self::at(0x360);
    /// LVT: errors of the APIC.
    pub const LVT_ERROR: Self = Self::at(0x370);
    /// The timer's initial count.
    pub const INITIAL_COUNT: Self = Self::at(0x380);
    /// The timer's current count.
    pub const CURRENT_COUNT: Self = Self::at(0x390);
    /// The timer's divide configuration.
    pub const DIVIDE: Self = Self::at(0x3e0);
    /// Self-IPI; x2APIC mode only.
    pub const SELF_IPI: Self = Self::at(0x3f0);

    const LAST_ISR: u8 = Self::ISR.0 + 7;
    const LAST_TMR: u8 = Self::TMR.0 + 7;
    const LAST_IRR: u8 = Self::IRR.0 + 7;

    /// The register that the byte at `offset` of the page belongs to. `None` beyond the page.
    pub fn from_offset(offset: u64) -> Option<Self> {
        u8::try_from(offset >> 4).ok().map(Self)
    }

    /// The register behind an MSR of x2APIC mode. `None` for other MSRs.
    pub fn from_msr(msr: u32) -> Option<Self> {
        match msr {
            FIRST_MSR..=LAST_MSR => Some(Self(msr as u8)),
            _ => None,
        }
    }

    /// The offset in the page, in bytes.
    pub const fn offset(self) -> u16 {
        (self.0 as u16) << 4
    }

    /// What an APIC in `mode` permits. The CMCI entry is the business of the caller: not all APICs have it.
    pub const fn access(self, mode: ApicMode) -> Access {
        let x2apic = matches!(mode, ApicMode::X2Apic);
        match self {
            Self::ID | Self::LDR if x2apic => Access::Read,
            Self::DFR | Self::ICR_HIGH | Self::APR | Self::RRD if x2apic => Access::None,
            Self::SELF_IPI if x2apic => Access::Write,
            Self::EOI => Access::Write,
            Self::VERSION | Self::PPR | Self::APR | Self::RRD | Self::CURRENT_COUNT => Access::Read,
            Self::ID | Self::TPR | Self::LDR | Self::DFR | Self::SVR | Self::ESR => {
                Access::ReadWrite
            }
            Self::LVT_CMCI | Self::ICR | Self::ICR_HIGH => Access::ReadWrite,
            Self::LVT_TIMER | Self::LVT_THERMAL | Self::LVT_PERFORMANCE => Access::ReadWrite,
            Self::LVT_LINT0 | Self::LVT_LINT1 | Self::LVT_ERROR => Access::ReadWrite,
            Self::INITIAL_COUNT | Self::DIVIDE => Access::ReadWrite,
            Self(number) => match number {
                0x10..=Self::LAST_ISR | 0x18..=Self::LAST_TMR | 0x20..=Self::LAST_IRR => {
                    Access::Read
                }
                _ => Access::None,
            },
        }
    }
}

/// The registers.
#[derive(Debug)]
#[repr(C, align(4096))]
pub struct RegisterPage([AtomicU32; WORDS]);

impl RegisterPage {
    /// All registers 0.
    pub const fn zeroed() -> Self {
        Self([const { AtomicU32::new(0) }; WORDS])
    }

    fn word(&self, index: usize) -> u32 {
        self.0[index].load(Ordering::Relaxed)
    }

    fn set_word(&mut self, index: usize, value: u32) {
        self.0[index].store(value, Ordering::Relaxed);
    }

    /// Reads a register.
    pub fn get(&self, register: Register) -> u32 {
        self.word(usize::from(register.0) * STRIDE)
    }

    /// Writes a register.
    pub fn set(&mut self, register: Register, value: u32) {
        self.set_word(usize::from(register.0) * STRIDE, value);
    }

    /// Reads a register of 64 bits: two adjacent words.
    pub fn get_wide(&self, register: Register) -> u64 {
        let low = usize::from(register.0) * STRIDE;
        u64::from(self.word(low)) | u64::from(self.word(low + 1)) << u32::BITS
    }

    /// Writes a register of 64 bits.
    pub fn set_wide(&mut self, register: Register, value: u64) {
        let low = usize::from(register.0) * STRIDE;
        self.set_word(low, value as u32);
        self.set_word(low + 1, (value >> u32::BITS) as u32);
    }

    /// The words of the page, from its beginning.
    pub fn words(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().map(|word| word.load(Ordering::Relaxed))
    }

    /// Replaces words of the page, from its beginning.
    pub fn replace(&mut self, words: impl Iterator<Item = u32>) {
        for (word, value) in self.0.iter().zip(words) {
            word.store(value, Ordering::Relaxed);
        }
    }
}

/// A set of 256 vectors in the page: 8 registers of 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VectorSet {
    /// In service.
    InService,
    /// Level-triggered.
    Level,
    /// Requested.
    Requested,
}

const VECTOR_REGISTERS: u8 = 8;

impl VectorSet {
    const fn first(self) -> u8 {
        match self {
            Self::InService => Register::ISR.0,
            Self::Level => Register::TMR.0,
            Self::Requested => Register::IRR.0,
        }
    }

    /// The register and the bit of a vector.
    const fn position(self, vector: u8) -> (Register, u32) {
        let register = Register(self.first() + (vector >> 5));
        (register, 1 << (vector & 31))
    }
}

impl RegisterPage {
    /// Whether a vector is in the set.
    pub fn contains(&self, set: VectorSet, vector: u8) -> bool {
        let (register, bit) = set.position(vector);
        self.get(register) & bit != 0
    }

    /// Puts a vector into the set.
    pub fn insert(&mut self, set: VectorSet, vector: u8) {
        let (register, bit) = set.position(vector);
        self.set(register, self.get(register) | bit);
    }

    /// Takes a vector out of the set.
    pub fn remove(&mut self, set: VectorSet, vector: u8) {
        let (register, bit) = set.position(vector);
        self.set(register, self.get(register) & !bit);
    }

    /// The set as a bitmap.
    pub fn bits(&self, set: VectorSet) -> [u64; 4] {
        core::array::from_fn(|word| {
            let number = set.first() + 2 * word as u8;
            let [low, high] = [number, number + 1].map(|number| self.get(Register(number)));
            u64::from(low) | u64::from(high) << u32::BITS
        })
    }

    /// Empties the set.
    pub fn clear(&mut self, set: VectorSet) {
        for number in 0..VECTOR_REGISTERS {
            self.set(Register(set.first() + number), 0);
        }
    }

    /// The highest vector in the set.
    pub fn highest(&self, set: VectorSet) -> Option<u8> {
        self.highest_up_to(set, u8::MAX)
    }

    /// The highest vector in the set among those in the registers up to that of `vector`.
    pub fn highest_up_to(&self, set: VectorSet, vector: u8) -> Option<u8> {
        (0..=vector >> 5).rev().find_map(|number| {
            let bits = self.get(Register(set.first() + number));
            let bit = bits.checked_ilog2()?;
            Some(number << 5 | bit as u8)
        })
    }
}
