// SPDX-License-Identifier: GPL-2.0

//! Calls of a guest that are served in process context: power, random numbers, stolen time, the host's time.

use crate::{
    arm64::{
        processors::Caller,
        psci,
        pv_time::{self, Addition},
        smccc::{Call, Results, Service},
        timer::{Count, Which},
        trng::{self, Request},
        user_exit::UserExit,
        vcpu::Core,
    },
    host::{
        arm64::clocks::{self, random_words},
        clock,
    },
};
use kernel::prelude::*;

impl Core {
    /// What the guest calls, from its registers.
    #[inline]
    pub fn call(&self) -> Call {
        let [function, first, second, third, ..] = self.regs.x;
        Call {
            function: function as u32,
            arguments: [first, second, third],
        }
    }

    /// Serves a call; the guest goes on after it, unless it is for the VMM. Errors are those of
    /// [`wait`](Core::wait).
    pub fn serve_call(&mut self) -> Result<Option<UserExit>> {
        let call = self.call();
        let Some(fixed) = self.fixed.clone() else {
            return Err(ENOEXEC);
        };
        let results = match fixed.firmware.route(call, self.host_ids()) {
            Service::Done(results) => results,
            Service::Psci => {
                let version = fixed.firmware.psci_version(fixed.features);
                let caller = Caller {
                    processors: self.vm.arch().processors(),
                    endianness: self.endianness(),
                };
                let outcome =
                    psci::call(version, self.vm.arch().options().suspend(), call, &caller);
                return self.carry_out(outcome);
            }
            Service::Random(Request::Done(results)) => results,
            Service::Random(Request::Bits { count, width }) => {
                trng::results(count, width, random_words())
            }
            Service::StolenTimeFeatures => {
                let [asked, ..] = call.arguments;
                self.stolen.features(asked)
            }
            Service::StolenTime => self.start_stolen_time(),
            Service::Time(counter) => self.time_with(counter),
        };
        self.set_results(results);
        Ok(None)
    }

    /// Leaves the results of a call.
    #[inline]
    pub fn set_results(&mut self, Results(results): Results) {
        for (number, result) in (0..).zip(results) {
            self.regs.set(number, result);
        }
    }

    /// PV_TIME_ST.
    fn start_stolen_time(&mut self) -> Results {
        let (results, place) = self.stolen.start(clock::run_delay());
        if let Some(place) = place {
            // A VMM that has taken the memory away since has to live with it.
            let _ = self.view.write(self.vm.mmu(), place, &[0; pv_time::BYTES]);
        }
        results
    }

    /// Adds up what the thread has waited for since the last time, in guest memory.
    pub fn update_stolen_time(&mut self) {
        if self.stolen.place().is_none() {
            return;
        }
        if let Some(addition) = self.stolen.advance(clock::run_delay()) {
            // As above.
            let _ = self.add_stolen_time(addition);
        }
    }

    fn add_stolen_time(&mut self, addition: Addition) -> Result {
        let mmu = self.vm.mmu();
        let using = self.view.enter(mmu);
        let before = self.view.read_u64(&using, addition.counter)?;
        drop(using);
        let after = before.wrapping_add(addition.nanoseconds);
        self.view.write(mmu, addition.counter, &after.to_le_bytes())
    }

    /// The host's time in nanoseconds since 1970 and the guest's counter at that time, each in two halves.
    fn time_with(&self, counter: Which) -> Results {
        let Some(now) = clocks::real_time() else {
            return Results::NOT_SUPPORTED;
        };
        let count = Count(now.count)
            .behind(self.vm.arch().time().offset(counter))
            .0;
        let (high, low) = (
            |value: u64| value >> 32,
            |value: u64| u64::from(value as u32),
        );
        Results([
            high(now.nanoseconds),
            low(now.nanoseconds),
            high(count),
            low(count),
        ])
    }
}
