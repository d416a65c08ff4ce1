// SPDX-License-Identifier: GPL-2.0

//! Coalesced MMIO and port I/O: writes that wait in a ring for the VMM's next exit.
//!
//! The VMM names zones; a write that lies in one of them goes to a ring in a page that it has mapped, and
//! the guest goes on. With the ring full the write exits as any other.
//!
//! Source: Linux Documentation/virt/kvm/api.rst, 4.116 KVM_(UN)REGISTER_COALESCED_MMIO.

use crate::{
    bus::{Space, Table},
    types::PAGE_SIZE,
};
use core::{
    ops::Range,
    sync::atomic::{AtomicU32, Ordering},
};
use kernel::prelude::*;

/// The most zones of a space.
const MAX_ZONES: usize = 1000;

/// The writes of a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zone {
    /// Ports or memory.
    pub space: Space,
    start: u64,
    end: u64,
}

/// `struct kvm_coalesced_mmio_zone`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct ZoneRequest {
    /// The first address or port.
    pub addr: u64,
    /// Bytes.
    pub size: u32,
    /// 1 for ports, 0 for memory; VMMs can write other values.
    pub pio: u32,
}

impl Zone {
    /// Makes sense of a request. `EINVAL` if `pio` is neither 0 nor 1.
    pub fn new(request: &ZoneRequest) -> Result<Self> {
        let ZoneRequest { addr, size, pio } = *request;
        Ok(Self {
            space: match pio {
                0 => Space::Memory,
                1 => Space::Port,
                _ => return Err(EINVAL),
            },
            start: addr,
            end: addr.saturating_add(size.into()),
        })
    }

    fn range(&self) -> Range<u64> {
        self.start..self.end
    }
}

/// The zones of a space.
#[derive(Default)]
pub struct Zones(Table<()>);

impl Zones {
    /// None.
    pub const fn new() -> Self {
        Self(Table::new())
    }

    /// These and one more. `ENOSPC` if there are too many, `ENOMEM`.
    pub fn with(&self, zone: &Zone) -> Result<Self> {
        if self.0.len() >= MAX_ZONES {
            return Err(ENOSPC);
        }
        Ok(Self(self.0.with(zone.range(), ())?))
    }

    /// These without those that contain `zone`; `None` if none does. `ENOMEM`.
    pub fn without(&self, zone: &Zone) -> Result<Option<Self>> {
        if self.0.containing(zone.range()).next().is_none() {
            return Ok(None);
        }
        let table = self
            .0
            .without(|range, ()| range.start <= zone.start && zone.end <= range.end)?;
        Ok(Some(Self(table)))
    }

    /// Whether a write of `bytes` bytes lies in a zone.
    #[inline]
    pub fn contain(&self, address: u64, bytes: usize) -> bool {
        address
            .checked_add(bytes as u64)
            .is_some_and(|end| self.0.containing(address..end).next().is_some())
    }
}

/// Words of the ring's page.
pub const RING_WORDS: usize = PAGE_SIZE / size_of::<u32>();
/// Words before the entries: the first entry to read, and the one after the last.
const HEADER_WORDS: usize = 2;
/// Words of an entry: address (2), length, space, data (2).
const ENTRY_WORDS: usize = 6;
/// Entries of the ring (`KVM_COALESCED_MMIO_MAX`). One stays free, so that a full ring is not an empty
/// one.
pub const RING_ENTRIES: u32 = ((RING_WORDS - HEADER_WORDS) / ENTRY_WORDS) as u32;
/// Bytes of data of an entry.
const DATA_BYTES: usize = 8;

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It is in the ring.
    Done,
    /// There is no room, or no sense in what the VMM has written to the ring.
    Full,
}

/// Appends a write to the ring of `struct kvm_coalesced_mmio_ring`. The VMM takes entries out at the same time,
/// and may write anything anywhere; others that append are kept out by the caller.
pub fn push(ring: &[AtomicU32; RING_WORDS], space: Space, address: u64, data: &[u8]) -> Pushed {
    let [first, last, entries @ ..] = ring;
    let at = last.load(Ordering::Relaxed);
    if at >= RING_ENTRIES || data.len() > DATA_BYTES {
        return Pushed::Full;
    }
    let next = at.wrapping_add(1) % RING_ENTRIES;
    if next == first.load(Ordering::Acquire) {
        return Pushed::Full;
    }
    let mut bytes = [0; DATA_BYTES];
    for (to, from) in bytes.iter_mut().zip(data) {
        *to = *from;
    }
    let data_word = u64::from_le_bytes(bytes);
    let entry = [
        address as u32,
        (address >> u32::BITS) as u32,
        data.len() as u32,
        match space {
            Space::Memory => 0,
            Space::Port => 1,
        },
        data_word as u32,
        (data_word >> u32::BITS) as u32,
    ];
    let place = entries.iter().skip(at as usize * ENTRY_WORDS);
    for (word, value) in place.zip(entry) {
        word.store(value, Ordering::Relaxed);
    }
    last.store(next, Ordering::Release);
    Pushed::Done
}
