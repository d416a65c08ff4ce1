// SPDX-License-Identifier: GPL-2.0

//! Interrupt lines: who holds them up, and what becomes of an interrupt that one raises.
//!
//! A line may have several sources; its level is the OR of theirs.

/// The number of pins that an [`Pins`] has room for.
const MAX_PINS: u32 = 32;

/// Who can hold a line up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The VMM: KVM_IRQ_LINE, and irqfds without resampling.
    User,
    /// Irqfds with a resamplefd, which let go of the line when its interrupt is acknowledged.
    Resample,
    /// The 8254 of the VM.
    Pit,
}

/// The level of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Not asserted.
    Low,
    /// Asserted.
    High,
}

/// The sources that hold a line up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sources(u8);

impl Sources {
    /// Nobody.
    pub const NONE: Self = Self(0);

    const fn bit(source: Source) -> u8 {
        1 << source as u8
    }

    /// Changes what `source` does; returns the line's level.
    pub fn set(&mut self, source: Source, level: Level) -> Level {
        match level {
            Level::Low => self.0 &= !Self::bit(source),
            Level::High => self.0 |= Self::bit(source),
        }
        self.level()
    }

    /// The line's level.
    pub const fn level(self) -> Level {
        if self.0 == 0 {
            Level::Low
        } else {
            Level::High
        }
    }

    /// Whether `source` holds the line up, and no other does.
    pub fn are_only(self, source: Source) -> bool {
        self.0 == Self::bit(source)
    }
}

/// What became of an interrupt, as KVM_IRQ_LINE_STATUS tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineOutcome {
    /// It was masked, or nobody is there to take it.
    Ignored,
    /// An earlier one is still pending, and stands for both.
    Coalesced,
    /// It went to so many processors.
    Delivered(u32),
}

impl LineOutcome {
    /// The outcome of a line that is wired to two inputs.
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Ignored, outcome) | (outcome, Self::Ignored) => outcome,
            (Self::Coalesced, outcome) | (outcome, Self::Coalesced) => outcome,
            (Self::Delivered(a), Self::Delivered(b)) => Self::Delivered(a.saturating_add(b)),
        }
    }

    /// `kvm_irq_level.status`: negative, 0, or the number of processors.
    pub fn status(self) -> i32 {
        match self {
            Self::Ignored => -1,
            Self::Coalesced => 0,
            Self::Delivered(count) => i32::try_from(count).unwrap_or(i32::MAX),
        }
    }
}

/// A set of the pins of a chip.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pins(u32);

impl Pins {
    /// No pin.
    pub const NONE: Self = Self(0);

    /// The pins whose bits are set in `mask`.
    pub const fn from_mask(mask: u32) -> Self {
        Self(mask)
    }

    /// Bit n stands for pin n.
    pub const fn mask(self) -> u32 {
        self.0
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether `pin` is among them.
    pub const fn contains(self, pin: u8) -> bool {
        (pin as u32) < MAX_PINS && self.0 & 1 << pin != 0
    }

    /// Adds `pin`, if there can be such a pin.
    pub fn insert(&mut self, pin: u8) {
        self.0 |= 1u32.checked_shl(pin.into()).unwrap_or(0);
    }

    /// Adds all of `others`.
    pub fn extend(&mut self, others: Self) {
        self.0 |= others.0;
    }

    /// The pins in ascending order.
    pub fn iter(self) -> impl Iterator<Item = u8> {
        let mut rest = self.0;
        core::iter::from_fn(move || {
            let pin = rest.trailing_zeros() as u8;
            let found = rest != 0;
            rest &= rest.wrapping_sub(1);
            found.then_some(pin)
        })
    }
}

/// What the owner of a chip has to see to after an access to it.
#[must_use]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Pins whose interrupt the guest has acknowledged. The chip itself has let go of [`Source::Resample`] there.
    pub acknowledged: Pins,
    /// Pins that were masked and are no longer.
    pub unmasked: Pins,
    /// Whether other vectors than before have to be told when their interrupt ends.
    pub vectors: Vectors,
}

/// Whether a set of vectors has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Vectors {
    /// It is what it was.
    #[default]
    Same,
    /// It has to be asked for again.
    Changed,
}

/// A set of interrupt vectors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VectorSet([u64; 4]);

impl VectorSet {
    const WORD_SHIFT: u32 = 6;
    const BIT_MASK: u8 = 63;

    /// Adds a vector.
    pub fn insert(&mut self, vector: u8) {
        if let Some(word) = self.0.get_mut(usize::from(vector >> Self::WORD_SHIFT)) {
            *word |= 1 << (vector & Self::BIT_MASK);
        }
    }

    /// Bit n of word m stands for vector 64*m + n, as in the EOI-exit bitmaps of VMX.
    pub const fn words(&self) -> [u64; 4] {
        self.0
    }
}
