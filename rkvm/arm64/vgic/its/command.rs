// SPDX-License-Identifier: GPL-2.0

//! The commands of an ITS.
//!
//! Source: IHI 0069, section 5.3 "ITS commands".

use super::{CollectionId, Event};
use crate::{arm64::vgic::gic::intid::Intid, types::Gpa};

/// Bytes of a command in the queue.
pub const BYTES: u32 = 32;

/// Whether a mapping is made or taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Valid {
    /// It is made.
    Yes,
    /// It is taken away.
    No,
}

/// A command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// MAPD.
    MapDevice {
        /// The device.
        device: u32,
        /// How many bits its events have.
        event_bits: u32,
        /// Where its table is to be saved.
        table: Gpa,
        /// Whether it is mapped.
        valid: Valid,
    },
    /// MAPC.
    MapCollection {
        /// The collection.
        collection: CollectionId,
        /// The number of the processor that takes its interrupts.
        processor: u32,
        /// Whether it is mapped.
        valid: Valid,
    },
    /// MAPTI, and MAPI, where the event is the LPI's number.
    MapInterrupt {
        /// The event.
        event: Event,
        /// Its LPI.
        lpi: Intid,
        /// Its collection.
        collection: CollectionId,
    },
    /// MOVI.
    Move {
        /// The event.
        event: Event,
        /// Its new collection.
        collection: CollectionId,
    },
    /// MOVALL.
    MoveAll {
        /// The number of the processor that has the interrupts.
        from: u32,
        /// That of the one that gets them.
        to: u32,
    },
    /// DISCARD.
    Discard(Event),
    /// INV.
    Invalidate(Event),
    /// INVALL.
    InvalidateAll(CollectionId),
    /// INT.
    Raise(Event),
    /// CLEAR.
    Clear(Event),
    /// SYNC, and what does not exist.
    Nothing,
}

mod number {
    pub(super) const MOVI: u64 = 0x01;
    pub(super) const INT: u64 = 0x03;
    pub(super) const CLEAR: u64 = 0x04;
    pub(super) const MAPD: u64 = 0x08;
    pub(super) const MAPC: u64 = 0x09;
    pub(super) const MAPTI: u64 = 0x0a;
    pub(super) const MAPI: u64 = 0x0b;
    pub(super) const INV: u64 = 0x0c;
    pub(super) const INVALL: u64 = 0x0d;
    pub(super) const MOVALL: u64 = 0x0e;
    pub(super) const DISCARD: u64 = 0x0f;
}

impl Command {
    /// From the four doublewords of an entry of the queue.
    pub fn decode(words: [u64; 4]) -> Self {
        let [first, second, third, fourth] = words;
        let device = (first >> 32) as u32;
        let event = Event {
            device,
            number: second as u32,
        };
        let collection = CollectionId(third as u16);
        let processor = |word: u64| (word >> 16) as u32;
        let valid = if third >> 63 != 0 {
            Valid::Yes
        } else {
            Valid::No
        };
        match first & 0xff {
            number::MAPD => Self::MapDevice {
                device,
                event_bits: (second as u32 & 0x1f).wrapping_add(1),
                table: Gpa::new(third & 0xf_ffff_ffff_ff00),
                valid,
            },
            number::MAPC => Self::MapCollection {
                collection,
                processor: processor(third),
                valid,
            },
            number::MAPTI => Self::MapInterrupt {
                event,
                lpi: Intid::new((second >> 32) as u32),
                collection,
            },
            number::MAPI => Self::MapInterrupt {
                event,
                lpi: Intid::new(event.number),
                collection,
            },
            number::MOVI => Self::Move { event, collection },
            number::MOVALL => Self::MoveAll {
                from: processor(third),
                to: processor(fourth),
            },
            number::DISCARD => Self::Discard(event),
            number::INV => Self::Invalidate(event),
            number::INVALL => Self::InvalidateAll(collection),
            number::INT => Self::Raise(event),
            number::CLEAR => Self::Clear(event),
            _ => Self::Nothing,
        }
    }
}
