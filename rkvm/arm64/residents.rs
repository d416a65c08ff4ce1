// SPDX-License-Identifier: GPL-2.0

//! Which vCPU of a VM each CPU ran last.
//!
//! All vCPUs of a VM share its VMID, and a guest takes translations of one processor for gone that it has flushed on
//! that processor alone. So a CPU must not keep one vCPU's translations for another.

use crate::host::{arm64::cpus, cpu::Cpu};
use core::sync::atomic::{AtomicU32, Ordering};
use kernel::prelude::*;

/// A word for each CPU: 0, or one more than the id of the vCPU.
pub struct Residents(KVec<AtomicU32>);

impl Residents {
    /// No vCPU has run yet. `ENOMEM`.
    pub fn new() -> Result<Self> {
        let mut words = KVec::with_capacity(cpus::possible(), GFP_KERNEL_ACCOUNT)?;
        for _ in 0..cpus::possible() {
            words.push_within_capacity(AtomicU32::new(0))?;
        }
        Ok(Self(words))
    }

    /// A vCPU is about to run on a CPU, with preemption off. Whether it was the last of its VM to do so.
    pub fn arrive(&self, cpu: Cpu, id: u32) -> bool {
        let me = id.wrapping_add(1);
        self.0
            .get(cpu.number() as usize)
            .is_some_and(|word| word.swap(me, Ordering::Relaxed) == me)
    }
}
