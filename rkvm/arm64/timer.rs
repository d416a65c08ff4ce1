// SPDX-License-Identifier: GPL-2.0

//! The guest's timers: the virtual and the physical one of EL1, and the counters that they compare with.
//!
//! Source: Arm ARM (DDI 0487), D12 "The Generic Timer in AArch64 state"; CNTV_CTL_EL0, CNTV_CVAL_EL0,
//! CNTV_TVAL_EL0, CNTVOFF_EL2.

use crate::arm64::vgic::gic::{
    intid::{Intid, Kind},
    irq::Level,
};
use kernel::prelude::*;

/// Which timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// CNTV_*: counts from an offset that the hypervisor chooses.
    Virtual,
    /// CNTP_*.
    Physical,
}

impl Which {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Virtual, Self::Physical];
}

/// A point of a counter, in ticks. It wraps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count(pub u64);

/// How many ticks a guest's counter is behind the processor's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offset(pub u64);

impl Offset {
    /// What the processor's counter, which is `now`, is when the guest's is `count`. The processor's does not wrap: what
    /// was before its beginning is 0, and what never comes its end.
    pub fn ahead(self, now: Count, count: u64) -> u64 {
        let guest = now.behind(self).0;
        match count.checked_sub(guest) {
            Some(left) => now.0.saturating_add(left),
            None => now.0.saturating_sub(guest.wrapping_sub(count)),
        }
    }
}

impl Count {
    /// What the guest reads where the processor's counter is this.
    pub fn behind(self, offset: Offset) -> Self {
        Self(self.0.wrapping_sub(offset.0))
    }

    /// How far the processor's counter, which is this, has to be ahead for the guest to read `count`.
    pub fn offset_of(self, count: Self) -> Offset {
        Offset(self.0.wrapping_sub(count.0))
    }
}

/// The registers of a timer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timer {
    control: u64,
    compare: u64,
}

const ENABLE: u64 = 1 << 0;
const MASK: u64 = 1 << 1;
const STATUS: u64 = 1 << 2;

impl Timer {
    /// A timer that is off, as after a reset.
    pub const OFF: Self = Self {
        control: 0,
        compare: 0,
    };

    /// From CTL and CVAL as the processor has them.
    pub fn from_registers(control: u64, compare: u64) -> Self {
        let mut this = Self {
            control: 0,
            compare,
        };
        this.set_control(control);
        this
    }

    /// CTL without the status, which the processor adds.
    pub fn control(&self) -> u64 {
        self.control
    }

    /// Writes CTL; the status cannot be written.
    pub fn set_control(&mut self, value: u64) {
        self.control = value & (ENABLE | MASK);
    }

    /// CVAL.
    pub fn compare(&self) -> u64 {
        self.compare
    }

    /// Writes CVAL.
    pub fn set_compare(&mut self, value: u64) {
        self.compare = value;
    }

    /// CTL as it is read at a time.
    pub fn control_at(&self, now: Count) -> u64 {
        let met = self.control & ENABLE != 0 && now.0 >= self.compare;
        self.control | if met { STATUS } else { 0 }
    }

    /// TVAL as it is read at a time: the ticks to go, of which 32 bits are kept.
    pub fn value_at(&self, now: Count) -> u64 {
        self.compare.wrapping_sub(now.0) & u64::from(u32::MAX)
    }

    /// Writes TVAL: ticks from now on, signed.
    pub fn set_value_at(&mut self, now: Count, value: u64) {
        self.compare = now.0.wrapping_add(value as u32 as i32 as u64);
    }

    /// The timer's interrupt line at a time.
    pub fn line(&self, now: Count) -> Level {
        Level::from_high(self.is_armed() && now.0 >= self.compare)
    }

    /// Whether the line goes up at some time, or is up.
    #[inline]
    pub fn is_armed(&self) -> bool {
        self.control & (ENABLE | MASK) == ENABLE
    }

    /// How many ticks there are until the line goes up; `None` if it never does as things are. 0 if it is up.
    pub fn remaining(&self, now: Count) -> Option<u64> {
        self.is_armed().then(|| self.compare.saturating_sub(now.0))
    }
}

/// CTL as the processor has it: whether the line is up.
pub fn line_of_control(control: u64) -> Level {
    Level::from_high(control & (ENABLE | MASK | STATUS) == ENABLE | STATUS)
}

/// Nanoseconds of `ticks`, rounded up, of a counter with `hertz` ticks a second, of which the lower 32 bits count.
pub fn nanoseconds(ticks: u64, hertz: u64) -> u64 {
    const PER_SECOND: u64 = 1_000_000_000;
    let hertz = (hertz & u64::from(u32::MAX)).max(1);
    let (seconds, rest) = (ticks / hertz, ticks % hertz);
    let whole = seconds.saturating_mul(PER_SECOND);
    whole.saturating_add(rest.saturating_mul(PER_SECOND).div_ceil(hertz))
}

/// The PPIs of a VM's timers: those of the Base System Architecture, until the VMM chooses others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ppis {
    virtual_timer: Intid,
    physical_timer: Intid,
}

impl Default for Ppis {
    fn default() -> Self {
        Self {
            virtual_timer: Intid::new(27),
            physical_timer: Intid::new(30),
        }
    }
}

impl Ppis {
    /// The PPI of a timer.
    pub fn get(&self, which: Which) -> Intid {
        match which {
            Which::Virtual => self.virtual_timer,
            Which::Physical => self.physical_timer,
        }
    }

    /// Another PPI for a timer. `EINVAL` if it is none.
    pub fn set(&mut self, which: Which, intid: Intid) -> Result {
        if intid.kind() != Kind::Ppi {
            return Err(EINVAL);
        }
        match which {
            Which::Virtual => self.virtual_timer = intid,
            Which::Physical => self.physical_timer = intid,
        }
        Ok(())
    }

    /// Whether each timer has its own.
    pub fn are_distinct(&self) -> bool {
        self.virtual_timer != self.physical_timer
    }
}
