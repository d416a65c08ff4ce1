// SPDX-License-Identifier: GPL-2.0

//! How long a vCPU that waits looks for an interrupt before it sleeps.
//!
//! Falling asleep and waking up takes longer than many waits last. So the time that is looked for grows while waits turn
//! out to be short, and is nothing after a long one. Nobody else pays for it: a CPU that has other work to do does
//! not look at all.
//!
//! Source: Linux Documentation/virt/kvm/halt-polling.rst.

/// Where it begins, in nanoseconds.
const FIRST: u64 = 10_000;
/// How much it grows at a time.
const GROWTH: u64 = 2;

/// A vCPU's habit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HaltPoll {
    window: u64,
}

impl HaltPoll {
    /// How long to look, in nanoseconds, where `longest` is the limit.
    pub fn window(&self, longest: u64) -> u64 {
        self.window.min(longest)
    }

    /// A wait is over that has lasted so many nanoseconds. One longer than `longest` counts as long.
    pub fn waited(&mut self, nanoseconds: u64, longest: u64) {
        if nanoseconds <= self.window(longest) {
            return;
        }
        self.window = if nanoseconds < longest {
            let longer = self.window.saturating_mul(GROWTH);
            longer.max(FIRST).min(longest)
        } else {
            0
        };
    }
}
