// SPDX-License-Identifier: GPL-2.0

//! LPIs: interrupts that are messages. Whether one is enabled, and its priority, is in a table in guest memory,
//! and so is whether it is pending while the GIC does not keep that. This file says where; others access guest
//! memory.
//!
//! Source: IHI 0069, section 5.1 "LPIs", GICR_PROPBASER, GICR_PENDBASER.

use super::{
    intid::{Intid, IrqRef, Kind, VcpuIndex, FIRST_LPI, LPI_END},
    irq::{Irq, Priority, Trigger},
    Gic,
};
use crate::types::Gpa;
use kernel::prelude::*;

/// What a redistributor has of LPIs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Redistribution {
    /// GICR_CTLR.EnableLPIs.
    pub(super) enabled: bool,
    /// GICR_PENDBASER.
    pub(super) pendbaser: u64,
}

/// An LPI's byte in the table of properties.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Property(u8);

impl Property {
    const ENABLE: u8 = 1 << 0;

    /// As it is in guest memory.
    pub const fn from_raw(raw: u8) -> Self {
        Self(raw)
    }

    fn is_enabled(self) -> bool {
        self.0 & Self::ENABLE != 0
    }

    fn priority(self) -> Priority {
        Priority::new(self.0)
    }
}

/// Whether an LPI is pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pending {
    /// It is.
    Yes,
    /// It is not.
    No,
}

/// Where the bit of a pending LPI is in guest memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingBit {
    /// The byte.
    pub gpa: Gpa,
    /// The bit in it.
    pub mask: u8,
}

/// Room for LPIs that were not mapped before; it replaces the GIC's own.
pub struct Room(KVVec<Irq>);

impl Room {
    /// Room for `count` LPIs. `ENOMEM`.
    pub fn new(count: usize) -> Result<Self> {
        Ok(Self(KVVec::with_capacity(count, GFP_KERNEL_ACCOUNT)?))
    }
}

const PROPBASER_ADDRESS: u64 = 0xf_ffff_ffff_f000;
const PROPBASER_ID_BITS: u64 = 0x1f;
const PENDBASER_ADDRESS: u64 = 0xf_ffff_ffff_0000;
/// GICR_PENDBASER.PTZ: the table is zero.
const PENDBASER_PTZ: u64 = 1 << 62;

impl Gic {
    /// How many LPIs there has to be room for before this one can be mapped; `None` if there is room. Numbers
    /// that are no LPI's need none.
    pub fn room_wanted(&self, intid: Intid) -> Option<usize> {
        let index = intid.raw().checked_sub(FIRST_LPI)? as usize;
        if intid.kind() != Kind::Lpi || index < self.lpis.len() {
            return None;
        }
        const ALL: usize = (LPI_END - FIRST_LPI) as usize;
        let doubled = self.lpis.len().saturating_mul(2);
        Some(doubled.max(index.saturating_add(1)).min(ALL))
    }

    /// Takes up new room. What is returned is to be freed where that is allowed.
    pub fn make_room(&mut self, mut room: Room) -> Room {
        if room.0.capacity() <= self.lpis.len() {
            return room;
        }
        let capacity = room.0.capacity();
        for irq in self.lpis.iter_mut() {
            let moved = core::mem::replace(irq, Irq::new(Trigger::Edge, None));
            if room.0.push_within_capacity(moved).is_err() {
                break;
            }
        }
        const ALL: usize = (LPI_END - FIRST_LPI) as usize;
        while room.0.len() < capacity.min(ALL) {
            let fresh = Irq::new(Trigger::Edge, None);
            if room.0.push_within_capacity(fresh).is_err() {
                break;
            }
        }
        core::mem::swap(&mut self.lpis, &mut room.0);
        room
    }

    /// Whether a vCPU's redistributor takes LPIs.
    pub fn takes_lpis(&self, vcpu: VcpuIndex) -> bool {
        self.cpus
            .get(vcpu.get())
            .is_some_and(|cpu| cpu.lpis.enabled)
    }

    /// The vCPU that an LPI goes to; it stays pending.
    pub fn route_lpi(&mut self, intid: Intid, target: Option<VcpuIndex>) {
        self.change_lpi(intid, |irq| irq.target = target);
    }

    /// No device has this LPI any more; what was pending of it is gone.
    pub fn forget_lpi(&mut self, intid: Intid) {
        self.change_lpi(intid, |irq| {
            irq.target = None;
            irq.enabled = false;
            irq.clear_latch();
        });
    }

    /// What guest memory says of an LPI.
    pub fn set_property(&mut self, intid: Intid, property: Property) {
        self.change_lpi(intid, |irq| {
            irq.enabled = property.is_enabled();
            irq.priority = property.priority();
        });
    }

    /// A message has come, or one is taken back. Whether that is done: a redistributor without LPIs drops a message.
    pub fn set_lpi_pending(&mut self, intid: Intid, pending: Pending) -> bool {
        let at = IrqRef::shared(intid);
        let target = self.irq(at).and_then(|irq| irq.target);
        let taken = target.is_some_and(|vcpu| self.takes_lpis(vcpu));
        match pending {
            Pending::Yes if taken => self.change_lpi(intid, |irq| irq.latch = true),
            Pending::Yes => return false,
            Pending::No => self.change_lpi(intid, Irq::clear_latch),
        }
        true
    }

    fn change_lpi(&mut self, intid: Intid, change: impl FnOnce(&mut Irq)) {
        if intid.kind() == Kind::Lpi {
            self.change(IrqRef::shared(intid), change);
        }
    }

    /// The first LPI from `intid` on that goes to a vCPU, and that vCPU.
    pub fn next_lpi(&self, intid: Intid) -> Option<(Intid, VcpuIndex)> {
        let first = intid.raw().checked_sub(FIRST_LPI)? as usize;
        let rest = self.lpis.get(first..)?;
        (intid.raw()..)
            .zip(rest)
            .find_map(|(number, irq)| Some((Intid::new(number), irq.target?)))
    }

    /// Whether an LPI is pending. Nothing may be loaded.
    pub fn is_lpi_pending(&self, intid: Intid) -> Pending {
        match self.irq(IrqRef::shared(intid)) {
            Some(irq) if irq.latch => Pending::Yes,
            _ => Pending::No,
        }
    }

    /// Where the property of an LPI is. `None` if the table is too short.
    pub fn property_address(&self, intid: Intid) -> Option<Gpa> {
        let bits = (self.propbaser & PROPBASER_ID_BITS).saturating_add(1);
        if u64::from(intid.raw()) >> bits.min(32) != 0 {
            return None;
        }
        let offset = intid.raw().checked_sub(FIRST_LPI)?;
        let table = self.propbaser & PROPBASER_ADDRESS;
        Some(Gpa::new(table.wrapping_add(offset.into())))
    }

    /// Where a vCPU's table has the bit of an LPI.
    pub fn pending_bit(&self, vcpu: VcpuIndex, intid: Intid) -> Option<PendingBit> {
        let table = self.cpus.get(vcpu.get())?.lpis.pendbaser & PENDBASER_ADDRESS;
        Some(PendingBit {
            gpa: Gpa::new(table.wrapping_add(u64::from(intid.raw() / 8))),
            mask: 1 << (intid.raw() % 8),
        })
    }

    /// Whether the guest says that a vCPU's table has no pending LPI.
    pub fn has_empty_pending_table(&self, vcpu: VcpuIndex) -> bool {
        let cpu = self.cpus.get(vcpu.get());
        cpu.is_none_or(|cpu| cpu.lpis.pendbaser & PENDBASER_PTZ != 0)
    }

    /// GICR_CTLR.EnableLPIs goes off: what is pending at the vCPU is forgotten.
    pub(super) fn disable_lpis(&mut self, vcpu: VcpuIndex) {
        if let Some(cpu) = self.cpus.get_mut(vcpu.get()) {
            cpu.lpis.enabled = false;
        }
        let end = FIRST_LPI.saturating_add(self.lpis.len() as u32);
        for number in FIRST_LPI..end {
            let intid = Intid::new(number);
            let irq = self.irq(IrqRef::shared(intid));
            if irq.is_some_and(|irq| irq.target == Some(vcpu)) {
                self.set_lpi_pending(intid, Pending::No);
            }
        }
    }
}
