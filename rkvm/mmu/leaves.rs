// SPDX-License-Identifier: GPL-2.0

//! All that is mapped.

use super::{entry::Level, Mmu};
use crate::{
    host::cpu,
    types::{Gfn, Pfn},
};

/// How many frames are looked at before others get the MMU lock.
const FRAMES_AT_ONCE: u64 = Level::Pmd.pages();

impl Mmu {
    /// Calls `act` for the host frames, a first one and how many, that are mapped of the slots' memory, with the MMU lock
    /// held; sleeps in between. What is mapped meanwhile may be left out, and all of it if the thread is being killed.
    #[allow(dead_code, reason = "only arm64 has caches to maintain")]
    pub fn for_each_mapped(&self, mut act: impl FnMut(Pfn, u64)) {
        let shared = &self.shared;
        let slots = shared.state.lock().slots.clone();
        for slot in slots.iter() {
            let gfns = slot.gfns();
            let mut first = gfns.start;
            while first < gfns.end && !cpu::is_dying() {
                let end = first.checked_add(FRAMES_AT_ONCE).unwrap_or(gfns.end);
                let end = Gfn::new(end.raw().min(gfns.end.raw()));
                shared.state.lock().table.each_run(first..end, &mut act);
                first = end;
                cpu::relax();
            }
        }
    }
}
