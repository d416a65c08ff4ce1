// SPDX-License-Identifier: GPL-2.0
//! What a run has cost: time, host instructions, exits to this process by reason, and what KVM counts.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::arch::ticks;
use crate::counters::Counters;

/// Why KVM_RUN returned.
#[derive(Clone, Copy)]
pub enum Exit {
    PortIn,
    PortOut,
    MmioRead,
    MmioWrite,
    Interrupted,
    Other,
}

const EXITS: [(Exit, &str); 6] = [
    (Exit::PortIn, "in"),
    (Exit::PortOut, "out"),
    (Exit::MmioRead, "mmio read"),
    (Exit::MmioWrite, "mmio write"),
    (Exit::Interrupted, "interrupted"),
    (Exit::Other, "other"),
];

pub struct Stats {
    began: Instant,
    began_ticks: u64,
    exits: [AtomicU64; EXITS.len()],
    /// Of each vCPU, where KVM counts.
    kernel: OnceLock<Vec<Counters>>,
}

impl Stats {
    /// Counts from now on.
    pub fn new() -> Self {
        Self {
            began: Instant::now(),
            began_ticks: ticks(),
            exits: Default::default(),
            kernel: OnceLock::new(),
        }
    }

    /// What KVM counts for the vCPUs belongs to it, too. Only the first call has an effect.
    pub fn add_kernel(&self, counters: Vec<Counters>) {
        let _ = self.kernel.set(counters);
    }

    pub fn count(&self, exit: Exit) {
        self.exits[exit as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub fn now(&self) -> Cost {
        Cost {
            time: self.began.elapsed(),
            ticks: ticks().wrapping_sub(self.began_ticks),
            exits: std::array::from_fn(|index| self.exits[index].load(Ordering::Relaxed)),
            kernel: self.kernel.get().map_or_else(Vec::new, |vcpus| sums(vcpus)),
        }
    }
}

/// The sums over the vCPUs that are not 0, by their names. A file that cannot be read counts nothing.
fn sums(vcpus: &[Counters]) -> Vec<(String, u64)> {
    let mut sums: Vec<(String, u64)> = Vec::new();
    for (name, value) in vcpus
        .iter()
        .flat_map(|vcpu| vcpu.read().unwrap_or_default())
    {
        match sums.iter_mut().find(|(known, _)| known == name) {
            Some((_, sum)) => *sum += value,
            None => sums.push((name.to_owned(), value)),
        }
    }
    sums.retain(|(_, sum)| *sum > 0);
    sums
}

/// The cost up to some moment. Shown as `12.345 s, 678 ticks, 90 exits: in 50, out 40`, and where KVM counts,
/// `; KVM: exits 12, io_exits 90` after it.
pub struct Cost {
    time: Duration,
    ticks: u64,
    exits: [u64; EXITS.len()],
    kernel: Vec<(String, u64)>,
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total: u64 = self.exits.iter().sum();
        write!(
            f,
            "{:.3} s, {} ticks, {total} exits:",
            self.time.as_secs_f64(),
            self.ticks
        )?;
        let mut separator = "";
        for (exit, name) in EXITS {
            let count = self.exits[exit as usize];
            if count > 0 {
                write!(f, "{separator} {name} {count}")?;
                separator = ",";
            }
        }
        separator = "; KVM:";
        for (name, value) in &self.kernel {
            write!(f, "{separator} {name} {value}")?;
            separator = ",";
        }
        Ok(())
    }
}
