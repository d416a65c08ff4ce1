// SPDX-License-Identifier: GPL-2.0

//! The vCPUs of a VM as destinations of interrupt messages.

use crate::{
    host::{irq_lock::IrqLock, x86::posted_interrupts},
    request::Kick,
    x86::{
        inbox::{Inbox, Notice},
        line::LineOutcome,
        message::{self, Action, DestinationMode, Identity, Message, Shorthand},
    },
};
use core::sync::atomic::{AtomicBool, Ordering};
use kernel::{prelude::*, static_lock_class, sync::Arc};

/// A vCPU with a local APIC in the kernel.
pub struct Target {
    /// What others have for it.
    pub inbox: KBox<Inbox>,
    kick: Arc<Kick>,
    /// LINT0 takes interrupts from the 8259s.
    takes_extint: AtomicBool,
    /// While the guest runs, the processor takes posted interrupts when it is notified.
    takes_posted: AtomicBool,
}

impl Target {
    /// A vCPU. `ENOMEM`.
    pub fn new(identity: Identity, kick: Arc<Kick>) -> Result<Self> {
        Ok(Self {
            inbox: KBox::new(Inbox::new(identity), GFP_KERNEL_ACCOUNT)?,
            kick,
            takes_extint: AtomicBool::new(false),
            takes_posted: AtomicBool::new(false),
        })
    }

    /// Says whether LINT0 takes interrupts from the 8259s from now on.
    pub fn publish_extint(&self, taken: bool) {
        self.takes_extint.store(taken, Ordering::SeqCst);
    }

    /// Says whether the processor takes posted interrupts from now on. To notify one that does not is to rouse it.
    pub fn publish_posted(&self, taken: bool) {
        self.takes_posted.store(taken, Ordering::SeqCst);
    }

    /// Leaves a message that is for this vCPU.
    fn deliver(&self, message: &Message) {
        match message.action() {
            Action::Interrupt { vector, trigger } => {
                return match self.inbox.post(vector, trigger) {
                    Notice::None => (),
                    Notice::Notify if self.takes_posted.load(Ordering::SeqCst) => {
                        self.kick.rouse_by(posted_interrupts::notify);
                    }
                    Notice::Notify | Notice::Rouse => self.kick.rouse(),
                };
            }
            Action::Nmi => self.inbox.post_nmi(),
            Action::Init => self.inbox.post_init(),
            Action::StartUp { page } => self.inbox.post_sipi(page),
            // There is no system-management mode.
            Action::Smi | Action::None => return,
        }
        self.kick.rouse();
    }
}

/// The vCPUs that messages can reach. A vCPU stays here as long as the VM lives.
#[pin_data]
pub struct Targets {
    #[pin]
    members: IrqLock<KVec<Arc<Target>>>,
}

impl Targets {
    /// No vCPU yet.
    pub fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            members <- IrqLock::new(KVec::new(), static_lock_class!()),
        })
    }

    /// Adds a vCPU. `ENOMEM`.
    pub fn add(&self, target: Arc<Target>) -> Result {
        let mut target = Some(target);
        while target.is_some() {
            let wanted = self.members.lock().len().saturating_add(1);
            let mut longer = KVec::with_capacity(wanted, GFP_KERNEL_ACCOUNT)?;
            let mut members = self.members.lock();
            if members.len() < longer.capacity() {
                // Popped from the end: the list keeps its order by going through two stacks.
                while let Some(member) = members.pop() {
                    longer.push_within_capacity(member).map_err(|_| ENOMEM)?;
                }
                longer.reverse();
                if let Some(target) = target.take() {
                    longer.push_within_capacity(target).map_err(|_| ENOMEM)?;
                }
                core::mem::swap(&mut *members, &mut longer);
            }
            // Unlocked first: the shorter list is freed after.
            drop(members);
        }
        Ok(())
    }

    /// Removes a vCPU, if it is there.
    pub fn remove(&self, target: &Arc<Target>) {
        let removed = {
            let mut members = self.members.lock();
            let place = members.iter().position(|other| Arc::ptr_eq(other, target));
            place.and_then(|place| members.remove(place).ok())
        };
        drop(removed);
    }

    /// Delivers a message to those that it is for.
    pub fn send(&self, message: &Message) -> LineOutcome {
        let members = self.members.lock();
        if let Some(target) = only(&members, message) {
            target.deliver(message);
            return LineOutcome::Delivered(1);
        }
        let mut matching = members
            .iter()
            .filter(|target| message.is_for(&target.inbox.identity()));
        let mut taken = 0;
        if message.is_for_one() {
            let count = matching.clone().count();
            let chosen = message::pick(message.vector, count);
            if let Some(target) = chosen.and_then(|index| matching.nth(index)) {
                target.deliver(message);
                taken = 1;
            }
        } else {
            for target in matching {
                target.deliver(message);
                taken += 1;
            }
        }
        if taken == 0 {
            LineOutcome::Ignored
        } else {
            LineOutcome::Delivered(taken)
        }
    }

    /// Delivers a message to the vCPUs whose APIC ids are chosen, whatever its destination. Returns how many there
    /// are.
    pub fn send_to(&self, message: &Message, chosen: impl Fn(u32) -> bool) -> u32 {
        let members = self.members.lock();
        let targets = members
            .iter()
            .filter(|target| chosen(target.inbox.identity().id()));
        targets.fold(0u32, |taken, target| {
            target.deliver(message);
            taken.saturating_add(1)
        })
    }

    /// Has every vCPU whose LINT0 takes interrupts from the 8259s look at them.
    pub fn rouse_for_extint(&self) {
        for target in self.members.lock().iter() {
            if target.takes_extint.load(Ordering::SeqCst) {
                target.kick.rouse();
            }
        }
    }

    /// Has every vCPU look for what has changed.
    pub fn rouse_all(&self) {
        for target in self.members.lock().iter() {
            target.kick.rouse();
        }
    }

    /// Wakes the vCPU with this APIC id from HLT.
    pub fn unhalt(&self, apic_id: u32) {
        for target in self.members.lock().iter() {
            if target.inbox.identity().id() == apic_id {
                target.inbox.post_unhalt();
                target.kick.rouse();
            }
        }
    }
}

/// The destination of a message for one vCPU, where the vCPUs' numbers are their APIC ids, as they are
/// unless a VMM wants otherwise.
fn only<'a>(members: &'a [Arc<Target>], message: &Message) -> Option<&'a Target> {
    if message.shorthand != Shorthand::None
        || message.mode != DestinationMode::Physical
        || message.is_broadcast()
    {
        return None;
    }
    let target = members.get(message.destination as usize)?;
    let identity = target.inbox.identity();
    (identity.id() == message.destination && message.is_for(&identity)).then_some(target)
}
