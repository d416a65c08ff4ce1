// SPDX-License-Identifier: GPL-2.0

//! A vCPU's thread that waits for what ends a HLT or a WFI: it looks for a while, and then sleeps.

use crate::{
    halt_poll::HaltPoll,
    host::{
        clock::now,
        idle::is_otherwise_idle,
        waiter::{Waiter, Woken},
    },
};
use core::time::Duration;

/// How long a vCPU looks at the longest, in nanoseconds, unless its VMM has said otherwise: the module parameter
/// `halt_poll_ns`.
pub fn default_longest() -> u32 {
    *crate::module_parameters::halt_poll_ns.value()
}

/// What came of looking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looked {
    /// It was not tried.
    Not,
    /// What was waited for came.
    Successfully,
    /// The thread had to sleep.
    InVain,
}

/// A wait. It may take several sleeps, until the vCPU finds that there is something for its guest.
pub struct Wait {
    start: u64,
    /// How long to look, in nanoseconds from the start.
    window: u64,
    longest: u64,
    looked: Looked,
}

impl Wait {
    /// The wait of a vCPU with this habit, that looks for `longest` nanoseconds at the longest.
    pub fn begin(poll: &HaltPoll, longest: u64) -> Self {
        Self {
            start: now(),
            window: poll.window(longest),
            longest,
            looked: Looked::Not,
        }
    }

    /// Waits until `ready`, `limit` is over, or a signal comes; as [`Waiter::sleep`] does.
    pub fn rest(
        &mut self,
        waiter: &Waiter,
        limit: Option<Duration>,
        mut ready: impl FnMut() -> bool,
    ) -> Woken {
        match self.look(limit, &mut ready) {
            Some(woken) => woken,
            None => waiter.sleep(limit, ready),
        }
    }

    /// Looks for what is left of the window, unless the CPU has something else to do.
    fn look(&mut self, limit: Option<Duration>, ready: &mut impl FnMut() -> bool) -> Option<Woken> {
        let mut time = now();
        let due = limit.map_or(u64::MAX, |limit| {
            time.saturating_add(limit.as_nanos().try_into().unwrap_or(u64::MAX))
        });
        let end = self.start.saturating_add(self.window);
        while time < end && is_otherwise_idle() {
            self.looked = Looked::Successfully;
            if ready() {
                return Some(Woken::Ready);
            }
            if time >= due {
                return Some(Woken::TimeOut);
            }
            time = now();
        }
        if self.looked == Looked::Successfully {
            self.looked = Looked::InVain;
        }
        None
    }

    /// The wait is over. How many nanoseconds it has taken, and whether looking was of use.
    pub fn end(self, poll: &mut HaltPoll) -> (u64, Looked) {
        let nanoseconds = now().saturating_sub(self.start);
        poll.waited(nanoseconds, self.longest);
        (nanoseconds, self.looked)
    }
}
