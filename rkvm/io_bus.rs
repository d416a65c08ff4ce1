// SPDX-License-Identifier: GPL-2.0

//! The writes to devices that need no exit to the VMM: ioeventfds and zones of coalesced I/O.
//!
//! They are one immutable value that vCPUs read without a lock, and that a change replaces. When the ioctl
//! that takes an ioeventfd away returns, its eventfd is not signalled any more.

mod ring;

pub use ring::RingPage;

use crate::{
    bus::{Handled, Space},
    coalesced::{Pushed, Zone, ZoneRequest, Zones},
    host::{
        bindings as uapi,
        cpu::PreemptOff,
        eventfd::EventFd,
        published::{Published, Reader},
    },
    ioeventfd::{Doorbell, Doorbells, Filter, Flags, Request},
};
use kernel::{
    prelude::*,
    sync::{new_mutex, Arc, Mutex},
};

/// What is in one space.
#[derive(Clone)]
struct Devices {
    doorbells: Arc<Doorbells<Arc<EventFd>>>,
    zones: Arc<Zones>,
}

impl Devices {
    fn new() -> Result<Self> {
        Ok(Self {
            doorbells: Arc::new(Doorbells::new(), GFP_KERNEL_ACCOUNT)?,
            zones: Arc::new(Zones::new(), GFP_KERNEL_ACCOUNT)?,
        })
    }
}

/// What is in both.
#[derive(Clone)]
pub struct Snapshot {
    ports: Devices,
    memory: Devices,
    /// There from the first zone on.
    ring: Option<Arc<RingPage>>,
}

impl Snapshot {
    #[inline]
    fn devices(&self, space: Space) -> &Devices {
        match space {
            Space::Port => &self.ports,
            Space::Memory => &self.memory,
        }
    }

    fn devices_mut(&mut self, space: Space) -> &mut Devices {
        match space {
            Space::Port => &mut self.ports,
            Space::Memory => &mut self.memory,
        }
    }

    /// Signals the eventfd that a write `is_meant` for.
    #[inline]
    pub fn signal(&self, space: Space, address: u64, is_meant: impl Fn(Filter) -> bool) -> Handled {
        match self.devices(space).doorbells.find(address, is_meant) {
            Some(eventfd) => {
                eventfd.signal();
                Handled::Yes
            }
            None => Handled::No,
        }
    }

    /// The guest writes.
    #[inline]
    fn write(&self, space: Space, address: u64, data: &[u8]) -> Handled {
        let signalled = self.signal(space, address, |filter| filter.accepts(data));
        if signalled == Handled::Yes {
            return Handled::Yes;
        }
        match &self.ring {
            Some(ring) if self.devices(space).zones.contain(address, data.len()) => {
                match ring.push(space, address, data) {
                    Pushed::Done => Handled::Yes,
                    Pushed::Full => Handled::No,
                }
            }
            _ => Handled::No,
        }
    }
}

/// What a VM has.
#[pin_data]
pub struct IoBus {
    published: Arc<Published<Snapshot>>,
    /// Made when it is first mapped or used.
    #[pin]
    ring: Mutex<Option<Arc<RingPage>>>,
}

impl IoBus {
    /// Nothing yet. `ENOMEM`.
    pub fn new() -> Result<impl PinInit<Self>> {
        let published = Published::new(Snapshot {
            ports: Devices::new()?,
            memory: Devices::new()?,
            ring: None,
        })?;
        Ok(pin_init!(Self {
            published,
            ring <- new_mutex!(None),
        }))
    }

    /// The page of the ring, which all vCPUs map. `ENOMEM`.
    pub fn ring(&self) -> Result<Arc<RingPage>> {
        let mut ring = self.ring.lock();
        if let Some(page) = &*ring {
            return Ok(page.clone());
        }
        let page = RingPage::new()?;
        *ring = Some(page.clone());
        Ok(page)
    }

    /// KVM_IOEVENTFD. `EBADF` or `EINVAL` for a descriptor that is none or not of an eventfd, `EINVAL` for a
    /// malformed request, `EEXIST` where another ioeventfd could claim the same write, `ENOENT` when
    /// there is none to take away.
    pub fn ioeventfd(&self, request: &uapi::kvm_ioeventfd) -> Result {
        let doorbell = Doorbell::new(&Request {
            datamatch: request.datamatch,
            addr: request.addr,
            len: request.len,
            flags: request.flags,
        });
        if Flags::from_raw(request.flags).deassign().into_bool() {
            let eventfd = EventFd::from_descriptor(request.fd)?;
            let doorbell = doorbell.map_err(|_| ENOENT)?;
            self.change_doorbells(doorbell.space, |doorbells| {
                doorbells.without(&doorbell, |other| **other == eventfd)
            })
        } else {
            let doorbell = doorbell?;
            let eventfd = EventFd::from_descriptor(request.fd)?;
            let eventfd = Arc::new(eventfd, GFP_KERNEL_ACCOUNT)?;
            self.change_doorbells(doorbell.space, |doorbells| {
                doorbells.with(&doorbell, eventfd)
            })
        }
    }

    fn change_doorbells(
        &self,
        space: Space,
        change: impl FnOnce(&Doorbells<Arc<EventFd>>) -> Result<Doorbells<Arc<EventFd>>>,
    ) -> Result {
        self.published.update(|current| {
            let mut next = current.clone();
            let doorbells = change(&current.devices(space).doorbells)?;
            next.devices_mut(space).doorbells = Arc::new(doorbells, GFP_KERNEL_ACCOUNT)?;
            Ok(Some(next))
        })
    }

    /// KVM_REGISTER_COALESCED_MMIO. `EINVAL` for a space that does not exist, `ENOSPC` for too many zones.
    pub fn register_coalesced(&self, zone: &ZoneRequest) -> Result {
        let zone = Zone::new(zone)?;
        let ring = self.ring()?;
        self.published.update(|current| {
            let mut next = current.clone();
            let zones = current.devices(zone.space).zones.with(&zone)?;
            next.devices_mut(zone.space).zones = Arc::new(zones, GFP_KERNEL_ACCOUNT)?;
            next.ring = Some(ring);
            Ok(Some(next))
        })
    }

    /// KVM_UNREGISTER_COALESCED_MMIO: all zones that contain this one go. That there is none is no error.
    /// `EINVAL` for a space that does not exist.
    pub fn unregister_coalesced(&self, zone: &ZoneRequest) -> Result {
        let zone = Zone::new(zone)?;
        self.published.update(|current| {
            let Some(zones) = current.devices(zone.space).zones.without(&zone)? else {
                return Ok(None);
            };
            let mut next = current.clone();
            next.devices_mut(zone.space).zones = Arc::new(zones, GFP_KERNEL_ACCOUNT)?;
            Ok(Some(next))
        })
    }
}

/// A vCPU's way to it. All methods may be called with interrupts off.
pub struct IoView(Reader<Snapshot>);

impl IoView {
    /// A view of `bus`. `ENOMEM`.
    pub fn new(bus: &IoBus) -> Result<Self> {
        Reader::new(bus.published.clone()).map(Self)
    }

    /// Calls `read` with what is there now. It must be short.
    #[inline]
    pub fn read<R>(&mut self, here: &PreemptOff, read: impl FnOnce(&Snapshot) -> R) -> R {
        self.0.read(here, read)
    }

    /// The guest writes `data`, at most 8 bytes: signals the eventfd that waits for it, or puts it into the
    /// ring.
    #[inline]
    pub fn write(&mut self, here: &PreemptOff, space: Space, address: u64, data: &[u8]) -> Handled {
        self.read(here, |snapshot| snapshot.write(space, address, data))
    }
}
