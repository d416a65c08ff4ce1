// SPDX-License-Identifier: GPL-2.0

//! What a vCPU counts: exits by their reason, and what comes of them.
//!
//! An exit costs one increment, of its own reason; sums are made when they are read.

use crate::{
    stats::{Counter, Description, Kind, Name, Owner, Source},
    vmx::exit::Reason,
};

/// Something that is counted besides exits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A page was mapped, or one made writable.
    PageMapped,
    /// The VMM was asked to carry out an access to memory.
    MmioExit,
    /// KVM_RUN ended because of a signal.
    SignalExit,
    /// KVM_RUN ended because an interrupt can be injected.
    InterruptWindowExit,
    /// An instruction was executed by the emulator.
    Emulation,
    /// One could not be.
    FailedEmulation,
    /// An interrupt was injected.
    Interrupt,
    /// An NMI was injected.
    Nmi,
    /// The processor's translations were flushed.
    TlbFlush,
    /// The host's segments and MSRs were exchanged for the guest's.
    HostStateReload,
    /// The state of XSAVE and debugging was exchanged; the guest was entered at least once.
    Section,
    /// A halted vCPU was woken.
    HaltWakeup,
    /// Nanoseconds for which it was halted.
    HaltWait,
    /// A halted vCPU looked for an interrupt before it slept.
    HaltPoll,
    /// One came, so that it did not sleep.
    HaltPollSuccess,
    /// The first-level data cache was emptied before an entry.
    L1dFlush,
    /// The guest was told that its vCPU is preempted.
    PreemptionReported,
}

const EVENTS: usize = Event::PreemptionReported as usize + 1;

/// One more than the largest exit reason that is counted on its own.
const REASONS: usize = 80;

/// Where a value comes from.
enum Origin {
    /// All exits.
    AllExits,
    /// Exits for these reasons.
    Exits(&'static [Reason]),
    /// Exits for reasons that have no value of their own.
    OtherExits,
    /// [`Counters::count`].
    Event(Event),
}

use Origin::{AllExits, Event as From, Exits, OtherExits};

/// The values. Those before `exits_exception` have C KVM's names.
const VALUES: &[(&str, Kind, Origin)] = &[
    (
        "pf_taken",
        Kind::Events,
        Exits(&[Reason::EptViolation, Reason::EptMisconfiguration]),
    ),
    ("pf_fixed", Kind::Events, From(Event::PageMapped)),
    ("tlb_flush", Kind::Events, From(Event::TlbFlush)),
    ("exits", Kind::Events, AllExits),
    ("io_exits", Kind::Events, Exits(&[Reason::IoInstruction])),
    ("mmio_exits", Kind::Events, From(Event::MmioExit)),
    ("signal_exits", Kind::Events, From(Event::SignalExit)),
    (
        "irq_window_exits",
        Kind::Events,
        Exits(&[Reason::InterruptWindow]),
    ),
    (
        "nmi_window_exits",
        Kind::Events,
        Exits(&[Reason::NmiWindow]),
    ),
    ("halt_exits", Kind::Events, Exits(&[Reason::Hlt])),
    (
        "request_irq_exits",
        Kind::Events,
        From(Event::InterruptWindowExit),
    ),
    (
        "irq_exits",
        Kind::Events,
        Exits(&[Reason::ExternalInterrupt]),
    ),
    (
        "host_state_reload",
        Kind::Events,
        From(Event::HostStateReload),
    ),
    ("insn_emulation", Kind::Events, From(Event::Emulation)),
    (
        "insn_emulation_fail",
        Kind::Events,
        From(Event::FailedEmulation),
    ),
    ("l1d_flush", Kind::Events, From(Event::L1dFlush)),
    ("hypercalls", Kind::Events, Exits(&[Reason::Vmcall])),
    ("irq_injections", Kind::Events, From(Event::Interrupt)),
    ("nmi_injections", Kind::Events, From(Event::Nmi)),
    ("halt_wakeup", Kind::Events, From(Event::HaltWakeup)),
    ("halt_wait_ns", Kind::Nanoseconds, From(Event::HaltWait)),
    ("halt_attempted_poll", Kind::Events, From(Event::HaltPoll)),
    (
        "halt_successful_poll",
        Kind::Events,
        From(Event::HaltPollSuccess),
    ),
    (
        "preemption_reported",
        Kind::Events,
        From(Event::PreemptionReported),
    ),
    (
        "exits_exception",
        Kind::Events,
        Exits(&[Reason::ExceptionOrNmi]),
    ),
    (
        "exits_task_switch",
        Kind::Events,
        Exits(&[Reason::TaskSwitch]),
    ),
    ("exits_cpuid", Kind::Events, Exits(&[Reason::Cpuid])),
    ("exits_cr", Kind::Events, Exits(&[Reason::ControlRegister])),
    ("exits_dr", Kind::Events, Exits(&[Reason::DebugRegister])),
    ("exits_rdmsr", Kind::Events, Exits(&[Reason::Rdmsr])),
    ("exits_wrmsr", Kind::Events, Exits(&[Reason::Wrmsr])),
    ("exits_pause", Kind::Events, Exits(&[Reason::Pause])),
    (
        "exits_timer",
        Kind::Events,
        Exits(&[Reason::PreemptionTimer]),
    ),
    (
        "exits_wbinvd",
        Kind::Events,
        Exits(&[Reason::Invd, Reason::Wbinvd]),
    ),
    ("exits_xsetbv", Kind::Events, Exits(&[Reason::Xsetbv])),
    ("exits_other", Kind::Events, OtherExits),
    ("sections", Kind::Events, From(Event::Section)),
];

/// The counters of a vCPU.
pub struct Counters {
    owner: Owner,
    exits: [Counter; REASONS],
    events: [Counter; EVENTS],
}

impl Counters {
    /// Nothing has been counted.
    pub fn new(owner: Owner) -> Self {
        Self {
            owner,
            exits: [const { Counter::new() }; REASONS],
            events: [const { Counter::new() }; EVENTS],
        }
    }

    /// Counts an exit.
    #[inline(always)]
    pub fn count_exit(&self, reason: Reason) {
        if let Some(counter) = self.exits.get(usize::from(reason.number())) {
            counter.add(1);
        }
    }

    /// Counts something else.
    #[inline]
    pub fn count(&self, event: Event) {
        self.add(event, 1);
    }

    /// Counts it more than once.
    #[inline]
    pub fn add(&self, event: Event, amount: u64) {
        if let Some(counter) = self.events.get(event as usize) {
            counter.add(amount);
        }
    }

    fn exits_for(&self, reasons: &[Reason]) -> u64 {
        let counters = reasons
            .iter()
            .filter_map(|reason| self.exits.get(usize::from(reason.number())));
        sum(counters.map(Counter::get))
    }

    fn all_exits(&self) -> u64 {
        sum(self.exits.iter().map(Counter::get))
    }
}

fn sum(values: impl Iterator<Item = u64>) -> u64 {
    values.fold(0, u64::wrapping_add)
}

impl Source for Counters {
    fn name(&self) -> Name {
        self.owner.name()
    }

    fn count(&self) -> usize {
        VALUES.len()
    }

    fn description(&self, number: usize) -> Option<Description> {
        let (name, kind, _) = VALUES.get(number)?;
        Some(Description { name, kind: *kind })
    }

    fn value(&self, number: usize) -> u64 {
        match VALUES.get(number) {
            None => 0,
            Some((.., AllExits)) => self.all_exits(),
            Some((.., Exits(reasons))) => self.exits_for(reasons),
            Some((.., From(event))) => self.events.get(*event as usize).map_or(0, Counter::get),
            Some((.., OtherExits)) => {
                let named = VALUES.iter().map(|(.., origin)| match origin {
                    Exits(reasons) => self.exits_for(reasons),
                    AllExits | OtherExits | From(_) => 0,
                });
                self.all_exits().wrapping_sub(sum(named))
            }
        }
    }
}
