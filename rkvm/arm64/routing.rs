// SPDX-License-Identifier: GPL-2.0

//! Where the interrupts of a VM's GSIs go: to SPIs, or as messages to an ITS.
//!
//! A table never changes: `KVM_SET_GSI_ROUTING` makes another.
//!
//! Source: Linux Documentation/virt/kvm/api.rst, 4.52 KVM_SET_GSI_ROUTING.

use crate::{
    arm64::vgic::gic::intid::{Intid, PRIVATE, SPI_END},
    gsi_routing::{table_len, Destination, Message, RoutingEntry},
};
use kernel::prelude::*;

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
#[derive(Debug)]
pub enum Routes {
    /// The first so many GSIs go to the SPIs, in their order.
    Spis(u32),
    /// Those that the VMM has chosen.
    Chosen(KVVec<Route>),
}

impl Routes {
    /// A table without routes.
    pub const fn new() -> Self {
        Self::Spis(0)
    }

    /// The table that a GIC begins with: GSI n goes to the n-th SPI, of those that it has with `irqs` interrupts. Most
    /// VMs never have another, so that it takes no memory.
    pub fn of_spis(irqs: u32) -> Self {
        Self::Spis(irqs.min(SPI_END).saturating_sub(PRIVATE))
    }

    /// The table of KVM_SET_GSI_ROUTING. `EINVAL`: too many entries; a GSI, pin, chip, kind or flag that does not
    /// exist; a second entry for a GSI. `ENOMEM`.
    pub fn from_entries(entries: &[RoutingEntry]) -> Result<Self> {
        let count = table_len(entries)?;
        let mut routes = KVVec::from_elem(Route::None, count, GFP_KERNEL_ACCOUNT)?;
        for entry in entries {
            let route = routes.get_mut(entry.gsi as usize).ok_or(EINVAL)?;
            if *route != Route::None {
                return Err(EINVAL);
            }
            *route = Self::route(entry)?;
        }
        Ok(Self::Chosen(routes))
    }

    fn route(entry: &RoutingEntry) -> Result<Route> {
        const PINS: u32 = SPI_END - PRIVATE;
        match entry.decode()? {
            Destination::Pin { chip: 0, number } if number < PINS => {
                Ok(Route::Spi(Intid::new(PRIVATE.wrapping_add(number))))
            }
            Destination::Pin { .. } => Err(EINVAL),
            Destination::Message(message) => Ok(Route::Message(message)),
        }
    }

    /// Where a GSI goes, which may be any number.
    pub fn find(&self, gsi: u32) -> Route {
        match self {
            Self::Spis(count) if gsi < *count => {
                Route::Spi(Intid::new(PRIVATE.saturating_add(gsi)))
            }
            Self::Spis(_) => Route::None,
            Self::Chosen(routes) => routes.get(gsi as usize).copied().unwrap_or(Route::None),
        }
    }

    /// The first GSI that goes to an SPI.
    pub fn gsi_of(&self, spi: Intid) -> Option<u32> {
        // Mostly it is the GSI of the table that the GIC begins with.
        let likely = spi.raw().wrapping_sub(PRIVATE);
        if self.find(likely) == Route::Spi(spi) {
            return Some(likely);
        }
        let Self::Chosen(routes) = self else {
            return None;
        };
        let position = routes.iter().position(|route| *route == Route::Spi(spi))?;
        u32::try_from(position).ok()
    }
}
