// SPDX-License-Identifier: GPL-2.0

//! A vCPU that is turned on and off.

use crate::{
    arm64::{
        el1::{El1Access, El1Reg},
        processors::{Activity, Endianness},
        psci::{Outcome, SystemEvent},
        smccc::Results,
        user_exit::UserExit,
        vcpu::Core,
    },
    host::{bindings as uapi, waiter::Woken},
};
use kernel::prelude::*;

/// SCTLR_EL1.EE: data at EL1 is big endian.
const SCTLR_EE: u64 = 1 << 25;

impl Core {
    /// The order of bytes of data at EL1.
    pub fn endianness(&self) -> Endianness {
        match self.el1.get(El1Reg::Sctlr) & SCTLR_EE {
            0 => Endianness::Little,
            _ => Endianness::Big,
        }
    }

    /// Begins as another vCPU has wanted when it turned this one on.
    pub fn begin(&mut self) {
        let Some(beginning) = self.processor().take_beginning() else {
            return;
        };
        self.reset();
        self.regs.pc = beginning.entry.address;
        self.regs.set(0, beginning.entry.context);
        if beginning.endianness == Endianness::Big {
            let sctlr = self.el1.get(El1Reg::Sctlr);
            self.el1.set(El1Reg::Sctlr, sctlr | SCTLR_EE);
        }
    }

    /// Sleeps until the vCPU is on. `EINTR` if the thread has a signal.
    pub fn wait_for_power(&mut self) -> Result {
        let processor = self.seat.processor();
        let is_on = || processor.activity() != Activity::Off;
        match self.kick.waiter().sleep(None, is_on) {
            Woken::Signal => Err(EINTR),
            Woken::Ready | Woken::TimeOut => Ok(()),
        }
    }

    /// A vCPU that the VMM has suspended sleeps until there is an interrupt for it, which the VMM is told of; it is the
    /// VMM that has it run again. `EINTR` if the thread has a signal.
    pub fn wait_for_wakeup(&mut self) -> Result<UserExit> {
        self.wait(None)?;
        Ok(UserExit::SystemEvent {
            kind: uapi::KVM_SYSTEM_EVENT_WAKEUP,
            flags: None,
        })
    }

    /// Does what a call of PSCI has come to. Errors are those of [`wait`](Core::wait).
    pub fn carry_out(&mut self, outcome: Outcome) -> Result<Option<UserExit>> {
        match outcome {
            Outcome::Return(value) => self.set_results(Results::one(value)),
            Outcome::Wait(value) => {
                self.set_results(Results::one(value));
                self.wait(None)?;
            }
            Outcome::Off(value) => {
                self.set_results(Results::one(value));
                self.processor().set_activity(Activity::Off);
            }
            Outcome::Event(event, value) => {
                self.set_results(Results::one(value));
                self.vm.arch().processors().turn_off();
                return Ok(Some(exit_of(event)));
            }
            Outcome::SuspendEvent => return Ok(Some(exit_of(SystemEvent::Suspend))),
        }
        Ok(None)
    }
}

/// The exit that tells a VMM of an event.
fn exit_of(event: SystemEvent) -> UserExit {
    let (kind, flags) = match event {
        SystemEvent::Off => (uapi::KVM_SYSTEM_EVENT_SHUTDOWN, Some(0)),
        SystemEvent::Hibernate => (
            uapi::KVM_SYSTEM_EVENT_SHUTDOWN,
            Some(uapi::KVM_SYSTEM_EVENT_SHUTDOWN_FLAG_PSCI_OFF2.into()),
        ),
        SystemEvent::Reset => (uapi::KVM_SYSTEM_EVENT_RESET, Some(0)),
        SystemEvent::WarmReset => (
            uapi::KVM_SYSTEM_EVENT_RESET,
            Some(uapi::KVM_SYSTEM_EVENT_RESET_FLAG_PSCI_RESET2.into()),
        ),
        SystemEvent::Suspend => (uapi::KVM_SYSTEM_EVENT_SUSPEND, None),
    };
    UserExit::SystemEvent { kind, flags }
}
