// SPDX-License-Identifier: GPL-2.0

//! The time of a VM: how far its counters are behind the processor's, and the interrupts of its timers.

use crate::arm64::{
    running_timers,
    timer::{Count, Offset, Ppis, Which},
    vgic::gic::intid::Intid,
};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use kernel::{
    prelude::*,
    sync::{new_mutex, Mutex, SetOnce},
};

/// The time of a VM.
#[pin_data]
pub struct VmTime {
    virtual_offset: AtomicU64,
    physical_offset: AtomicU64,
    /// The VMM has given both counters one offset, which no register changes any more.
    common_offset: AtomicBool,
    #[pin]
    ppis: Mutex<Ppis>,
    /// Set when a vCPU runs first: they do not change any more.
    fixed_ppis: SetOnce<Ppis>,
}

impl VmTime {
    /// The virtual counter starts from 0 now, and the physical one is the processor's.
    pub fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            virtual_offset: AtomicU64::new(running_timers::now().0),
            physical_offset: AtomicU64::new(0),
            common_offset: AtomicBool::new(false),
            ppis <- new_mutex!(Ppis::default()),
            fixed_ppis: SetOnce::new(),
        })
    }

    fn word(&self, which: Which) -> &AtomicU64 {
        match which {
            Which::Virtual => &self.virtual_offset,
            Which::Physical => &self.physical_offset,
        }
    }

    /// How far the counter of a timer is behind.
    #[inline]
    pub fn offset(&self, which: Which) -> Offset {
        Offset(self.word(which).load(Ordering::Relaxed))
    }

    /// What the guest reads of a timer's counter now.
    pub fn now(&self, which: Which) -> Count {
        running_timers::now().behind(self.offset(which))
    }

    /// The guest is to read `count` in a counter now; that holds for all vCPUs. Nothing once both have a common offset.
    pub fn set_count(&self, which: Which, count: Count) {
        if !self.common_offset.load(Ordering::Relaxed) {
            let offset = running_timers::now().offset_of(count);
            self.word(which).store(offset.0, Ordering::Relaxed);
        }
    }

    /// KVM_ARM_SET_COUNTER_OFFSET: both counters are so far behind from now on.
    pub fn set_common_offset(&self, offset: Offset) {
        self.common_offset.store(true, Ordering::Relaxed);
        for which in Which::ALL {
            self.word(which).store(offset.0, Ordering::Relaxed);
        }
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
