// SPDX-License-Identifier: GPL-2.0

//! The 8254 interval timer of a PC, with the bits of port 0x61 that belong to it.
//!
//! Counter 0 gives the ticks of the VM's timer interrupt, counter 2 is the speaker's and has a gate. Time is given to
//! every operation, in nanoseconds of a clock that never goes backwards. After each operation that says so, its owner
//! sets a timer to [`Pit::deadline`], calls [`Pit::expire`] when that is over, and pulses the timer's line when told.
//!
//! As in KVM: a count takes effect when it is written, whatever the mode; BCD is not done; ticks are not closer than
//! 200 µs; a tick that finds the previous one unacknowledged waits for that ([`Reinject`]).
//!
//! Sources: Intel 8254 datasheet; Linux Documentation/virt/kvm/api.rst, 4.71 KVM_CREATE_PIT2, 4.72 KVM_GET_PIT2, 4.99
//! KVM_REINJECT_CONTROL.

mod channel;
mod ticks;

pub use channel::ChannelState;
pub use ticks::{Pulse, Reinject};

use core::num::{NonZeroU32, NonZeroU64};

use channel::{nanoseconds, Channel, Gate, Mode};
use ticks::Ticks;

/// The GSI that ticks pulse.
pub const GSI: u32 = 0;

const CHANNELS: usize = 3;
/// The counter that ticks.
const TIMER: usize = 0;
/// The fewest clock pulses between ticks: 200 µs.
const MIN_PERIOD: NonZeroU32 = NonZeroU32::MIN.saturating_add(238);

/// I/O ports.
mod port {
    /// Counter 0; the others follow.
    pub(super) const COUNTERS: u16 = 0x40;
    pub(super) const CONTROL: u16 = 0x43;
    pub(super) const SPEAKER: u16 = 0x61;
}

/// Bits of the read-back command (8254 datasheet, figure 10).
mod read_back {
    pub(super) const COUNTER_SHIFT: u32 = 1;
    pub(super) const NO_STATUS: u8 = 1 << 4;
    pub(super) const NO_COUNT: u8 = 1 << 5;
}

/// Where a control word names the counter; one more than there are is the read-back command.
const SELECT_SHIFT: u32 = 6;

/// Bits of port 0x61.
mod speaker {
    pub(super) const GATE: u8 = 1 << 0;
    pub(super) const DATA: u8 = 1 << 1;
    pub(super) const REFRESH_SHIFT: u32 = 4;
    pub(super) const OUT_SHIFT: u32 = 5;
    /// The refresh clock changes about every 15 µs, here every 2^14 ns.
    pub(super) const REFRESH_PERIOD_SHIFT: u32 = 14;
}

/// `kvm_pit_state2.flags`.
mod flags {
    pub(super) const HPET_LEGACY: u32 = 1 << 0;
    pub(super) const SPEAKER_DATA_ON: u32 = 1 << 1;
}

/// `struct kvm_pit_state2` without what is reserved. `struct kvm_pit_state` is the channels alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct PitState {
    /// The counters.
    pub channels: [ChannelState; CHANNELS],
    /// KVM_PIT_FLAGS_*.
    pub flags: u32,
}

/// Whether [`Pit::deadline`] has changed.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// It is what it was.
    Same,
    /// It is another, or there is none any more.
    Changed,
}

/// The 8254.
#[derive(Clone, Debug)]
pub struct Pit {
    channels: [Channel; CHANNELS],
    ticks: Ticks,
    /// Counter 0 has a count that was written after its control word.
    running: bool,
    /// Counts of counter 0 that were over when it was last looked at.
    over: u64,
    /// An HPET has taken the timer's interrupt.
    hpet_legacy: bool,
    speaker_data: bool,
}

impl Pit {
    /// A timer after reset. It does not tick.
    pub const fn new(now: u64) -> Self {
        Self {
            channels: [
                Channel::new(Gate::High, now),
                Channel::new(Gate::High, now),
                Channel::new(Gate::Low, now),
            ],
            ticks: Ticks::new(),
            running: false,
            over: 0,
            hpet_legacy: false,
            speaker_data: false,
        }
    }

    fn timer(&self) -> &Channel {
        let [timer, ..] = &self.channels;
        timer
    }

    /// Clock pulses from tick to tick.
    fn period(&self) -> NonZeroU64 {
        let count = self.timer().count();
        if self.timer().mode().is_periodic() {
            count.max(MIN_PERIOD).into()
        } else {
            count.into()
        }
    }

    /// Whether the counter will tick, again or at all.
    fn ticks(&self) -> bool {
        let goes_on = match self.timer().mode() {
            Mode::None | Mode::HardwareStrobe => false,
            mode => mode.is_periodic() || self.over == 0,
        };
        self.running && !self.hpet_legacy && goes_on
    }

    /// When the next tick is due, in nanoseconds; `None`: never.
    pub fn deadline(&self) -> Option<u64> {
        if !self.ticks() {
            return None;
        }
        let pulses = self
            .period()
            .get()
            .saturating_mul(self.over.saturating_add(1));
        Some(self.timer().loaded().saturating_add(nanoseconds(pulses)))
    }

    /// Sees to the ticks that are due. [`Pit::deadline`] is later than `now` afterwards.
    pub fn expire(&mut self, now: u64) -> Pulse {
        if !self.ticks() {
            return Pulse::None;
        }
        let over = self.timer().elapsed(now) / self.period();
        let Some(new) = over.checked_sub(self.over).filter(|&new| new > 0) else {
            return Pulse::None;
        };
        let is_periodic = self.timer().mode().is_periodic();
        self.over = over;
        self.ticks.add(if is_periodic { new } else { 1 })
    }

    /// The guest has acknowledged the timer's interrupt, at any of the chips that it goes to.
    pub fn acknowledged(&mut self) -> Pulse {
        self.ticks.acknowledged()
    }

    /// The guest has unmasked the timer's interrupt: ticks of before do not count.
    pub fn unmasked(&mut self) {
        self.ticks.forget();
    }

    /// Whether anyone has to tell of acknowledgements.
    pub const fn reinject(&self) -> Reinject {
        self.ticks.reinject()
    }

    /// KVM_REINJECT_CONTROL.
    pub fn set_reinject(&mut self, reinject: Reinject) {
        self.ticks.set_reinject(reinject);
    }

    /// Whether an access of `size` bytes at `port` is to the counters.
    pub fn claims(port: u16, size: usize) -> bool {
        let beyond = u32::from(port::CONTROL).saturating_add(1);
        let end = u32::try_from(size)
            .ok()
            .and_then(|size| u32::from(port).checked_add(size));
        port >= port::COUNTERS && end.is_some_and(|end| end <= beyond)
    }

    /// Whether an access at `port` is to the speaker's port, which a VM has only with KVM_PIT_SPEAKER_DUMMY.
    pub fn claims_speaker(port: u16, size: usize) -> bool {
        const SIZES: core::ops::RangeInclusive<usize> = 1..=4;
        port == port::SPEAKER && SIZES.contains(&size)
    }

    /// A read of the guest's. Registers have one byte; others read as 0, and so does the control port.
    pub fn io_read(&mut self, port: u16, data: &mut [u8], now: u64) {
        data.fill(0);
        let value = match port {
            port::SPEAKER => self.read_speaker(now),
            _ => {
                let index = usize::from(port.wrapping_sub(port::COUNTERS));
                match self.channels.get_mut(index) {
                    Some(channel) => channel.read(now),
                    None => return,
                }
            }
        };
        if let Some(first) = data.first_mut() {
            *first = value;
        }
    }

    /// A write of the guest's. Registers have one byte; others are ignored.
    pub fn io_write(&mut self, port: u16, data: &[u8], now: u64) -> Deadline {
        let Some(&value) = data.first() else {
            return Deadline::Same;
        };
        match port {
            port::SPEAKER => {
                self.write_speaker(value, now);
                Deadline::Same
            }
            port::CONTROL => self.write_control(value, now),
            _ => {
                let index = usize::from(port.wrapping_sub(port::COUNTERS));
                let loaded = self
                    .channels
                    .get_mut(index)
                    .is_some_and(|channel| channel.write(value, now));
                if loaded && index == TIMER {
                    self.start()
                } else {
                    Deadline::Same
                }
            }
        }
    }

    /// Counter 0 has been loaded.
    fn start(&mut self) -> Deadline {
        self.running = true;
        self.over = 0;
        self.ticks.forget();
        Deadline::Changed
    }

    fn write_control(&mut self, value: u8, now: u64) -> Deadline {
        let index = usize::from(value >> SELECT_SHIFT);
        let Some(channel) = self.channels.get_mut(index) else {
            self.read_back(value, now);
            return Deadline::Same;
        };
        if Channel::is_latch(value) {
            channel.latch_count(now);
            return Deadline::Same;
        }
        channel.control(value);
        if index != TIMER {
            return Deadline::Same;
        }
        self.running = false;
        Deadline::Changed
    }

    fn read_back(&mut self, value: u8, now: u64) {
        let mut selected = value >> read_back::COUNTER_SHIFT;
        for channel in &mut self.channels {
            if selected & 1 != 0 {
                if value & read_back::NO_COUNT == 0 {
                    channel.latch_count(now);
                }
                if value & read_back::NO_STATUS == 0 {
                    channel.latch_status(now);
                }
            }
            selected >>= 1;
        }
    }

    fn read_speaker(&self, now: u64) -> u8 {
        let [.., channel] = &self.channels;
        let gate = match channel.gate() {
            Gate::Low => 0,
            Gate::High => speaker::GATE,
        };
        let data = if self.speaker_data { speaker::DATA } else { 0 };
        let refresh = (now >> speaker::REFRESH_PERIOD_SHIFT & 1) as u8;
        gate | data
            | refresh << speaker::REFRESH_SHIFT
            | u8::from(channel.out(now)) << speaker::OUT_SHIFT
    }

    fn write_speaker(&mut self, value: u8, now: u64) {
        self.speaker_data = value & speaker::DATA != 0;
        let gate = if value & speaker::GATE != 0 {
            Gate::High
        } else {
            Gate::Low
        };
        let [.., channel] = &mut self.channels;
        channel.set_gate(gate, now);
    }

    /// The state for KVM_GET_PIT2.
    pub fn save(&self) -> PitState {
        let mut flags = 0;
        if self.hpet_legacy {
            flags |= flags::HPET_LEGACY;
        }
        if self.speaker_data {
            flags |= flags::SPEAKER_DATA_ON;
        }
        PitState {
            channels: self.channels.each_ref().map(Channel::save),
            flags,
        }
    }

    /// Takes the state of KVM_SET_PIT2 over. All counts begin now, as if they had just been written.
    pub fn restore(&mut self, state: &PitState, now: u64) -> Deadline {
        self.hpet_legacy = state.flags & flags::HPET_LEGACY != 0;
        self.speaker_data = state.flags & flags::SPEAKER_DATA_ON != 0;
        let [first, second, speaker] = &state.channels;
        let gate = match speaker.gate {
            0 => Gate::Low,
            _ => Gate::High,
        };
        // The others' gates are wired high.
        self.channels = [
            Channel::restored(first, Gate::High, now),
            Channel::restored(second, Gate::High, now),
            Channel::restored(speaker, gate, now),
        ];
        self.start()
    }
}
