// SPDX-License-Identifier: GPL-2.0

//! Memory slots: which guest frames are backed by which memory of the VMM.
//!
//! A set of slots never changes. `KVM_SET_USER_MEMORY_REGION` builds the next set from the current
//! one, and the VM publishes it as a whole, so a reader sees one state of memory or another and
//! never a mixture. A set is an array in order of guest address: 24 bytes a slot, copied once for
//! each change and searched by bisection. The dirty log of a slot goes along from set to set.
//!
//! Source: Linux Documentation/virt/kvm/api.rst, 4.35 KVM_SET_USER_MEMORY_REGION.

use core::ops::Range;

use kernel::prelude::*;
use kernel::sync::Arc;

use crate::arch::MEMORY_SLOTS;
use crate::dirty_log::{DirtyLog, Initial};
use crate::types::{Gfn, Gpa, Hva, PAGE_SHIFT};

/// The most pages that a slot can have, so that a bit in its dirty log has a 31-bit number.
pub const MAX_SLOT_PAGES: u64 = (1 << 31) - 1;

/// Where the frames of a VM end.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// The first that there is not.
    pub end: Gfn,
    /// What a slot beyond is refused with.
    pub error: Error,
}

kernel::bitfield! {
    /// `kvm_userspace_memory_region.flags`.
    pub struct SlotFlags(u32) {
        /// `KVM_MEM_LOG_DIRTY_PAGES`: keep track of writes to the slot.
        0:0 log_dirty_pages;
        /// `KVM_MEM_READONLY`: writes by the guest are MMIO exits.
        1:1 readonly;
    }
}

impl SlotFlags {
    const VALID_MASK: u32 = Self::LOG_DIRTY_PAGES_MASK | Self::READONLY_MASK;
}

/// `struct kvm_userspace_memory_region`: what a VMM asks for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Region {
    /// Slot number, and the address space in the upper 16 bits.
    pub slot: u32,
    /// [`SlotFlags`].
    pub flags: u32,
    /// Where the slot starts in guest physical memory; page-aligned.
    pub guest_phys_addr: u64,
    /// Its size in bytes, whole pages; 0 deletes the slot.
    pub memory_size: u64,
    /// Where its memory starts in the VMM; page-aligned.
    pub userspace_addr: u64,
}

/// A memory slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    base: Gfn,
    hva: Hva,
    pages: u32,
    id: u16,
    flags: u16,
}

impl Slot {
    /// Checks what `region` asks for by itself, whatever other slots there are.
    ///
    /// A slot without pages stands for a request to delete.
    fn new(region: &Region) -> Result<Self> {
        let (gpa, hva) = (
            Gpa::new(region.guest_phys_addr),
            Hva::new(region.userspace_addr),
        );
        let pages = region.memory_size >> PAGE_SHIFT;

        let aligned = gpa.is_page_aligned()
            && hva.is_page_aligned()
            && Gpa::new(region.memory_size).is_page_aligned();
        let wraps = gpa.checked_add(region.memory_size).is_none()
            || hva.checked_add(region.memory_size).is_none();
        if region.flags & !SlotFlags::VALID_MASK != 0
            // With another address space than 0 in its upper 16 bits, a number is too large as well.
            || region.slot >= MEMORY_SLOTS
            || pages > MAX_SLOT_PAGES
            || !aligned
            || wraps
        {
            return Err(EINVAL);
        }
        Ok(Self {
            base: gpa.frame(),
            hva,
            pages: u32::try_from(pages)?,
            id: u16::try_from(region.slot)?,
            flags: u16::try_from(region.flags)?,
        })
    }

    /// The slot number.
    pub const fn id(&self) -> u32 {
        self.id as u32
    }

    /// The flags.
    pub const fn flags(&self) -> SlotFlags {
        SlotFlags::from_raw(self.flags as u32)
    }

    /// The number of pages.
    pub const fn pages(&self) -> u64 {
        self.pages as u64
    }

    /// The guest frames.
    pub const fn gfns(&self) -> Range<Gfn> {
        // No wrap: checked when the slot was made, in bytes even.
        self.base..Gfn::new(self.base.raw().wrapping_add(self.pages()))
    }

    /// The memory of the VMM.
    pub const fn hvas(&self) -> Range<Hva> {
        // No wrap: checked when the slot was made.
        self.hva..Hva::new(self.hva.raw().wrapping_add(self.pages() << PAGE_SHIFT))
    }

    /// Which page of the slot `gfn` is; `None` if the frame is outside.
    fn page(&self, gfn: Gfn) -> Option<u64> {
        gfn.raw()
            .checked_sub(self.base.raw())
            .filter(|page| *page < self.pages())
    }

    /// The guest frames of these pages of the slot, as far as there are so many.
    pub fn gfns_at(&self, pages: Range<u64>) -> Range<Gfn> {
        let gfn = |page: u64| Gfn::new(self.base.raw().wrapping_add(page.min(self.pages())));
        gfn(pages.start)..gfn(pages.end)
    }

    /// Whether writes to the slot are logged.
    pub fn is_logged(&self) -> bool {
        self.flags().log_dirty_pages().into_bool()
    }

    /// The memory behind `gfn`; `None` if the frame is outside of the slot.
    pub fn hva(&self, gfn: Gfn) -> Option<Hva> {
        self.hva.checked_add(self.page(gfn)? << PAGE_SHIFT)
    }

    /// The guest frames whose memory meets `hvas`; `None` if there are none.
    pub fn gfns_of(&self, hvas: Range<Hva>) -> Option<Range<Gfn>> {
        let own = self.hvas();
        let start = own.start.max(hvas.start);
        let end = own.end.min(hvas.end);
        if start >= end {
            return None;
        }
        // The last byte's frame is inside, so that a range that ends within a page takes it along.
        let first = start.raw().checked_sub(own.start.raw())? >> PAGE_SHIFT;
        let last = (end.raw() - 1).checked_sub(own.start.raw())? >> PAGE_SHIFT;
        Some(self.base.checked_add(first)?..self.base.checked_add(last)?.checked_add(1)?)
    }
}

/// What of the page tables is out of date once a change of slots is published.
#[must_use]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stale {
    /// Nothing is.
    Nothing,
    /// These frames are no longer mapped, or not in this place.
    Mappings(Range<Gfn>),
    /// Writes to these frames must fault from now on, to be logged.
    WriteAccess(Range<Gfn>),
}

/// The set of slots that follows another.
pub struct Change {
    /// The new set.
    pub slots: Slots,
    /// What the page tables must forget after the set has been published.
    pub stale: Stale,
}

/// A reader's memory of the slot that it used last. Any value is valid for any set.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hint(usize);

/// A set of memory slots.
#[derive(Debug)]
pub struct Slots {
    /// In order of `base`; no two overlap; none is empty.
    slots: KVVec<Slot>,
    /// The logs of the slots that have one, in order of slot number.
    logs: KVVec<(u16, Arc<DirtyLog>)>,
    /// Covers the memory of all slots: most of what happens in a VMM's address space lies outside.
    hull: Range<Hva>,
    /// No slot has a larger number: VMMs mostly count up.
    largest_id: u16,
}

impl Slots {
    /// No slots.
    pub const fn new() -> Self {
        Self {
            slots: KVVec::new(),
            logs: KVVec::new(),
            hull: Hva::new(0)..Hva::new(0),
            largest_id: 0,
        }
    }

    /// The slots, in order of guest address.
    pub fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter()
    }

    /// The slot with this number.
    pub fn by_id(&self, id: u32) -> Option<&Slot> {
        if id > self.largest_id.into() {
            return None;
        }
        self.iter().find(|slot| slot.id() == id)
    }

    /// The dirty log of a slot of this set; `None` if it has none.
    pub fn log(&self, slot: &Slot) -> Option<&Arc<DirtyLog>> {
        if !slot.is_logged() {
            return None;
        }
        let found = self.logs.binary_search_by_key(&slot.id, |(id, _)| *id);
        self.logs.get(found.ok()?).map(|(_, log)| log)
    }

    /// Notes in the slot's log, if it has one, that `gfn` was written or can be from now on.
    pub fn mark_dirty(&self, slot: &Slot, gfn: Gfn) {
        if let (Some(log), Some(page)) = (self.log(slot), slot.page(gfn)) {
            log.mark(page);
        }
    }

    /// The slot that `gfn` lies in. `hint` is tried first and updated.
    pub fn find(&self, gfn: Gfn, hint: &mut Hint) -> Option<&Slot> {
        if let Some(slot) = self.slots.get(hint.0) {
            if slot.gfns().contains(&gfn) {
                return Some(slot);
            }
        }
        let behind = self.slots.partition_point(|slot| slot.base <= gfn);
        let index = behind.checked_sub(1)?;
        let slot = self.slots.get(index)?;
        if !slot.gfns().contains(&gfn) {
            return None;
        }
        hint.0 = index;
        Some(slot)
    }

    /// The guest frames whose memory meets `hvas`, slot by slot. Slots may share memory.
    pub fn gfns_of(&self, hvas: Range<Hva>) -> impl Iterator<Item = (&Slot, Range<Gfn>)> {
        self.candidates(&hvas)
            .iter()
            .filter_map(move |slot| Some((slot, slot.gfns_of(hvas.clone())?)))
    }

    /// The slots that may have some of this memory.
    fn candidates(&self, hvas: &Range<Hva>) -> &[Slot] {
        let outside = hvas.end <= self.hull.start || self.hull.end <= hvas.start;
        if outside {
            &[]
        } else {
            &self.slots
        }
    }

    /// The first of [`Slots::gfns_of`] from `first` on, found without a look at the slots before.
    pub fn next_gfns_of(&self, hvas: Range<Hva>, first: Gfn) -> Option<Range<Gfn>> {
        let candidates = self.candidates(&hvas);
        let before = candidates.partition_point(|slot| slot.gfns().end <= first);
        let rest = candidates.get(before..).unwrap_or(&[]);
        rest.iter()
            .filter_map(|slot| slot.gfns_of(hvas.clone()))
            .find(|gfns| gfns.start >= first)
    }

    /// The set after `KVM_SET_USER_MEMORY_REGION` with `region`, for a VM whose frames end at
    /// a limit and whose new logs begin as `initial`. `None` if the slot is as `region` wants it already.
    ///
    /// The caller has checked that `userspace_addr` and `memory_size` describe user memory.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: an unknown flag or slot number; an address or size that is not page-aligned,
    ///   wraps, or is too large; the slot to delete does not exist; the size, the memory or
    ///   `KVM_MEM_READONLY` of an existing slot would change.
    /// - the limit's error: it reaches beyond that.
    /// - `EEXIST`: another slot has some of the frames.
    /// - `ENOMEM`.
    pub fn with_region(
        &self,
        region: &Region,
        limit: Limit,
        initial: Initial,
    ) -> Result<Option<Change>> {
        let new = Slot::new(region)?;
        let old = self.by_id(new.id()).copied();

        let stale = match old {
            None if new.pages == 0 => return Err(EINVAL),
            None => Stale::Nothing,
            Some(old) if new.pages == 0 => {
                return Ok(Some(Change {
                    slots: self.replaced(Some(old), None, initial)?,
                    stale: Stale::Mappings(old.gfns()),
                }));
            }
            Some(old) => {
                let immutable_flags = !SlotFlags::LOG_DIRTY_PAGES_MASK;
                let flags = old.flags().into_raw() ^ new.flags().into_raw();
                if new.hva != old.hva || new.pages != old.pages || flags & immutable_flags != 0 {
                    return Err(EINVAL);
                }
                if new.base != old.base {
                    Stale::Mappings(old.gfns())
                } else if flags == 0 {
                    return Ok(None);
                } else if new.is_logged() && initial == Initial::Clean {
                    Stale::WriteAccess(new.gfns())
                } else {
                    Stale::Nothing
                }
            }
        };

        if self.overlaps(&new) {
            return Err(EEXIST);
        }
        if new.gfns().end > limit.end {
            return Err(limit.error);
        }
        Ok(Some(Change {
            slots: self.replaced(old, Some(new), initial)?,
            stale,
        }))
    }

    /// Whether a slot of another number has some of `new`'s frames.
    fn overlaps(&self, new: &Slot) -> bool {
        let gfns = new.gfns();
        let first = self
            .slots
            .partition_point(|slot| slot.gfns().end <= gfns.start);
        self.slots
            .iter()
            .skip(first)
            .take_while(|slot| slot.base < gfns.end)
            .any(|slot| slot.id != new.id)
    }

    /// The set without `old` and with `new`.
    fn replaced(&self, old: Option<Slot>, new: Option<Slot>, initial: Initial) -> Result<Self> {
        let mut slots =
            KVVec::with_capacity(self.slots.len().saturating_add(1), GFP_KERNEL_ACCOUNT)?;
        slots.extend_from_slice(&self.slots, GFP_KERNEL_ACCOUNT)?;
        if let Some(old) = old {
            let index = slots.partition_point(|slot| slot.base < old.base);
            slots.remove(index)?;
        }
        if let Some(new) = new {
            let index = slots.partition_point(|slot| slot.base < new.base);
            slots.insert_within_capacity(index, new)?;
        }

        let hull = match (old, new) {
            // The memory of a slot stays what it is.
            (Some(_), Some(_)) => self.hull.clone(),
            (None, Some(new)) if !self.slots.is_empty() => {
                let added = new.hvas();
                self.hull.start.min(added.start)..self.hull.end.max(added.end)
            }
            _ => hull(&slots),
        };
        let largest_id = new.map_or(self.largest_id, |new| self.largest_id.max(new.id));
        let logs = self.replaced_logs(old, new, initial)?;
        Ok(Self {
            slots,
            logs,
            hull,
            largest_id,
        })
    }

    /// The logs without `old`'s and with `new`'s. A slot that stays logged keeps its log.
    fn replaced_logs(
        &self,
        old: Option<Slot>,
        new: Option<Slot>,
        initial: Initial,
    ) -> Result<KVVec<(u16, Arc<DirtyLog>)>> {
        let mut logs = KVVec::with_capacity(self.logs.len().saturating_add(1), GFP_KERNEL_ACCOUNT)?;
        for (id, log) in &self.logs {
            if old.is_none_or(|old| old.id != *id) {
                logs.push((*id, log.clone()), GFP_KERNEL_ACCOUNT)?;
            }
        }
        if let Some(new) = new.filter(Slot::is_logged) {
            let log = match old.and_then(|old| self.log(&old)) {
                Some(log) => log.clone(),
                None => Arc::new(DirtyLog::new(new.pages(), initial)?, GFP_KERNEL_ACCOUNT)?,
            };
            let index = logs.partition_point(|(id, _)| *id < new.id);
            logs.insert_within_capacity(index, (new.id, log))?;
        }
        Ok(logs)
    }
}

/// What covers the memory of all these slots.
fn hull(slots: &[Slot]) -> Range<Hva> {
    let start = slots.iter().map(|slot| slot.hvas().start).min();
    let end = slots.iter().map(|slot| slot.hvas().end).max();
    start.unwrap_or_default()..end.unwrap_or_default()
}

impl Default for Slots {
    fn default() -> Self {
        Self::new()
    }
}
