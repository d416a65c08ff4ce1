// SPDX-License-Identifier: GPL-2.0

//! An entry of the I/O redirection table (82093AA datasheet, 3.2.4).

/// Where and how the interrupt of a pin is sent, and how far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct RedirectionEntry(u64);

impl RedirectionEntry {
    const DELIVERY_STATUS: u64 = 1 << 12;
    const REMOTE_IRR: u64 = 1 << 14;
    const LEVEL: u64 = 1 << 15;
    const MASKED: u64 = 1 << 16;
    const HALF_SHIFT: u32 = 32;
    const LOW_HALF: u64 = u32::MAX as u64;
    const READ_ONLY: u64 = Self::DELIVERY_STATUS | Self::REMOTE_IRR;

    /// What an entry is after reset: masked, and 0 apart from that.
    pub const RESET: Self = Self(Self::MASKED);

    /// Wraps the 64 bits of an entry.
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// The 64 bits of the entry.
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// The vector.
    pub const fn vector(self) -> u8 {
        self.0 as u8
    }

    /// Whether the pin is level-triggered.
    pub const fn is_level(self) -> bool {
        self.0 & Self::LEVEL != 0
    }

    /// Whether a level-triggered interrupt was accepted by a local APIC that has not ended it yet.
    pub const fn remote_irr(self) -> bool {
        self.0 & Self::REMOTE_IRR != 0
    }

    /// Whether the pin is masked.
    pub const fn is_masked(self) -> bool {
        self.0 & Self::MASKED != 0
    }

    /// One half of the entry.
    pub const fn half(self, half: Half) -> u32 {
        match half {
            Half::Low => self.0 as u32,
            Half::High => (self.0 >> Self::HALF_SHIFT) as u32,
        }
    }

    /// The entry after a write to one half. Read-only bits stay, but for Remote IRR when the pin becomes
    /// edge-triggered: guests make it so to end an interrupt where there is no EOI register.
    pub const fn written(self, half: Half, value: u32) -> Self {
        let value = value as u64;
        let raw = match half {
            Half::Low => self.0 & !Self::LOW_HALF | value,
            Half::High => self.0 & Self::LOW_HALF | value << Self::HALF_SHIFT,
        };
        let entry = Self(raw & !Self::READ_ONLY | self.0 & Self::READ_ONLY);
        if entry.is_level() {
            entry
        } else {
            entry.ended()
        }
    }

    /// The entry once its interrupt has been accepted.
    pub(super) const fn accepted(self) -> Self {
        Self(self.0 | Self::REMOTE_IRR)
    }

    /// The entry once its interrupt has been ended.
    pub(super) const fn ended(self) -> Self {
        Self(self.0 & !Self::REMOTE_IRR)
    }
}

/// One of the two registers that make an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// Bits 31 to 0.
    Low,
    /// Bits 63 to 32.
    High,
}
