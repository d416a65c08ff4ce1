// SPDX-License-Identifier: GPL-2.0

//! The timers of this processor that guests use.
//!
//! A timer of the guest runs in the processor while the vCPU's registers are there. When it fires the host takes the
//! interrupt, which ends the guest's stay, and does not deactivate it: the guest's own deactivation of the virtual
//! interrupt does. So a timer interrupt costs one exit. If the guest never gets to it, since the line falls before or
//! the vCPU leaves the processor, the module deactivates it itself.

use crate::{
    arm64::{
        registers::*,
        timer::{line_of_control, Count, Offset, Timer, Which},
        vgic::gic::irq::Level,
    },
    host::cpu::PreemptOff,
};

/// CNTHCTL_EL2: the guest reaches the physical counter and the physical timer.
const PHYSICAL_COUNTER: u64 = 1 << 10;
const PHYSICAL_TIMER: u64 = 1 << 11;

/// The processor's counter.
pub fn now() -> Count {
    // What is read must not be from before what comes before.
    isb();
    Count(CntpctEl0::read())
}

/// Ticks of the counter in a second.
pub fn hertz() -> u64 {
    CntfrqEl0::read()
}

/// How far the guest's counters are behind.
#[derive(Clone, Copy, Debug)]
pub struct Offsets {
    /// The virtual one, which the processor takes account of.
    pub virtual_counter: Offset,
    /// The physical one. The processor does not know of it, so that the guest's accesses trap if it is not 0.
    pub physical_counter: Offset,
}

/// The timers are in the processor.
pub struct Running {
    host_traps: u64,
    physical_offset: Offset,
    /// CNTP_CVAL_EL0 of a guest whose accesses trap; the processor's may be another.
    physical_compare: u64,
}

impl Running {
    /// Loads the timers: the virtual and the physical one.
    pub fn enter(here: &PreemptOff, timers: [Timer; 2], offsets: Offsets) -> Self {
        let [virtual_timer, physical_timer] = timers;
        let host_traps = CnthctlEl2::read();
        let physical_offset = offsets.physical_counter;
        let traps = if physical_offset == Offset::default() {
            host_traps | PHYSICAL_COUNTER | PHYSICAL_TIMER
        } else {
            host_traps & !(PHYSICAL_COUNTER | PHYSICAL_TIMER)
        };
        if traps != host_traps {
            CnthctlEl2::write(here, traps);
        }
        CntvoffEl2::write(here, offsets.virtual_counter.0);
        CntvCvalEl02::write(here, virtual_timer.compare());
        CntpCvalEl02::write(here, processor_compare(physical_offset, &physical_timer));
        isb();
        CntvCtlEl02::write(here, virtual_timer.control());
        CntpCtlEl02::write(here, physical_timer.control());
        isb();
        Self {
            host_traps,
            physical_offset,
            physical_compare: physical_timer.compare(),
        }
    }

    /// The physical timer as it is now.
    pub fn physical(&self) -> Timer {
        let compare = if self.physical_offset == Offset::default() {
            CntpCvalEl02::read()
        } else {
            self.physical_compare
        };
        Timer::from_registers(CntpCtlEl02::read(), compare)
    }

    /// Changes the physical timer.
    pub fn set_physical(&mut self, here: &PreemptOff, timer: Timer) {
        self.physical_compare = timer.compare();
        CntpCvalEl02::write(here, processor_compare(self.physical_offset, &timer));
        CntpCtlEl02::write(here, timer.control());
        isb();
    }

    /// The guest's physical counter.
    pub fn physical_count(&self) -> Count {
        now().behind(self.physical_offset)
    }

    /// The lines of the virtual and the physical timer.
    #[inline(always)]
    pub fn lines(&self) -> [Level; 2] {
        [
            line_of_control(CntvCtlEl02::read()),
            line_of_control(CntpCtlEl02::read()),
        ]
    }

    /// Saves the timers and turns them off in the processor.
    pub fn leave(self, here: &PreemptOff) -> [Timer; 2] {
        let timers = [
            Timer::from_registers(CntvCtlEl02::read(), CntvCvalEl02::read()),
            self.physical(),
        ];
        CntvCtlEl02::write(here, 0);
        CntpCtlEl02::write(here, 0);
        CntvoffEl2::write(here, 0);
        CnthctlEl2::write(here, self.host_traps);
        isb();
        timers
    }
}

/// CNTP_CVAL_EL0 as the processor needs it for a guest's timer.
fn processor_compare(offset: Offset, timer: &Timer) -> u64 {
    if offset == Offset::default() {
        timer.compare()
    } else {
        offset.ahead(now(), timer.compare())
    }
}

/// The physical interrupt of a timer: the number by which the processor's redistributor knows it.
#[derive(Clone, Copy, Debug)]
pub struct PhysicalPpis {
    /// Of the virtual timer.
    pub virtual_timer: u8,
    /// Of the physical timer.
    pub physical_timer: u8,
}

impl PhysicalPpis {
    /// That of one timer.
    pub fn get(&self, which: Which) -> u8 {
        match which {
            Which::Virtual => self.virtual_timer,
            Which::Physical => self.physical_timer,
        }
    }
}
