// SPDX-License-Identifier: GPL-2.0

//! Physical interrupts that come for the sake of guests: those of the timers that guests use, and the maintenance
//! interrupt of the GIC. They are enabled on every CPU while the module is loaded.

// UNSAFETY: calls the C functions that know these interrupts.
#![expect(unsafe_code)]

use crate::{
    arm64::{running_timers::PhysicalPpis, timer::Which},
    host::{
        bindings,
        cpu::{PerCpu, PerCpuRegistration, PreemptOff},
    },
};
use kernel::prelude::*;

/// The timers as C numbers them.
const VIRTUAL: u32 = 0;
const PHYSICAL: u32 = 1;

/// Enables them on a CPU, and notes what guests' exits have to do there.
struct OnEachCpu;

impl PerCpu for OnEachCpu {
    fn online() -> Result {
        // SAFETY: called on the CPU in question, while the interrupts are requested.
        unsafe {
            bindings::rkvm_note_branch_history();
            bindings::rkvm_guest_irqs_enable();
        }
        Ok(())
    }

    fn offline() {
        // SAFETY: likewise.
        unsafe { bindings::rkvm_guest_irqs_disable() };
    }
}

/// The interrupts, until it is dropped.
pub struct GuestIrqs {
    registration: Option<PerCpuRegistration<OnEachCpu>>,
}

impl GuestIrqs {
    /// Requests them. The log says what fails: `ENODEV` if neither device tree nor ACPI names them, `EOPNOTSUPP` if the
    /// host's GIC does not let guests deactivate interrupts, `EBUSY` if others have them.
    pub fn request() -> Result<Self> {
        // SAFETY: process context.
        kernel::error::to_result(unsafe { bindings::rkvm_guest_irqs_request() })?;
        let mut this = Self { registration: None };
        this.registration = Some(PerCpuRegistration::new()?);
        Ok(this)
    }

    /// The timers' interrupts, by the GIC's numbers.
    pub fn timers(&self) -> PhysicalPpis {
        // SAFETY: reads numbers that are known since the interrupts were requested.
        unsafe {
            PhysicalPpis {
                virtual_timer: bindings::rkvm_guest_timer_number(VIRTUAL),
                physical_timer: bindings::rkvm_guest_timer_number(PHYSICAL),
            }
        }
    }
}

/// A timer's interrupt counts as taken for the guest on this CPU: it does not come while its line is up, until it is
/// deactivated.
pub fn hold(_here: &PreemptOff, which: Which) {
    let number = match which {
        Which::Virtual => VIRTUAL,
        Which::Physical => PHYSICAL,
    };
    // SAFETY: the interrupts are requested as long as there are VMs, and preemption is off.
    unsafe { bindings::rkvm_guest_timer_hold(number) };
}

impl Drop for GuestIrqs {
    fn drop(&mut self) {
        // Disabled on all CPUs first.
        self.registration = None;
        // SAFETY: they were requested, and are freed once.
        unsafe { bindings::rkvm_guest_irqs_free() };
    }
}
