// SPDX-License-Identifier: GPL-2.0

//! The MSRs by which a guest sets up its paravirtual interface (Documentation/virt/kvm/x86/msr.rst).
//!
//! They hold addresses of structures in guest memory, which are written in process context: a write here only
//! notes what is to be done.

use crate::types::PAGE_SIZE;
use crate::x86::msr::{index::*, Backing, Refusal};
use crate::x86::pv::features::{Feature, Features};
use crate::x86::pvclock::TimeInfo;

/// KVM_MSR_ENABLED: bit 0 of the MSRs that hold an address.
const ENABLED: u64 = 1 << 0;

/// The MSRs of a vCPU.
#[derive(Debug)]
pub struct PvMsrs {
    system_time: u64,
    steal_time: u64,
    eoi: u64,
    poll_control: u64,
    pending: Pending,
}

/// What writes have left to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// The wall clock is to be written to this guest physical address.
    pub wall_clock: Option<u64>,
    /// The clock's structure is to be written anew.
    pub system_time: bool,
    /// The record of stolen time begins anew.
    pub steal_time: bool,
}

/// Whether an MSR belongs here.
pub const fn is_pv(msr: u32) -> bool {
    matches!(
        msr,
        MSR_KVM_WALL_CLOCK
            | MSR_KVM_SYSTEM_TIME
            | MSR_KVM_WALL_CLOCK_NEW
            | MSR_KVM_SYSTEM_TIME_NEW
            | MSR_KVM_STEAL_TIME
            | MSR_KVM_PV_EOI_EN
            | MSR_KVM_POLL_CONTROL
    )
}

/// The feature that an MSR comes with.
const fn feature(msr: u32) -> Option<Feature> {
    Some(match msr {
        MSR_KVM_WALL_CLOCK | MSR_KVM_SYSTEM_TIME => Feature::CLOCKSOURCE,
        MSR_KVM_WALL_CLOCK_NEW | MSR_KVM_SYSTEM_TIME_NEW => Feature::CLOCKSOURCE2,
        MSR_KVM_STEAL_TIME => Feature::STEAL_TIME,
        MSR_KVM_PV_EOI_EN => Feature::PV_EOI,
        MSR_KVM_POLL_CONTROL => Feature::POLL_CONTROL,
        _ => return None,
    })
}

fn require(msr: u32, features: &Features) -> Result<(), Refusal> {
    match feature(msr) {
        Some(feature) if features.has(feature) => Ok(()),
        _ => Err(Refusal::Unsupported),
    }
}

impl PvMsrs {
    /// Everything off, and the host polls before it lets a halted vCPU sleep.
    pub const fn reset() -> Self {
        Self {
            system_time: 0,
            steal_time: 0,
            eoi: 0,
            poll_control: POLL_CONTROL_ENABLED,
            pending: Pending {
                wall_clock: None,
                system_time: false,
                steal_time: false,
            },
        }
    }

    /// Reads one of the MSRs of [`is_pv`].
    ///
    /// # Errors
    /// [`Refusal::Unsupported`] without the MSR's feature.
    pub fn read(
        &self,
        msr: u32,
        features: &Features,
        backing: &impl Backing,
    ) -> Result<u64, Refusal> {
        require(msr, features)?;
        match msr {
            MSR_KVM_WALL_CLOCK | MSR_KVM_WALL_CLOCK_NEW => Ok(backing.wall_clock()),
            MSR_KVM_SYSTEM_TIME | MSR_KVM_SYSTEM_TIME_NEW => Ok(self.system_time),
            MSR_KVM_STEAL_TIME => Ok(self.steal_time),
            MSR_KVM_PV_EOI_EN => Ok(self.eoi),
            MSR_KVM_POLL_CONTROL => Ok(self.poll_control),
            _ => Err(Refusal::Unsupported),
        }
    }

    /// Writes one of the MSRs of [`is_pv`].
    ///
    /// # Errors
    /// [`Refusal::Unsupported`] without the MSR's feature, [`Refusal::Invalid`] for reserved bits.
    pub fn write(
        &mut self,
        msr: u32,
        value: u64,
        features: &Features,
        backing: &mut impl Backing,
    ) -> Result<(), Refusal> {
        require(msr, features)?;
        match msr {
            MSR_KVM_WALL_CLOCK | MSR_KVM_WALL_CLOCK_NEW => {
                backing.set_wall_clock(value);
                self.pending.wall_clock = Some(value).filter(|address| *address != 0);
            }
            MSR_KVM_SYSTEM_TIME | MSR_KVM_SYSTEM_TIME_NEW => {
                self.system_time = value;
                self.pending.system_time = true;
            }
            MSR_KVM_STEAL_TIME => {
                store(&mut self.steal_time, value, STEAL_TIME_RESERVED)?;
                self.pending.steal_time = true;
            }
            MSR_KVM_PV_EOI_EN => store(&mut self.eoi, value, PV_EOI_RESERVED)?,
            MSR_KVM_POLL_CONTROL => {
                store(&mut self.poll_control, value, !POLL_CONTROL_ENABLED)?;
            }
            _ => return Err(Refusal::Unsupported),
        }
        Ok(())
    }

    /// Takes what writes have left to do.
    pub fn take_pending(&mut self) -> Pending {
        core::mem::take(&mut self.pending)
    }

    /// Whether writes have left something to do.
    pub fn is_pending(&self) -> bool {
        self.pending != Pending::default()
    }

    /// Where the clock's structure is. None while it is off, and for one that would reach into another page.
    pub const fn clock(&self) -> Option<u64> {
        const PAGE: u64 = PAGE_SIZE as u64;
        let address = self.system_time & !ENABLED;
        let fits = address % PAGE <= PAGE - TimeInfo::SIZE as u64;
        if self.system_time & ENABLED != 0 && fits {
            Some(address)
        } else {
            None
        }
    }

    /// Where the record of stolen time is, unless it is off; aligned to its 64 bytes.
    pub const fn steal_time(&self) -> Option<u64> {
        address(self.steal_time)
    }

    /// Where the flag is by which the guest does without writing EOI, unless it is off; aligned to 4 bytes.
    pub const fn eoi(&self) -> Option<u64> {
        address(self.eoi)
    }

    /// Turns the flag off.
    pub fn reset_eoi(&mut self) {
        self.eoi = 0;
    }
}

const STEAL_TIME_RESERVED: u64 = 0x3e;
const PV_EOI_RESERVED: u64 = 0x2;
const POLL_CONTROL_ENABLED: u64 = 1 << 0;

const fn address(value: u64) -> Option<u64> {
    if value & ENABLED != 0 {
        Some(value & !ENABLED)
    } else {
        None
    }
}

fn store(msr: &mut u64, value: u64, reserved: u64) -> Result<(), Refusal> {
    if value & reserved != 0 {
        return Err(Refusal::Invalid);
    }
    *msr = value;
    Ok(())
}
