// SPDX-License-Identifier: GPL-2.0

//! What is where in a VM's two spaces of devices: an immutable table of address ranges, which may overlap,
//! searched by bisection.

use core::{ops::Range, slice};
use kernel::prelude::*;

/// A space of device addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// I/O ports.
    Port,
    /// Guest physical memory.
    Memory,
}

/// What became of an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Handled {
    /// A device in the kernel took it.
    Yes,
    /// It is for the VMM.
    No,
}

/// A range and what is there.
#[derive(Clone)]
struct Entry<T> {
    start: u64,
    end: u64,
    /// The largest end of this entry and all before it: a search backwards stops where it is too
    /// small.
    reach: u64,
    item: T,
}

/// Ranges in order of their start; those that start alike in order of registration.
pub struct Table<T> {
    entries: KVVec<Entry<T>>,
}

impl<T: Clone> Table<T> {
    /// No range.
    pub const fn new() -> Self {
        Self {
            entries: KVVec::new(),
        }
    }

    /// The number of ranges.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// A table with one range more, which may be empty. `ENOMEM`.
    pub fn with(&self, range: Range<u64>, item: T) -> Result<Self> {
        let place = self
            .entries
            .partition_point(|entry| entry.start <= range.start);
        let new = Entry {
            start: range.start,
            end: range.end,
            reach: range.end,
            item,
        };
        let (before, after) = self.entries.split_at_checked(place).ok_or(EINVAL)?;
        let entries = [before, slice::from_ref(&new), after].into_iter().flatten();
        Self::from_entries(self.len().saturating_add(1), entries)
    }

    /// A table without the ranges for which `is_out` says so. `ENOMEM`.
    pub fn without(&self, mut is_out: impl FnMut(Range<u64>, &T) -> bool) -> Result<Self> {
        let kept = self
            .entries
            .iter()
            .filter(|entry| !is_out(entry.start..entry.end, &entry.item));
        Self::from_entries(self.len(), kept)
    }

    /// Copies entries that are in order.
    fn from_entries<'a>(capacity: usize, from: impl Iterator<Item = &'a Entry<T>>) -> Result<Self>
    where
        T: 'a,
    {
        let mut entries = KVVec::with_capacity(capacity, GFP_KERNEL_ACCOUNT)?;
        let mut reach = 0;
        for entry in from {
            reach = entry.end.max(reach);
            let entry = Entry {
                reach,
                ..entry.clone()
            };
            entries.push(entry, GFP_KERNEL_ACCOUNT)?;
        }
        Ok(Self { entries })
    }

    /// What starts at `start`.
    #[inline]
    pub fn at(&self, start: u64) -> impl Iterator<Item = &T> {
        let first = self.entries.partition_point(|entry| entry.start < start);
        self.entries
            .iter()
            .skip(first)
            .take_while(move |entry| entry.start == start)
            .map(|entry| &entry.item)
    }

    /// What contains all of `wanted`, the one that starts last first.
    #[inline]
    pub fn containing(&self, wanted: Range<u64>) -> impl Iterator<Item = &T> {
        let Range { start, end } = wanted;
        let behind = self.entries.partition_point(|entry| entry.start <= start);
        self.entries
            .iter()
            .take(behind)
            .rev()
            .take_while(move |entry| entry.reach >= end)
            .filter(move |entry| entry.end >= end)
            .map(|entry| &entry.item)
    }
}

impl<T: Clone> Default for Table<T> {
    fn default() -> Self {
        Self::new()
    }
}
