// SPDX-License-Identifier: GPL-2.0

//! The entries of KVM_SET_GSI_ROUTING, which each architecture makes its table of.
//!
//! Source: Linux Documentation/virt/kvm/api.rst, 4.52 KVM_SET_GSI_ROUTING.

use kernel::prelude::*;

/// The number of GSIs, and of entries that a table can be made of (`KVM_CAP_IRQ_ROUTING`).
pub const MAX_ROUTES: u32 = 4096;

/// `kvm_irq_routing_entry.type`.
mod kind {
    pub(super) const IRQCHIP: u32 = 1;
    pub(super) const MSI: u32 = 2;
}

/// KVM_MSI_VALID_DEVID: the entry says which device sends the message.
const VALID_DEVID: u32 = 1 << 0;

/// `struct kvm_irq_routing_entry`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct RoutingEntry {
    /// The GSI.
    pub gsi: u32,
    /// What kind of destination: KVM_IRQ_ROUTING_*.
    pub kind: u32,
    /// Flags of that kind.
    pub flags: u32,
    /// Not used.
    pub pad: u32,
    /// The destination: chip and pin; or the address's lower half, its upper half, the data, and the device.
    pub destination: [u32; 8],
}

/// A message: what a device writes, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Where the device writes.
    pub address: u64,
    /// What it writes.
    pub data: u32,
    /// Which device it is, if that is told.
    pub device: Option<u32>,
}

/// Where an entry has its GSI go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// To a pin, which may not exist, of a chip, which may not either.
    Pin {
        /// `kvm_irq_routing_irqchip.irqchip`.
        chip: u32,
        /// The pin.
        number: u32,
    },
    /// As a message, when its line goes up.
    Message(Message),
}

impl RoutingEntry {
    /// A pin of a chip.
    #[allow(dead_code, reason = "on x86 the first table is made of entries")]
    pub const fn pin(gsi: u32, chip: u32, number: u32) -> Self {
        Self {
            gsi,
            kind: kind::IRQCHIP,
            flags: 0,
            pad: 0,
            destination: [chip, number, 0, 0, 0, 0, 0, 0],
        }
    }

    /// What the entry says. `EINVAL` for a kind or a flag that does not exist.
    pub fn decode(&self) -> Result<Destination> {
        let [first, second, third, fourth, ..] = self.destination;
        match self.kind {
            kind::IRQCHIP if self.flags == 0 => Ok(Destination::Pin {
                chip: first,
                number: second,
            }),
            kind::MSI if self.flags & !VALID_DEVID == 0 => Ok(Destination::Message(Message {
                address: u64::from(second) << u32::BITS | u64::from(first),
                data: third,
                device: (self.flags & VALID_DEVID != 0).then_some(fourth),
            })),
            _ => Err(EINVAL),
        }
    }
}

/// How many elements a table indexed by GSI needs for these entries. `EINVAL`: too many entries, or a GSI that does not
/// exist.
pub fn table_len(entries: &[RoutingEntry]) -> Result<usize> {
    if entries.len() > MAX_ROUTES as usize {
        return Err(EINVAL);
    }
    match entries.iter().map(|entry| entry.gsi).max() {
        None => Ok(0),
        Some(last) if last < MAX_ROUTES => Ok((last as usize).saturating_add(1)),
        Some(_) => Err(EINVAL),
    }
}
