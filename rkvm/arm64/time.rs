// SPDX-License-Identifier: GPL-2.0

//! The time of a VM: how far its counters are behind the processor's, and the interrupts of its timers.

use crate::arm64::{
    running_timers,
    timer::{Count, Offset, Ppis, Which},
    vgic::gic::intid::Intid,
};
use core::sync::atomic::{AtomicU64, Ordering};
use kernel::{
    prelude::*,
    sync::{new_mutex, Mutex, SetOnce},
};

/// The time of a VM.
#[pin_data]
pub struct VmTime {
    virtual_offset: AtomicU64,
    #[pin]
    ppis: Mutex<Ppis>,
    /// Set when a vCPU runs first: they do not change any more.
    fixed_ppis: SetOnce<Ppis>,
}

impl VmTime {
    /// The virtual counter starts from 0 now.
    pub fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            virtual_offset: AtomicU64::new(running_timers::now().0),
            ppis <- new_mutex!(Ppis::default()),
            fixed_ppis: SetOnce::new(),
        })
    }

    /// How far the virtual counter is behind.
    #[inline]
    pub fn virtual_offset(&self) -> Offset {
        Offset(self.virtual_offset.load(Ordering::Relaxed))
    }

    /// How far the counter of a timer is behind.
    pub fn offset(&self, which: Which) -> Offset {
        match which {
            Which::Virtual => self.virtual_offset(),
            Which::Physical => Offset::default(),
        }
    }

    /// What the guest reads of a timer's counter now.
    pub fn now(&self, which: Which) -> Count {
        running_timers::now().behind(self.offset(which))
    }

    /// The guest is to read `count` in its virtual counter now; that holds for all vCPUs.
    pub fn set_virtual_count(&self, count: Count) {
        let offset = running_timers::now().offset_of(count);
        self.virtual_offset.store(offset.0, Ordering::Relaxed);
    }

    /// The timers' interrupts.
    pub fn ppis(&self) -> Ppis {
        match self.fixed_ppis.as_ref() {
            Some(ppis) => *ppis,
            None => *self.ppis.lock(),
        }
    }

    /// KVM_ARM_VCPU_TIMER_CTRL: the interrupt of a timer, for all vCPUs. `EINVAL` if it is no PPI, `EBUSY` once a vCPU
    /// has run.
    pub fn set_ppi(&self, which: Which, intid: Intid) -> Result {
        let mut ppis = self.ppis.lock();
        if self.fixed_ppis.as_ref().is_some() {
            return Err(EBUSY);
        }
        ppis.set(which, intid)
    }

    /// A vCPU is about to run. `EINVAL` if timers share an interrupt.
    pub fn fix_ppis(&self) -> Result<Ppis> {
        if let Some(ppis) = self.fixed_ppis.as_ref() {
            return Ok(*ppis);
        }
        let ppis = self.ppis.lock();
        if !ppis.are_distinct() {
            return Err(EINVAL);
        }
        self.fixed_ppis.populate(*ppis);
        Ok(*ppis)
    }
}
