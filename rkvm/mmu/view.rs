// SPDX-License-Identifier: GPL-2.0

//! One vCPU's way to guest memory: its copy of the slots, and its page faults.

use super::{
    entry::{Access, Leaf, Level},
    table::{MapError, Mapped},
    tables::Stock,
    users::Using,
    Mmu, State,
};
use crate::{
    arch::MemoryFormat,
    host::{
        notifier::{HvaRange, Sequence},
        user_memory,
        user_page::{Intent, UserPage},
    },
    memslot::{Hint, Slot, Slots},
    types::{Gfn, Gpa, Hva, Pfn, PAGE_SHIFT, PAGE_SIZE},
};
use core::sync::atomic::Ordering;
use kernel::{prelude::*, sync::Arc};

/// What became of a page fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The page is mapped: the guest can go on.
    Mapped,
    /// No slot backs the frame, or a read-only one for a write: the access is MMIO.
    Mmio,
    /// More has to be done than can be done without sleeping: [`View::fault`] does it.
    Sleep,
}

/// A vCPU's view of guest memory.
pub struct View {
    slots: Arc<Slots>,
    generation: u64,
    hint: Hint,
    stock: Stock,
}

impl View {
    /// The memory of `mmu` as it is now.
    pub fn new(mmu: &Mmu) -> Self {
        let state = mmu.shared.state.lock();
        Self {
            slots: state.slots.clone(),
            generation: mmu.shared.slots_generation.load(Ordering::SeqCst),
            hint: Hint::default(),
            stock: Stock::new(),
        }
    }

    /// Whether the slots are still those of `mmu`.
    fn is_current(&self, mmu: &Mmu) -> bool {
        self.generation == mmu.shared.slots_generation.load(Ordering::SeqCst)
    }

    /// Takes up changed slots; sleeps where it drops the last reference to the old ones.
    fn refresh(&mut self, mmu: &Mmu) {
        if self.is_current(mmu) {
            return;
        }
        let previous = {
            let state = mmu.shared.state.lock();
            self.generation = mmu.shared.slots_generation.load(Ordering::SeqCst);
            core::mem::replace(&mut self.slots, state.slots.clone())
        };
        drop(previous);
    }

    /// Handles a fault without sleeping, if the VMM's page is present.
    pub fn fault_present(&mut self, mmu: &Mmu, gfn: Gfn, wanted: Access) -> Fault {
        if !self.is_current(mmu) {
            return Fault::Sleep;
        }
        let Some(target) = self.target(gfn, wanted) else {
            return Fault::Mmio;
        };
        let sequence = mmu.subscription.sequence();
        let Some(page) = present(&target) else {
            return Fault::Sleep;
        };
        match self.map(mmu, &target, &page, sequence) {
            Attempt::Done(_) => Fault::Mapped,
            Attempt::Again | Attempt::NoPages | Attempt::Invalid => Fault::Sleep,
        }
    }

    /// Handles a fault; sleeps. `EFAULT` where the VMM has no memory for the page, `ENOMEM` without memory
    /// for tables, `EINTR` if the task has a signal: where the memory has failed it gets SIGBUS.
    pub fn fault(&mut self, mmu: &Mmu, gfn: Gfn, wanted: Access) -> Result<Fault> {
        Ok(match self.fault_level(mmu, gfn, wanted)? {
            Some(_) => Fault::Mapped,
            None => Fault::Mmio,
        })
    }

    /// [`View::fault`], with the level of what is mapped; `None` for MMIO.
    pub fn fault_level(&mut self, mmu: &Mmu, gfn: Gfn, wanted: Access) -> Result<Option<Level>> {
        loop {
            self.refresh(mmu);
            let Some(target) = self.target(gfn, wanted) else {
                return Ok(None);
            };
            let sequence = mmu.subscription.sequence();
            let page = match present(&target) {
                Some(page) => page,
                None => UserPage::fault_in(target.hva, target.intent)?,
            };
            match self.map(mmu, &target, &page, sequence) {
                Attempt::Done(level) => return Ok(Some(level)),
                Attempt::Invalid => return Err(EINVAL),
                Attempt::NoPages => self.stock.fill()?,
                Attempt::Again if crate::host::cpu::signal_pending() => return Err(EINTR),
                Attempt::Again => crate::host::cpu::relax(),
            }
        }
    }

    /// What a fault is about. `None` if it is MMIO.
    fn target(&mut self, gfn: Gfn, wanted: Access) -> Option<Target> {
        let slot = *self.slots.find(gfn, &mut self.hint)?;
        let readonly = slot.flags().readonly().into_bool();
        let intent = if wanted.contains(Access::WRITE) {
            Intent::Write
        } else {
            Intent::Read
        };
        if readonly && intent == Intent::Write {
            return None;
        }
        Some(Target {
            hva: slot.hva(gfn)?,
            slot,
            gfn,
            intent,
            wanted,
        })
    }

    fn map(&mut self, mmu: &Mmu, target: &Target, page: &UserPage, sequence: Sequence) -> Attempt {
        let format = &mmu.shared.format;
        let level = target.level(page, format);
        format.prepare(&target.leaf(page, level, format), level);
        let unused = {
            let mut state = mmu.shared.state.lock();
            if !self.is_current(mmu) || !mmu.subscription.is_current(sequence, target.hvas(level)) {
                return Attempt::Again;
            }
            let State { table, .. } = &mut *state;
            // Where the guest has executed it mostly will again: small pages stay, which larger ones would not
            // let it do.
            let level = if level > format.largest_executable_leaf() {
                table.room(target.gfn, level)
            } else {
                level
            };
            let gfn = level.align_down(target.gfn);
            let leaf = target.leaf(page, level, format);
            match table.map(gfn, level, leaf, &mut self.stock) {
                Ok(Mapped::New | Mapped::Upgraded | Mapped::Spurious) => {
                    page.mark_used();
                    if page.intent() == Intent::Write {
                        self.slots.mark_dirty(&target.slot, target.gfn);
                    }
                    return Attempt::Done(level);
                }
                Ok(Mapped::Conflict(removed)) => mmu.shared.expel(removed),
                Err(MapError::NoPages) => return Attempt::NoPages,
                Err(MapError::Invalid) => return Attempt::Invalid,
            }
        };
        drop(unused);
        Attempt::Again
    }

    /// Reads guest memory within one page; sleeps. `EFAULT` where there is none.
    pub fn read(&mut self, mmu: &Mmu, gpa: Gpa, data: &mut [u8]) -> Result {
        self.access(mmu, gpa, data.len(), |hva| user_memory::read(hva, data))
    }

    /// Reads 8 bytes of guest memory, aligned; sleeps. `EFAULT` where there is none.
    pub fn read_u64(&mut self, using: &Using<'_>, gpa: Gpa) -> Result<u64> {
        self.access_using(using, gpa, size_of::<u64>(), user_memory::read_u64)
    }

    /// Writes guest memory within one page; sleeps. `EFAULT` where there is none, or it is read-only.
    pub fn write(&mut self, mmu: &Mmu, gpa: Gpa, data: &[u8]) -> Result {
        self.modify(mmu, gpa, data.len(), |hva| user_memory::write(hva, data))
    }

    /// Lets `modify` write to the memory behind an access that stays within one page. `EFAULT`
    /// where there is none, or it is read-only.
    pub fn modify<T>(
        &mut self,
        mmu: &Mmu,
        gpa: Gpa,
        bytes: usize,
        modify: impl FnOnce(Hva) -> Result<T>,
    ) -> Result<T> {
        let using = self.enter(mmu);
        self.modify_using(&using, gpa, bytes, modify)
    }

    /// [`View::modify`] as one of several accesses.
    pub fn modify_using<T>(
        &mut self,
        _using: &Using<'_>,
        gpa: Gpa,
        bytes: usize,
        modify: impl FnOnce(Hva) -> Result<T>,
    ) -> Result<T> {
        if self.is_readonly(gpa) {
            return Err(EFAULT);
        }
        let result = modify(self.backing(gpa, bytes)?);
        // Afterwards, so that whoever takes the mark also sees the data; a failure may come after a
        // part was written.
        let gfn = gpa.frame();
        if let Some(slot) = self.slots.find(gfn, &mut self.hint) {
            self.slots.mark_dirty(slot, gfn);
        }
        result
    }

    /// Calls `access` with the VMM's memory behind an access that stays within one page.
    fn access<T>(
        &mut self,
        mmu: &Mmu,
        gpa: Gpa,
        bytes: usize,
        access: impl FnOnce(Hva) -> Result<T>,
    ) -> Result<T> {
        let using = self.enter(mmu);
        self.access_using(&using, gpa, bytes, access)
    }

    /// [`View::access`] as one of several accesses. `EFAULT` where there is no memory.
    pub fn access_using<T>(
        &mut self,
        _using: &Using<'_>,
        gpa: Gpa,
        bytes: usize,
        access: impl FnOnce(Hva) -> Result<T>,
    ) -> Result<T> {
        access(self.backing(gpa, bytes)?)
    }

    /// Takes up the current slots. No change of them ends before the result is dropped: the VMM may
    /// do other things with the memory of a slot once that has gone.
    pub fn enter<'a>(&mut self, mmu: &'a Mmu) -> Using<'a> {
        loop {
            self.refresh(mmu);
            if let Some(using) = self.enter_present(mmu) {
                return using;
            }
        }
    }

    /// [`View::enter`] without sleeping. `None` if the slots have changed.
    pub fn enter_present<'a>(&self, mmu: &'a Mmu) -> Option<Using<'a>> {
        let using = mmu.shared.users.enter(self.generation);
        self.is_current(mmu).then_some(using)
    }

    /// Whether a slot backs the address.
    pub fn is_backed(&mut self, mmu: &Mmu, gpa: Gpa) -> bool {
        self.refresh(mmu);
        self.slots.find(gpa.frame(), &mut self.hint).is_some()
    }

    /// Whether a read-only slot backs the address, as the slots were when they were last taken up.
    pub fn is_readonly(&mut self, gpa: Gpa) -> bool {
        self.slots
            .find(gpa.frame(), &mut self.hint)
            .is_some_and(|slot| slot.flags().readonly().into_bool())
    }

    /// The VMM's memory behind an access that stays within one page.
    fn backing(&mut self, gpa: Gpa, bytes: usize) -> Result<Hva> {
        let offset = gpa.page_offset();
        if offset.saturating_add(bytes as u64) > PAGE_SIZE as u64 {
            return Err(EFAULT);
        }
        let gfn = gpa.frame();
        let slot = self.slots.find(gfn, &mut self.hint).ok_or(EFAULT)?;
        let page = slot.hva(gfn).ok_or(EFAULT)?;
        page.checked_add(offset).ok_or(EFAULT)
    }
}

/// The page to use if it is there. A read takes a writable page too: the write that mostly follows
/// then does not fault. Where writes are logged they have to.
fn present(target: &Target) -> Option<UserPage> {
    let readonly = target.slot.flags().readonly().into_bool();
    let only_read = target.intent == Intent::Read && target.slot.is_logged();
    let writable = if readonly || only_read {
        None
    } else {
        UserPage::present(target.hva, Intent::Write)
    };
    match target.intent {
        Intent::Write => writable,
        Intent::Read => writable.or_else(|| UserPage::present(target.hva, Intent::Read)),
    }
}

enum Attempt {
    /// It is mapped by a leaf of this level, or a larger one.
    Done(Level),
    /// Something changed meanwhile.
    Again,
    /// The stock is used up.
    NoPages,
    /// The tables cannot reach the frame, which the limit on slots rules out.
    Invalid,
}

/// A fault on memory that a slot backs.
struct Target {
    slot: Slot,
    gfn: Gfn,
    hva: Hva,
    intent: Intent,
    wanted: Access,
}

impl Target {
    /// A leaf of `level` around the faulting page.
    fn leaf(
        &self,
        page: &UserPage,
        level: Level,
        format: &MemoryFormat,
    ) -> Leaf<crate::arch::MemoryType> {
        let mut access = format.access(self.wanted);
        if page.intent() == Intent::Read {
            access = access.without(Access::WRITE);
        }
        if level > format.largest_executable_leaf() {
            access = access.without(Access::EXECUTE);
        }
        Leaf {
            frame: Pfn::new(page.pfn().raw() & !(level.pages() - 1)),
            access,
            memory_type: format.ordinary_memory(),
        }
    }

    /// The VMM's memory behind a leaf of `level`, which is aligned like the leaf.
    fn hvas(&self, level: Level) -> HvaRange {
        let bytes = level.pages() << PAGE_SHIFT;
        let start = Hva::new(self.hva.raw() & !(bytes - 1));
        HvaRange {
            start,
            end: start.checked_add(bytes).unwrap_or(start),
        }
    }

    /// The largest leaf that the host's own mapping, the slot and the access allow.
    fn level(&self, page: &UserPage, format: &MemoryFormat) -> Level {
        let largest = if self.wanted.contains(Access::EXECUTE) {
            format.largest_executable_leaf()
        } else {
            format.largest_leaf()
        };
        if largest == Level::Pte || self.slot.is_logged() {
            return Level::Pte;
        }
        let host_pages = 1u64 << page.mapping_shift(self.hva).saturating_sub(PAGE_SHIFT);
        let fits = |level: Level| {
            let mask = level.pages() - 1;
            let first = level.align_down(self.gfn);
            let gfns = self.slot.gfns();
            let inside = gfns.start <= first
                && first
                    .checked_add(level.pages())
                    .is_some_and(|end| end <= gfns.end);
            let alike = (self.gfn.raw() ^ (self.hva.raw() >> PAGE_SHIFT)) & mask == 0;
            level.pages() <= host_pages && inside && alike
        };
        [Level::Pud, Level::Pmd]
            .into_iter()
            .find(|level| *level <= largest && fits(*level))
            .unwrap_or(Level::Pte)
    }
}
