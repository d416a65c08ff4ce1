// SPDX-License-Identifier: GPL-2.0

//! The local vector table: interrupts that a local APIC raises by itself (Intel SDM volume 3, 12.5.1).

use super::register::Register;
use super::timer::TimerMode;
use super::Lapic;
use crate::x86::message::{ApicMode, DeliveryMode, Trigger};

/// No interrupt is raised.
pub(super) const MASKED: u32 = 1 << 16;
/// Delivery mode 7 and no mask.
pub(super) const EXT_INT: u32 = 7 << 8;

const VECTOR: u32 = 0xff;
const DELIVERY_MODE: u32 = 7 << 8;
/// Read-only on hardware; kept as written, as C KVM does.
const DELIVERY_STATUS: u32 = 1 << 12;
const POLARITY: u32 = 1 << 13;
const REMOTE_IRR: u32 = 1 << 14;
const LEVEL_TRIGGERED: u32 = 1 << 15;
const TIMER_PERIODIC: u32 = 1 << 17;
const TIMER_TSC_DEADLINE: u32 = 1 << 18;

const COMMON: u32 = VECTOR | DELIVERY_STATUS | MASKED;

/// All entries; the last is not in all APICs.
pub(super) const ENTRIES: [Register; 7] = [
    Register::LVT_TIMER,
    Register::LVT_THERMAL,
    Register::LVT_PERFORMANCE,
    Register::LVT_LINT0,
    Register::LVT_LINT1,
    Register::LVT_ERROR,
    Register::LVT_CMCI,
];

/// The sources of the local vector table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalInterrupt {
    /// The timer.
    Timer,
    /// The thermal sensor.
    Thermal,
    /// A performance counter has overflowed. Its entry is masked then.
    Performance,
    /// Pin LINT0.
    Lint0,
    /// Pin LINT1.
    Lint1,
    /// An error of the APIC.
    Error,
    /// A corrected machine check.
    Cmci,
}

impl LocalInterrupt {
    const fn register(self) -> Register {
        match self {
            Self::Timer => Register::LVT_TIMER,
            Self::Thermal => Register::LVT_THERMAL,
            Self::Performance => Register::LVT_PERFORMANCE,
            Self::Lint0 => Register::LVT_LINT0,
            Self::Lint1 => Register::LVT_LINT1,
            Self::Error => Register::LVT_ERROR,
            Self::Cmci => Register::LVT_CMCI,
        }
    }
}

/// What became of a local interrupt.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalEvent {
    /// Nothing.
    None,
    /// The APIC has requested it.
    Accepted,
    /// The processor gets an SMI.
    Smi,
    /// The processor gets an NMI.
    Nmi,
    /// The processor gets an INIT.
    Init,
    /// An external controller is to be asked for the vector.
    ExtInt,
}

impl Lapic {
    /// What `value`, written to an LVT entry, leaves there.
    pub(super) fn lvt_value(&self, entry: Register, value: u32) -> u32 {
        let writable = match entry {
            Register::LVT_TIMER => match self.config.tsc_deadline {
                true => COMMON | TIMER_PERIODIC | TIMER_TSC_DEADLINE,
                false => COMMON | TIMER_PERIODIC,
            },
            Register::LVT_LINT0 | Register::LVT_LINT1 => {
                COMMON | DELIVERY_MODE | POLARITY | REMOTE_IRR | LEVEL_TRIGGERED
            }
            Register::LVT_ERROR => COMMON,
            _ => COMMON | DELIVERY_MODE,
        };
        let masked = match self.is_software_enabled() {
            true => 0,
            false => MASKED,
        };
        (value | masked) & writable
    }

    /// Masks all entries, as an APIC that software has disabled has them (SDM 12.4.7.2).
    pub(super) fn mask_all(&mut self) {
        for entry in ENTRIES {
            if entry != Register::LVT_CMCI || self.config.cmci {
                let value = self.page.get(entry);
                self.page.set(entry, value | MASKED);
            }
        }
    }

    /// The mode that the timer's entry has.
    pub(super) fn lvt_timer_mode(&self) -> TimerMode {
        TimerMode::from_lvt(self.page.get(Register::LVT_TIMER))
    }

    /// A source raises its interrupt.
    pub fn local(&mut self, source: LocalInterrupt) -> LocalEvent {
        let entry = source.register();
        let value = self.page.get(entry);
        let missing = source == LocalInterrupt::Cmci && !self.config.cmci;
        if missing || value & MASKED != 0 || self.mode() == ApicMode::Disabled {
            return LocalEvent::None;
        }
        if source == LocalInterrupt::Performance {
            self.page.set(entry, value | MASKED);
        }
        match DeliveryMode::from_register(value) {
            DeliveryMode::Fixed => {
                let is_pin = matches!(source, LocalInterrupt::Lint0 | LocalInterrupt::Lint1);
                let trigger = match value & LEVEL_TRIGGERED {
                    LEVEL_TRIGGERED if is_pin => Trigger::Level,
                    _ => Trigger::Edge,
                };
                self.accept((value & VECTOR) as u8, trigger);
                LocalEvent::Accepted
            }
            DeliveryMode::Smi => LocalEvent::Smi,
            DeliveryMode::Nmi => LocalEvent::Nmi,
            DeliveryMode::Init => LocalEvent::Init,
            DeliveryMode::ExtInt => LocalEvent::ExtInt,
            DeliveryMode::LowestPriority | DeliveryMode::Reserved | DeliveryMode::StartUp => {
                LocalEvent::None
            }
        }
    }

    /// Whether an external controller's interrupts reach the processor: by LINT0, or because there is no APIC in
    /// between (SDM 12.4.3).
    pub fn lint0_takes_extint(&self) -> bool {
        self.mode() == ApicMode::Disabled
            || self.page.get(Register::LVT_LINT0) & (DELIVERY_MODE | MASKED) == EXT_INT
    }
}
