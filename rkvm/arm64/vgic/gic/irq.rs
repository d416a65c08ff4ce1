// SPDX-License-Identifier: GPL-2.0

//! The state of one interrupt.
//!
//! Source: IHI 0069, section 4.1.2 "Interrupt handling state machine".

use super::{
    intid::{IrqRef, VcpuIndex},
    list_register::State,
};

/// When an interrupt becomes pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// While its line is high.
    Level,
    /// When its line goes up, or a message comes.
    Edge,
}

/// A line's level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Not asserted.
    Low,
    /// Asserted.
    High,
}

impl Level {
    /// High if it is.
    pub const fn from_high(high: bool) -> Self {
        if high {
            Self::High
        } else {
            Self::Low
        }
    }
}

/// Interrupt groups. Groups with different security are one here, as a guest has one security state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Group 0, signalled as FIQ.
    Zero,
    /// Group 1, signalled as IRQ.
    One,
}

/// An interrupt's priority: 0 is the highest. Only the upper bits are implemented.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Priority(u8);

impl Priority {
    /// Implemented bits: 32 levels.
    pub const BITS: u32 = 5;

    /// A priority as written; bits that are not implemented are dropped.
    pub const fn new(value: u8) -> Self {
        const IMPLEMENTED: u8 = !((1 << (8 - Priority::BITS)) - 1);
        Self(value & IMPLEMENTED)
    }

    /// The register's value.
    pub const fn raw(self) -> u8 {
        self.0
    }
}

/// What a register write has changed of an interrupt that is loaded: it is done when that is taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amendment {
    active: Option<bool>,
    drop_pending: bool,
}

impl Amendment {
    const NONE: Self = Self {
        active: None,
        drop_pending: false,
    };
}

/// An interrupt.
///
/// While it is *loaded*, a list register of its holder has its active state, and of its pending state what was
/// latched then; the latch here is what has come since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Irq {
    /// Forwarded to processors.
    pub enabled: bool,
    /// Its group.
    pub group: Group,
    /// When it becomes pending.
    pub trigger: Trigger,
    /// Pending by an edge or a message, or by a write to ISPENDR.
    pub latch: bool,
    /// The line is high.
    pub line: bool,
    /// A processor has acknowledged it and not deactivated it.
    pub active: bool,
    /// In a list register of the holder.
    pub loaded: bool,
    /// It was latched when it was loaded as pending, which a list register that still is pending keeps.
    pub loaded_latch: bool,
    /// What a register write has changed since it was loaded.
    pub amendment: Amendment,
    /// Its priority.
    pub priority: Priority,
    /// The physical interrupt of this processor that a guest's deactivation ends, too.
    pub hardware: Option<u8>,
    /// GICD_IROUTER: the affinity of the processor that is to take it.
    pub router: u32,
    /// The vCPU that takes it when it becomes pending; none if the affinity is no vCPU's.
    pub target: Option<VcpuIndex>,
    /// The vCPU in whose queue it is.
    pub holder: Option<VcpuIndex>,
    /// The one before in that queue.
    pub previous: Option<IrqRef>,
    /// The one after.
    pub next: Option<IrqRef>,
}

impl Irq {
    /// After reset: disabled, inactive, of group 1, as a guest with one security state wants it.
    pub const fn new(trigger: Trigger, target: Option<VcpuIndex>) -> Self {
        Self {
            enabled: false,
            group: Group::One,
            trigger,
            latch: false,
            line: false,
            active: false,
            loaded: false,
            loaded_latch: false,
            amendment: Amendment::NONE,
            priority: Priority::new(0),
            hardware: None,
            router: 0,
            target,
            holder: None,
            previous: None,
            next: None,
        }
    }

    /// Whether it was active when that was last known, or was made so since.
    pub fn is_active(&self) -> bool {
        self.amendment.active.unwrap_or(self.active)
    }

    /// ISACTIVER, ICACTIVER: makes it active or inactive.
    pub fn set_active(&mut self, active: bool) {
        if self.loaded {
            self.amendment.active = Some(active);
        } else {
            self.active = active;
        }
    }

    /// ICPENDR: forgets an edge, a message or a write to ISPENDR.
    pub fn clear_latch(&mut self) {
        self.latch = false;
        self.loaded_latch = false;
        self.amendment.drop_pending = self.loaded;
    }

    /// Takes it out of a list register, where it was left in this state.
    pub fn unload(&mut self, state: State) {
        let amendment = core::mem::replace(&mut self.amendment, Amendment::NONE);
        self.active = amendment.active.unwrap_or(state.active);
        self.latch |= state.pending && self.loaded_latch && !amendment.drop_pending;
        self.loaded_latch = false;
        self.loaded = false;
    }

    /// Whether it is pending, apart from what a list register has.
    #[inline]
    pub fn is_pending(&self) -> bool {
        self.latch || self.trigger == Trigger::Level && self.line
    }

    /// Changes the line. Whether that can make it pending, or take that back. As with C KVM each high level is another
    /// edge: VMMs do not all lower the line in between.
    pub fn set_line(&mut self, level: Level) -> bool {
        let high = level == Level::High;
        let was_high = core::mem::replace(&mut self.line, high);
        match self.trigger {
            Trigger::Level => was_high != high,
            Trigger::Edge => {
                self.latch |= high;
                high
            }
        }
    }
}
