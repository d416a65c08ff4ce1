// SPDX-License-Identifier: GPL-2.0

//! The rules of KVM_IOEVENTFD: which writes of the guest signal an eventfd.
//!
//! An ioeventfd is an address that the guest writes to get attention. It may ask for a size and for a
//! value; several can share an address as long as no write is meant for two of them.
//!
//! Source: Linux Documentation/virt/kvm/api.rst, 4.59 KVM_IOEVENTFD.

use crate::bus::{Space, Table};
use kernel::prelude::*;

kernel::bitfield! {
    /// `kvm_ioeventfd.flags`.
    pub struct Flags(u32) {
        /// `KVM_IOEVENTFD_FLAG_DATAMATCH`: only writes of one value.
        0:0 datamatch;
        /// `KVM_IOEVENTFD_FLAG_PIO`: a port instead of an address.
        1:1 pio;
        /// `KVM_IOEVENTFD_FLAG_DEASSIGN`: the opposite.
        2:2 deassign;
    }
}

impl Flags {
    const VALID_MASK: u32 = Self::DATAMATCH_MASK | Self::PIO_MASK | Self::DEASSIGN_MASK;
}

/// `struct kvm_ioeventfd` but for the descriptor.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request {
    /// The value to wait for.
    pub datamatch: u64,
    /// The port or guest physical address.
    pub addr: u64,
    /// 1, 2, 4 or 8; 0 for any.
    pub len: u32,
    /// [`Flags`].
    pub flags: u32,
}

/// The size of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    Any,
    Bytes(u8),
}

/// The value of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    Any,
    Just(u64),
}

/// The writes that an ioeventfd waits for at its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filter {
    length: Length,
    value: Value,
}

impl Filter {
    /// Whether a write could be meant for both.
    fn overlaps(self, other: Self) -> bool {
        let lengths = self.is_open() || other.is_open() || self.length == other.length;
        let values = match (self.value, other.value) {
            (Value::Just(a), Value::Just(b)) => a == b,
            _ => true,
        };
        lengths && values
    }

    /// Whether every write is waited for, whatever its size and value.
    pub fn is_open(self) -> bool {
        self.length == Length::Any
    }

    /// Whether a write of `data` is waited for.
    pub fn accepts(self, data: &[u8]) -> bool {
        match self.length {
            Length::Any => true,
            Length::Bytes(length) => {
                data.len() == usize::from(length)
                    && match self.value {
                        Value::Any => true,
                        Value::Just(value) => value_of(data) == value,
                    }
            }
        }
    }
}

/// The value of at most 8 bytes.
fn value_of(data: &[u8]) -> u64 {
    let mut bytes = [0; size_of::<u64>()];
    for (to, from) in bytes.iter_mut().zip(data) {
        *to = *from;
    }
    u64::from_le_bytes(bytes)
}

/// Where an ioeventfd is, and what for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doorbell {
    /// Ports or memory.
    pub space: Space,
    address: u64,
    filter: Filter,
}

impl Doorbell {
    /// Checks a request. `EINVAL` for other sizes, for ranges that wrap, for a value without a size, and
    /// for flags that do not exist, which that of virtio-ccw does not here.
    pub fn new(request: &Request) -> Result<Self> {
        let flags = Flags::from_raw(request.flags);
        let length = match request.len {
            0 => Length::Any,
            1 | 2 | 4 | 8 => Length::Bytes(request.len as u8),
            _ => return Err(EINVAL),
        };
        let value = if flags.datamatch().into_bool() {
            Value::Just(request.datamatch)
        } else {
            Value::Any
        };
        let wraps = request.addr.checked_add(request.len.into()).is_none();
        let value_without_length = length == Length::Any && value != Value::Any;
        if request.flags & !Flags::VALID_MASK != 0 || wraps || value_without_length {
            return Err(EINVAL);
        }
        Ok(Self {
            space: if flags.pio().into_bool() {
                Space::Port
            } else {
                Space::Memory
            },
            address: request.addr,
            filter: Filter { length, value },
        })
    }
}

/// A filter and whom to signal.
#[derive(Clone)]
struct Target<E> {
    filter: Filter,
    signal: E,
}

/// The ioeventfds of a space. `E` is what is signalled.
pub struct Doorbells<E>(Table<Target<E>>);

impl<E: Clone> Doorbells<E> {
    /// None.
    pub const fn new() -> Self {
        Self(Table::new())
    }

    /// These and one more. `EEXIST` if a write could be meant for it and for another, `ENOMEM`.
    pub fn with(&self, doorbell: &Doorbell, signal: E) -> Result<Self> {
        let Doorbell {
            address, filter, ..
        } = *doorbell;
        if self
            .0
            .at(address)
            .any(|other| other.filter.overlaps(filter))
        {
            return Err(EEXIST);
        }
        let table = self.0.with(address..address, Target { filter, signal })?;
        Ok(Self(table))
    }

    /// These without the one that `with` added for the same doorbell and a signal that `is_same`
    /// recognises. `ENOENT` if there is none, `ENOMEM`.
    pub fn without(&self, doorbell: &Doorbell, is_same: impl Fn(&E) -> bool) -> Result<Self> {
        let Doorbell {
            address, filter, ..
        } = *doorbell;
        let is_meant = |target: &Target<E>| target.filter == filter && is_same(&target.signal);
        if !self.0.at(address).any(is_meant) {
            return Err(ENOENT);
        }
        let table = self
            .0
            .without(|range, target| range.start == address && is_meant(target))?;
        Ok(Self(table))
    }

    /// Whom a write signals that `is_meant` for.
    #[inline]
    pub fn find(&self, address: u64, is_meant: impl Fn(Filter) -> bool) -> Option<&E> {
        self.0
            .at(address)
            .find(|target| is_meant(target.filter))
            .map(|target| &target.signal)
    }
}

impl<E: Clone> Default for Doorbells<E> {
    fn default() -> Self {
        Self::new()
    }
}
