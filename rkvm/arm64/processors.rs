// SPDX-License-Identifier: GPL-2.0

//! The vCPUs of a VM to each other: which are on, and where those begin that are turned on.

use crate::{
    arm64::psci::{self, Entry, Power, TurnedOn, AFFINITY},
    request::Kick,
    shared_list::SharedList,
    vm::Vm,
};
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicU8, Ordering};
use kernel::{
    new_spinlock,
    prelude::*,
    static_lock_class,
    sync::{Arc, SpinLock},
};

/// The order of bytes of a vCPU's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endianness {
    /// The least first.
    Little,
    /// The most first.
    Big,
}

/// How a vCPU begins that another has turned on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beginning {
    /// Where.
    pub entry: Entry,
    /// As the other.
    pub endianness: Endianness,
}

/// Whether a vCPU runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Activity {
    /// It does.
    Running,
    /// It does from its beginning on, after a reset that is still to be done.
    Starting,
    /// It is off, until another, or the VMM, turns it on.
    Off,
    /// The VMM has suspended it, until an interrupt comes.
    Suspended,
}

/// A vCPU as others see it.
#[pin_data]
pub struct Processor {
    kick: Arc<Kick>,
    /// The bits of MPIDR_EL1 that name it.
    affinity: AtomicU64,
    /// An [`Activity`].
    activity: AtomicU8,
    /// Another has turned it on: there is a beginning to be taken.
    is_turned_on: AtomicBool,
    /// How it begins, if another has turned it on.
    #[pin]
    beginning: SpinLock<Option<Beginning>>,
}

impl Processor {
    fn new(kick: Arc<Kick>, affinity: u64) -> impl PinInit<Self> {
        pin_init!(Self {
            kick,
            affinity: AtomicU64::new(affinity & AFFINITY),
            activity: AtomicU8::new(Activity::Running as u8),
            is_turned_on: AtomicBool::new(false),
            beginning <- new_spinlock!(None),
        })
    }

    /// The VMM has given it another name.
    pub fn rename(&self, mpidr: u64) {
        self.affinity.store(mpidr & AFFINITY, Ordering::SeqCst);
    }

    /// Whether it runs.
    #[inline]
    pub fn activity(&self) -> Activity {
        const RUNNING: u8 = Activity::Running as u8;
        const STARTING: u8 = Activity::Starting as u8;
        const OFF: u8 = Activity::Off as u8;
        match self.activity.load(Ordering::SeqCst) {
            RUNNING => Activity::Running,
            STARTING => Activity::Starting,
            OFF => Activity::Off,
            _ => Activity::Suspended,
        }
    }

    /// Says whether it runs from now on, and has it look.
    pub fn set_activity(&self, activity: Activity) {
        self.activity.store(activity as u8, Ordering::SeqCst);
        self.kick.rouse();
    }

    /// How it has to begin, if it has been turned on since it was asked last. From then on it runs.
    pub fn take_beginning(&self) -> Option<Beginning> {
        if !self.is_turned_on.load(Ordering::SeqCst) {
            return None;
        }
        let mut slot = self.beginning.lock();
        self.is_turned_on.store(false, Ordering::SeqCst);
        // Unless the VM has been turned off at this moment.
        let _ = self.activity.compare_exchange(
            Activity::Starting as u8,
            Activity::Running as u8,
            Ordering::SeqCst,
            Ordering::SeqCst,
        );
        slot.take()
    }

    /// The VMM has reset it: how it was to begin is forgotten.
    pub fn reset(&self, activity: Activity) {
        let mut slot = self.beginning.lock();
        *slot = None;
        self.is_turned_on.store(false, Ordering::SeqCst);
        self.set_activity(activity);
    }

    /// Turns it on, unless it is.
    fn turn_on(&self, beginning: Beginning) -> TurnedOn {
        let mut slot = self.beginning.lock();
        if self.activity() != Activity::Off {
            return TurnedOn::Already;
        }
        *slot = Some(beginning);
        self.is_turned_on.store(true, Ordering::SeqCst);
        self.set_activity(Activity::Starting);
        TurnedOn::Now
    }

    fn is(&self, affinity: u64, mask: u64) -> bool {
        self.affinity.load(Ordering::SeqCst) & mask == affinity
    }
}

/// All vCPUs of a VM.
#[pin_data]
pub struct Processors {
    #[pin]
    members: SharedList<Processor>,
}

impl Processors {
    /// None yet.
    pub fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            members <- SharedList::new(static_lock_class!()),
        })
    }

    /// Turns all off: the VM is down, or about to be reset.
    pub fn turn_off(&self) {
        self.members
            .for_each(|member| member.set_activity(Activity::Off));
    }
}

/// All vCPUs of a VM to one of them.
pub struct Caller<'a> {
    /// All.
    pub processors: &'a Processors,
    /// The data of the one.
    pub endianness: Endianness,
}

impl psci::Processors for Caller<'_> {
    fn turn_on(&self, affinity: u64, entry: Entry) -> TurnedOn {
        let beginning = Beginning {
            entry,
            endianness: self.endianness,
        };
        let mut outcome = TurnedOn::Unknown;
        self.processors.members.for_each(|member| {
            if outcome == TurnedOn::Unknown && member.is(affinity, AFFINITY) {
                outcome = member.turn_on(beginning);
            }
        });
        outcome
    }

    fn power(&self, affinity: u64, mask: u64) -> Power {
        let mut power = Power::Unknown;
        self.processors.members.for_each(|member| {
            if member.is(affinity, mask) && power != Power::On {
                power = match member.activity() {
                    Activity::Off => Power::Off,
                    Activity::Running | Activity::Starting | Activity::Suspended => Power::On,
                };
            }
        });
        power
    }
}

/// A vCPU's place among those of its VM, for as long as it exists.
pub struct Seat {
    vm: Arc<Vm>,
    processor: Arc<Processor>,
}

impl Seat {
    /// Takes a place. `ENOMEM`.
    pub fn take(vm: &Arc<Vm>, kick: Arc<Kick>, mpidr: u64) -> Result<Self> {
        let processor = Arc::pin_init(Processor::new(kick, mpidr), GFP_KERNEL_ACCOUNT)?;
        vm.arch().processors().members.add(processor.clone())?;
        Ok(Self {
            vm: vm.clone(),
            processor,
        })
    }

    /// The vCPU.
    #[inline]
    pub fn processor(&self) -> &Processor {
        &self.processor
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.vm.arch().processors().members.remove(&self.processor);
    }
}
