// SPDX-License-Identifier: GPL-2.0
//! What a run has cost: time, host instructions, and exits to this process by reason.

use std::arch::x86_64::_rdtsc;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

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
    began_tsc: u64,
    exits: [AtomicU64; EXITS.len()],
}

impl Stats {
    /// Counts from now on.
    pub fn new() -> Self {
        Self {
            began: Instant::now(),
            began_tsc: tsc(),
            exits: Default::default(),
        }
    }

    pub fn count(&self, exit: Exit) {
        self.exits[exit as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub fn now(&self) -> Cost {
        Cost {
            time: self.began.elapsed(),
            ticks: tsc().wrapping_sub(self.began_tsc),
            exits: std::array::from_fn(|index| self.exits[index].load(Ordering::Relaxed)),
        }
    }
}

/// Ticks of the TSC. In an emulated machine that counts instructions with it, the host's instructions.
fn tsc() -> u64 {
    // SAFETY: every x86-64 processor has RDTSC.
    unsafe { _rdtsc() }
}

/// The cost up to some moment. Shown as `12.345 s, 678 ticks, 90 exits: in 50, out 40`.
pub struct Cost {
    time: Duration,
    ticks: u64,
    exits: [u64; EXITS.len()],
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
        Ok(())
    }
}
