// SPDX-License-Identifier: GPL-2.0

//! A table sorted by number, whose memory is made ready beforehand, as it is changed where nothing may sleep.

use kernel::prelude::*;

/// What has a number in a table.
pub trait Keyed {
    /// Its number.
    fn key(&self) -> u32;
}

/// A table.
#[derive(Debug)]
pub struct Sorted<T>(KVVec<T>);

/// Memory for a table that has to grow.
pub struct Room<T>(KVVec<T>);

impl<T> Room<T> {
    /// Memory for `count` elements. `ENOMEM`.
    pub fn new(count: usize) -> Result<Self> {
        Ok(Self(KVVec::with_capacity(count, GFP_KERNEL_ACCOUNT)?))
    }
}

impl<T> Default for Sorted<T> {
    fn default() -> Self {
        Self(KVVec::new())
    }
}

impl<T: Keyed> Sorted<T> {
    fn position(&self, key: u32) -> core::result::Result<usize, usize> {
        self.0.binary_search_by_key(&key, Keyed::key)
    }

    /// The element with this number.
    pub fn find(&self, key: u32) -> Option<&T> {
        self.0.get(self.position(key).ok()?)
    }

    /// [`Sorted::find`] to be changed; not its number.
    pub fn find_mut(&mut self, key: u32) -> Option<&mut T> {
        let position = self.position(key).ok()?;
        self.0.get_mut(position)
    }

    /// The first element with this number or a larger one.
    pub fn at_or_after(&self, key: u32) -> Option<&T> {
        let position = match self.position(key) {
            Ok(position) | Err(position) => position,
        };
        self.0.get(position)
    }

    /// How many elements there has to be room for before another is inserted. `None` if there is room.
    pub fn room_wanted(&self) -> Option<usize> {
        const LEAST: usize = 16;
        let len = self.0.len();
        (len == self.0.capacity()).then(|| len.saturating_mul(2).max(LEAST))
    }

    /// Takes up room. What is returned is to be freed where that is allowed.
    pub fn make_room(&mut self, mut room: Room<T>) -> Room<T> {
        if room.0.capacity() <= self.0.len() {
            return room;
        }
        core::mem::swap(&mut self.0, &mut room.0);
        // From the end on, and so in reverse.
        while let Some(element) = room.0.pop() {
            if self.0.push_within_capacity(element).is_err() {
                break;
            }
        }
        self.0.reverse();
        room
    }

    /// Inserts an element, or replaces that with its number. `ENOMEM` if there is no room.
    pub fn insert(&mut self, element: T) -> Result {
        match self.position(element.key()) {
            Ok(position) => {
                if let Some(there) = self.0.get_mut(position) {
                    *there = element;
                }
            }
            Err(position) => self
                .0
                .insert_within_capacity(position, element)
                .map_err(|_| ENOMEM)?,
        }
        Ok(())
    }

    /// Takes an element out.
    pub fn remove(&mut self, key: u32) -> Option<T> {
        let position = self.position(key).ok()?;
        self.0.remove(position).ok()
    }

    /// Takes out the elements that `gone` says are gone, in one pass.
    pub fn remove_where(&mut self, mut gone: impl FnMut(&T) -> bool) {
        self.0.retain(|element| !gone(element));
    }

    /// The elements, in order, to be changed; not their numbers.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut()
    }

    /// The elements, in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter()
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Takes all elements out.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}
