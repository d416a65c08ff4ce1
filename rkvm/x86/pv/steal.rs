// SPDX-License-Identifier: GPL-2.0

//! Stolen time: how long a vCPU was ready to run while its thread had no CPU, and whether it has none now. A
//! guest does not wait for a vCPU that has none, and leaves the flush of its TLB to us.

use crate::{
    host::{clock, user_memory, x86::user_word},
    types::{Gpa, Hva},
    x86::{counters::Event as Counted, pvclock::versions, vcpu::Core},
};
use kernel::prelude::*;

/// What a vCPU knows of its record.
#[derive(Default)]
pub struct Steal {
    /// The guest's record may say that the vCPU has no CPU.
    marked: bool,
    /// The thread's waiting time that the record has.
    counted: Option<u64>,
}

impl Steal {
    /// The record is a new one; it may be one from another VM's memory.
    pub(super) fn begin(&mut self) {
        self.marked = true;
        self.counted = None;
    }
}

/// Fields of `struct kvm_steal_time`.
mod offset {
    /// Nanoseconds, 64 bits.
    pub(super) const STEAL: u64 = 0;
    /// Odd while the time changes, 32 bits.
    pub(super) const VERSION: u64 = 8;
    /// A byte of flags.
    pub(super) const PREEMPTED: u64 = 16;
}

/// KVM_VCPU_PREEMPTED: the vCPU has no CPU.
const PREEMPTED: u8 = 1 << 0;
/// KVM_VCPU_FLUSH_TLB: its TLB has to be flushed before it goes on. The guest sets it beside [`PREEMPTED`].
const FLUSH_TLB: u8 = 1 << 1;

impl Core {
    /// The thread is about to give up its CPU between two instructions of the guest.
    pub fn mark_preempted(&mut self) {
        let Some(record) = self.msrs.pv.steal_time() else {
            return;
        };
        if !self.pv.steal.marked {
            let written = self.write_guest(field(record, offset::PREEMPTED), &[PREEMPTED]);
            self.pv.steal.marked = written.is_ok();
            self.counters.count(Counted::PreemptionReported);
        }
    }

    /// Brings the guest's record up to date; the vCPU is about to run.
    pub(super) fn record_steal_time(&mut self) {
        let Some(record) = self.msrs.pv.steal_time() else {
            return;
        };
        if core::mem::take(&mut self.pv.steal.marked) {
            self.clear_preempted(record);
        }
        let delay = clock::run_delay();
        if self.pv.steal.counted != Some(delay) {
            let before = self.pv.steal.counted.replace(delay);
            // Another thread may have taken the vCPU over.
            let stolen = before.map_or(0, |before| delay.saturating_sub(before));
            let _ = self.add_stolen(record, stolen);
        }
    }

    /// Clears the flags, and flushes where the guest or chance wants it.
    fn clear_preempted(&mut self, record: u64) {
        let flags = field(record, offset::PREEMPTED);
        let found = self
            .view
            .modify(self.vm.mmu(), flags, size_of::<u32>(), take_flags);
        if found.unwrap_or(FLUSH_TLB) & FLUSH_TLB != 0 {
            self.drop_translations();
        }
    }

    fn add_stolen(&mut self, record: u64, nanoseconds: u64) -> Result {
        let (steal, version) = (field(record, offset::STEAL), field(record, offset::VERSION));
        let mmu = self.vm.mmu();
        let using = self.view.enter(mmu);
        let (view, bytes) = (&mut self.view, size_of::<u32>());
        let before = view.access_using(&using, version, bytes, user_word::read_u32)?;
        let (changing, changed) = versions(before);
        let total = self.view.read_u64(&using, steal)?.wrapping_add(nanoseconds);
        drop(using);
        self.view.write(mmu, version, &changing.to_le_bytes())?;
        self.view.write(mmu, steal, &total.to_le_bytes())?;
        self.view.write(mmu, version, &changed.to_le_bytes())
    }
}

fn field(record: u64, offset: u64) -> Gpa {
    Gpa::new(record.wrapping_add(offset))
}

/// Takes the flags out of the word whose lowest byte they are. Other vCPUs set one meanwhile; the attempts are
/// limited, so that they cannot hold us up.
fn take_flags(hva: Hva) -> Result<u8> {
    const ATTEMPTS: usize = 16;
    const FLAGS: u32 = 0xff;
    for _ in 0..ATTEMPTS {
        let found = user_word::read_u32(hva)?;
        if user_word::exchange_u32(hva, found, found & !FLAGS)? {
            return Ok(found as u8);
        }
    }
    user_memory::write(hva, &[0])?;
    Ok(FLUSH_TLB)
}
