// SPDX-License-Identifier: GPL-2.0

//! Entries of the tables in guest memory, as KVM saves them: revision 0 of their layout.
//!
//! Source: Linux Documentation/virt/kvm/devices/arm-vgic-its.rst, "ITS Table ABI REV0".

use super::CollectionId;
use crate::{arm64::vgic::gic::intid::Intid, types::Gpa};

const VALID: u64 = 1 << 63;

/// Ids from an entry to the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It is the last.
    None,
    /// So many further on, or at least so many.
    After(u32),
}

impl Next {
    /// For the next id, if there is one, where the distance has `bits` bits.
    pub fn distance(from: u32, to: Option<u32>, bits: u32) -> Self {
        let largest = (1 << bits.min(31)) - 1;
        to.map_or(Self::None, |to| {
            Self::After(to.wrapping_sub(from).min(largest))
        })
    }

    fn raw(self) -> u64 {
        match self {
            Self::None => 0,
            Self::After(distance) => distance.into(),
        }
    }

    fn from_raw(raw: u64) -> Self {
        match raw {
            0 => Self::None,
            distance => Self::After(distance as u32),
        }
    }
}

/// An entry of the table of devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceEntry {
    /// The next device.
    pub next: Next,
    /// The device's table of events.
    pub table: Gpa,
    /// How many bits its events have.
    pub event_bits: u32,
}

impl DeviceEntry {
    /// Bits of [`DeviceEntry::next`].
    pub const NEXT_BITS: u32 = 14;
    const NEXT_SHIFT: u32 = 49;
    const TABLE_SHIFT: u32 = 5;
    const TABLE: u64 = 0xfff_ffff_ffff;

    /// As it is in memory.
    pub fn raw(self) -> u64 {
        VALID
            | self.next.raw() << Self::NEXT_SHIFT
            | (self.table.raw() >> 8 & Self::TABLE) << Self::TABLE_SHIFT
            | u64::from(self.event_bits.wrapping_sub(1) & 0x1f)
    }

    /// From memory. `None` if it is not valid.
    pub fn from_raw(raw: u64) -> Option<Self> {
        (raw & VALID != 0).then(|| Self {
            next: Next::from_raw(raw >> Self::NEXT_SHIFT & 0x3fff),
            table: Gpa::new((raw >> Self::TABLE_SHIFT & Self::TABLE) << 8),
            event_bits: (raw as u32 & 0x1f).wrapping_add(1),
        })
    }
}

/// An entry of the table of collections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CollectionEntry {
    /// The number of the processor; none if the collection is not mapped.
    pub processor: Option<u32>,
    /// The collection.
    pub collection: CollectionId,
}

impl CollectionEntry {
    const PROCESSOR_SHIFT: u32 = 16;
    /// Stands for no processor.
    const UNMAPPED: u32 = u32::MAX;

    /// As it is in memory.
    pub fn raw(self) -> u64 {
        VALID
            | u64::from(self.processor.unwrap_or(Self::UNMAPPED)) << Self::PROCESSOR_SHIFT
            | u64::from(self.collection.0)
    }

    /// From memory. `None` if it is not valid.
    pub fn from_raw(raw: u64) -> Option<Self> {
        let processor = (raw >> Self::PROCESSOR_SHIFT) as u32;
        (raw & VALID != 0).then_some(Self {
            processor: (processor != Self::UNMAPPED).then_some(processor),
            collection: CollectionId(raw as u16),
        })
    }
}

/// An entry of a device's table of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventEntry {
    /// The next event.
    pub next: Next,
    /// The LPI.
    pub lpi: Intid,
    /// The collection.
    pub collection: CollectionId,
}

impl EventEntry {
    /// Bits of [`EventEntry::next`].
    pub const NEXT_BITS: u32 = 16;
    const NEXT_SHIFT: u32 = 48;
    const LPI_SHIFT: u32 = 16;

    /// As it is in memory.
    pub fn raw(self) -> u64 {
        self.next.raw() << Self::NEXT_SHIFT
            | u64::from(self.lpi.raw()) << Self::LPI_SHIFT
            | u64::from(self.collection.0)
    }

    /// From memory. `None` if it is not valid: it has no LPI.
    pub fn from_raw(raw: u64) -> Option<Self> {
        let lpi = (raw >> Self::LPI_SHIFT) as u32;
        (lpi != 0).then(|| Self {
            next: Next::from_raw(raw >> Self::NEXT_SHIFT),
            lpi: Intid::new(lpi),
            collection: CollectionId(raw as u16),
        })
    }
}
