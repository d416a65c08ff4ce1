// SPDX-License-Identifier: GPL-2.0

//! The kernel's fallible containers over the standard library's.

use core::fmt;
use core::ops::{Deref, DerefMut};

/// An allocation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllocError;

/// Allocation flags; the host's allocator ignores them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(u32);

/// The kernel's allocation flags.
pub mod flags {
    use super::Flags;

    /// May sleep.
    pub const GFP_KERNEL: Flags = Flags(0);
    /// May sleep, and is charged to the caller's cgroup.
    pub const GFP_KERNEL_ACCOUNT: Flags = Flags(1);
    /// Must not sleep.
    pub const GFP_ATOMIC: Flags = Flags(2);
    /// Must not sleep and takes no reserves.
    pub const GFP_NOWAIT: Flags = Flags(3);
}

/// There is no room for the element, which is handed back.
pub struct PushError<T>(pub T);

impl<T> fmt::Debug for PushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Not enough capacity")
    }
}

/// The index lies beyond the end.
#[derive(Debug)]
pub struct RemoveError;

/// The element cannot be inserted there.
pub enum InsertError<T> {
    /// The index lies beyond the end.
    IndexOutOfBounds(T),
    /// There is no room.
    OutOfCapacity(T),
}

impl<T> fmt::Debug for InsertError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IndexOutOfBounds(_) => f.write_str("Index out of bounds"),
            Self::OutOfCapacity(_) => f.write_str("Not enough capacity"),
        }
    }
}

impl From<RemoveError> for crate::error::Error {
    fn from(_: RemoveError) -> Self {
        crate::error::code::EINVAL
    }
}

impl<T> From<PushError<T>> for crate::error::Error {
    fn from(_: PushError<T>) -> Self {
        crate::error::code::EINVAL
    }
}

impl<T> From<InsertError<T>> for crate::error::Error {
    fn from(_: InsertError<T>) -> Self {
        crate::error::code::EINVAL
    }
}

/// A growing array whose allocations can fail.
#[derive(Debug, PartialEq, Eq)]
pub struct Vec<T>(std::vec::Vec<T>);

/// The kernel's `kmalloc` array.
pub type KVec<T> = Vec<T>;
/// The kernel's `kvmalloc` array.
pub type KVVec<T> = Vec<T>;
/// The kernel's `vmalloc` array.
pub type VVec<T> = Vec<T>;

impl<T> Vec<T> {
    /// An empty array.
    pub const fn new() -> Self {
        Self(std::vec::Vec::new())
    }

    /// An empty array with room for `capacity` elements.
    pub fn with_capacity(capacity: usize, flags: Flags) -> Result<Self, AllocError> {
        let mut vec = Self::new();
        vec.reserve(capacity, flags)?;
        Ok(vec)
    }

    /// Makes room for `additional` elements.
    pub fn reserve(&mut self, additional: usize, _flags: Flags) -> Result<(), AllocError> {
        self.0.try_reserve(additional).map_err(|_| AllocError)
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number of elements that fit without another allocation.
    pub fn capacity(&self) -> usize {
        self.0.capacity()
    }

    /// The elements.
    pub fn as_slice(&self) -> &[T] {
        &self.0
    }

    /// The elements.
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        &mut self.0
    }

    /// Appends an element.
    pub fn push(&mut self, v: T, flags: Flags) -> Result<(), AllocError> {
        self.reserve(1, flags)?;
        self.0.push(v);
        Ok(())
    }

    /// Appends an element if there is room.
    pub fn push_within_capacity(&mut self, v: T) -> Result<(), PushError<T>> {
        if self.0.len() == self.0.capacity() {
            return Err(PushError(v));
        }
        self.0.push(v);
        Ok(())
    }

    /// Inserts an element if there is room.
    pub fn insert_within_capacity(&mut self, i: usize, v: T) -> Result<(), InsertError<T>> {
        if i > self.0.len() {
            return Err(InsertError::IndexOutOfBounds(v));
        }
        if self.0.len() == self.0.capacity() {
            return Err(InsertError::OutOfCapacity(v));
        }
        self.0.insert(i, v);
        Ok(())
    }

    /// Takes the last element.
    pub fn pop(&mut self) -> Option<T> {
        self.0.pop()
    }

    /// Takes the element at `i`.
    pub fn remove(&mut self, i: usize) -> Result<T, RemoveError> {
        if i < self.0.len() {
            Ok(self.0.remove(i))
        } else {
            Err(RemoveError)
        }
    }

    /// Drops all elements.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Drops the elements from `len` on.
    pub fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }

    /// Keeps the elements for which `f` says so.
    pub fn retain(&mut self, f: impl FnMut(&mut T) -> bool) {
        self.0.retain_mut(f);
    }
}

impl<T: Clone> Vec<T> {
    /// Appends the elements of `other`.
    pub fn extend_from_slice(&mut self, other: &[T], flags: Flags) -> Result<(), AllocError> {
        self.reserve(other.len(), flags)?;
        self.0.extend_from_slice(other);
        Ok(())
    }

    /// Appends `n` times `value`.
    pub fn extend_with(&mut self, n: usize, value: T, flags: Flags) -> Result<(), AllocError> {
        self.reserve(n, flags)?;
        self.0.extend(core::iter::repeat_n(value, n));
        Ok(())
    }

    /// An array of `n` times `value`.
    pub fn from_elem(value: T, n: usize, flags: Flags) -> Result<Self, AllocError> {
        let mut vec = Self::new();
        vec.extend_with(n, value, flags)?;
        Ok(vec)
    }

    /// Shortens the array, or lengthens it with `value`.
    pub fn resize(&mut self, new_len: usize, value: T, flags: Flags) -> Result<(), AllocError> {
        match new_len.checked_sub(self.len()) {
            Some(more) => self.extend_with(more, value, flags),
            None => {
                self.truncate(new_len);
                Ok(())
            }
        }
    }
}

impl<T> Default for Vec<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Deref for Vec<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T> DerefMut for Vec<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}

impl<T> IntoIterator for Vec<T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, T> IntoIterator for &'a Vec<T> {
    type Item = &'a T;
    type IntoIter = core::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<'a, T> IntoIterator for &'a mut Vec<T> {
    type Item = &'a mut T;
    type IntoIter = core::slice::IterMut<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter_mut()
    }
}

/// A box whose allocation can fail.
#[derive(Debug, PartialEq, Eq)]
pub struct Box<T: ?Sized>(std::boxed::Box<T>);

/// The kernel's `kmalloc` box.
pub type KBox<T> = Box<T>;
/// The kernel's `kvmalloc` box.
pub type KVBox<T> = Box<T>;
/// The kernel's `vmalloc` box.
pub type VBox<T> = Box<T>;

impl<T> Box<T> {
    /// A box that holds `x`.
    pub fn new(x: T, _flags: Flags) -> Result<Self, AllocError> {
        Ok(Self(std::boxed::Box::new(x)))
    }

    /// A box of zero bytes.
    pub fn zeroed(flags: Flags) -> Result<Self, AllocError>
    where
        T: crate::Zeroable,
    {
        Self::new(crate::zeroable::zeroed(), flags)
    }

    /// Takes the value out.
    pub fn into_inner(b: Self) -> T {
        *b.0
    }
}

impl<T: ?Sized> Deref for Box<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: ?Sized> DerefMut for Box<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}
