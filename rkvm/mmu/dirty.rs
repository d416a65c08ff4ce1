// SPDX-License-Identifier: GPL-2.0

//! Handing the dirty log of a slot to the VMM.
//!
//! A page of a logged slot is mapped writable only where its mark is set already, both under the MMU
//! lock. Taking marks takes write access away under the same lock, so the next write faults and
//! marks the page anew; and when the VMM has its answer no processor writes without a fault any more.

use super::{removed::Flush, Mmu, Shared};
use crate::{
    dirty_log::{runs, DirtyLog, PAGES_PER_WORD},
    memslot::MAX_SLOTS,
    uapi::UserAddress,
};
use kernel::{prelude::*, sync::Arc};

/// How many words of a log are taken before others get the MMU lock: 16 MiB of guest memory.
const WORDS_AT_ONCE: usize = 64;

impl Mmu {
    /// KVM_GET_DIRTY_LOG: writes a bit for each page of the slot to `bitmap`, in words of 64 bits, and
    /// clears the log.
    ///
    /// `EINVAL` for a slot number out of range, `ENOENT` where there is no such slot or it has no
    /// log, `EFAULT` if the bitmap is not writable (the log keeps its marks then), `ENOMEM`.
    pub fn get_dirty_log(&self, slot: u32, bitmap: UserAddress) -> Result {
        if slot >= MAX_SLOTS {
            return Err(EINVAL);
        }
        let (log, taken) = self.shared.take_dirty_log(slot)?;
        bitmap.write_array(&taken).inspect_err(|_| {
            for (word, bits) in taken.iter().enumerate() {
                log.put(word, *bits);
            }
        })
    }
}

impl Shared {
    /// Takes the marks of a slot. The pages cannot be written without a new mark when it returns.
    fn take_dirty_log(&self, id: u32) -> Result<(Arc<DirtyLog>, KVVec<u64>)> {
        let _update = self.update.lock();
        let slots = self.state.lock().slots.clone();
        let slot = slots.by_id(id).ok_or(ENOENT)?;
        let log = slots.log(slot).ok_or(ENOENT)?;

        let mut taken = KVVec::with_capacity(log.words(), GFP_KERNEL_ACCOUNT)?;
        let mut flush = Flush::NotNeeded;
        while taken.len() < log.words() {
            let mut state = self.state.lock();
            let end = taken.len().saturating_add(WORDS_AT_ONCE);
            while taken.len() < log.words().min(end) {
                let first = taken.len() as u64 * PAGES_PER_WORD;
                let bits = log.take(taken.len());
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
        Ok((log.clone(), taken))
    }
}
