// SPDX-License-Identifier: GPL-2.0

//! Where the interrupts of a VM's GSIs go.
//!
//! A table never changes: `KVM_SET_GSI_ROUTING` makes another, so that a reader sees one or the other. Looking a GSI up
//! is one index.
//!
//! Source: Linux Documentation/virt/kvm/api.rst, 4.52 KVM_SET_GSI_ROUTING.

use kernel::prelude::*;

use crate::gsi_routing::{table_len, Destination, RoutingEntry};
use crate::x86::line::VectorSet;
use crate::x86::message::{Broadcast, Message, MsiFormat, Trigger};
use crate::x86::{ioapic, pic};

/// `kvm_irq_routing_irqchip.irqchip`, also `kvm_irqchip.chip_id`.
mod chip {
    pub(super) const PIC_MASTER: u32 = 0;
    pub(super) const PIC_SLAVE: u32 = 1;
    pub(super) const IOAPIC: u32 = 2;
}

/// Bits of an MSI's upper address half that must be 0 where it holds a part of the destination.
const EXTENDED_RESERVED: u64 = 0xff << u32::BITS;

/// Which interrupt controllers are the kernel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Irqchip {
    /// All of them: KVM_CREATE_IRQCHIP.
    Full,
    /// The local APICs alone (KVM_CAP_SPLIT_IRQCHIP): there are no pins to route to.
    Split,
}

/// Something with pins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chip {
    /// The pair of 8259s, with pins 0 to 15.
    Pics,
    /// The I/O APIC, with pins 0 to 23.
    Ioapic,
}

/// The pins that a GSI is wired to: at most one of each chip, counting the 8259s as two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wires {
    master: Option<u8>,
    slave: Option<u8>,
    ioapic: Option<u8>,
}

impl Wires {
    /// The pins.
    pub fn pins(self) -> impl Iterator<Item = (Chip, u8)> {
        let pin = |chip, pin: Option<u8>| Some((chip, pin?));
        [
            pin(Chip::Pics, self.master),
            pin(Chip::Pics, self.slave),
            pin(Chip::Ioapic, self.ioapic),
        ]
        .into_iter()
        .flatten()
    }
}

/// Where a GSI goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Nowhere.
    None,
    /// To pins.
    Wires(Wires),
    /// As a message, when its line goes up.
    Msi {
        /// The message's address.
        address: u64,
        /// The message's data.
        data: u32,
    },
}

/// Stands for the GSI of a pin to which none goes.
const NO_GSI: u16 = u16::MAX;

/// A routing table.
#[derive(Debug)]
pub struct Routes {
    routes: KVVec<Route>,
    /// The GSI of each pin of the 8259s.
    pics: [u16; pic::PINS],
    /// The GSI of each pin of the I/O APIC.
    ioapic: [u16; ioapic::PINS],
}

impl Default for Routes {
    fn default() -> Self {
        Self::new()
    }
}

impl Routes {
    /// A table without routes.
    pub const fn new() -> Self {
        Self {
            routes: KVVec::new(),
            pics: [NO_GSI; pic::PINS],
            ioapic: [NO_GSI; ioapic::PINS],
        }
    }

    /// The table of KVM_CREATE_IRQCHIP: GSI n goes to pin n of the I/O APIC and, below 16, to pin n of the 8259s.
    /// `ENOMEM`.
    pub fn for_irqchip() -> Result<Self> {
        let mut entries =
            KVec::with_capacity(ioapic::PINS.saturating_add(pic::PINS), GFP_KERNEL_ACCOUNT)?;
        let inputs = pic::PINS as u32 / 2;
        for gsi in 0..ioapic::PINS as u32 {
            entries.push_within_capacity(RoutingEntry::pin(gsi, chip::IOAPIC, gsi))?;
        }
        for input in 0..inputs {
            let slave_gsi = input.wrapping_add(inputs);
            entries.push_within_capacity(RoutingEntry::pin(input, chip::PIC_MASTER, input))?;
            entries.push_within_capacity(RoutingEntry::pin(slave_gsi, chip::PIC_SLAVE, input))?;
        }
        Self::from_entries(&entries, Irqchip::Full, MsiFormat::Compatible)
    }

    /// The table of KVM_SET_GSI_ROUTING.
    ///
    /// `EINVAL`: too many entries; a GSI, pin, chip, kind or flag that does not exist; a second entry for a GSI to
    /// the same chip or beside a message; a message's address with bits that the format reserves. `ENOMEM`.
    pub fn from_entries(
        entries: &[RoutingEntry],
        irqchip: Irqchip,
        format: MsiFormat,
    ) -> Result<Self> {
        let count = table_len(entries)?;
        let mut table = Self {
            routes: KVVec::from_elem(Route::None, count, GFP_KERNEL_ACCOUNT)?,
            ..Self::new()
        };
        for entry in entries {
            table.add(entry, irqchip, format)?;
        }
        Ok(table)
    }

    fn add(&mut self, entry: &RoutingEntry, irqchip: Irqchip, format: MsiFormat) -> Result {
        let route = self.routes.get_mut(entry.gsi as usize).ok_or(EINVAL)?;
        match (entry.decode()?, irqchip) {
            (Destination::Pin { chip, number }, Irqchip::Full) => {
                let mut wires = match *route {
                    Route::None => Wires::default(),
                    Route::Wires(wires) => wires,
                    Route::Msi { .. } => return Err(EINVAL),
                };
                let input = u8::try_from(number).map_err(|_| EINVAL)?;
                let (wire, pin, gsis) = match chip {
                    chip::PIC_MASTER => {
                        let pin = pic::Which::Master.pin_of(input).ok_or(EINVAL)?;
                        (&mut wires.master, pin, &mut self.pics[..])
                    }
                    chip::PIC_SLAVE => {
                        let pin = pic::Which::Slave.pin_of(input).ok_or(EINVAL)?;
                        (&mut wires.slave, pin, &mut self.pics[..])
                    }
                    chip::IOAPIC => (&mut wires.ioapic, input, &mut self.ioapic[..]),
                    _ => return Err(EINVAL),
                };
                let gsi = gsis.get_mut(usize::from(pin)).ok_or(EINVAL)?;
                if wire.replace(pin).is_some() {
                    return Err(EINVAL);
                }
                *gsi = entry.gsi as u16;
                *route = Route::Wires(wires);
            }
            (Destination::Message(message), _) => {
                let (address, data) = (message.address, message.data);
                if *route != Route::None
                    || format == MsiFormat::Extended && address & EXTENDED_RESERVED != 0
                {
                    return Err(EINVAL);
                }
                *route = Route::Msi { address, data };
            }
            (Destination::Pin { .. }, Irqchip::Split) => return Err(EINVAL),
        }
        Ok(())
    }

    /// Where `gsi` goes.
    pub fn get(&self, gsi: u32) -> Route {
        match self.routes.get(gsi as usize) {
            Some(&route) => route,
            None => Route::None,
        }
    }

    /// The GSI that goes to a pin; the one of the last entry, if there are several.
    pub fn gsi_of(&self, chip: Chip, pin: u8) -> Option<u32> {
        let gsis = match chip {
            Chip::Pics => &self.pics[..],
            Chip::Ioapic => &self.ioapic[..],
        };
        match gsis.get(usize::from(pin)) {
            None | Some(&NO_GSI) => None,
            Some(&gsi) => Some(gsi.into()),
        }
    }

    /// The vectors of level-triggered messages among the GSIs below `count`: those are the pins of an I/O APIC of
    /// the VMM's (KVM_CAP_SPLIT_IRQCHIP), which wants to know when their interrupts end.
    pub fn eoi_vectors(&self, count: u32) -> VectorSet {
        let mut set = VectorSet::default();
        for route in self.routes.iter().take(count as usize) {
            let &Route::Msi { address, data } = route else {
                continue;
            };
            let message = Message::from_msi(address, data, MsiFormat::Compatible, Broadcast::Quirk);
            if message.trigger == Trigger::Level {
                set.insert(message.vector);
            }
        }
        set
    }
}
