// SPDX-License-Identifier: GPL-2.0

//! List registers: the interrupts that the processor itself offers the guest.
//!
//! Source: IHI 0069, ICH_LR<n>_EL2, ICH_HCR_EL2.

use super::{
    cpu_interface::Groups,
    intid::{Intid, IrqRef},
    irq::{Group, Priority},
};

/// The most list registers that a processor has.
pub const MAX: usize = 16;

/// Who hears of the guest's deactivation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completion {
    /// Nobody: the list register is just empty then.
    Silent,
    /// It raises the maintenance interrupt.
    Maintenance,
    /// It deactivates this physical interrupt.
    Hardware(u8),
}

/// The states that a list register can hold of an interrupt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Waits to be acknowledged.
    pub pending: bool,
    /// Acknowledged and not deactivated.
    pub active: bool,
}

/// The value of a list register.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListRegister(u64);

impl ListRegister {
    /// Nothing in it.
    pub const EMPTY: Self = Self(0);

    const MAINTENANCE: u64 = 1 << 41;
    const PHYSICAL_SHIFT: u32 = 32;
    const PRIORITY_SHIFT: u32 = 48;
    const GROUP1: u64 = 1 << 60;
    const HARDWARE: u64 = 1 << 61;
    const PENDING: u64 = 1 << 62;
    const ACTIVE: u64 = 1 << 63;

    /// As the processor has it.
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// As the processor wants it.
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// An interrupt.
    pub fn new(
        intid: Intid,
        state: State,
        priority: Priority,
        group: Group,
        completion: Completion,
    ) -> Self {
        let mut raw = u64::from(intid.raw()) | u64::from(priority.raw()) << Self::PRIORITY_SHIFT;
        if state.pending {
            raw |= Self::PENDING;
        }
        if state.active {
            raw |= Self::ACTIVE;
        }
        if group == Group::One {
            raw |= Self::GROUP1;
        }
        raw |= match completion {
            Completion::Silent => 0,
            Completion::Maintenance => Self::MAINTENANCE,
            Completion::Hardware(number) => {
                Self::HARDWARE | u64::from(number) << Self::PHYSICAL_SHIFT
            }
        };
        Self(raw)
    }

    /// Its state.
    pub fn state(self) -> State {
        State {
            pending: self.0 & Self::PENDING != 0,
            active: self.0 & Self::ACTIVE != 0,
        }
    }

    /// Whether nothing is left of the interrupt: the guest has dealt with it.
    pub fn is_done(self) -> bool {
        self.0 & (Self::PENDING | Self::ACTIVE) == 0
    }

    /// Whether the guest has dealt with an interrupt whose end raises the maintenance interrupt.
    pub fn has_ended(self) -> bool {
        self.is_done() && self.0 & Self::HARDWARE == 0 && self.0 & Self::MAINTENANCE != 0
    }
}

/// What the hypervisor is told by the maintenance interrupt, and what traps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// Pending interrupts are left over: when no list register is pending any more.
    pub no_pending: bool,
    /// Active interrupts are left over: when the guest has ended one.
    pub ended_elsewhere: bool,
    /// Pending interrupts were chosen by these groups: when the guest turns one on or off.
    pub other_groups: Option<Groups>,
}

impl Requests {
    const EN: u64 = 1 << 0;
    const LRENPIE: u64 = 1 << 2;
    const NPIE: u64 = 1 << 3;
    const GROUP0_ENABLED: u64 = 1 << 4;
    const GROUP0_DISABLED: u64 = 1 << 5;
    const GROUP1_ENABLED: u64 = 1 << 6;
    const GROUP1_DISABLED: u64 = 1 << 7;
    const TDIR: u64 = 1 << 14;
    const EOI_COUNT_SHIFT: u32 = 27;
    const EOI_COUNT_MASK: u64 = 0x1f;

    /// ICH_HCR_EL2 while the guest runs.
    pub fn hcr(self) -> u64 {
        let mut raw = Self::EN;
        if self.no_pending {
            raw |= Self::NPIE;
        }
        if self.ended_elsewhere {
            raw |= Self::LRENPIE | Self::TDIR;
        }
        if let Some(groups) = self.other_groups {
            raw |= if groups.has(Group::Zero) {
                Self::GROUP0_DISABLED
            } else {
                Self::GROUP0_ENABLED
            };
            raw |= if groups.has(Group::One) {
                Self::GROUP1_DISABLED
            } else {
                Self::GROUP1_ENABLED
            };
        }
        raw
    }

    /// ICH_HCR_EL2 with nothing but what the processor has counted.
    pub fn only_count(hcr: u64) -> u64 {
        hcr & Self::EOI_COUNT_MASK << Self::EOI_COUNT_SHIFT
    }

    /// From ICH_HCR_EL2: how many interrupts the guest has ended that were in no list register.
    pub fn eoi_count(hcr: u64) -> u32 {
        (hcr >> Self::EOI_COUNT_SHIFT & Self::EOI_COUNT_MASK) as u32
    }
}

/// A vCPU's list registers and what is in them.
#[derive(Clone, Debug)]
pub struct ListRegisters {
    values: [ListRegister; MAX],
    holds: [Option<IrqRef>; MAX],
    count: usize,
    used: usize,
    /// What the processor is asked for besides.
    pub requests: Requests,
    /// Read from ICH_HCR_EL2 before interrupts are taken back.
    pub eoi_count: u32,
    /// The guest's writes to ICC_DIR_EL1 trap, whatever is loaded: they may be about interrupts of other vCPUs. Hardly
    /// a guest has them.
    pub traps_end: bool,
}

impl ListRegisters {
    /// As many as the processor has, at most [`MAX`].
    pub fn new(count: usize) -> Self {
        Self {
            values: [ListRegister::EMPTY; MAX],
            holds: [None; MAX],
            count: count.clamp(1, MAX),
            used: 0,
            requests: Requests::default(),
            eoi_count: 0,
            traps_end: false,
        }
    }

    /// ICH_HCR_EL2 while the guest runs.
    #[inline]
    pub fn hcr(&self) -> u64 {
        let mut raw = self.requests.hcr();
        if self.traps_end {
            raw |= Requests::TDIR;
        }
        raw
    }

    /// Whether the maintenance interrupt may come.
    #[inline]
    pub fn may_want_maintenance(&self) -> bool {
        self.used > 0 || self.requests.other_groups.is_some()
    }

    /// How many there are.
    #[inline]
    pub fn count(&self) -> usize {
        self.count
    }

    /// How many are in use, from the first one on.
    #[inline]
    pub fn used(&self) -> usize {
        self.used
    }

    /// The values in use.
    #[inline]
    pub fn values(&self) -> &[ListRegister] {
        self.values.get(..self.used).unwrap_or_default()
    }

    /// The values in use, for what the processor has made of them.
    #[inline]
    pub fn values_mut(&mut self) -> &mut [ListRegister] {
        self.values.get_mut(..self.used).unwrap_or_default()
    }

    /// The interrupts and their registers.
    pub fn interrupts(&self) -> impl Iterator<Item = (IrqRef, ListRegister)> + '_ {
        let held = self.holds.iter().zip(&self.values).take(self.used);
        held.filter_map(|(holds, value)| Some(((*holds)?, *value)))
    }

    /// Whether an interrupt is in one of them.
    pub fn holds(&self, at: IrqRef) -> bool {
        self.interrupts().any(|(held, _)| held == at)
    }

    /// Empties all.
    pub fn clear(&mut self) {
        self.used = 0;
        self.eoi_count = 0;
        self.requests = Requests::default();
    }

    /// Adds an interrupt; it must not be there, and there must be room.
    pub fn push(&mut self, at: IrqRef, value: ListRegister) {
        let free = (
            self.values.get_mut(self.used),
            self.holds.get_mut(self.used),
        );
        if let (Some(register), Some(held)) = free {
            *register = value;
            *held = Some(at);
            self.used = self.used.saturating_add(1);
        }
    }
}
