// SPDX-License-Identifier: GPL-2.0

//! A counter of the 8254.
//!
//! It is never counted down: what it holds follows from the time since its count was loaded.

use core::num::{NonZeroU32, NonZeroU64};

/// What a counter counts in a second.
pub(super) const FREQUENCY: u64 = 1_193_182;
const NANOSECONDS: u64 = 1_000_000_000;

/// The largest count, which is written as 0.
const MAX_COUNT: NonZeroU32 = NonZeroU32::MIN.saturating_add(0xffff);

/// The clock pulses in a time of `nanoseconds`, rounded down.
pub(super) fn pulses(nanoseconds: u64) -> u64 {
    let (seconds, rest) = (nanoseconds / NANOSECONDS, nanoseconds % NANOSECONDS);
    // Neither product overflows: there are 2^35 seconds at most, and the rest is below 2^30.
    seconds
        .wrapping_mul(FREQUENCY)
        .wrapping_add(rest.wrapping_mul(FREQUENCY) / NANOSECONDS)
}

/// The first nanosecond at which `pulses` clock pulses have passed; `u64::MAX` where that is too far away.
pub(super) fn nanoseconds(pulses: u64) -> u64 {
    let (seconds, rest) = (pulses / FREQUENCY, pulses % FREQUENCY);
    seconds
        .saturating_mul(NANOSECONDS)
        .saturating_add(rest.wrapping_mul(NANOSECONDS).div_ceil(FREQUENCY))
}

/// `struct kvm_pit_channel_state`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct ChannelState {
    /// The count, up to 65536.
    pub count: u32,
    /// The count that was latched.
    pub latched_count: u16,
    /// Which bytes of it are still to be read, as in `rw_mode`; 0: it is not latched.
    pub count_latched: u8,
    /// Whether the status is latched.
    pub status_latched: u8,
    /// The status that was latched.
    pub status: u8,
    /// The next byte to be read: 1 low, 2 high, 3 low with high to follow, 4 high after low.
    pub read_state: u8,
    /// The next byte to be written, likewise.
    pub write_state: u8,
    /// The low byte, until the high one is written.
    pub write_latch: u8,
    /// What reads and writes transfer: 1 low byte, 2 high byte, 3 both.
    pub rw_mode: u8,
    /// The mode, 0 to 5; 0xff before the first control word.
    pub mode: u8,
    /// Whether BCD was asked for, which is not done.
    pub bcd: u8,
    /// The gate input.
    pub gate: u8,
    /// When the count was loaded, in nanoseconds.
    pub count_load_time: i64,
}

/// What a counter does when the count is over (8254 datasheet, "Mode definitions").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// No control word has been written.
    None,
    /// 0: OUT goes high.
    TerminalCount,
    /// 1: the same, started by the gate.
    OneShot,
    /// 2: OUT is low for a pulse; begins anew.
    RateGenerator,
    /// 3: OUT is high for the first half; begins anew.
    SquareWave,
    /// 4: OUT is low for a pulse.
    SoftwareStrobe,
    /// 5: the same, started by the gate.
    HardwareStrobe,
}

impl Mode {
    const NONE: u8 = 0xff;

    /// Bits 3:1 of a control word; bit 2 of them does not count in modes 2 and 3.
    const fn from_control(bits: u8) -> Self {
        match bits & 7 {
            0 => Self::TerminalCount,
            1 => Self::OneShot,
            2 | 6 => Self::RateGenerator,
            3 | 7 => Self::SquareWave,
            4 => Self::SoftwareStrobe,
            _ => Self::HardwareStrobe,
        }
    }

    const fn from_saved(mode: u8) -> Self {
        match mode {
            0..=5 => Self::from_control(mode),
            _ => Self::None,
        }
    }

    const fn saved(self) -> u8 {
        match self {
            Self::None => Self::NONE,
            Self::TerminalCount => 0,
            Self::OneShot => 1,
            Self::RateGenerator => 2,
            Self::SquareWave => 3,
            Self::SoftwareStrobe => 4,
            Self::HardwareStrobe => 5,
        }
    }

    pub(super) const fn is_periodic(self) -> bool {
        matches!(self, Self::RateGenerator | Self::SquareWave)
    }

    /// Whether a rising gate starts the count, rather than letting it go on.
    const fn is_triggered(self) -> bool {
        matches!(
            self,
            Self::OneShot | Self::RateGenerator | Self::SquareWave | Self::HardwareStrobe
        )
    }
}

/// Which byte of a count is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Byte {
    /// Not known, or none.
    None,
    /// The low one, always.
    Low,
    /// The high one, always.
    High,
    /// The low one, then the high one.
    First,
    /// The high one, then the low one again.
    Second,
}

impl Byte {
    const fn from_saved(state: u8) -> Self {
        match state {
            0 => Self::None,
            2 => Self::High,
            3 => Self::First,
            4 => Self::Second,
            _ => Self::Low,
        }
    }

    const fn saved(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Low => 1,
            Self::High => 2,
            Self::First => 3,
            Self::Second => 4,
        }
    }

    const fn of(self, count: u16) -> u8 {
        let [low, high] = count.to_le_bytes();
        match self {
            Self::None | Self::Low | Self::First => low,
            Self::High | Self::Second => high,
        }
    }

    const fn next(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
            other => other,
        }
    }
}

/// The gate input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    Low,
    High,
}

/// Bits of a control word and of the status.
const ACCESS_SHIFT: u32 = 4;
const ACCESS_MASK: u8 = 3;
const MODE_SHIFT: u32 = 1;
const BCD: u8 = 1 << 0;
const STATUS_OUT_SHIFT: u32 = 7;

/// A counter.
#[derive(Clone, Debug)]
pub(super) struct Channel {
    mode: Mode,
    gate: Gate,
    bcd: bool,
    /// 1 to [`MAX_COUNT`].
    count: NonZeroU32,
    /// When it began, in nanoseconds.
    loaded: u64,
    /// Where the gate holds the count: the nanoseconds that it has run.
    held: Option<u64>,
    transfers: Byte,
    reads: Byte,
    writes: Byte,
    written_low: u8,
    latched: Byte,
    latched_count: u16,
    latched_status: Option<u8>,
}

impl Channel {
    /// A counter that nothing was written to.
    pub(super) const fn new(gate: Gate, now: u64) -> Self {
        Self {
            mode: Mode::None,
            gate,
            bcd: false,
            count: MAX_COUNT,
            loaded: now,
            held: None,
            transfers: Byte::None,
            reads: Byte::None,
            writes: Byte::None,
            written_low: 0,
            latched: Byte::None,
            latched_count: 0,
            latched_status: None,
        }
    }

    pub(super) const fn mode(&self) -> Mode {
        self.mode
    }

    pub(super) const fn gate(&self) -> Gate {
        self.gate
    }

    /// Clock pulses from one begin of the count to the next.
    pub(super) const fn count(&self) -> NonZeroU32 {
        self.count
    }

    /// When the count began, in nanoseconds.
    pub(super) const fn loaded(&self) -> u64 {
        self.loaded
    }

    /// Clock pulses since the count began.
    pub(super) fn elapsed(&self, now: u64) -> u64 {
        pulses(self.held.unwrap_or(now.saturating_sub(self.loaded)))
    }

    /// What the counting element holds.
    fn counter(&self, now: u64) -> u16 {
        let elapsed = self.elapsed(now);
        let count = NonZeroU64::from(self.count);
        let passed = match self.mode {
            Mode::TerminalCount | Mode::OneShot | Mode::SoftwareStrobe | Mode::HardwareStrobe => {
                elapsed
            }
            Mode::SquareWave => elapsed.wrapping_mul(2) % count,
            Mode::None | Mode::RateGenerator => elapsed % count,
        };
        count.get().wrapping_sub(passed) as u16
    }

    /// The output.
    pub(super) fn out(&self, now: u64) -> bool {
        let elapsed = self.elapsed(now);
        let count = NonZeroU64::from(self.count);
        let stopped = self.gate == Gate::Low;
        match self.mode {
            Mode::None | Mode::TerminalCount | Mode::OneShot => elapsed >= count.get(),
            Mode::RateGenerator => stopped || elapsed % count != count.get().wrapping_sub(1),
            Mode::SquareWave => stopped || elapsed % count < count.get().div_ceil(2),
            Mode::SoftwareStrobe | Mode::HardwareStrobe => elapsed != count.get(),
        }
    }

    pub(super) fn set_gate(&mut self, gate: Gate, now: u64) {
        match (self.gate, gate) {
            (Gate::Low, Gate::High) => {
                let ran = match self.mode.is_triggered() {
                    true => 0,
                    false => self.held.unwrap_or(0),
                };
                self.loaded = now.saturating_sub(ran);
                self.held = None;
            }
            (Gate::High, Gate::Low) if !self.runs_without_gate() => {
                self.held = Some(now.saturating_sub(self.loaded));
            }
            _ => {}
        }
        self.gate = gate;
    }

    /// In the modes that the gate starts, its fall stops nothing. KVM starts them by the count, too, so that they
    /// are always started.
    const fn runs_without_gate(&self) -> bool {
        matches!(self.mode, Mode::None | Mode::OneShot | Mode::HardwareStrobe)
    }

    /// A control word for this counter, other than a latch command.
    pub(super) fn control(&mut self, value: u8) {
        self.transfers = Byte::from_saved(value >> ACCESS_SHIFT & ACCESS_MASK);
        self.reads = self.transfers;
        self.writes = self.transfers;
        self.mode = Mode::from_control(value >> MODE_SHIFT);
        self.bcd = value & BCD != 0;
    }

    /// Whether the control word is a latch command: it transfers nothing.
    pub(super) const fn is_latch(value: u8) -> bool {
        value >> ACCESS_SHIFT & ACCESS_MASK == 0
    }

    /// Keeps the count for reading, unless an earlier one has not been read.
    pub(super) fn latch_count(&mut self, now: u64) {
        if self.latched == Byte::None {
            self.latched_count = self.counter(now);
            self.latched = self.transfers;
        }
    }

    /// Keeps the status for reading, unless an earlier one has not been read. Its null-count bit is 0, since counts
    /// are loaded at once.
    pub(super) fn latch_status(&mut self, now: u64) {
        if self.latched_status.is_none() {
            self.latched_status = Some(
                u8::from(self.out(now)) << STATUS_OUT_SHIFT
                    | self.transfers.saved() << ACCESS_SHIFT
                    | (self.mode.saved() & 7) << MODE_SHIFT
                    | u8::from(self.bcd),
            );
        }
    }

    pub(super) fn read(&mut self, now: u64) -> u8 {
        if let Some(status) = self.latched_status.take() {
            return status;
        }
        if self.latched != Byte::None {
            let value = self.latched.of(self.latched_count);
            self.latched = match self.latched {
                Byte::First => Byte::High,
                _ => Byte::None,
            };
            return value;
        }
        let value = self.reads.of(self.counter(now));
        self.reads = self.reads.next();
        value
    }

    /// A byte of a count. Returns whether the count is complete, so that it was loaded.
    pub(super) fn write(&mut self, value: u8, now: u64) -> bool {
        let count = match self.writes {
            Byte::None | Byte::Low => u16::from_le_bytes([value, 0]),
            Byte::High => u16::from_le_bytes([0, value]),
            Byte::First => {
                self.written_low = value;
                self.writes = Byte::Second;
                return false;
            }
            Byte::Second => {
                self.writes = Byte::First;
                u16::from_le_bytes([self.written_low, value])
            }
        };
        self.load(count.into(), now);
        true
    }

    /// Begins to count; 0 is the largest count.
    fn load(&mut self, count: u32, now: u64) {
        self.count = NonZeroU32::new(count).map_or(MAX_COUNT, |count| count.min(MAX_COUNT));
        self.loaded = now;
        self.held = match self.gate {
            Gate::Low if !self.runs_without_gate() => Some(0),
            _ => None,
        };
    }

    pub(super) fn save(&self) -> ChannelState {
        ChannelState {
            count: self.count.get(),
            latched_count: self.latched_count,
            count_latched: self.latched.saved(),
            status_latched: self.latched_status.is_some().into(),
            status: self.latched_status.unwrap_or(0),
            read_state: self.reads.saved(),
            write_state: self.writes.saved(),
            write_latch: self.written_low,
            rw_mode: self.transfers.saved(),
            mode: self.mode.saved(),
            bcd: self.bcd.into(),
            gate: (self.gate == Gate::High).into(),
            count_load_time: self.loaded as i64,
        }
    }

    /// A counter with that state but for the gate, whose count begins now.
    pub(super) fn restored(state: &ChannelState, gate: Gate, now: u64) -> Self {
        let mut channel = Self {
            mode: Mode::from_saved(state.mode),
            bcd: state.bcd != 0,
            transfers: Byte::from_saved(state.rw_mode),
            reads: Byte::from_saved(state.read_state),
            writes: Byte::from_saved(state.write_state),
            written_low: state.write_latch,
            latched: Byte::from_saved(state.count_latched),
            latched_count: state.latched_count,
            latched_status: (state.status_latched != 0).then_some(state.status),
            ..Self::new(gate, now)
        };
        channel.load(state.count, now);
        channel
    }
}
