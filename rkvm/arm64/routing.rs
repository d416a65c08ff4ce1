// SPDX-License-Identifier: GPL-2.0

//! Where the interrupts of a VM's GSIs go: to SPIs, or as messages to an ITS.
//!
//! A table never changes: `KVM_SET_GSI_ROUTING` makes another.
//!
//! Source: Linux Documentation/virt/kvm/api.rst, 4.52 KVM_SET_GSI_ROUTING.

use crate::arm64::vgic::gic::intid::{Intid, PRIVATE, SPI_END};
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

/// A message: a device's write to the doorbell of an ITS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Where the device writes.
    pub address: u64,
    /// What it writes: the number of the event.
    pub data: u32,
    /// Which device it is, if that is told.
    pub device: Option<u32>,
}

/// Where a GSI goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Nowhere.
    None,
    /// To an SPI.
    Spi(Intid),
    /// As a message, when its line goes up.
    Message(Message),
}

/// A routing table.
#[derive(Debug, Default)]
pub struct Routes(KVVec<Route>);

impl Routes {
    /// A table without routes.
    pub const fn new() -> Self {
        Self(KVVec::new())
    }

    /// The table that a GIC begins with: GSI n goes to the n-th SPI, of those that it has with `irqs` interrupts.
    /// `ENOMEM`.
    pub fn of_spis(irqs: u32) -> Result<Self> {
        let mut routes = KVVec::new();
        for number in PRIVATE..irqs.min(SPI_END) {
            routes.push(Route::Spi(Intid::new(number)), GFP_KERNEL_ACCOUNT)?;
        }
        Ok(Self(routes))
    }

    /// The table of KVM_SET_GSI_ROUTING. `EINVAL`: too many entries; a GSI, pin, chip, kind or flag that does not
    /// exist; a second entry for a GSI. `ENOMEM`.
    pub fn from_entries(entries: &[RoutingEntry]) -> Result<Self> {
        if entries.len() > MAX_ROUTES as usize {
            return Err(EINVAL);
        }
        let Some(last) = entries.iter().map(|entry| entry.gsi).max() else {
            return Ok(Self::new());
        };
        if last >= MAX_ROUTES {
            return Err(EINVAL);
        }
        let count = (last as usize).saturating_add(1);
        let mut routes = KVVec::from_elem(Route::None, count, GFP_KERNEL_ACCOUNT)?;
        for entry in entries {
            let route = routes.get_mut(entry.gsi as usize).ok_or(EINVAL)?;
            if *route != Route::None {
                return Err(EINVAL);
            }
            *route = Self::route(entry)?;
        }
        Ok(Self(routes))
    }

    fn route(entry: &RoutingEntry) -> Result<Route> {
        let [first, second, third, fourth, ..] = entry.destination;
        match entry.kind {
            kind::IRQCHIP if entry.flags == 0 => {
                const PINS: u32 = SPI_END - PRIVATE;
                if first != 0 || second >= PINS {
                    return Err(EINVAL);
                }
                Ok(Route::Spi(Intid::new(PRIVATE.wrapping_add(second))))
            }
            kind::MSI if entry.flags & !VALID_DEVID == 0 => Ok(Route::Message(Message {
                address: u64::from(second) << 32 | u64::from(first),
                data: third,
                device: (entry.flags & VALID_DEVID != 0).then_some(fourth),
            })),
            _ => Err(EINVAL),
        }
    }

    /// Where a GSI goes, which may be any number.
    pub fn find(&self, gsi: u32) -> Route {
        self.0.get(gsi as usize).copied().unwrap_or(Route::None)
    }

    /// The first GSI that goes to an SPI.
    pub fn gsi_of(&self, spi: Intid) -> Option<u32> {
        // Mostly it is the GSI of the table that the GIC begins with.
        let likely = spi.raw().wrapping_sub(PRIVATE);
        if self.find(likely) == Route::Spi(spi) {
            return Some(likely);
        }
        let position = self.0.iter().position(|route| *route == Route::Spi(spi))?;
        u32::try_from(position).ok()
    }
}
