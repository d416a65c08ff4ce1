// SPDX-License-Identifier: GPL-2.0

//! VMIDs: the tags that tell the translations of one guest from those of others.
//!
//! There are fewer than there can be VMs. A VM gets one when it first runs and keeps it for a *generation*. When all
//! are used up the next generation begins: every vCPU is made to leave its guest, all CPUs forget all guests'
//! translations, and a VM that runs again gets a new one.

use crate::{arm64::registers, host::arm64::cpus};
use core::sync::atomic::{AtomicU64, Ordering};
use kernel::{
    prelude::*,
    sync::{new_spinlock, SpinLock},
};

/// Bits of a tag that hold the VMID; the generation is above.
const VMID_BITS: u32 = 16;
/// Of no guest: the host's VTTBR_EL2 has it.
const HOST: u64 = 0;

/// Hands out VMIDs.
#[pin_data]
pub struct Vmids {
    generation: AtomicU64,
    /// The number of VMIDs.
    count: u64,
    /// The next that is free.
    #[pin]
    next: SpinLock<u64>,
}

/// A VM's VMID, and the generation that it is of.
pub struct Tag(AtomicU64);

impl Tag {
    /// None yet.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }
}

impl Vmids {
    /// VMIDs of 8 or 16 bits.
    pub fn new(bits: u32) -> impl PinInit<Self> {
        pin_init!(Self {
            generation: AtomicU64::new(1),
            count: 1 << bits.min(VMID_BITS),
            next <- new_spinlock!(HOST + 1),
        })
    }

    /// The VMID, if it is of this generation. With interrupts off, and after [`Kick::enter`](crate::request::Kick),
    /// the answer holds until the guest is left.
    #[inline]
    pub fn current(&self, tag: &Tag) -> Option<u64> {
        let tag = tag.0.load(Ordering::SeqCst);
        let is_current = tag >> VMID_BITS == self.generation.load(Ordering::SeqCst);
        is_current.then_some(tag & ((1 << VMID_BITS) - 1))
    }

    /// The VMID, a new one if need be. Called with interrupts on.
    pub fn get(&self, tag: &Tag) -> u64 {
        if let Some(vmid) = self.current(tag) {
            return vmid;
        }
        let mut next = self.next.lock();
        if let Some(vmid) = self.current(tag) {
            return vmid;
        }
        if *next == self.count {
            self.generation.fetch_add(1, Ordering::SeqCst);
            // The interrupt alone takes every guest out; none enters again with a VMID of before.
            cpus::call_on_all(&|| ());
            registers::flush_all_guests();
            *next = HOST + 1;
        }
        let vmid = *next;
        *next += 1;
        let generation = self.generation.load(Ordering::SeqCst);
        tag.0
            .store(generation << VMID_BITS | vmid, Ordering::SeqCst);
        vmid
    }
}
