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

    /// The source of an entry, the timer or the APIC's own errors, raises its interrupt. Whether that is requested now:
    /// the entry is not masked, and of a mode that has a vector.
    pub(super) fn raise(&mut self, entry: Register) -> bool {
        let value = self.page.get(entry);
        let raised = value & MASKED == 0
            && self.mode() != ApicMode::Disabled
            && DeliveryMode::from_register(value) == DeliveryMode::Fixed;
        if raised {
            self.accept((value & VECTOR) as u8, Trigger::Edge);
        }
        raised
    }

    /// Whether an external controller's interrupts reach the processor: by LINT0, or because there is no APIC in
    /// between (SDM 12.4.3).
    pub fn lint0_takes_extint(&self) -> bool {
        self.mode() == ApicMode::Disabled
            || self.page.get(Register::LVT_LINT0) & (DELIVERY_MODE | MASKED) == EXT_INT
    }
}
