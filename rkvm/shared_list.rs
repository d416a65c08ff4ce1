// SPDX-License-Identifier: GPL-2.0

//! A list of shared objects that is walked where nothing may sleep, and changed where it may.

use core::ops::Deref;
use kernel::{
    prelude::*,
    sync::{Arc, LockClassKey, SpinLock},
};

/// A list of references in no particular order. Walks hold its spinlock.
#[pin_data]
pub struct SharedList<T: ?Sized> {
    #[pin]
    members: SpinLock<KVVec<Arc<T>>>,
}

impl<T: ?Sized> SharedList<T> {
    /// An empty list; `class` tells lockdep this kind of list from others.
    pub fn new(class: Pin<&'static LockClassKey>) -> impl PinInit<Self> {
        pin_init!(Self {
            members <- SpinLock::new(KVVec::new(), c"rkvm_list", class),
        })
    }

    /// Adds a member. Sleeps: memory is allocated outside the lock. `ENOMEM` if there is none.
    pub fn add(&self, member: Arc<T>) -> Result {
        let mut member = Some(member);
        loop {
            let wanted = {
                let mut members = self.members.lock();
                if members.len() < members.capacity() {
                    if let Some(member) = member.take() {
                        members.push_within_capacity(member).map_err(|_| ENOMEM)?;
                    }
                    return Ok(());
                }
                members.len().saturating_mul(2).max(1)
            };
            let mut longer = KVVec::with_capacity(wanted, GFP_KERNEL_ACCOUNT)?;
            let mut members = self.members.lock();
            if members.len() < longer.capacity() {
                while let Some(other) = members.pop() {
                    longer.push_within_capacity(other).map_err(|_| ENOMEM)?;
                }
                core::mem::swap(&mut *members, &mut longer);
            }
            // Unlocked first: what `longer` now is gets freed, which may sleep.
            drop(members);
        }
    }

    /// Removes a member, if it is there.
    pub fn remove(&self, member: &Arc<T>) {
        let removed = {
            let mut members = self.members.lock();
            let position = members.iter().position(|other| Arc::ptr_eq(other, member));
            position.and_then(|at| {
                let last = members.pop()?;
                match members.get_mut(at) {
                    Some(slot) => Some(core::mem::replace(slot, last)),
                    None => Some(last),
                }
            })
        };
        drop(removed);
    }

    /// Calls `visit` for every member, with the list's spinlock held.
    pub fn for_each(&self, mut visit: impl FnMut(&T)) {
        for member in self.members.lock().iter() {
            visit(member.deref());
        }
    }
}
