// SPDX-License-Identifier: GPL-2.0

//! The timer of a local APIC (Intel SDM volume 3, 12.5.4): one-shot, periodic, and by a deadline of the TSC.
//!
//! It is counted in ticks of the host's TSC. The counter of the first two modes runs at the bus's rate divided
//! by a power of 2; no counter is kept, only when it will be 0.

use core::num::NonZeroU64;

/// Nanoseconds in a second.
const SECOND_NS: u64 = 1_000_000_000;
/// The shortest period that a periodic timer gets, 200 us as in C KVM: shorter ones would keep the host busy.
const MIN_PERIOD_NS: u64 = 200_000;

/// A moment, and what it takes to convert times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// The host's TSC now.
    pub tsc: u64,
    /// Its frequency in Hz.
    pub hz: u64,
    /// What the guest's TSC is ahead of the host's, modulo 2^64.
    pub offset: u64,
}

/// A span in ticks of the TSC, exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Span {
    ticks: u64,
    /// In parts of 10^-9 of a tick; below 10^9.
    fraction: u64,
}

impl Clock {
    const fn guest_tsc(&self) -> u64 {
        self.tsc.wrapping_add(self.offset)
    }

    /// The ticks of `ns` nanoseconds: their product with the frequency, by 10^9. The parts that it is put
    /// together from fit into 64 bits, where the product would not, and kernel code cannot divide 128 bits.
    const fn span(&self, ns: u64) -> Span {
        let (hz_high, hz_low) = (self.hz / SECOND_NS, self.hz % SECOND_NS);
        let (seconds, rest) = (ns / SECOND_NS, ns % SECOND_NS);
        let low = rest.wrapping_mul(hz_low);
        let ticks = ns
            .saturating_mul(hz_high)
            .saturating_add(seconds.saturating_mul(hz_low))
            .saturating_add(low / SECOND_NS);
        Span {
            ticks,
            fraction: low % SECOND_NS,
        }
    }

    /// The nanoseconds of `ticks`, rounded down. Frequencies above 17 GHz lose precision.
    pub fn nanoseconds(&self, ticks: u64) -> u64 {
        /// Bits of a number that can be multiplied by 10^9.
        const FACTOR_BITS: u32 = 34;

        let Some(hz) = NonZeroU64::new(self.hz) else {
            return 0;
        };
        let (seconds, rest) = (ticks / hz, ticks % hz);
        let excess = (u64::BITS - hz.leading_zeros()).saturating_sub(FACTOR_BITS);
        // The shift leaves the highest bit, and so no 0.
        let divisor = non_zero(self.hz.wrapping_shr(excess));
        let below = rest.wrapping_shr(excess).wrapping_mul(SECOND_NS) / divisor;
        seconds.saturating_mul(SECOND_NS).saturating_add(below)
    }
}

/// At least 1.
fn non_zero(value: u64) -> NonZeroU64 {
    NonZeroU64::new(value).unwrap_or(NonZeroU64::MIN)
}

/// What the timer does when the count is 0 (LVT timer bits 18:17).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerMode {
    /// 0: stops.
    OneShot,
    /// 1: starts again from the initial count.
    Periodic,
    /// 2: there is no count, but a value of the TSC.
    TscDeadline,
    /// 3: reserved; the timer stands still.
    Reserved,
}

impl TimerMode {
    const SHIFT: u32 = 17;

    /// From the LVT timer register.
    pub const fn from_lvt(register: u32) -> Self {
        match register >> Self::SHIFT & 3 {
            0 => Self::OneShot,
            1 => Self::Periodic,
            2 => Self::TscDeadline,
            _ => Self::Reserved,
        }
    }

    const fn counts(self) -> bool {
        matches!(self, Self::OneShot | Self::Periodic)
    }
}

/// The divider of the timer (SDM figure 12-10): how far a count is shifted to get cycles of the bus.
pub const fn divide_shift(register: u32) -> u32 {
    let code = register & 3 | (register & 8) >> 1;
    (code + 1) & 7
}

/// When the timer is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Due {
    /// The host's TSC.
    tsc: u64,
    /// What has to be added for periods to keep their phase; see [`Span::fraction`].
    fraction: u64,
}

impl Due {
    fn after(self, span: Span) -> Self {
        // Both are below 10^9.
        let fraction = self.fraction.wrapping_add(span.fraction);
        Self {
            tsc: self
                .tsc
                .saturating_add(span.ticks)
                .saturating_add(fraction / SECOND_NS),
            fraction: fraction % SECOND_NS,
        }
    }
}

/// The timer. Its registers are in the page; this is what follows from them.
#[derive(Debug)]
pub struct Timer {
    mode: TimerMode,
    initial: u32,
    shift: u32,
    bus_cycle_ns: u32,
    due: Option<Due>,
    /// IA32_TSC_DEADLINE; 0 if it is not armed.
    tsc_deadline: u64,
}

impl Timer {
    /// A timer that stands still, on a bus with cycles of `bus_cycle_ns` nanoseconds.
    pub const fn new(bus_cycle_ns: u32) -> Self {
        Self {
            mode: TimerMode::OneShot,
            initial: 0,
            shift: divide_shift(0),
            bus_cycle_ns,
            due: None,
            tsc_deadline: 0,
        }
    }

    /// The mode.
    pub const fn mode(&self) -> TimerMode {
        self.mode
    }

    /// The initial count; 0 in TSC-deadline mode.
    pub const fn initial(&self) -> u32 {
        self.initial
    }

    /// When it is due, in ticks of the host's TSC.
    pub fn due(&self) -> Option<u64> {
        self.due.map(|due| due.tsc)
    }

    /// Stops it and forgets what it was to do.
    pub fn stop(&mut self) {
        self.initial = 0;
        self.due = None;
        self.tsc_deadline = 0;
    }

    /// The LVT entry has this mode now. Entering and leaving TSC-deadline mode stops the timer.
    pub fn set_mode(&mut self, mode: TimerMode) {
        let was_deadline = self.mode == TimerMode::TscDeadline;
        if was_deadline != (mode == TimerMode::TscDeadline) {
            self.stop();
        }
        self.mode = mode;
    }

    /// Sets the divider from its register; a count that runs goes on from where it is.
    pub fn set_divide(&mut self, register: u32, clock: &Clock) {
        let (old, new) = (self.shift, divide_shift(register));
        self.shift = new;
        let Some(due) = self.due.filter(|_| self.mode.counts()) else {
            return;
        };
        let left = due.tsc.saturating_sub(clock.tsc);
        let left = left
            .saturating_mul(1u64.wrapping_shl(new))
            .wrapping_shr(old);
        self.due = Some(Due {
            tsc: clock.tsc.saturating_add(left),
            fraction: 0,
        });
    }

    /// Starts counting from `initial`; 0 stops.
    pub fn start(&mut self, initial: u32, clock: &Clock) {
        self.initial = initial;
        let period = self.period_ns();
        self.due = (self.mode.counts() && period != 0).then(|| self.due_in(period, clock));
    }

    /// Takes up what was saved: registers, and a count that was running. A one-shot count of 0 with an initial
    /// count is one that has just ended, and whose interrupt may still be missing, so it is due at once.
    pub fn resume(&mut self, mode: TimerMode, divide: u32, counts: Counts, clock: &Clock) {
        self.set_mode(mode);
        self.shift = divide_shift(divide);
        self.start(counts.initial, clock);
        let period = self.period_ns();
        if period != 0 && self.mode.counts() {
            let left = match (self.cycles_ns(counts.current), self.mode) {
                (0, TimerMode::Periodic) => period,
                (left, _) => left.min(period),
            };
            self.due = Some(self.due_in(left, clock));
        }
        if self.mode == TimerMode::TscDeadline {
            self.arm(self.tsc_deadline, clock);
        }
    }

    /// Sets IA32_TSC_DEADLINE: due when the guest's TSC reaches `deadline`; 0 disarms.
    pub fn arm(&mut self, deadline: u64, clock: &Clock) {
        self.tsc_deadline = deadline;
        let left = deadline.saturating_sub(clock.guest_tsc());
        self.due = (deadline != 0).then(|| Due {
            tsc: clock.tsc.saturating_add(left),
            fraction: 0,
        });
    }

    /// The guest's TSC was set, which moves a deadline.
    pub fn tsc_changed(&mut self, clock: &Clock) {
        if self.mode == TimerMode::TscDeadline {
            self.arm(self.tsc_deadline, clock);
        }
    }

    /// IA32_TSC_DEADLINE.
    pub const fn tsc_deadline(&self) -> u64 {
        self.tsc_deadline
    }

    /// The current count; 0 if none is running.
    pub fn current(&self, clock: &Clock) -> u32 {
        let Some(due) = self.due.filter(|_| self.mode.counts()) else {
            return 0;
        };
        let left = clock.nanoseconds(due.tsc.saturating_sub(clock.tsc));
        // A period may have been lengthened beyond the initial count.
        let count = left / self.cycle_ns();
        u32::try_from(count).map_or(self.initial, |count| count.min(self.initial))
    }

    /// Both counts, as [`Self::resume`] takes them: a count that runs is not 0.
    pub fn counts(&self, clock: &Clock) -> Counts {
        let running = self.mode.counts() && self.due.is_some();
        Counts {
            initial: self.initial,
            current: self.current(clock).max(u32::from(running)),
        }
    }

    /// Whether the timer was due; what follows then has been done. A periodic timer counts once however many
    /// periods have passed, and keeps its phase.
    pub fn expire(&mut self, clock: &Clock) -> bool {
        let Some(due) = self.due.filter(|due| due.tsc <= clock.tsc) else {
            return false;
        };
        self.due = match self.mode {
            TimerMode::Periodic => Some(self.next_period(due, clock)),
            _ => None,
        };
        self.tsc_deadline = 0;
        true
    }

    fn next_period(&self, due: Due, clock: &Clock) -> Due {
        let period = non_zero(self.period_ns());
        let late = clock.nanoseconds(clock.tsc.saturating_sub(due.tsc));
        let periods = (late / period).saturating_add(1);
        let next = due.after(clock.span(periods.saturating_mul(period.get())));
        Due {
            // With a slow TSC a period may be less than a tick.
            tsc: next.tsc.max(clock.tsc.saturating_add(1)),
            ..next
        }
    }

    fn due_in(&self, ns: u64, clock: &Clock) -> Due {
        let now = Due {
            tsc: clock.tsc,
            fraction: 0,
        };
        now.after(clock.span(ns))
    }

    /// The length of a period, in nanoseconds; 0 without an initial count.
    fn period_ns(&self) -> u64 {
        match (self.cycles_ns(self.initial), self.mode) {
            (0, _) => 0,
            (period, TimerMode::Periodic) => period.max(MIN_PERIOD_NS),
            (period, _) => period,
        }
    }

    fn cycles_ns(&self, count: u32) -> u64 {
        u64::from(count).saturating_mul(self.cycle_ns().get())
    }

    /// How long a count takes, in nanoseconds.
    fn cycle_ns(&self) -> NonZeroU64 {
        non_zero(u64::from(self.bus_cycle_ns).wrapping_shl(self.shift))
    }
}

/// The initial and the current count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Where the count starts.
    pub initial: u32,
    /// Where it is.
    pub current: u32,
}
