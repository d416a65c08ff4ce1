// SPDX-License-Identifier: GPL-2.0

//! Physical interrupts that come for the sake of guests: those of the timers that guests use, and the maintenance
//! interrupt of the GIC. They are enabled on every CPU while the module is loaded.

// UNSAFETY: calls the C functions that know these interrupts.
#![expect(unsafe_code)]

use crate::{
    arm64::running_timers::PhysicalPpis,
    host::{
        bindings,
        cpu::{PerCpu, PerCpuRegistration},
    },
};
use kernel::prelude::*;

/// Enables them on a CPU.
struct OnEachCpu;

impl PerCpu for OnEachCpu {
    fn online() -> Result {
        // SAFETY: called on the CPU in question, while the interrupts are requested.
        unsafe { bindings::rkvm_guest_irqs_enable() };
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
    /// Requests them. The log says what fails: `ENODEV` if the device tree does not name them, `EOPNOTSUPP` if the
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
                virtual_timer: bindings::rkvm_guest_timer_number(0),
                physical_timer: bindings::rkvm_guest_timer_number(1),
            }
        }
    }
}

impl Drop for GuestIrqs {
    fn drop(&mut self) {
        // Disabled on all CPUs first.
        self.registration = None;
        // SAFETY: they were requested, and are freed once.
        unsafe { bindings::rkvm_guest_irqs_free() };
    }
}
