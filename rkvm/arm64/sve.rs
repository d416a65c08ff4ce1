// SPDX-License-Identifier: GPL-2.0

//! SVE: vector lengths, and a vCPU's scalable registers while they are in memory.
//!
//! Source: Arm ARM (DDI 0487), A1.4.2 "SVE vector lengths", D24.2 "ZCR_EL2"; Linux,
//! Documentation/virt/kvm/api.rst, "KVM_ARM_VCPU_FINALIZE".

use kernel::prelude::*;

/// Lengths that the architecture has.
const LENGTHS: u32 = 16;
/// Bytes of a quadword, which lengths are counted in.
const QUADWORD: usize = 16;
/// Scalable vector registers, and predicate registers without FFR.
pub const Z_REGISTERS: u8 = 32;
/// Predicate registers without FFR.
pub const P_REGISTERS: u8 = 16;
/// KVM_ARM64_SVE_VLS_WORDS.
pub const LENGTH_WORDS: usize = 8;

/// The length of a Z register: 1 to 16 quadwords.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VectorLength(u8);

impl VectorLength {
    /// Bytes of a Z register.
    pub const fn vector_bytes(self) -> usize {
        self.0 as usize * QUADWORD
    }

    /// Bytes of a P register, which has a bit for each byte of a Z register.
    pub const fn predicate_bytes(self) -> usize {
        self.vector_bytes() / 8
    }

    /// ZCR_EL2 that makes this the longest.
    pub const fn zcr(self) -> u64 {
        self.0 as u64 - 1
    }
}

/// A set of lengths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VectorLengths(u16);

impl VectorLengths {
    /// Those that guests can have, where all processors have the lengths of `common` and some have those of `some`,
    /// with bit 0 for a quadword: none above the first that not all have, since a guest can only be kept from what is
    /// longer than its longest.
    pub const fn usable(common: u16, some: u16) -> Self {
        let different = common ^ some;
        let below_first = (different & different.wrapping_neg()).wrapping_sub(1);
        Self(common & below_first)
    }

    /// The longest; `None` in an empty set.
    pub const fn longest(self) -> Option<VectorLength> {
        match u16::BITS - self.0.leading_zeros() {
            0 => None,
            quadwords => Some(VectorLength(quadwords as u8)),
        }
    }

    /// Those that are no longer than `length`.
    pub const fn up_to(self, length: VectorLength) -> Self {
        Self(self.0 & (u16::MAX >> (LENGTHS - length.0 as u32)))
    }

    /// KVM_REG_ARM64_SVE_VLS: a bit for each length, from a quadword up.
    pub const fn words(self) -> [u64; LENGTH_WORDS] {
        [self.0 as u64, 0, 0, 0, 0, 0, 0, 0]
    }

    /// The longest of the lengths that a VMM wants. `EINVAL` for none, for one that is not here, and where one that is
    /// here and shorter than the longest is missing.
    pub fn choose(self, words: [u64; LENGTH_WORDS]) -> Result<VectorLength> {
        let [first, rest @ ..] = words;
        let wanted = Self(u16::try_from(first).map_err(|_| EINVAL)?);
        let longest = wanted.longest().ok_or(EINVAL)?;
        if rest == [0; LENGTH_WORDS - 1] && self.up_to(longest) == wanted {
            Ok(longest)
        } else {
            Err(EINVAL)
        }
    }
}

/// A scalable register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScalableReg {
    /// Z0 to Z31.
    Z(u8),
    /// P0 to P15.
    P(u8),
    /// FFR.
    Ffr,
}

impl ScalableReg {
    /// All, in the order of their ids.
    pub fn all() -> impl Iterator<Item = Self> {
        let vectors = (0..Z_REGISTERS).map(Self::Z);
        let predicates = (0..P_REGISTERS).map(Self::P);
        Iterator::chain(Iterator::chain(vectors, predicates), [Self::Ffr])
    }
}

/// The scalable registers in memory, each as long as the longest vector that the guest can have: Z0 to Z31, then P0 to
/// P15, then FFR, without gaps.
pub struct ScalableRegs {
    length: VectorLength,
    bytes: KVVec<u8>,
}

impl ScalableRegs {
    /// All 0. `ENOMEM`.
    pub fn new(length: VectorLength) -> Result<Self> {
        let vectors = usize::from(Z_REGISTERS) * length.vector_bytes();
        let predicates = (usize::from(P_REGISTERS) + 1) * length.predicate_bytes();
        let bytes = KVVec::from_elem(0, vectors + predicates, GFP_KERNEL_ACCOUNT)?;
        Ok(Self { length, bytes })
    }

    /// The longest vector that the guest can have.
    pub fn length(&self) -> VectorLength {
        self.length
    }

    /// All to 0.
    pub fn reset(&mut self) {
        self.bytes.fill(0);
    }

    /// Where a register is.
    fn place(&self, register: ScalableReg) -> core::ops::Range<usize> {
        let (vector, predicate) = (self.length.vector_bytes(), self.length.predicate_bytes());
        let first_predicate = usize::from(Z_REGISTERS) * vector;
        let (start, bytes) = match register {
            ScalableReg::Z(number) => (usize::from(number) * vector, vector),
            ScalableReg::P(number) => {
                (first_predicate + usize::from(number) * predicate, predicate)
            }
            ScalableReg::Ffr => (
                first_predicate + usize::from(P_REGISTERS) * predicate,
                predicate,
            ),
        };
        start..start + bytes
    }

    /// A register's bytes, the least significant first; none for one that does not exist.
    pub fn get(&self, register: ScalableReg) -> &[u8] {
        self.bytes.get(self.place(register)).unwrap_or(&[])
    }

    /// Likewise, to change them.
    pub fn get_mut(&mut self, register: ScalableReg) -> &mut [u8] {
        let place = self.place(register);
        self.bytes.get_mut(place).unwrap_or(&mut [])
    }

    /// All vectors, and all predicates with FFR behind them.
    pub fn parts_mut(&mut self) -> Option<(&mut [u8], &mut [u8])> {
        self.bytes
            .split_at_mut_checked(usize::from(Z_REGISTERS) * self.length.vector_bytes())
    }
}

/// What a vCPU has of SVE.
pub enum Sve {
    /// Nothing.
    Absent,
    /// Registers of a length that the VMM can still change.
    Open(VectorLength),
    /// Registers, since KVM_ARM_VCPU_FINALIZE.
    Final(ScalableRegs),
}
