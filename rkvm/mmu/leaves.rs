// SPDX-License-Identifier: GPL-2.0

//! All that is mapped.

use super::{
    entry::{Leaf, Level},
    Mmu,
};
use crate::{arch::MemoryType, host::cpu, types::Gfn};

/// How many frames are looked at before others get the MMU lock.
const FRAMES_AT_ONCE: u64 = Level::Pmd.pages();

impl Mmu {
    /// Calls `act` for each leaf of the slots' memory, with the MMU lock held; sleeps in between. What is mapped meanwhile
    /// may be left out.
    #[allow(dead_code, reason = "only arm64 has caches to maintain")]
    pub fn for_each_leaf(&self, mut act: impl FnMut(Level, Leaf<MemoryType>)) {
        let shared = &self.shared;
        let slots = shared.state.lock().slots.clone();
        for slot in slots.iter() {
            let gfns = slot.gfns();
            let mut first = gfns.start;
            while first < gfns.end {
                let end = first.checked_add(FRAMES_AT_ONCE).unwrap_or(gfns.end);
                let end = Gfn::new(end.raw().min(gfns.end.raw()));
                shared
                    .state
                    .lock()
                    .table
                    .each_leaf_from(first..end, &mut act);
                first = end;
                cpu::relax();
            }
        }
    }
}
