// SPDX-License-Identifier: GPL-2.0

//! A virtual-machine control structure, and the proof that it is the current one.
//!
//! # Where a VMCS is
//!
//! A CPU has at most one VMCS active: the one that is current. To make another current, a CPU first
//! clears the one before, so that a vCPU that moves finds its VMCS in memory unless the old CPU still
//! has it, and then asks that CPU to clear it. Nothing needs a list, and a CPU that goes
//! offline has one VMCS to clear.

// UNSAFETY: makes VMCSs active and inactive, and reads and writes the current one.
#![expect(unsafe_code)]

use super::{
    field::{Field, FieldValue},
    instructions,
};
use crate::{
    host::{
        bindings,
        cpu::{call_on, Cpu, IrqOff, PreemptOff},
        page::KernelPage,
    },
    types::Hpa,
};
use core::sync::atomic::Ordering;
use kernel::prelude::*;

/// Whether VMLAUNCH or VMRESUME enters the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Launch {
    /// The VMCS was cleared since it was last entered.
    Clear,
    /// It was entered.
    Launched,
}

/// What loading a VMCS found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Residence {
    /// It was still current on this CPU.
    Current,
    /// It was made current; nothing that this CPU caches for it can be trusted.
    Moved,
}

/// One VMCS, owned.
pub struct Vmcs {
    /// Owned here, and used by the processor.
    _page: KernelPage,
    address: Hpa,
    /// The CPU that had it last, if any.
    cpu: Option<Cpu>,
    launch: Launch,
}

impl Vmcs {
    /// A clear VMCS of the format that `revision` names. `ENOMEM` if there is no memory.
    pub fn new(revision: u32) -> Result<Self> {
        let page = KernelPage::new()?;
        let [first, ..] = page.words();
        first.store(revision, Ordering::Relaxed);
        Ok(Self {
            address: page.hpa(),
            _page: page,
            cpu: None,
            launch: Launch::Clear,
        })
    }

    /// Makes this the current VMCS until the token is dropped.
    ///
    /// Called with interrupts on, by whoever has the vCPU locked: two tokens at a time on one CPU
    /// would need two vCPUs locked.
    #[inline]
    pub fn load(&mut self) -> (Loaded, Residence) {
        let here = PreemptOff::new();
        let address = self.address;
        if active_here(&here) == address.raw() {
            return (Loaded { here }, Residence::Current);
        }
        self.make_current(&here, address);
        (Loaded { here }, Residence::Moved)
    }

    #[cold]
    fn make_current(&mut self, here: &PreemptOff, address: Hpa) {
        self.leave_cpu();
        clear_here(here);
        // SAFETY: no CPU has it active: the last one that had has cleared it, just now or when it
        // took another.
        if unsafe { instructions::vmptrld(address) }.is_err() {
            pr_err!("VMPTRLD failed\n");
        }
        // SAFETY: preemption is off, so that the word is that of the CPU which has just loaded the VMCS.
        unsafe { bindings::rkvm_set_vmcs_here(address.raw()) };
        self.cpu = Some(here.cpu());
        self.launch = Launch::Clear;
    }

    /// Has the CPU that used it last clear it, if it has not.
    fn leave_cpu(&mut self) {
        let Some(cpu) = self.cpu.take() else { return };
        let address = self.address.raw();
        if active_on(cpu) == address {
            let clear = || {
                let here = PreemptOff::new();
                if active_here(&here) == address {
                    clear_here(&here);
                }
            };
            // A CPU that is offline has cleared what it had.
            let _ = call_on(cpu, &clear);
        }
    }

    /// How the next entry is made.
    pub fn launch(&self) -> Launch {
        self.launch
    }

    /// An entry has succeeded; one that fails on the guest state leaves the VMCS clear.
    pub fn set_launched(&mut self) {
        self.launch = Launch::Launched;
    }
}

impl Drop for Vmcs {
    fn drop(&mut self) {
        self.leave_cpu();
    }
}

/// The address of the VMCS that is active on `cpu`, 0 if none is.
fn active_on(cpu: Cpu) -> u64 {
    // SAFETY: reads a per-CPU word; a vCPU or this task was on the CPU, so that the word is there.
    unsafe { bindings::rkvm_vmcs_on_cpu(cpu.number() as i32) }
}

/// [`active_on`] for this CPU.
#[inline]
fn active_here(_here: &PreemptOff) -> u64 {
    // SAFETY: reads a per-CPU word.
    unsafe { bindings::rkvm_vmcs_here() }
}

/// Clears the VMCS that is active on this CPU, if any.
///
/// With interrupts off: between the look and the VMCLEAR, another CPU may not have this one clear
/// the VMCS and take it.
pub fn clear_here(here: &PreemptOff) {
    let _irq_off = here.irq_off();
    let address = active_here(here);
    if address != 0 {
        // SAFETY: the VMCS is this module's and active here, so nowhere else, as long as interrupts are off.
        if unsafe { instructions::vmclear(Hpa::new(address)) }.is_err() {
            pr_err!("VMCLEAR failed\n");
        }
        // SAFETY: preemption is off.
        unsafe { bindings::rkvm_set_vmcs_here(0) };
    }
}

/// The vCPU's VMCS is current on this CPU, and preemption is off.
pub struct Loaded {
    here: PreemptOff,
}

impl Loaded {
    /// The CPU.
    #[inline(always)]
    pub fn here(&self) -> &PreemptOff {
        &self.here
    }

    /// Shuts interrupts out.
    #[inline(always)]
    pub fn irq_off(&self) -> IrqOff<'_> {
        self.here.irq_off()
    }

    /// Reads a field; 0 if this CPU does not have it.
    #[inline(always)]
    pub fn read<T: FieldValue>(&self, field: Field<T>) -> T {
        // SAFETY: a VMCS is current while the token exists.
        unsafe { instructions::vmread(field) }
    }

    /// Writes a field of the guest-state or control area.
    #[inline(always)]
    pub fn write<T: FieldValue>(&self, field: Field<T>, value: T) {
        // SAFETY: a VMCS is current while the token exists. Fields of the host-state area are
        // written from the CPU's own state by `host_state`; those of the other areas are checked by the
        // entry, and confine the guest by EPT.
        if unsafe { instructions::vmwrite(field, value) }.is_err() {
            write_failed(field.encoding().raw());
        }
    }
}

#[cold]
fn write_failed(encoding: u32) {
    pr_err!("VMWRITE of field {encoding:#x} failed\n");
}
