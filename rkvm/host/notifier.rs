// SPDX-License-Identifier: GPL-2.0

//! One MMU notifier for each address space, shared by all VMs of that process.
//!
//! `mmu_notifier_register` takes every lock of the mm, which makes VM creation slow and slower with
//! each VM; one notifier found by `mmu_notifier_get` costs that once.
//!
//! # How a fault stays right
//!
//! A page looked up for a guest may be taken away before it is mapped. A fault takes a
//! [`Sequence`] before its look-up and asks [`Subscription::is_current`] under the lock that
//! [`Listener::invalidate`] also takes; a "no" means look up again. An invalidation counts itself in
//! before it calls the listeners, so that a fault which takes that lock after them sees it.
//!
//! # Lock order
//!
//! `listeners`, then whatever lock a listener takes, then `under_way`. Callbacks run with
//! interrupts on and may hold page-table locks of the mm: a listener must not sleep or fault.

// UNSAFETY: C owns the notifier's memory; callbacks recover it by container_of.
#![expect(unsafe_code)]

use super::bindings;
use crate::{shared_list::SharedList, types::Hva};
use core::{
    ptr::NonNull,
    sync::atomic::{AtomicU64, Ordering},
};
use kernel::{
    bindings as k,
    error::from_err_ptr,
    mm::Mm,
    prelude::*,
    static_lock_class,
    sync::{new_spinlock, Arc, SpinLock},
    types::Opaque,
};

/// A range of user addresses, end exclusive.
#[derive(Clone, Copy, Debug)]
pub struct HvaRange {
    /// The first address.
    pub start: Hva,
    /// The address after the last.
    pub end: Hva,
}

impl HvaRange {
    /// No address.
    const NONE: Self = Self {
        start: Hva::new(u64::MAX),
        end: Hva::new(0),
    };

    /// The smallest range that holds both.
    fn hull(self, other: Self) -> Self {
        Self {
            start: self.start.min(other.start),
            end: self.end.max(other.end),
        }
    }

    /// Whether both have an address in common.
    fn meets(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// All of user space.
    const ALL: Self = Self {
        start: Hva::new(0),
        end: Hva::new(u64::MAX),
    };
}

/// Whether pages were used since they were last asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// Not used.
    Old,
    /// Used.
    Young,
}

impl Age {
    /// The age of pages that were used, or not.
    pub fn from_young(young: bool) -> Self {
        if young {
            Self::Young
        } else {
            Self::Old
        }
    }
}

/// Who maps an address space's pages elsewhere and has to hear when they go.
pub trait Listener: Send + Sync {
    /// Drops every mapping of the range; none may be left in a TLB on return.
    fn invalidate(&self, range: HvaRange);
    /// Whether any page of the range was accessed; clears the marks.
    fn clear_young(&self, range: HvaRange) -> Age;
    /// Whether any page of the range was accessed.
    fn test_young(&self, range: HvaRange) -> Age;
}

/// The state of an address space at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sequence(u64);

/// The memory of a notifier: C frees it by `free`, after the last put and a grace period.
#[pin_data]
#[repr(C)]
struct Notifier {
    #[pin]
    raw: Opaque<k::mmu_notifier>,
    /// How many invalidations are under way. Changed under `under_way`.
    in_progress: AtomicU64,
    /// How many have ended.
    completed: AtomicU64,
    /// All addresses that those under way are about, and some between them.
    #[pin]
    under_way: SpinLock<HvaRange>,
    #[pin]
    listeners: SharedList<dyn Listener>,
}

const OPS: k::mmu_notifier_ops = k::mmu_notifier_ops {
    release: Some(Notifier::on_release),
    invalidate_range_start: Some(Notifier::on_start),
    invalidate_range_end: Some(Notifier::on_end),
    clear_flush_young: Some(Notifier::on_clear_young),
    clear_young: Some(Notifier::on_clear_young),
    test_young: Some(Notifier::on_test_young),
    alloc_notifier: Some(Notifier::alloc),
    free_notifier: Some(Notifier::free),
    ..pin_init::zeroed()
};

impl Notifier {
    /// # Safety
    ///
    /// Called by `mmu_notifier_get` alone, in process context. What is returned is C's until it calls
    /// `free`.
    unsafe extern "C" fn alloc(_mm: *mut k::mm_struct) -> *mut k::mmu_notifier {
        let notifier = KBox::pin_init(
            pin_init!(Self {
                raw <- Opaque::ffi_init(|slot: *mut k::mmu_notifier| {
                    // SAFETY: `slot` is valid for writes; the core fills the structure in.
                    unsafe { slot.write(pin_init::zeroed()) }
                }),
                in_progress: AtomicU64::new(0),
                completed: AtomicU64::new(0),
                under_way <- new_spinlock!(HvaRange::NONE),
                listeners <- SharedList::new(static_lock_class!()),
            }),
            GFP_KERNEL_ACCOUNT,
        );
        match notifier {
            // SAFETY: the value does not move: the box is given to C, which uses it in place, and
            // `free` takes it back to drop it.
            Ok(pinned) => KBox::into_raw(unsafe { Pin::into_inner_unchecked(pinned) }).cast(),
            Err(_) => ENOMEM.to_ptr(),
        }
    }

    /// # Safety
    ///
    /// Called by the notifier core alone, once for each notifier that `alloc` made, after the last
    /// put and a grace period: no other callback runs or will.
    unsafe extern "C" fn free(raw: *mut k::mmu_notifier) {
        // SAFETY: `raw` is the first field of a box that `alloc` gave away, and C is done with it.
        drop(unsafe { KBox::from_raw(raw.cast::<Self>()) });
    }

    /// # Safety
    ///
    /// `raw` must come from a callback of these operations.
    unsafe fn from_raw<'a>(raw: *mut k::mmu_notifier) -> &'a Self {
        // SAFETY: `raw` is the first field of a `Notifier`, which lives while callbacks run.
        unsafe { &*raw.cast::<Self>() }
    }

    /// Counts an invalidation in.
    fn begin(&self, range: HvaRange) {
        let mut under_way = self.under_way.lock();
        *under_way = under_way.hull(range);
        self.in_progress.fetch_add(1, Ordering::SeqCst);
    }

    /// Whether an invalidation under way may be about addresses of `range`.
    fn is_busy(&self, range: HvaRange) -> bool {
        self.in_progress.load(Ordering::SeqCst) != 0 && self.under_way.lock().meets(range)
    }

    fn invalidate(&self, range: HvaRange) {
        self.listeners
            .for_each(|listener| listener.invalidate(range));
    }

    fn any_young(&self, ask: impl Fn(&dyn Listener) -> Age) -> bool {
        let mut young = false;
        self.listeners
            .for_each(|listener| young |= ask(listener) == Age::Young);
        young
    }

    /// # Safety
    ///
    /// Called by the notifier core alone, with a notifier that `alloc` made and a range that is valid
    /// for the call.
    unsafe extern "C" fn on_start(
        raw: *mut k::mmu_notifier,
        range: *const k::mmu_notifier_range,
    ) -> kernel::ffi::c_int {
        // SAFETY: a callback of these operations.
        let this = unsafe { Self::from_raw(raw) };
        // SAFETY: the range is valid for the call.
        let range = unsafe { hva_range((*range).start, (*range).end) };
        this.begin(range);
        this.invalidate(range);
        0
    }

    /// # Safety
    ///
    /// Called by the notifier core alone, with a notifier that `alloc` made.
    unsafe extern "C" fn on_end(raw: *mut k::mmu_notifier, _range: *const k::mmu_notifier_range) {
        // SAFETY: a callback of these operations.
        let this = unsafe { Self::from_raw(raw) };
        // In this order: a fault that sees the count gone also sees the new sequence.
        this.completed.fetch_add(1, Ordering::SeqCst);
        let mut under_way = this.under_way.lock();
        if this.in_progress.fetch_sub(1, Ordering::SeqCst) == 1 {
            *under_way = HvaRange::NONE;
        }
    }

    /// # Safety
    ///
    /// Called by the notifier core alone, with a notifier that `alloc` made.
    unsafe extern "C" fn on_release(raw: *mut k::mmu_notifier, _mm: *mut k::mm_struct) {
        // SAFETY: a callback of these operations.
        let this = unsafe { Self::from_raw(raw) };
        // The address space is going: no later fault may map a page of it, so this never ends.
        this.begin(HvaRange::ALL);
        this.invalidate(HvaRange::ALL);
    }

    /// # Safety
    ///
    /// Called by the notifier core alone, with a notifier that `alloc` made.
    unsafe extern "C" fn on_clear_young(
        raw: *mut k::mmu_notifier,
        _mm: *mut k::mm_struct,
        start: kernel::ffi::c_ulong,
        end: kernel::ffi::c_ulong,
    ) -> bool {
        // SAFETY: a callback of these operations.
        let this = unsafe { Self::from_raw(raw) };
        this.any_young(|listener| listener.clear_young(hva_range(start, end)))
    }

    /// # Safety
    ///
    /// Called by the notifier core alone, with a notifier that `alloc` made.
    unsafe extern "C" fn on_test_young(
        raw: *mut k::mmu_notifier,
        _mm: *mut k::mm_struct,
        address: kernel::ffi::c_ulong,
    ) -> bool {
        // SAFETY: a callback of these operations.
        let this = unsafe { Self::from_raw(raw) };
        this.any_young(|listener| listener.test_young(hva_range(address, address + 1)))
    }
}

fn hva_range(start: usize, end: usize) -> HvaRange {
    HvaRange {
        start: Hva::new(start as u64),
        end: Hva::new(end as u64),
    }
}

/// A listener's place among those of an address space, until it is dropped.
pub struct Subscription {
    notifier: NonNull<Notifier>,
    listener: Arc<dyn Listener>,
}

// SAFETY: the notifier may be used and put from any thread.
unsafe impl Send for Subscription {}
// SAFETY: the shared methods use atomics only.
unsafe impl Sync for Subscription {}

impl Subscription {
    /// Has `listener` told of changes to `mm`; `mm` is the current process's. `ENOMEM`, or `EINTR` if
    /// the task was killed while it waited for the mm's locks.
    pub fn new(mm: &Mm, listener: Arc<dyn Listener>) -> Result<Self> {
        // SAFETY: the mm is the current task's, so that it has users.
        let raw = from_err_ptr(unsafe { bindings::rkvm_mmu_notifier_get(&OPS, mm.as_raw()) })?;
        let notifier = NonNull::new(raw.cast::<Notifier>()).ok_or(ENOMEM)?;
        let subscription = Self {
            notifier,
            listener: listener.clone(),
        };
        subscription.notifier().listeners.add(listener)?;
        Ok(subscription)
    }

    fn notifier(&self) -> &Notifier {
        // SAFETY: the subscription holds a use of the notifier until it is dropped.
        unsafe { self.notifier.as_ref() }
    }

    /// The state to remember before a page is looked up.
    pub fn sequence(&self) -> Sequence {
        Sequence(self.notifier().completed.load(Ordering::SeqCst))
    }

    /// Whether pages of `range` looked up since `sequence` was taken are still the right ones. Only under the
    /// lock that the listener takes does a "yes" hold.
    pub fn is_current(&self, sequence: Sequence, range: HvaRange) -> bool {
        let notifier = self.notifier();
        !notifier.is_busy(range) && notifier.completed.load(Ordering::SeqCst) == sequence.0
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.notifier().listeners.remove(&self.listener);
        // SAFETY: `new` got the notifier, and this is the only put.
        unsafe { k::mmu_notifier_put(self.notifier.as_ptr().cast()) };
    }
}

/// Waits, when dropped, for the memory of notifiers that were put: their `free` is this module's code.
pub struct Drain;

impl Drop for Drain {
    fn drop(&mut self) {
        // SAFETY: called once, when the module goes and no new subscription can come.
        unsafe { k::mmu_notifier_synchronize() };
    }
}
