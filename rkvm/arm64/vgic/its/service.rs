// SPDX-License-Identifier: GPL-2.0

//! What an ITS does with guest memory: it reads commands, saves its tables and restores them.
//!
//! All of this may sleep. The state is reached for moments only, so that messages can be translated meanwhile.

use super::{
    base::{Base, Content, Place, ENTRY, IDS},
    command::Command,
    entry::{CollectionEntry, DeviceEntry, EventEntry, Next},
    After, CollectionId, Device, Event, Its, Room,
};
use crate::{
    arm64::vgic::gic::{
        intid::{Intid, VcpuIndex},
        Gic,
    },
    types::Gpa,
};
use kernel::prelude::*;

/// What an ITS works with.
pub trait Surroundings {
    /// Does something to the state, where nothing may sleep. `ENXIO` if the GIC is not initialised.
    fn with<T>(&mut self, change: impl FnOnce(&mut Its, &mut Gic) -> T) -> Result<T>;

    /// Reads 8 bytes of guest memory. `EFAULT`.
    fn read(&mut self, gpa: Gpa) -> Result<u64>;

    /// Writes 8 bytes of guest memory. `EFAULT`.
    fn write(&mut self, gpa: Gpa, value: u64) -> Result;

    /// Makes sure that an LPI can be mapped. `ENOMEM`.
    fn make_lpi_room(&mut self, lpi: Intid) -> Result;

    /// Reads the property of an LPI.
    fn read_property(&mut self, lpi: Intid);

    /// Reads the properties of all LPIs of a vCPU.
    fn read_properties(&mut self, vcpu: VcpuIndex);

    /// Reads whether an LPI that has just been restored is pending.
    fn read_pending(&mut self, lpi: Intid);
}

/// Carries out the commands that wait in the queue. One that cannot be read, or be carried out, is skipped.
pub fn run_commands(around: &mut impl Surroundings) {
    while let Ok(Some(gpa)) = around.with(|its, _| its.next_command()) {
        if let Ok(words) = read_command(around, gpa) {
            // What is wrong with a command is the guest's own affair; what there is no memory for, too.
            let _ = run(around, &Command::decode(words));
        }
        if around.with(|its, _| its.skip_command()).is_err() {
            return;
        }
    }
}

fn read_command(around: &mut impl Surroundings, gpa: Gpa) -> Result<[u64; 4]> {
    let mut words = [0; 4];
    for (number, word) in words.iter_mut().enumerate() {
        let offset = (number as u64).saturating_mul(8);
        *word = around.read(gpa.checked_add(offset).ok_or(EFAULT)?)?;
    }
    Ok(words)
}

/// Carries out a command. `EINVAL` if its table has no place for it, `ENOMEM`.
fn run(around: &mut impl Surroundings, command: &Command) -> Result {
    make_room(around, command)?;
    if let Some(place) = around.with(|its, _| its.place_needed(command))? {
        let gpa = resolve(around, place)?.ok_or(EINVAL)?;
        around.read(gpa)?;
    }
    let after = around.with(|its, gic| its.apply(command, gic))?;
    follow(around, after);
    Ok(())
}

fn make_room(around: &mut impl Surroundings, command: &Command) -> Result {
    if let Command::MapInterrupt { lpi, .. } = command {
        around.make_lpi_room(*lpi)?;
    }
    while let Some((table, count)) = around.with(|its, _| its.room_wanted(command))? {
        let room = Room::new(table, count)?;
        let surplus = around.with(|its, _| its.make_room(room))?;
        drop(surplus);
    }
    Ok(())
}

fn follow(around: &mut impl Surroundings, after: After) {
    match after {
        After::Nothing => (),
        After::ReadProperty(lpi) => around.read_property(lpi),
        After::ReadProperties(vcpu) => around.read_properties(vcpu),
    }
}

/// The address of an entry. `None` if its table has no place for it.
fn resolve(around: &mut impl Surroundings, place: Place) -> Result<Option<Gpa>> {
    Ok(match place {
        Place::None => None,
        Place::Direct(gpa) => Some(gpa),
        Place::Indirect(first_level, offset) => Place::through(around.read(first_level)?, offset),
    })
}

fn base(around: &mut impl Surroundings, content: Content) -> Result<Base> {
    around.with(|its, _| its.base(content))
}

/// KVM_DEV_ARM_ITS_SAVE_TABLES. `EFAULT` where guest memory is missing, `EINVAL` if a table has no place for an entry.
pub fn save(around: &mut impl Surroundings) -> Result {
    save_devices(around)?;
    save_collections(around)
}

/// The first device from an id on.
fn device_from(around: &mut impl Surroundings, id: u32) -> Result<Option<Device>> {
    around.with(|its, _| its.devices().at_or_after(id).copied())
}

fn save_devices(around: &mut impl Surroundings) -> Result {
    let table = base(around, Content::Devices)?;
    if !table.is_valid() {
        return Ok(());
    }
    let mut found = device_from(around, 0)?;
    while let Some(device) = found {
        let next = device_from(around, device.id.saturating_add(1))?;
        save_events(around, &device)?;
        let gpa = resolve(around, table.place(device.id))?.ok_or(EINVAL)?;
        let entry = DeviceEntry {
            next: Next::distance(device.id, next.map(|next| next.id), DeviceEntry::NEXT_BITS),
            table: device.table,
            event_bits: device.event_bits,
        };
        around.write(gpa, entry.raw())?;
        found = next;
    }
    Ok(())
}

/// An event with its LPI and collection, the first from a number on.
fn event_from(
    around: &mut impl Surroundings,
    device: u32,
    number: u32,
) -> Result<Option<(u32, Intid, CollectionId)>> {
    around.with(|its, _| {
        its.events_of(device, number).find_map(|translation| {
            let number = translation.event().number;
            Some((number, translation.lpi, translation.collection?))
        })
    })
}

fn save_events(around: &mut impl Surroundings, device: &Device) -> Result {
    let mut found = event_from(around, device.id, 0)?;
    while let Some((number, lpi, collection)) = found {
        let next = event_from(around, device.id, number.saturating_add(1))?;
        let entry = EventEntry {
            next: Next::distance(
                number,
                next.map(|(number, _, _)| number),
                EventEntry::NEXT_BITS,
            ),
            lpi,
            collection,
        };
        around.write(event_place(device.table, number)?, entry.raw())?;
        found = next;
    }
    Ok(())
}

fn event_place(table: Gpa, number: u32) -> Result<Gpa> {
    let offset = u64::from(number).saturating_mul(ENTRY);
    table.checked_add(offset).ok_or(EINVAL)
}

fn save_collections(around: &mut impl Surroundings) -> Result {
    let table = base(around, Content::Collections)?;
    if !table.is_valid() {
        return Ok(());
    }
    let mut position = 0;
    let mut id = 0;
    loop {
        let found = around.with(|its, gic| {
            let collection = *its.collections().at_or_after(id)?;
            let processor = collection
                .target
                .and_then(|target| gic.cpu(target))
                .map(|cpu| cpu.id());
            Some((collection.id, processor))
        })?;
        let Some((collection, processor)) = found else {
            break;
        };
        id = u32::from(collection.0).saturating_add(1);
        let Place::Direct(gpa) = table.place(position) else {
            return Err(EINVAL);
        };
        let entry = CollectionEntry {
            processor,
            collection,
        };
        around.write(gpa, entry.raw())?;
        position = position.saturating_add(1);
    }
    // The end, unless the table is full.
    match table.place(position) {
        Place::Direct(gpa) => around.write(gpa, 0),
        _ => Ok(()),
    }
}

/// KVM_DEV_ARM_ITS_RESTORE_TABLES. `EFAULT` where guest memory is missing, `EINVAL` for entries that do not fit together,
/// `EEXIST` for a collection that is there already, `ENOMEM`. What was read before an error is forgotten.
pub fn restore(around: &mut impl Surroundings) -> Result {
    let result = restore_collections(around).and_then(|()| restore_devices(around));
    if result.is_err() {
        around.with(|its, gic| {
            its.forget_devices(gic);
            its.forget_collections();
        })?;
    }
    result
}

fn restore_collections(around: &mut impl Surroundings) -> Result {
    let table = base(around, Content::Collections)?;
    let mut position = 0;
    while let Place::Direct(gpa) = table.place(position) {
        let Some(entry) = CollectionEntry::from_raw(around.read(gpa)?) else {
            return Ok(());
        };
        let collection = entry.collection;
        let command = Command::MapCollection {
            collection,
            processor: entry.processor.unwrap_or_default(),
            valid: super::command::Valid::Yes,
        };
        make_room(around, &command)?;
        around.with(|its, gic| {
            if its.collections().find(collection.0.into()).is_some() {
                return Err(EEXIST);
            }
            match entry.processor {
                Some(processor) => {
                    let target = gic.find_id(processor).ok_or(EINVAL)?;
                    its.map_collection(collection, target, gic)
                }
                None => its.add_collection(collection),
            }
        })??;
        position = position.saturating_add(1);
    }
    Ok(())
}

fn restore_devices(around: &mut impl Surroundings) -> Result {
    let table = base(around, Content::Devices)?;
    let mut id = 0;
    while id < IDS {
        let place = table.place(id);
        if place == Place::None {
            break;
        }
        let Some(gpa) = resolve(around, place)? else {
            // A page of the second level that is not there.
            id = (id / Base::ENTRIES_OF_PAGE)
                .saturating_add(1)
                .saturating_mul(Base::ENTRIES_OF_PAGE);
            continue;
        };
        let Some(entry) = DeviceEntry::from_raw(around.read(gpa)?) else {
            id = id.saturating_add(1);
            continue;
        };
        restore_device(around, id, &entry)?;
        match entry.next {
            Next::None => break,
            Next::After(distance) => id = id.saturating_add(distance),
        }
    }
    Ok(())
}

fn restore_device(around: &mut impl Surroundings, id: u32, entry: &DeviceEntry) -> Result {
    if entry.event_bits > Event::BITS {
        return Err(EINVAL);
    }
    let command = Command::MapDevice {
        device: id,
        event_bits: entry.event_bits,
        table: entry.table,
        valid: super::command::Valid::Yes,
    };
    make_room(around, &command)?;
    around.with(|its, _| {
        its.add_device(Device {
            id,
            event_bits: entry.event_bits,
            table: entry.table,
        })
    })??;
    let end = 1u32 << entry.event_bits.min(Event::BITS);
    let mut number = 0;
    while number < end {
        let raw = around.read(event_place(entry.table, number)?)?;
        let Some(event) = EventEntry::from_raw(raw) else {
            number = number.saturating_add(1);
            continue;
        };
        restore_event(around, Event { device: id, number }, &event)?;
        match event.next {
            Next::None => break,
            Next::After(distance) => number = number.saturating_add(distance),
        }
    }
    Ok(())
}

fn restore_event(around: &mut impl Surroundings, event: Event, entry: &EventEntry) -> Result {
    let (lpi, collection) = (entry.lpi, entry.collection);
    let command = Command::MapInterrupt {
        event,
        lpi,
        collection,
    };
    make_room(around, &command)?;
    let after = around.with(|its, gic| {
        its.collections().find(collection.0.into()).ok_or(EINVAL)?;
        its.map(event, lpi, collection, gic)
    })??;
    follow(around, after);
    around.read_pending(lpi);
    Ok(())
}
