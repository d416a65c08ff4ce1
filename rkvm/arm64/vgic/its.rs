// SPDX-License-Identifier: GPL-2.0

//! An interrupt translation service as a state machine: from a device's event to an LPI.
//!
//! Devices, collections and events are kept here; the tables in guest memory are for saving them. Nothing here
//! accesses guest memory or allocates: what a command needs of that is done [before](Its::room_wanted) and
//! [after](After).
//!
//! Source: IHI 0069, chapter 5 "Locality-specific Peripheral Interrupts and the ITS"; section 12.19 "ITS register
//! descriptions".

pub mod base;
pub mod command;
pub mod entry;
pub mod register;
pub mod service;
pub mod sorted;

use super::gic::{
    intid::{Intid, Kind, VcpuIndex, FIRST_LPI, LPI_BITS, LPI_END},
    lpi::Pending,
    Gic,
};
use crate::types::Gpa;
use base::{Base, Content, Place, IDS};
use command::{Command, Valid};
use kernel::prelude::*;
use sorted::{Keyed, Sorted};

/// A collection: interrupts that go to one processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CollectionId(pub u16);

/// An event of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// The device.
    pub device: u32,
    /// The event's number.
    pub number: u32,
}

impl Event {
    const BITS: u32 = 16;

    /// One number for both. `None` if one of them is out of range.
    fn key(self) -> Option<u32> {
        (self.device < IDS && self.number < 1 << Self::BITS)
            .then_some(self.device << Self::BITS | self.number)
    }
}

/// A device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its number.
    pub id: u32,
    /// How many bits its events have.
    pub event_bits: u32,
    /// Where its table of events is to be saved.
    pub table: Gpa,
}

impl Keyed for Device {
    fn key(&self) -> u32 {
        self.id
    }
}

/// A collection and its processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Collection {
    /// Its number.
    pub id: CollectionId,
    /// The vCPU; none before MAPC.
    pub target: Option<VcpuIndex>,
}

impl Keyed for Collection {
    fn key(&self) -> u32 {
        self.id.0.into()
    }
}

/// An event that has an LPI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translation {
    key: u32,
    /// The LPI.
    pub lpi: Intid,
    /// Its collection; none if that was unmapped.
    pub collection: Option<CollectionId>,
}

impl Translation {
    /// The event.
    pub fn event(&self) -> Event {
        Event {
            device: self.key >> Event::BITS,
            number: self.key & ((1 << Event::BITS) - 1),
        }
    }
}

impl Keyed for Translation {
    fn key(&self) -> u32 {
        self.key
    }
}

/// The tables of an ITS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// Devices.
    Devices,
    /// Collections.
    Collections,
    /// Events with LPIs.
    Translations,
}

/// Memory for a table.
pub enum Room {
    /// Devices.
    Devices(sorted::Room<Device>),
    /// Collections.
    Collections(sorted::Room<Collection>),
    /// Events with LPIs.
    Translations(sorted::Room<Translation>),
}

impl Room {
    /// Memory for `count` elements. `ENOMEM`.
    pub fn new(table: Table, count: usize) -> Result<Self> {
        Ok(match table {
            Table::Devices => Self::Devices(sorted::Room::new(count)?),
            Table::Collections => Self::Collections(sorted::Room::new(count)?),
            Table::Translations => Self::Translations(sorted::Room::new(count)?),
        })
    }
}

/// What is to be done with guest memory after a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// Nothing.
    Nothing,
    /// The LPI's property is to be read.
    ReadProperty(Intid),
    /// So are those of all LPIs of the vCPU.
    ReadProperties(VcpuIndex),
}

/// Why a message leads to no interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocked {
    /// The ITS is off.
    Off,
    /// The event has no LPI, or the LPI no processor.
    Unmapped,
    /// The processor's redistributor takes no LPIs.
    Refused,
}

/// LPIs that there can be.
const LPIS: usize = (LPI_END - FIRST_LPI) as usize;

/// An ITS.
pub struct Its {
    enabled: bool,
    cbaser: u64,
    creadr: u64,
    cwriter: u64,
    devices_base: Base,
    collections_base: Base,
    devices: Sorted<Device>,
    collections: Sorted<Collection>,
    translations: Sorted<Translation>,
}

impl Default for Its {
    fn default() -> Self {
        Self {
            enabled: false,
            cbaser: 0,
            creadr: 0,
            cwriter: 0,
            devices_base: Base::new(Content::Devices),
            collections_base: Base::new(Content::Collections),
            devices: Sorted::default(),
            collections: Sorted::default(),
            translations: Sorted::default(),
        }
    }
}

impl Its {
    /// The table that has to grow before a command can be carried out, and to how many elements.
    pub fn room_wanted(&self, command: &Command) -> Option<(Table, usize)> {
        let collections = self.collections.room_wanted();
        match command {
            Command::MapDevice { .. } => self
                .devices
                .room_wanted()
                .map(|count| (Table::Devices, count)),
            Command::MapCollection { .. } => collections.map(|count| (Table::Collections, count)),
            Command::MapInterrupt { .. } => {
                let translations = self.translations.room_wanted();
                translations
                    .map(|count| (Table::Translations, count))
                    .or(collections.map(|count| (Table::Collections, count)))
            }
            _ => None,
        }
    }

    /// Takes up memory. What is returned is to be freed where that is allowed.
    pub fn make_room(&mut self, room: Room) -> Room {
        match room {
            Room::Devices(room) => Room::Devices(self.devices.make_room(room)),
            Room::Collections(room) => Room::Collections(self.collections.make_room(room)),
            Room::Translations(room) => Room::Translations(self.translations.make_room(room)),
        }
    }

    /// The place in guest memory that a command needs its table to have. `None` if it needs none.
    pub fn place_needed(&self, command: &Command) -> Option<Place> {
        match command {
            Command::MapDevice {
                device,
                valid: Valid::Yes,
                ..
            } => Some(self.devices_base.place(*device)),
            Command::MapCollection {
                collection,
                valid: Valid::Yes,
                ..
            } => Some(self.collections_base.place(collection.0.into())),
            Command::MapInterrupt { collection, .. } => {
                let known = self.collections.find(collection.0.into()).is_some();
                (!known).then(|| self.collections_base.place(collection.0.into()))
            }
            _ => None,
        }
    }

    /// Carries out a command. One that is wrong does nothing.
    pub fn apply(&mut self, command: &Command, gic: &mut Gic) -> After {
        self.try_apply(command, gic).unwrap_or(After::Nothing)
    }

    fn try_apply(&mut self, command: &Command, gic: &mut Gic) -> Option<After> {
        match *command {
            Command::MapDevice {
                device,
                event_bits,
                table,
                valid,
            } => {
                if valid == Valid::Yes && event_bits > Event::BITS {
                    return None;
                }
                self.forget_device(device, gic);
                if valid == Valid::Yes {
                    self.add_device(Device {
                        id: device,
                        event_bits,
                        table,
                    })
                    .ok()?;
                }
            }
            Command::MapCollection {
                collection,
                processor,
                valid,
            } => {
                if valid == Valid::Yes {
                    let target = gic.find_id(processor)?;
                    self.map_collection(collection, target, gic).ok()?;
                } else {
                    self.forget_collection(collection);
                }
            }
            Command::MapInterrupt {
                event,
                lpi,
                collection,
            } => return self.map(event, lpi, collection, gic).ok(),
            Command::Move { event, collection } => {
                let target = self.collections.find(collection.0.into())?.target?;
                let translation = self.translations.find_mut(event.key()?)?;
                translation.collection = Some(collection);
                gic.route_lpi(translation.lpi, Some(target));
            }
            Command::MoveAll { from, to } => {
                let (from, to) = (gic.find_id(from)?, gic.find_id(to)?);
                let mut next = Intid::new(FIRST_LPI);
                while let Some((lpi, target)) = gic.next_lpi(next) {
                    if target == from {
                        gic.route_lpi(lpi, Some(to));
                    }
                    next = Intid::new(lpi.raw().wrapping_add(1));
                }
            }
            Command::Discard(event) => {
                let translation = self.translations.remove(event.key()?)?;
                gic.forget_lpi(translation.lpi);
            }
            Command::Invalidate(event) => {
                let translation = self.translations.find(event.key()?)?;
                return Some(After::ReadProperty(translation.lpi));
            }
            Command::InvalidateAll(collection) => {
                let target = self.collections.find(collection.0.into())?.target?;
                return Some(After::ReadProperties(target));
            }
            Command::Raise(event) => {
                let lpi = self.lpi_of(event)?;
                gic.set_lpi_pending(lpi, Pending::Yes);
            }
            Command::Clear(event) => {
                let translation = self.translations.find(event.key()?)?;
                gic.set_lpi_pending(translation.lpi, Pending::No);
            }
            Command::Nothing => (),
        }
        Some(After::Nothing)
    }

    /// The LPI of an event, if it goes to a processor.
    fn lpi_of(&self, event: Event) -> Option<Intid> {
        let translation = self.translations.find(event.key()?)?;
        let collection = self.collections.find(translation.collection?.0.into())?;
        collection.target.map(|_| translation.lpi)
    }

    /// A device has sent a message.
    pub fn signal(&self, event: Event, gic: &mut Gic) -> core::result::Result<(), Blocked> {
        if !self.enabled {
            return Err(Blocked::Off);
        }
        let lpi = self.lpi_of(event).ok_or(Blocked::Unmapped)?;
        if gic.set_lpi_pending(lpi, Pending::Yes) {
            Ok(())
        } else {
            Err(Blocked::Refused)
        }
    }

    /// Adds a device without events. `ENOMEM` if there is no room.
    pub fn add_device(&mut self, device: Device) -> Result {
        self.devices.insert(device)
    }

    /// Maps a collection to a processor, with the LPIs that it has. `ENOMEM` if there is no room.
    pub fn map_collection(&mut self, id: CollectionId, target: VcpuIndex, gic: &mut Gic) -> Result {
        self.collections.insert(Collection {
            id,
            target: Some(target),
        })?;
        for translation in self.translations.iter() {
            if translation.collection == Some(id) {
                gic.route_lpi(translation.lpi, Some(target));
            }
        }
        Ok(())
    }

    /// Adds a collection without a processor. `ENOMEM` if there is no room.
    pub fn add_collection(&mut self, id: CollectionId) -> Result {
        self.collections.insert(Collection { id, target: None })
    }

    /// Gives an event an LPI; nothing if it has one. `EINVAL` for a device that is not mapped, an event that it does not
    /// have, or a number that is no LPI of the guest; `ENOMEM` if there is no room.
    pub fn map(
        &mut self,
        event: Event,
        lpi: Intid,
        collection: CollectionId,
        gic: &mut Gic,
    ) -> Result<After> {
        let device = self.devices.find(event.device).ok_or(EINVAL)?;
        let key = event.key().ok_or(EINVAL)?;
        let in_range = event.number >> device.event_bits.min(Event::BITS) == 0;
        if !in_range || lpi.kind() != Kind::Lpi || gic.property_address(lpi).is_none() {
            return Err(EINVAL);
        }
        if self.translations.find(key).is_some() {
            return Ok(After::Nothing);
        }
        // Each LPI is one event's: more cannot be meant.
        if self.translations.len() >= LPIS {
            return Err(EINVAL);
        }
        let target = match self.collections.find(collection.0.into()) {
            Some(collection) => collection.target,
            None => {
                self.add_collection(collection)?;
                None
            }
        };
        self.translations.insert(Translation {
            key,
            lpi,
            collection: Some(collection),
        })?;
        gic.route_lpi(lpi, target);
        Ok(After::ReadProperty(lpi))
    }

    /// In one pass: a device can have all LPIs there are, and interrupts are off.
    fn forget_device(&mut self, device: u32, gic: &mut Gic) {
        if self.devices.remove(device).is_none() || self.events_of(device, 0).next().is_none() {
            return;
        }
        self.translations.remove_where(|translation| {
            let gone = translation.event().device == device;
            if gone {
                gic.forget_lpi(translation.lpi);
            }
            gone
        });
    }

    fn forget_collection(&mut self, id: CollectionId) {
        if self.collections.remove(id.0.into()).is_none() {
            return;
        }
        for translation in self.translations.iter_mut() {
            if translation.collection == Some(id) {
                translation.collection = None;
            }
        }
    }

    /// The events of a device that have LPIs, from one on, in order.
    pub fn events_of(&self, device: u32, from: u32) -> impl Iterator<Item = &Translation> {
        let first = Event {
            device,
            number: from,
        };
        let mut next = first.key();
        core::iter::from_fn(move || {
            let translation = self.translations.at_or_after(next?)?;
            next = translation.key.checked_add(1);
            (translation.event().device == device).then_some(translation)
        })
    }

    /// The devices, in order.
    pub fn devices(&self) -> &Sorted<Device> {
        &self.devices
    }

    /// The collections, in order.
    pub fn collections(&self) -> &Sorted<Collection> {
        &self.collections
    }

    /// The table of a kind, as it is to be saved.
    pub fn base(&self, content: Content) -> Base {
        match content {
            Content::Devices => self.devices_base,
            Content::Collections => self.collections_base,
        }
    }

    /// Forgets all devices, with their events.
    pub fn forget_devices(&mut self, gic: &mut Gic) {
        for translation in self.translations.iter() {
            gic.forget_lpi(translation.lpi);
        }
        self.translations.clear();
        self.devices.clear();
    }

    /// Forgets all collections.
    pub fn forget_collections(&mut self) {
        self.collections.clear();
        for translation in self.translations.iter_mut() {
            translation.collection = None;
        }
    }

    /// KVM_DEV_ARM_ITS_CTRL_RESET: as it was made.
    pub fn reset(&mut self, gic: &mut Gic) {
        self.forget_devices(gic);
        self.forget_collections();
        self.enabled = false;
        self.cbaser = 0;
        self.creadr = 0;
        self.cwriter = 0;
        self.devices_base = Base::new(Content::Devices);
        self.collections_base = Base::new(Content::Collections);
    }
}

/// GITS_TYPER: physical LPIs; entries of 8 bytes; 16 bits of events and devices; processors by their numbers.
const TYPER: u64 =
    1 << 0 | (base::ENTRY - 1) << 4 | (LPI_BITS as u64 - 1) << 8 | (IDS.ilog2() as u64 - 1) << 13;
