// SPDX-License-Identifier: GPL-2.0

//! Counters of VMs and vCPUs, and their form for user space (Documentation/virt/kvm/api.rst, "KVM_GET_STATS_FD").
//!
//! What is read is a header, a name, a descriptor for each value, and the values. None of it is kept anywhere: every
//! item is made when it is read.

use crate::text::{self, Text};
use core::sync::atomic::{AtomicU64, Ordering};

/// Something that is counted by one thread at a time and may be read by any.
#[derive(Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One that has counted nothing.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Adds `amount`. There is one writer, so that no locked operation is needed.
    #[inline(always)]
    pub fn add(&self, amount: u64) {
        let value = self.0.load(Ordering::Relaxed);
        self.0.store(value.wrapping_add(amount), Ordering::Relaxed);
    }

    /// The count.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How a value behaves, and what it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A number of events, which only grows.
    Events,
    /// Nanoseconds, which only grow.
    Nanoseconds,
}

impl Kind {
    /// KVM_STATS_TYPE_, KVM_STATS_UNIT_ and KVM_STATS_BASE_POW10.
    const fn flags(self) -> u32 {
        const TYPE_CUMULATIVE: u32 = 0;
        const UNIT_NONE: u32 = 0 << 4;
        const UNIT_SECONDS: u32 = 2 << 4;
        match self {
            Self::Events => TYPE_CUMULATIVE | UNIT_NONE,
            Self::Nanoseconds => TYPE_CUMULATIVE | UNIT_SECONDS,
        }
    }

    /// The power of 10 that makes the value one in its unit.
    fn exponent(self) -> i16 {
        match self {
            Self::Nanoseconds => -9,
            Self::Events => 0,
        }
    }
}

/// One value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Description {
    /// Its name, of fewer than [`NAME_BYTES`] bytes. Where C KVM has a value of the same meaning, that one's.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
}

/// Something that has values.
pub trait Source: Send + Sync + 'static {
    /// The name of what the values are of, of fewer than [`NAME_BYTES`] bytes.
    fn name(&self) -> Name;
    /// How many values there are.
    fn count(&self) -> usize;
    /// The value of a number; `None` from [`Source::count`] on.
    fn description(&self, number: usize) -> Option<Description>;
    /// What it is now.
    fn value(&self, number: usize) -> u64;
}

/// Bytes of a name, with the zero at its end: as many as C KVM has.
pub const NAME_BYTES: usize = text::BYTES;
/// Text with zeros behind it.
pub type Name = [u8; NAME_BYTES];

/// `struct kvm_stats_header`.
const HEADER_BYTES: usize = 24;
/// `struct kvm_stats_desc`, with a name.
const DESCRIPTION_BYTES: usize = 16 + NAME_BYTES;
const VALUE_BYTES: usize = size_of::<u64>();
const DESCRIPTIONS_OFFSET: usize = HEADER_BYTES + NAME_BYTES;

/// Some bytes of what a program reads.
pub struct Piece {
    bytes: [u8; DESCRIPTION_BYTES],
    start: usize,
    end: usize,
}

impl Piece {
    /// Those of `item` from `start` on.
    fn new(item: &[u8], start: usize) -> Self {
        let mut bytes = [0; DESCRIPTION_BYTES];
        let end = item.len().min(bytes.len());
        for (to, from) in bytes.iter_mut().zip(item) {
            *to = *from;
        }
        Self { bytes, start, end }
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or(&[])
    }
}

/// What is to be read at `position`: to the end of the item there, at least one byte. `None` behind the last value.
pub fn piece(source: &dyn Source, position: usize) -> Option<Piece> {
    let count = source.count();
    if position < HEADER_BYTES {
        return Some(Piece::new(&header(count), position));
    }
    if position < DESCRIPTIONS_OFFSET {
        return Some(Piece::new(&source.name(), position - HEADER_BYTES));
    }
    let position = position - DESCRIPTIONS_OFFSET;
    let (number, start) = (position / DESCRIPTION_BYTES, position % DESCRIPTION_BYTES);
    if number < count {
        let item = description(&source.description(number)?, number);
        return Some(Piece::new(&item, start));
    }
    let position = position - count * DESCRIPTION_BYTES;
    let (number, start) = (position / VALUE_BYTES, position % VALUE_BYTES);
    (number < count).then(|| Piece::new(&source.value(number).to_le_bytes(), start))
}

/// `struct kvm_stats_header`.
fn header(count: usize) -> [u8; HEADER_BYTES] {
    let values = DESCRIPTIONS_OFFSET + count * DESCRIPTION_BYTES;
    let words = [
        0,
        NAME_BYTES,
        count,
        HEADER_BYTES,
        DESCRIPTIONS_OFFSET,
        values,
    ];
    let mut bytes = [0; HEADER_BYTES];
    for (to, word) in bytes.chunks_exact_mut(size_of::<u32>()).zip(words) {
        to.copy_from_slice(&(word as u32).to_le_bytes());
    }
    bytes
}

/// `struct kvm_stats_desc`: flags, exponent, number of values, offset among the values, size of a bucket, and name.
fn description(description: &Description, number: usize) -> [u8; DESCRIPTION_BYTES] {
    const VALUES: u16 = 1;
    const BUCKET_SIZE: u32 = 0;
    let offset = (number * VALUE_BYTES) as u32;
    let fields = [
        &description.kind.flags().to_le_bytes()[..],
        &description.kind.exponent().to_le_bytes(),
        &VALUES.to_le_bytes(),
        &offset.to_le_bytes(),
        &BUCKET_SIZE.to_le_bytes(),
        &padded(description.name.as_bytes()),
    ];
    let mut bytes = [0; DESCRIPTION_BYTES];
    for (to, from) in bytes.iter_mut().zip(fields.into_iter().flatten()) {
        *to = *from;
    }
    bytes
}

/// What values are of, which their name tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A VM.
    Vm {
        /// The id of the task that made it.
        process: i32,
    },
    /// A vCPU.
    Vcpu {
        /// The id of the task that made its VM.
        process: i32,
        /// Its own.
        id: u32,
    },
}

impl Owner {
    /// The name, as C KVM makes it.
    pub fn name(self) -> Name {
        let text = match self {
            Self::Vm { process } => Text::new(format_args!("kvm-{process}")),
            Self::Vcpu { process, id } => Text::new(format_args!("kvm-{process}/vcpu-{id}")),
        };
        text.bytes()
    }
}

/// Text as a name, cut off where there is no more room.
pub fn padded(text: &[u8]) -> Name {
    let mut name = [0; NAME_BYTES];
    let room = NAME_BYTES - 1;
    for (to, from) in name.iter_mut().zip(text).take(room) {
        *to = *from;
    }
    name
}
