// SPDX-License-Identifier: GPL-2.0

//! Stolen time: how long a vCPU could have run and did not, in a structure in guest memory.
//!
//! Source: Arm, "Paravirtualized Time for Arm-based Systems" (DEN0057), 3 "Stolen time"; Linux,
//! Documentation/virt/kvm/arm/pvtime.rst.

use kernel::prelude::*;

use super::smccc::{Results, SUCCESS};
use crate::types::Gpa;

/// The structure's size in bytes, which is also its alignment.
pub const BYTES: usize = 64;
/// Where the nanoseconds of stolen time are.
const STOLEN_OFFSET: u64 = 8;

/// The functions that there are.
const FEATURES: u32 = 0xc500_0020;
const STOLEN_TIME: u32 = 0xc500_0021;

/// The stolen time of a vCPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StolenTime {
    place: Option<Gpa>,
    /// The thread's waiting time when it was last added up, in nanoseconds; `None` before the first time.
    waited: Option<u64>,
}

/// A counter of stolen time in guest memory, and what is to be added to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addition {
    /// Where the counter is: 8 bytes, little endian.
    pub counter: Gpa,
    /// How much longer it is.
    pub nanoseconds: u64,
}

impl StolenTime {
    /// Nowhere.
    pub const NONE: Self = Self {
        place: None,
        waited: None,
    };

    /// Where the structure is.
    pub const fn place(&self) -> Option<Gpa> {
        self.place
    }

    /// KVM_ARM_VCPU_PVTIME_IPA. `EINVAL` for an address that is not aligned, `EEXIST` where there is one. That it
    /// is in a memory slot is for the caller to check.
    pub fn check_place(&self, place: Gpa) -> Result {
        if place.raw() % BYTES as u64 != 0 {
            return Err(EINVAL);
        }
        match self.place {
            Some(_) => Err(EEXIST),
            None => Ok(()),
        }
    }

    /// Gives the structure a place that has been checked.
    pub fn set_place(&mut self, place: Gpa) {
        self.place = Some(place);
    }

    /// PV_TIME_FEATURES with a function as its argument.
    pub fn features(&self, asked: u64) -> Results {
        match (self.place, asked as u32) {
            (Some(_), FEATURES | STOLEN_TIME) => Results::one(SUCCESS),
            _ => Results::NOT_SUPPORTED,
        }
    }

    /// PV_TIME_ST: counts from now on, where the thread has waited for `waited` nanoseconds so far. The results, and
    /// where to write a new structure: [`BYTES`] of 0, which is revision 0 without attributes.
    pub fn start(&mut self, waited: u64) -> (Results, Option<Gpa>) {
        match self.place {
            Some(place) => {
                self.waited = Some(waited);
                (Results::one(place.raw()), Some(place))
            }
            None => (Results::NOT_SUPPORTED, None),
        }
    }

    /// What is to be added where the thread has waited for `waited` nanoseconds so far; `None` for nothing.
    pub fn advance(&mut self, waited: u64) -> Option<Addition> {
        let place = self.place?;
        let before = self.waited.replace(waited)?;
        // Another thread may have taken the vCPU over.
        let nanoseconds = waited.saturating_sub(before);
        (nanoseconds != 0).then_some(Addition {
            counter: Gpa::new(place.raw().wrapping_add(STOLEN_OFFSET)),
            nanoseconds,
        })
    }
}
