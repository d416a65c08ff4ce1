// SPDX-License-Identifier: GPL-2.0

//! When a tick of the timer becomes an interrupt.

/// What becomes of ticks while the interrupt of an earlier one is not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reinject {
    /// They are kept, and come one after the other.
    Yes,
    /// They raise the line, which may be up.
    No,
}

/// What to do about the timer's line.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pulse {
    /// Nothing.
    None,
    /// Raise it and let it go.
    Now,
}

/// The ticks that are on their way.
#[derive(Clone, Debug)]
pub(super) struct Ticks {
    reinject: Reinject,
    /// One was sent and has not been acknowledged.
    sent: bool,
    /// Those that wait for that.
    waiting: u64,
}

impl Ticks {
    pub(super) const fn new() -> Self {
        Self {
            reinject: Reinject::Yes,
            sent: false,
            waiting: 0,
        }
    }

    pub(super) const fn reinject(&self) -> Reinject {
        self.reinject
    }

    pub(super) fn set_reinject(&mut self, reinject: Reinject) {
        if self.reinject != reinject {
            self.reinject = reinject;
            self.forget();
        }
    }

    /// So many ticks are due, at least one.
    pub(super) fn add(&mut self, count: u64) -> Pulse {
        if self.reinject == Reinject::No {
            return Pulse::Now;
        }
        self.waiting = self.waiting.saturating_add(count);
        self.send()
    }

    /// The interrupt has been acknowledged.
    pub(super) fn acknowledged(&mut self) -> Pulse {
        self.sent = false;
        self.send()
    }

    fn send(&mut self) -> Pulse {
        if self.sent {
            return Pulse::None;
        }
        match self.waiting.checked_sub(1) {
            Some(left) => {
                self.waiting = left;
                self.sent = true;
                Pulse::Now
            }
            None => Pulse::None,
        }
    }

    /// None is on its way.
    pub(super) fn forget(&mut self) {
        self.sent = false;
        self.waiting = 0;
    }
}
