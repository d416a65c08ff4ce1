// SPDX-License-Identifier: GPL-2.0

//! What a VMM chooses for a vCPU by KVM_ARM_VCPU_INIT.
//!
//! Source: Linux, Documentation/virt/kvm/api.rst, "KVM_ARM_VCPU_INIT".

use kernel::prelude::*;

/// Words of `struct kvm_vcpu_init`'s `features`.
pub const WORDS: usize = 7;

/// Bits of the first word.
mod bit {
    pub(super) const POWER_OFF: u32 = 1 << 0;
    pub(super) const PSCI_0_2: u32 = 1 << 2;
    pub(super) const SVE: u32 = 1 << 4;
    pub(super) const POINTER_AUTHENTICATION: u32 = 1 << 5 | 1 << 6;
    /// All that have a meaning: what another KVM may have.
    pub(super) const KNOWN: u32 = (1 << 9) - 1;
}

/// Whether there is pointer authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PointerAuthentication {
    /// Addresses and generic data can be signed.
    Present,
    /// The instructions are undefined, or have no effect.
    Absent,
}

/// Whether there are scalable vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScalableVectors {
    /// There is SVE.
    Present,
    /// Its instructions are undefined.
    Absent,
}

/// Whether a vCPU starts at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the next KVM_RUN.
    Now,
    /// When another turns it on by PSCI.
    WhenTurnedOn,
}

/// The features of a vCPU; none by default, which is the least that it can have. All vCPUs of a VM have the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features(u32);

impl Features {
    /// All that a vCPU can have where its processor has these.
    pub const fn available(signing: PointerAuthentication, vectors: ScalableVectors) -> Self {
        let signing = match signing {
            PointerAuthentication::Present => bit::POINTER_AUTHENTICATION,
            PointerAuthentication::Absent => 0,
        };
        let vectors = match vectors {
            ScalableVectors::Present => bit::SVE,
            ScalableVectors::Absent => 0,
        };
        Self(bit::PSCI_0_2 | signing | vectors)
    }

    /// What `words` ask for. `ENOENT` for what has no meaning; `EINVAL` for what is not `available`, and for
    /// half of pointer authentication.
    pub fn parse(words: [u32; WORDS], available: Self) -> Result<(Self, Start)> {
        let [first, rest @ ..] = words;
        if first & !bit::KNOWN != 0 || rest != [0; WORDS - 1] {
            return Err(ENOENT);
        }
        let start = match first & bit::POWER_OFF {
            0 => Start::Now,
            _ => Start::WhenTurnedOn,
        };
        let features = first & !bit::POWER_OFF;
        let signing = features & bit::POINTER_AUTHENTICATION;
        if features & !available.0 != 0 || !matches!(signing, 0 | bit::POINTER_AUTHENTICATION) {
            return Err(EINVAL);
        }
        Ok((Self(features), start))
    }

    /// Whether the guest has PSCI from version 0.2 on; else it has version 0.1.
    pub const fn has_psci_0_2(self) -> bool {
        self.0 & bit::PSCI_0_2 != 0
    }

    /// Whether the guest can sign pointers.
    pub const fn pointer_authentication(self) -> PointerAuthentication {
        match self.0 & bit::POINTER_AUTHENTICATION {
            0 => PointerAuthentication::Absent,
            _ => PointerAuthentication::Present,
        }
    }

    /// Whether the guest has SVE.
    pub const fn scalable_vectors(self) -> ScalableVectors {
        match self.0 & bit::SVE {
            0 => ScalableVectors::Absent,
            _ => ScalableVectors::Present,
        }
    }
}
