// SPDX-License-Identifier: GPL-2.0

//! What a vCPU counts.

use crate::stats::{Counter, Description, Kind, Name, Owner, Source};

macro_rules! events {
    ($($(#[$doc:meta])* $event:ident = $name:literal, $kind:ident;)*) => {
        /// Something that is counted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Event {
            $($(#[$doc])* $event,)*
        }

        /// The names of all, those of C KVM where it counts the same, and what they count.
        const VALUES: &[(&str, Kind)] = &[$(($name, Kind::$kind)),*];
    };
}

events! {
    /// The guest was left.
    Exit = "exits", Events;
    /// For an interrupt of the host.
    InterruptExit = "exits_interrupt", Events;
    /// For a stage-2 fault.
    FaultExit = "exits_fault", Events;
    /// For an access to a system register.
    SystemRegisterExit = "exits_sysreg", Events;
    /// For HVC or SMC.
    CallExit = "hvc_exit_stat", Events;
    /// For WFI.
    WfiExit = "wfi_exit_stat", Events;
    /// For WFE.
    WfeExit = "wfe_exit_stat", Events;
    /// A page was mapped, or one made writable.
    PageMapped = "pf_fixed", Events;
    /// The VMM was asked to carry out an access to memory.
    MmioExit = "mmio_exit_user", Events;
    /// A device in the kernel carried one out.
    MmioInKernel = "mmio_exit_kernel", Events;
    /// KVM_RUN ended because of a signal.
    SignalExit = "signal_exits", Events;
    /// The processor's translations of the guest were flushed.
    TlbFlush = "tlb_flush", Events;
    /// The guest's vector registers were loaded.
    FpuReload = "fpu_reload", Events;
    /// The guest's EL1 registers were loaded.
    Load = "loads", Events;
    /// EL1 was the guest's; it was entered at least once.
    Section = "sections", Events;
    /// A vCPU that waited was woken.
    HaltWakeup = "halt_wakeup", Events;
    /// Nanoseconds for which it waited.
    HaltWait = "halt_wait_ns", Nanoseconds;
    /// It looked for an interrupt before it slept.
    HaltPoll = "halt_attempted_poll", Events;
    /// One came, so that it did not sleep.
    HaltPollSuccess = "halt_successful_poll", Events;
}

/// The counters of a vCPU.
pub struct Counters {
    owner: Owner,
    events: [Counter; VALUES.len()],
}

impl Counters {
    /// Nothing has been counted.
    pub fn new(owner: Owner) -> Self {
        Self {
            owner,
            events: [const { Counter::new() }; VALUES.len()],
        }
    }

    /// Counts an event.
    #[inline(always)]
    pub fn count(&self, event: Event) {
        self.add(event, 1);
    }

    /// Counts it more than once.
    #[inline(always)]
    pub fn add(&self, event: Event, amount: u64) {
        if let Some(counter) = self.events.get(event as usize) {
            counter.add(amount);
        }
    }
}

impl Source for Counters {
    fn name(&self) -> Name {
        self.owner.name()
    }

    fn count(&self) -> usize {
        VALUES.len()
    }

    fn description(&self, number: usize) -> Option<Description> {
        let (name, kind) = *VALUES.get(number)?;
        Some(Description { name, kind })
    }

    fn value(&self, number: usize) -> u64 {
        self.events.get(number).map_or(0, Counter::get)
    }
}
