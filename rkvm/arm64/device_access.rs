// SPDX-License-Identifier: GPL-2.0

//! Accesses of the guest to addresses without memory: devices in the kernel, then the VMM.

use crate::{
    arm64::{
        counters::Event,
        exception::{self, status, Aborted},
        exit::Abort,
        mmio::{Direction, RegisterAccess},
        run::FaultInfo,
        vcpu::Core,
    },
    bus::{Handled, Space},
    host::{cpu::PreemptOff, not_implemented},
    run_page::{RunPage, UserExit},
};
use kernel::prelude::*;

/// An access of the guest that the VMM is carrying out.
#[derive(Clone, Copy, Debug)]
pub enum Pending {
    /// None.
    None,
    /// A load or store, whose instruction is done when the VMM calls again.
    Mmio(RegisterAccess),
}

impl Core {
    /// An access that stage 2 finds no memory for. If a device in the kernel takes it, the instruction is done.
    pub fn access_device(&mut self, here: &PreemptOff, fault: &FaultInfo) -> Handled {
        let iss = Abort::from(fault.syndrome.iss());
        let is_data = Aborted::of(fault.syndrome) == Aborted::Data;
        if !is_data || iss.table_walk().into_bool() {
            return Handled::No;
        }
        let Some(access) = RegisterAccess::from_abort(iss) else {
            return Handled::No;
        };
        let handled = match access.direction {
            Direction::Load => Handled::No,
            Direction::Store => {
                let data = access.stored(self.regs.get(access.register));
                let data = data.get(..access.bytes).unwrap_or(&data);
                self.io.write(here, Space::Memory, fault.gpa.raw(), data)
            }
        };
        if handled == Handled::Yes {
            self.counters.count(Event::MmioInKernel);
            self.regs.skip_instruction();
        }
        handled
    }

    /// An access that no device in the kernel takes. `ENOSYS` if the syndrome does not describe the instruction.
    pub fn mmio(&mut self, fault: &FaultInfo) -> Result<Option<UserExit>> {
        let iss = Abort::from(fault.syndrome.iss());
        let aborted = Aborted::of(fault.syndrome);
        if aborted == Aborted::Fetch || iss.table_walk().into_bool() {
            // Neither instructions nor the guest's tables can lie there.
            let (regs, el1) = (&mut self.regs, &mut self.el1);
            exception::abort(
                regs,
                el1,
                aborted,
                fault.far,
                status::EXTERNAL,
                fault.syndrome,
            );
            return Ok(None);
        }
        if iss.maintenance().into_bool() {
            // Nothing is cached of it.
            self.regs.skip_instruction();
            return Ok(None);
        }
        let access = RegisterAccess::from_abort(iss).ok_or_else(not_implemented)?;
        self.counters.count(Event::MmioExit);
        self.pending = Pending::Mmio(access);
        let (gpa, len) = (fault.gpa, access.bytes);
        Ok(Some(match access.direction {
            Direction::Load => UserExit::MmioRead { gpa, len },
            Direction::Store => UserExit::MmioWrite {
                gpa,
                data: access.stored(self.regs.get(access.register)),
                len,
            },
        }))
    }

    /// The VMM has carried out what was pending.
    pub fn complete(&mut self, page: &RunPage) {
        match core::mem::replace(&mut self.pending, Pending::None) {
            Pending::None => (),
            Pending::Mmio(access) => {
                if access.direction == Direction::Load {
                    let value = access.loaded(page.mmio_data());
                    self.regs.set(access.register, value);
                }
                self.regs.skip_instruction();
            }
        }
    }
}
