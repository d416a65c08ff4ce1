// SPDX-License-Identifier: GPL-2.0

//! Guest physical memory: memory slots, and the page tables that hardware walks.
//!
//! # A fault
//!
//! A vCPU that faults looks the frame up in its [`View`] of the slots, takes the notifier's sequence,
//! looks the VMM's page up, and maps it under the MMU lock unless the sequence or the slots have
//! moved on meanwhile; then it starts again. The page reference is dropped at once: from then on
//! the notifier says when the page goes. Nothing is pinned.
//!
//! # Lock order
//!
//! `update`, then the notifier's list, then `state` (the MMU lock), then the list of vCPUs. `state` is a
//! spinlock that is never taken with interrupts off, so that its holder may wait for other CPUs.

mod cursor;
mod dirty;
pub mod entry;
mod leaves;
mod removed;
pub mod table;
mod tables;
pub mod users;
mod view;

pub use view::{Fault, View};

use crate::{
    arch::{EntryFormat, MemoryFormat},
    host::{
        bindings::kvm_userspace_memory_region,
        cpu,
        notifier::{Age, HvaRange, Listener, Subscription},
        page::KernelPage,
        process::Process,
        user_page,
    },
    memslot::{Limit, Region, Slots, Stale},
    request::Group,
    step_log::log_step,
    types::{Gfn, Hpa, Hva},
};
use core::{
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
};
use dirty::LogMode;
pub use dirty::{ClearRequest, LogRequest, MODES as LOG_MODES};
use kernel::{
    prelude::*,
    sync::{new_mutex, new_spinlock, Arc, Mutex, SpinLock},
};
use removed::{Flush, Pages, Removed};
use tables::KernelTables;
use users::Users;

/// The page table of a VM.
type Table = table::PageTable<EntryFormat, KernelTables>;

/// A VM's memory. The tables go when this is dropped: no vCPU may be left.
pub struct Mmu {
    // Dropped first: after that no notifier callback looks at the tables.
    subscription: Subscription,
    shared: Arc<Shared>,
}

/// What notifier callbacks work on.
#[pin_data]
struct Shared {
    /// Serialises changes of the slots.
    #[pin]
    update: Mutex<()>,
    #[pin]
    state: SpinLock<State>,
    /// Steps with every change of the slots, under `state`; read without.
    slots_generation: AtomicU64,
    users: Users,
    log_mode: LogMode,
    root: Hpa,
    format: MemoryFormat,
    #[pin]
    vcpus: Group,
}

struct State {
    slots: Arc<Slots>,
    table: Table,
}

impl Mmu {
    /// No memory yet, for a VM of the current process. `ENOMEM`, `EINTR`.
    pub fn new(process: &Process, format: MemoryFormat) -> Result<Self> {
        let shape = format.root();
        let pages = KernelPage::new_run(shape.tables)?;
        pages.iter().try_for_each(KernelTables::usable)?;
        let table = Table::new(KernelTables, shape, pages).ok_or(ENOMEM)?;
        let root = table.root();
        let slots = Arc::new(Slots::new(), GFP_KERNEL_ACCOUNT)?;
        let shared = Arc::pin_init(
            pin_init!(Shared {
                update <- new_mutex!(()),
                state <- new_spinlock!(State { slots, table }),
                slots_generation: AtomicU64::new(0),
                users: Users::new(),
                log_mode: LogMode::new(),
                root,
                format,
                vcpus <- Group::new(),
            }),
            GFP_KERNEL_ACCOUNT,
        )?;
        let listener: Arc<dyn Listener> = shared.clone();
        Ok(Self {
            subscription: Subscription::new(process.mm(), listener)?,
            shared,
        })
    }

    /// The physical address of the root.
    pub fn root(&self) -> Hpa {
        self.shared.root
    }

    /// How it is mapped.
    #[allow(dead_code, reason = "on x86 it is the same for all VMs")]
    pub fn format(&self) -> &MemoryFormat {
        &self.shared.format
    }

    /// The vCPUs that run on this memory.
    pub fn vcpus(&self) -> &Group {
        &self.shared.vcpus
    }

    /// Unmaps everything: what the guest still uses faults, and is mapped as for the first time.
    #[allow(
        dead_code,
        reason = "on x86 nothing is done when memory is mapped first"
    )]
    pub fn forget(&self) {
        let all = Gfn::new(0)..self.shared.format.limit();
        let unused = {
            let mut state = self.shared.state.lock();
            self.shared.expel(state.table.zap(all))
        };
        drop(unused);
    }

    /// KVM_SET_USER_MEMORY_REGION; see [`Slots::with_region`] for the errors, and `EINVAL` where the
    /// memory is not user memory.
    pub fn set_region(&self, region: &kvm_userspace_memory_region) -> Result {
        let region = Region {
            slot: region.slot,
            flags: region.flags,
            guest_phys_addr: region.guest_phys_addr,
            memory_size: region.memory_size,
            userspace_addr: region.userspace_addr,
        };
        if !user_page::is_user_range(Hva::new(region.userspace_addr), region.memory_size) {
            return Err(EINVAL);
        }
        let shared = &self.shared;
        let _update = shared.update.lock();
        let current = shared.state.lock().slots.clone();
        let limit = Limit {
            end: shared.format.limit(),
            error: shared.format.beyond_limit(),
        };
        let Some(change) = current.with_region(&region, limit, shared.log_mode.initial())? else {
            return Ok(());
        };
        let next = Arc::new(change.slots, GFP_KERNEL_ACCOUNT)?;
        let (previous, generation, unused) = {
            let mut state = shared.state.lock();
            let previous = core::mem::replace(&mut state.slots, next);
            let generation = shared.slots_generation.fetch_add(1, Ordering::SeqCst);
            let unused = match &change.stale {
                Stale::Mappings(gfns) => Some(shared.expel(state.table.zap(gfns.clone()))),
                Stale::WriteAccess(_) | Stale::Nothing => None,
            };
            (previous, generation, unused)
        };
        drop(unused);
        if let Stale::WriteAccess(gfns) = change.stale {
            shared.write_protect(gfns);
        }
        shared.users.wait(generation);
        drop((previous, current));
        log_step!(
            "KVM_SET_USER_MEMORY_REGION: slot {}, hva {:#x}, gpa {:#x}, {} bytes\n",
            region.slot,
            region.userspace_addr,
            region.guest_phys_addr,
            region.memory_size,
        );
        Ok(())
    }
}

/// How many frames are write-protected before others get the MMU lock.
const FRAMES_AT_ONCE: u64 = entry::Level::Pud.pages();

impl Shared {
    /// Makes sure that no vCPU uses what was removed. Called with the MMU lock held, so that nothing else is mapped
    /// there before; the pages that it gives out are to be freed without.
    fn expel(
        &self,
        removed: Removed<EntryFormat, KernelTables>,
    ) -> Pages<EntryFormat, KernelTables> {
        removed.after_flush(|| self.vcpus.expel())
    }

    /// Takes the right to write from what is mapped, part by part: a slot can have 2^31 pages. Nothing gets it meanwhile
    /// without a mark in the log that the slot has.
    fn write_protect(&self, gfns: Range<Gfn>) {
        let mut flush = Flush::NotNeeded;
        let mut first = gfns.start;
        while first < gfns.end {
            let end = first.checked_add(FRAMES_AT_ONCE).unwrap_or(gfns.end);
            let end = end.min(gfns.end);
            if self.state.lock().table.write_protect(first..end) == Flush::Needed {
                flush = Flush::Needed;
            }
            first = end;
            cpu::relax();
        }
        if flush == Flush::Needed {
            self.vcpus.expel();
        }
    }

    /// Unmaps the first frames from `first` on that the user memory backs. The frame after them; `None` if
    /// there are none.
    fn zap_next(&self, range: HvaRange, first: Gfn) -> Option<Gfn> {
        let (end, unused) = {
            let mut state = self.state.lock();
            let State { slots, table } = &mut *state;
            let gfns = slots.next_gfns_of(range.start..range.end, first)?;
            (gfns.end, self.expel(table.zap(gfns)))
        };
        drop(unused);
        Some(end)
    }

    /// Calls `ask` for the table and each range of frames that the user memory backs.
    fn for_each_backed(&self, range: HvaRange, mut ask: impl FnMut(&mut Table, Range<Gfn>)) {
        let mut state = self.state.lock();
        let State { slots, table } = &mut *state;
        for (_, gfns) in slots.gfns_of(range.start..range.end) {
            ask(table, gfns);
        }
    }
}

impl Listener for Shared {
    /// In order of guest address, so that a slot that comes or goes between two steps does not hide
    /// another: its own mappings are zapped by its change, and no new ones are made while the
    /// notifier is at work.
    fn invalidate(&self, range: HvaRange) {
        let mut first = Gfn::new(0);
        while let Some(end) = self.zap_next(range, first) {
            first = end;
        }
    }

    fn clear_young(&self, range: HvaRange) -> Age {
        let mut young = false;
        self.for_each_backed(range, |table, gfns| young |= table.age(gfns));
        Age::from_young(young)
    }

    fn test_young(&self, range: HvaRange) -> Age {
        let mut young = false;
        self.for_each_backed(range, |table, gfns| young |= table.is_young(gfns));
        Age::from_young(young)
    }
}
