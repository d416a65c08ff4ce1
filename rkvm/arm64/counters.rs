// SPDX-License-Identifier: GPL-2.0

//! What a vCPU counts.

use crate::stats::{Counter, Description, Kind, Name, Owner, Source};

macro_rules! events {
    ($($(#[$doc:meta])* $event:ident = $name:literal;)*) => {
        /// Something that is counted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Event {
            $($(#[$doc])* $event,)*
        }

        /// The names of all, those of C KVM where it counts the same.
        const NAMES: &[&str] = &[$($name),*];
    };
}

events! {
    /// The guest was left.
    Exit = "exits";
    /// For an interrupt of the host.
    InterruptExit = "exits_interrupt";
    /// For a stage-2 fault.
    FaultExit = "exits_fault";
    /// For an access to a system register.
    SystemRegisterExit = "exits_sysreg";
    /// For HVC or SMC.
    CallExit = "hvc_exit_stat";
    /// For WFI.
    WfiExit = "wfi_exit_stat";
    /// For WFE.
    WfeExit = "wfe_exit_stat";
    /// A page was mapped, or one made writable.
    PageMapped = "pf_fixed";
    /// The VMM was asked to carry out an access to memory.
    MmioExit = "mmio_exit_user";
    /// A device in the kernel carried one out.
    MmioInKernel = "mmio_exit_kernel";
    /// KVM_RUN ended because of a signal.
    SignalExit = "signal_exits";
    /// The processor's translations of the guest were flushed.
    TlbFlush = "tlb_flush";
    /// The guest's vector registers were loaded.
    FpuReload = "fpu_reload";
    /// The guest's EL1 registers were loaded.
    Load = "loads";
    /// EL1 was the guest's; it was entered at least once.
    Section = "sections";
    /// A vCPU that waited was woken.
    HaltWakeup = "halt_wakeup";
    /// It looked for an interrupt before it slept.
    HaltPoll = "halt_attempted_poll";
    /// One came, so that it did not sleep.
    HaltPollSuccess = "halt_successful_poll";
}

/// The counters of a vCPU.
pub struct Counters {
    owner: Owner,
    events: [Counter; NAMES.len()],
}

impl Counters {
    /// Nothing has been counted.
    pub fn new(owner: Owner) -> Self {
        Self {
            owner,
            events: [const { Counter::new() }; NAMES.len()],
        }
    }

    /// Counts an event.
    #[inline(always)]
    pub fn count(&self, event: Event) {
        if let Some(counter) = self.events.get(event as usize) {
            counter.count();
        }
    }
}

impl Source for Counters {
    fn name(&self) -> Name {
        self.owner.name()
    }

    fn count(&self) -> usize {
        NAMES.len()
    }

    fn description(&self, number: usize) -> Option<Description> {
        let name = NAMES.get(number)?;
        Some(Description {
            name,
            kind: Kind::Events,
        })
    }

    fn value(&self, number: usize) -> u64 {
        self.events.get(number).map_or(0, Counter::get)
    }
}
