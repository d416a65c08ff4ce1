// SPDX-License-Identifier: GPL-2.0

//! The MSRs that a VMM wants to answer for itself (Documentation/virt/kvm/api.rst, "KVM_X86_SET_MSR_FILTER").

use super::bitmap;
use crate::x86::lapic::{FIRST_MSR, LAST_MSR};
use core::ops::BitOr;
use kernel::prelude::*;

/// Ranges of a filter.
pub const MAX_RANGES: usize = 16;
/// Bytes of the bitmap of a range.
const MAX_BITMAP_BYTES: usize = 0x600;

/// `struct kvm_msr_filter`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct FilterRequest {
    /// [`FilterRequest::DEFAULT_DENY`].
    pub flags: u32,
    /// Nothing.
    pub reserved: u32,
    /// The ranges; those without MSRs mean nothing.
    pub ranges: [RangeRequest; MAX_RANGES],
}

impl FilterRequest {
    /// MSRs outside of all ranges are the VMM's.
    pub const DEFAULT_DENY: u32 = 1 << 0;

    /// What becomes of MSRs outside of all ranges. `EINVAL` for unknown flags, and for a filter that only says no.
    pub fn default_verdict(&self) -> Result<Verdict> {
        let empty = self.ranges.iter().all(|range| range.count == 0);
        match self.flags {
            0 => Ok(Verdict::Allow),
            Self::DEFAULT_DENY if !empty => Ok(Verdict::Deny),
            _ => Err(EINVAL),
        }
    }
}

/// `struct kvm_msr_filter_range`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct RangeRequest {
    /// The accesses that it is about: [`Accesses`].
    pub flags: u32,
    /// How many MSRs.
    pub count: u32,
    /// The first one.
    pub base: u32,
    /// Nothing.
    pub reserved: u32,
    /// The address of a bit for each MSR, set if the access is allowed.
    pub bitmap: u64,
}

impl RangeRequest {
    /// The accesses. `EINVAL` for none and for unknown ones.
    pub fn accesses(&self) -> Result<Accesses> {
        let known = Accesses::READ | Accesses::WRITE;
        if self.flags == 0 || self.flags & !known.0 != 0 {
            return Err(EINVAL);
        }
        Ok(Accesses(self.flags))
    }

    /// The size of the bitmap, which is read in words of 8 bytes. `EINVAL` for too many MSRs.
    pub fn bitmap_bytes(&self) -> Result<usize> {
        let words = (self.count as usize).div_ceil(u64::BITS as usize);
        let bytes = words * size_of::<u64>();
        if bytes > MAX_BITMAP_BYTES {
            return Err(EINVAL);
        }
        Ok(bytes)
    }
}

/// Ways of accessing an MSR: KVM_MSR_FILTER_READ, KVM_MSR_FILTER_WRITE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accesses(u32);

impl Accesses {
    /// RDMSR.
    pub const READ: Self = Self(1 << 0);
    /// WRMSR.
    pub const WRITE: Self = Self(1 << 1);

    const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl BitOr for Accesses {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What becomes of an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on as without a filter.
    Allow,
    /// It is the VMM's, or a fault.
    Deny,
}

/// MSRs with a bit each.
pub struct Range {
    /// The accesses that it is about.
    pub accesses: Accesses,
    /// The first MSR.
    pub base: u32,
    /// How many.
    pub count: u32,
    /// A bit for each, set if the access is allowed.
    pub allowed: KVec<u8>,
}

impl Range {
    /// `None` for what the range is not about.
    fn verdict(&self, msr: u32, access: Accesses) -> Option<Verdict> {
        let number = msr.checked_sub(self.base)?;
        if number >= self.count || !self.accesses.intersects(access) {
            return None;
        }
        let byte = self.allowed.get(number as usize / 8)?;
        Some(if byte & 1 << (number % 8) != 0 {
            Verdict::Allow
        } else {
            Verdict::Deny
        })
    }
}

/// A filter.
pub struct MsrFilter {
    /// For MSRs outside of all ranges.
    pub default: Verdict,
    /// The first that is about an access decides.
    pub ranges: KVec<Range>,
}

impl MsrFilter {
    /// What becomes of an access. Those to the registers of a local APIC are not filtered.
    pub fn verdict(&self, msr: u32, access: Accesses) -> Verdict {
        if let FIRST_MSR..=LAST_MSR = msr {
            return Verdict::Allow;
        }
        let mut verdicts = self.ranges.iter().map(|range| range.verdict(msr, access));
        verdicts.find_map(|verdict| verdict).unwrap_or(self.default)
    }

    /// Makes accesses that the filter denies exit, too.
    pub fn restrict(&self, bitmap: &mut [u8; bitmap::SIZE]) {
        bitmap::restrict(bitmap, |msr, access| {
            self.verdict(msr, access) == Verdict::Deny
        });
    }
}
