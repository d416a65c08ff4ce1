// SPDX-License-Identifier: GPL-2.0

//! Handing the dirty log of a slot to the VMM.
//!
//! A page of a logged slot is mapped writable only where its mark is set already, both under the MMU
//! lock. Taking marks takes write access away under the same lock, so the next write faults and
//! marks the page anew; and when the VMM has its answer no processor writes without a fault any more.
//!
//! A VMM takes marks with KVM_GET_DIRTY_LOG, or in *manual* mode looks at them with that and takes them by
//! KVM_CLEAR_DIRTY_LOG.

use super::{removed::Flush, Mmu, Shared};
use crate::{
    arch::MEMORY_SLOTS,
    dirty_log::{low_bits, runs, DirtyLog, Initial, PAGES_PER_WORD},
    host::bindings::{KVM_DIRTY_LOG_INITIALLY_SET, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE},
    memslot::Slot,
    uapi::UserAddress,
};
use core::sync::atomic::{AtomicU64, Ordering};
use kernel::{prelude::*, sync::Arc};

/// How many words of a log are taken before others get the MMU lock: 16 MiB of guest memory.
const WORDS_AT_ONCE: usize = 64;

/// KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2: what a VMM can choose.
pub const MODES: u64 = (KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET) as u64;

/// How a VMM works with the logs: KVM_DIRTY_LOG_ flags.
pub(super) struct LogMode(AtomicU64);

impl LogMode {
    /// Looking is taking.
    pub(super) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    fn has(&self, flag: u32) -> bool {
        self.0.load(Ordering::Relaxed) & u64::from(flag) != 0
    }

    fn is_manual(&self) -> bool {
        self.has(KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE)
    }

    /// The marks of new logs.
    pub(super) fn initial(&self) -> Initial {
        if self.has(KVM_DIRTY_LOG_INITIALLY_SET) {
            Initial::Dirty
        } else {
            Initial::Clean
        }
    }
}

/// `struct kvm_dirty_log`: whose marks a VMM wants, and where.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct LogRequest {
    /// The slot.
    pub slot: u32,
    _padding: u32,
    /// An address in user space, for a bit for each of its pages.
    pub bitmap: u64,
}

/// `struct kvm_clear_dirty_log`: which marks a VMM takes.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct ClearRequest {
    /// The slot.
    pub slot: u32,
    /// How many of its pages.
    pub pages: u32,
    /// The first of them.
    pub first: u64,
    /// An address in user space, of a bit for each of these pages.
    pub bitmap: u64,
}

impl Mmu {
    /// KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2. `EINVAL` for modes that there are not.
    pub fn set_log_mode(&self, mode: u64) -> Result {
        let manual = u64::from(KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE);
        let allowed = if mode & manual != 0 { MODES } else { 0 };
        if mode & !allowed != 0 {
            return Err(EINVAL);
        }
        self.shared.log_mode.0.store(mode, Ordering::Relaxed);
        Ok(())
    }

    /// KVM_GET_DIRTY_LOG: writes a bit for each page of the slot to the bitmap, in words of 64 bits, and
    /// clears the log, unless the VMM does that itself.
    ///
    /// `EINVAL` for a slot number out of range, `ENOENT` where there is no such slot or it has no
    /// log, `EFAULT` if the bitmap is not writable (the log keeps its marks then), `ENOMEM`.
    pub fn get_dirty_log(&self, request: &LogRequest) -> Result {
        let (log, marks) = self.shared.look_at_log(request.slot)?;
        let bitmap = UserAddress::new(request.bitmap as usize);
        bitmap.write_array(&marks).inspect_err(|_| {
            for (word, bits) in marks.iter().enumerate() {
                log.put(word, *bits);
            }
        })
    }

    /// KVM_CLEAR_DIRTY_LOG: takes those marks out of the log that the VMM names.
    ///
    /// `EINVAL` for a slot number out of range, for pages that the slot does not have, and unless the pages begin at a
    /// multiple of 64 and end at one or with the slot; `ENOENT` where there is no such slot or it has no log;
    /// `EFAULT`; `ENOMEM`.
    pub fn clear_dirty_log(&self, request: &ClearRequest) -> Result {
        let shared = &self.shared;
        let _update = shared.update.lock();
        if request.slot >= MEMORY_SLOTS || request.first % PAGES_PER_WORD != 0 {
            return Err(EINVAL);
        }
        let logged = shared.logged(request.slot)?;
        let count = u64::from(request.pages);
        let room = logged
            .slot
            .pages()
            .checked_sub(request.first)
            .ok_or(EINVAL)?;
        if count > room || count < room && count % PAGES_PER_WORD != 0 {
            return Err(EINVAL);
        }
        let words = usize::try_from(count.div_ceil(PAGES_PER_WORD))?;
        let wanted = UserAddress::new(request.bitmap as usize).read_array::<u64>(words)?;
        let first = usize::try_from(request.first / PAGES_PER_WORD)?;
        let within = |word: usize| low_bits(count.saturating_sub(word as u64 * PAGES_PER_WORD));
        let wanted = |word: usize| {
            let word = word.saturating_sub(first);
            wanted.get(word).copied().unwrap_or(0) & within(word)
        };
        shared
            .take_marks(&logged, first..first.saturating_add(words), wanted)
            .map(|_| ())
    }
}

/// A slot with a log.
struct Logged {
    slot: Slot,
    log: Arc<DirtyLog>,
}

impl Shared {
    /// The slot of this number. `EINVAL` for a number out of range, `ENOENT` where it has no log.
    fn logged(&self, id: u32) -> Result<Logged> {
        if id >= MEMORY_SLOTS {
            return Err(EINVAL);
        }
        let slots = self.state.lock().slots.clone();
        let slot = *slots.by_id(id).ok_or(ENOENT)?;
        let log = slots.log(&slot).ok_or(ENOENT)?.clone();
        Ok(Logged { slot, log })
    }

    /// The marks of a slot: taken, unless the VMM does that itself. Putting them back is right in both cases.
    fn look_at_log(&self, slot: u32) -> Result<(Arc<DirtyLog>, KVVec<u64>)> {
        let _update = self.update.lock();
        let logged = self.logged(slot)?;
        let words = 0..logged.log.words();
        let marks = if self.log_mode.is_manual() {
            let mut marks = KVVec::with_capacity(words.len(), GFP_KERNEL_ACCOUNT)?;
            for word in words {
                marks.push_within_capacity(logged.log.get(word))?;
            }
            marks
        } else {
            self.take_marks(&logged, words, |_| u64::MAX)?
        };
        Ok((logged.log, marks))
    }

    /// Takes the marks of these words that `wanted` has. The pages cannot be written without a new mark when it
    /// returns. The caller holds `update`.
    fn take_marks(
        &self,
        logged: &Logged,
        words: core::ops::Range<usize>,
        wanted: impl Fn(usize) -> u64,
    ) -> Result<KVVec<u64>> {
        let Logged { slot, log } = logged;
        let mut taken = KVVec::with_capacity(words.len(), GFP_KERNEL_ACCOUNT)?;
        let mut flush = Flush::NotNeeded;
        let mut words = words.peekable();
        while words.peek().is_some() {
            let mut state = self.state.lock();
            for word in words.by_ref().take(WORDS_AT_ONCE) {
                let first = word as u64 * PAGES_PER_WORD;
                let bits = log.take(word, wanted(word));
                for run in runs(bits) {
                    let pages = first + u64::from(run.start)..first + u64::from(run.end);
                    if state.table.write_protect(slot.gfns_at(pages)) == Flush::Needed {
                        flush = Flush::Needed;
                    }
                }
                taken.push_within_capacity(bits)?;
            }
        }
        if flush == Flush::Needed {
            self.vcpus.expel();
        }
        Ok(taken)
    }
}
