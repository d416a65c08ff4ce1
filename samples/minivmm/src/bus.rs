// SPDX-License-Identifier: GPL-2.0
//! A bus: which device answers at which address.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::sync::lock;

/// A device's registers. Offsets count from where the device begins; an access may be of any size.
pub trait Device: Send {
    fn read(&mut self, offset: u64, data: &mut [u8]);
    fn write(&mut self, offset: u64, data: &[u8]);
}

struct Slot {
    size: u64,
    device: Arc<Mutex<dyn Device>>,
}

#[derive(Default)]
pub struct Bus {
    slots: BTreeMap<u64, Slot>,
}

impl Bus {
    /// Puts a device at `size` addresses from `start` on.
    pub fn insert(&mut self, start: u64, size: u64, device: Arc<Mutex<dyn Device>>) {
        self.slots.insert(start, Slot { size, device });
    }

    /// Where nothing answers, all bits read as one, as on a bus with pull-up resistors.
    pub fn read(&self, address: u64, data: &mut [u8]) {
        match self.find(address) {
            Some((offset, device)) => lock(device).read(offset, data),
            None => data.fill(0xff),
        }
    }

    pub fn write(&self, address: u64, data: &[u8]) {
        if let Some((offset, device)) = self.find(address) {
            lock(device).write(offset, data);
        }
    }

    fn find(&self, address: u64) -> Option<(u64, &Mutex<dyn Device>)> {
        let (start, slot) = self.slots.range(..=address).next_back()?;
        let offset = address - start;
        (offset < slot.size).then_some((offset, &*slot.device))
    }
}

/// The buses of a machine. Where the architecture has no ports, nothing is on theirs.
#[derive(Default)]
pub struct Buses {
    pub ports: Bus,
    pub mmio: Bus,
}
