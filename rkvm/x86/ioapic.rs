// SPDX-License-Identifier: GPL-2.0

//! The I/O APIC of a VM: an 82093AA with 24 pins at KVM's version 0x11, which has no EOI register.
//!
//! It calls nobody: interrupts leave by the `deliver` closure that operations take. The polarity of pins is
//! ignored, since "asserted" is what VMMs tell.
//!
//! Sources: Intel 82093AA datasheet; Linux Documentation/virt/kvm/api.rst, 4.25 KVM_IRQ_LINE and 4.26
//! KVM_GET_IRQCHIP.

mod entry;

pub use entry::{Half, RedirectionEntry};

use crate::types::Gpa;
use crate::x86::line::{Effects, Level, LineOutcome, Pins, Source, Sources, VectorSet, Vectors};
use crate::x86::message::Trigger;

/// The number of pins.
pub const PINS: usize = 24;
/// Where the registers are after reset.
pub const DEFAULT_BASE: Gpa = Gpa::new(0xfec0_0000);
/// The size of the register window in bytes.
pub const WINDOW_SIZE: u64 = 0x100;

/// IOREGSEL: selects the register that IOWIN shows.
const SELECT: u64 = 0x00;
/// IOWIN: the selected register.
const DATA: u64 = 0x10;

/// The registers behind IOWIN; from `TABLE` on, two for each entry.
mod register {
    pub(super) const ID: u8 = 0x00;
    pub(super) const VERSION: u8 = 0x01;
    pub(super) const ARBITRATION: u8 = 0x02;
    pub(super) const TABLE: u8 = 0x10;
}

/// The version register: version 0x11, and the number of the last entry in bits 23 to 16.
const VERSION_VALUE: u32 = (PINS as u32 - 1) << 16 | 0x11;
const ID_SHIFT: u32 = 24;
const ID_MASK: u32 = 0xf;
/// What registers that do not exist read as.
const ABSENT: u32 = u32::MAX;

/// `struct kvm_ioapic_state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct IoapicState {
    /// Where the registers are.
    pub base_address: u64,
    /// IOREGSEL.
    pub ioregsel: u32,
    /// The APIC id.
    pub id: u32,
    /// Asserted pins, without edges that have been delivered.
    pub irr: u32,
    /// Not used.
    pub pad: u32,
    /// The redirection table.
    pub redirtbl: [u64; PINS],
}

#[derive(Clone, Copy, Debug)]
struct Pin {
    entry: RedirectionEntry,
    sources: Sources,
    /// The interrupt request: the level of the line as far as it has not been withdrawn for a resampling.
    requested: bool,
    /// The request is that of an edge which has been sent.
    sent: bool,
}

/// The I/O APIC.
#[derive(Clone, Debug)]
pub struct Ioapic {
    base: Gpa,
    select: u8,
    id: u8,
    pins: [Pin; PINS],
}

impl Default for Ioapic {
    fn default() -> Self {
        Self::new()
    }
}

impl Ioapic {
    /// An I/O APIC after reset.
    pub const fn new() -> Self {
        Self {
            base: DEFAULT_BASE,
            select: 0,
            id: 0,
            pins: [Pin {
                entry: RedirectionEntry::RESET,
                sources: Sources::NONE,
                requested: false,
                sent: false,
            }; PINS],
        }
    }

    /// The offset of `gpa` in the register window, if it lies there.
    pub fn offset_of(&self, gpa: Gpa) -> Option<u64> {
        let offset = gpa.raw().checked_sub(self.base.raw())?;
        (offset < WINDOW_SIZE).then_some(offset)
    }

    /// Changes what `source` does to a pin. Other pins than 0 to 23 ignore it.
    pub fn set_line(
        &mut self,
        pin: u8,
        source: Source,
        level: Level,
        deliver: &mut impl FnMut(RedirectionEntry) -> LineOutcome,
    ) -> LineOutcome {
        let Some(pin) = self.pins.get_mut(usize::from(pin)) else {
            return LineOutcome::Ignored;
        };
        let level = pin.sources.set(source, level);
        pin.set(level, deliver)
    }

    /// A local APIC has ended an interrupt that it took for one of `trigger`. Where a level-triggered line is still
    /// asserted, its interrupt is sent again.
    ///
    /// `Effects::acknowledged` has all pins with that vector.
    pub fn eoi(
        &mut self,
        vector: u8,
        trigger: Trigger,
        deliver: &mut impl FnMut(RedirectionEntry) -> LineOutcome,
    ) -> Effects {
        let mut effects = Effects::default();
        for (number, pin) in (0u8..).zip(&mut self.pins) {
            if pin.entry.vector() != vector {
                continue;
            }
            effects.acknowledged.insert(number);
            if pin.sources.set(Source::Resample, Level::Low) == Level::Low {
                pin.requested = false;
            }
            if trigger == Trigger::Level {
                pin.entry = pin.entry.ended();
                if pin.entry.is_level() && pin.requested {
                    pin.send(deliver);
                }
            }
        }
        effects
    }

    /// The vectors whose end the I/O APIC has to be told: those of level-triggered pins, and those of `watched`,
    /// pins whose acknowledgement somebody waits for.
    pub fn eoi_vectors(&self, watched: Pins) -> VectorSet {
        let mut set = VectorSet::default();
        for (number, pin) in (0u8..).zip(&self.pins) {
            if pin.entry.is_level() || watched.contains(number) {
                set.insert(pin.entry.vector());
            }
        }
        set
    }

    /// The entry of a pin.
    pub fn entry(&self, pin: u8) -> Option<RedirectionEntry> {
        Some(self.pins.get(usize::from(pin))?.entry)
    }

    /// A read of the guest's, at `offset` into the register window. A register has 32 bits; there is 0 beyond them,
    /// and elsewhere in the window.
    pub fn mmio_read(&self, offset: u64, data: &mut [u8]) {
        let value = match offset {
            SELECT => u32::from(self.select),
            DATA => self.read_selected(),
            _ => 0,
        };
        data.fill(0);
        for (to, from) in data.iter_mut().zip(value.to_le_bytes()) {
            *to = from;
        }
    }

    /// A write of the guest's, of 1, 2, 4 or 8 bytes (others are ignored), at `offset` into the register window. One
    /// of less than 4 bytes clears the rest of the register.
    ///
    /// A level-triggered pin that is asserted is sent when the write lets it. But if irqfds with a resamplefd are
    /// the only ones that hold the line, it counts as acknowledged instead: the device may have stopped asking
    /// while the pin was masked, and will be asked.
    pub fn mmio_write(
        &mut self,
        offset: u64,
        data: &[u8],
        deliver: &mut impl FnMut(RedirectionEntry) -> LineOutcome,
    ) -> Effects {
        if !matches!(data.len(), 1 | 2 | 4 | 8) {
            return Effects::default();
        }
        let mut bytes = [0; 4];
        for (to, from) in bytes.iter_mut().zip(data) {
            *to = *from;
        }
        let value = u32::from_le_bytes(bytes);
        match offset {
            SELECT => self.select = value as u8,
            DATA => return self.write_selected(value, deliver),
            _ => {}
        }
        Effects::default()
    }

    /// The number of the entry that `select` shows a half of. It may be too large.
    const fn selected(select: u8) -> Option<(u8, Half)> {
        let Some(index) = select.checked_sub(register::TABLE) else {
            return None;
        };
        let half = if index & 1 == 0 {
            Half::Low
        } else {
            Half::High
        };
        Some((index >> 1, half))
    }

    fn read_selected(&self) -> u32 {
        match self.select {
            register::ID | register::ARBITRATION => u32::from(self.id) << ID_SHIFT,
            register::VERSION => VERSION_VALUE,
            select => Self::selected(select)
                .and_then(|(pin, half)| Some(self.entry(pin)?.half(half)))
                .unwrap_or(ABSENT),
        }
    }

    fn write_selected(
        &mut self,
        value: u32,
        deliver: &mut impl FnMut(RedirectionEntry) -> LineOutcome,
    ) -> Effects {
        let mut effects = Effects::default();
        if self.select == register::ID {
            self.id = (value >> ID_SHIFT & ID_MASK) as u8;
            return effects;
        }
        let Some((number, half)) = Self::selected(self.select) else {
            return effects;
        };
        let Some(pin) = self.pins.get_mut(usize::from(number)) else {
            return effects;
        };
        let before = pin.entry;
        let entry = before.written(half, value);
        pin.entry = entry;
        if before.is_masked() && !entry.is_masked() {
            effects.unmasked.insert(number);
        }
        if (before.vector(), before.is_level()) != (entry.vector(), entry.is_level()) {
            effects.vectors = Vectors::Changed;
        }
        if entry.is_level() && pin.requested && pin.can_send() {
            if pin.sources.are_only(Source::Resample) {
                pin.sources.set(Source::Resample, Level::Low);
                pin.requested = false;
                effects.acknowledged.insert(number);
            } else {
                pin.send(deliver);
            }
        }
        effects
    }

    /// The state for KVM_GET_IRQCHIP.
    pub fn save(&self) -> IoapicState {
        let mut irr = Pins::NONE;
        let mut redirtbl = [0; PINS];
        for ((number, pin), saved) in (0u8..).zip(&self.pins).zip(&mut redirtbl) {
            if pin.requested && (pin.entry.is_level() || !pin.sent) {
                irr.insert(number);
            }
            *saved = pin.entry.raw();
        }
        IoapicState {
            base_address: self.base.raw(),
            ioregsel: self.select.into(),
            id: self.id.into(),
            irr: irr.mask(),
            pad: 0,
            redirtbl,
        }
    }

    /// Takes the state of KVM_SET_IRQCHIP over and sends what is pending in it. The lines' sources stay.
    pub fn restore(
        &mut self,
        state: &IoapicState,
        deliver: &mut impl FnMut(RedirectionEntry) -> LineOutcome,
    ) -> Effects {
        self.base = Gpa::new(state.base_address);
        self.select = state.ioregsel as u8;
        self.id = (state.id & ID_MASK) as u8;
        let irr = Pins::from_mask(state.irr);
        let mut effects = Effects {
            vectors: Vectors::Changed,
            ..Effects::default()
        };
        for ((number, pin), saved) in (0u8..).zip(&mut self.pins).zip(state.redirtbl) {
            if pin.entry.is_masked() && !RedirectionEntry::from_raw(saved).is_masked() {
                effects.unmasked.insert(number);
            }
            pin.entry = RedirectionEntry::from_raw(saved);
            pin.requested = false;
            pin.sent = false;
            if irr.contains(number) {
                pin.set(Level::High, deliver);
            }
        }
        effects
    }
}

impl Pin {
    /// The line has that level now.
    fn set(
        &mut self,
        level: Level,
        deliver: &mut impl FnMut(RedirectionEntry) -> LineOutcome,
    ) -> LineOutcome {
        if level == Level::Low {
            self.requested = false;
            return LineOutcome::Delivered(1);
        }
        let edge = !self.requested;
        self.requested = true;
        if !self.entry.is_level() {
            if !edge {
                return LineOutcome::Coalesced;
            }
            self.sent = false;
        }
        self.send(deliver)
    }

    fn can_send(&self) -> bool {
        !(self.entry.is_masked() || self.entry.is_level() && self.entry.remote_irr())
    }

    /// Sends the interrupt, if the entry lets it.
    fn send(&mut self, deliver: &mut impl FnMut(RedirectionEntry) -> LineOutcome) -> LineOutcome {
        if !self.can_send() {
            return LineOutcome::Ignored;
        }
        let outcome = deliver(self.entry);
        if !self.entry.is_level() {
            self.sent = true;
        } else if matches!(outcome, LineOutcome::Delivered(_)) {
            self.entry = self.entry.accepted();
        }
        outcome
    }
}
