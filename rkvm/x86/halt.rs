// SPDX-License-Identifier: GPL-2.0

//! A vCPU that does not run: halted, or not started yet. Its thread sleeps until there is something for it.

use crate::{
    halt::{Looked, Wait},
    host::waiter::Woken,
    vmx::{field::GUEST_INTERRUPTIBILITY, vmcs::Loaded},
    x86::{
        activity::Activity,
        counters::Event as Counted,
        regs::Rflags,
        vcpu::{Core, BLOCKING_BY_NMI},
    },
};
use core::time::Duration;
use kernel::prelude::*;

impl Core {
    /// Whether something ends a HLT.
    pub fn is_woken(&mut self, loaded: &Loaded) -> bool {
        self.events.nmis > 0 && loaded.read(GUEST_INTERRUPTIBILITY) & BLOCKING_BY_NMI == 0
            || self.events.due.is_some()
            || self.apic.as_ref().is_some_and(|apic| apic.unhalted)
            || self.awaits_interrupt() && self.guest.rflags(loaded).contains(Rflags::IF)
            // The trap of a single step, behind the HLT.
            || self.has_pending_trap(loaded)
    }

    /// KVM_RUN of an application processor that nobody has started yet: sleeps until something comes for it. The VMM
    /// is to call again. `EINTR` if the thread has a signal.
    pub fn wait_for_init(&mut self) -> Result {
        self.wait()?;
        let loaded = self.load();
        self.take_news(&loaded);
        self.guest.flush(&loaded);
        Ok(())
    }

    /// Sleeps once, unless something is there already. Whether the vCPU runs then shows in its activity.
    ///
    /// `EINTR` if the thread has a signal.
    pub fn wait(&mut self) -> Result {
        self.fetch_eoi();
        if self.ended.is_some() {
            return Ok(());
        }
        let loaded = self.load();
        self.take_news(&loaded);
        let clock = self.clock();
        if let Some(apic) = &mut self.apic {
            if apic
                .registers()
                .deadline()
                .is_some_and(|due| due <= clock.tsc)
            {
                apic.lapic().expire(&clock);
            }
        }
        if self.activity == Activity::Halted && self.is_woken(&loaded) {
            self.activity = Activity::Running;
        }
        let interruptible = self.guest.rflags(&loaded).contains(Rflags::IF);
        self.guest.flush(&loaded);
        drop(loaded);
        if let (Activity::Running, Some(apic)) = (self.activity, &mut self.apic) {
            apic.unhalted = false;
            return Ok(());
        }
        let Some(apic) = &mut self.apic else {
            return Ok(());
        };
        let limit = apic
            .registers()
            .deadline()
            .map(|due| Duration::from_nanos(clock.nanoseconds(due.saturating_sub(clock.tsc))));
        let watches_extint = self.activity == Activity::Halted && interruptible;
        // Who waits for another processor to start it waits long.
        let longest = match self.activity {
            Activity::Halted => self.vm.longest_poll(),
            Activity::Running | Activity::Uninitialized | Activity::WaitingForSipi => 0,
        };
        let mut wait = Wait::begin(&apic.poll, longest);
        let woken = wait.rest(self.kick.waiter(), limit, || {
            apic.target.inbox.has_news() || watches_extint && apic.has_extint()
        });
        if self.activity == Activity::Halted {
            let (waited, looked) = wait.end(&mut apic.poll);
            self.counters.add(Counted::HaltWait, waited);
            self.counters.count(Counted::HaltWakeup);
            match looked {
                Looked::Not => (),
                Looked::InVain => self.counters.count(Counted::HaltPoll),
                Looked::Successfully => {
                    self.counters.count(Counted::HaltPoll);
                    self.counters.count(Counted::HaltPollSuccess);
                }
            }
        }
        match woken {
            Woken::Signal => Err(EINTR),
            Woken::Ready | Woken::TimeOut => Ok(()),
        }
    }
}
