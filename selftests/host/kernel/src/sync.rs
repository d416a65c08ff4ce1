// SPDX-License-Identifier: GPL-2.0

//! The kernel's reference counting over the standard library's.

use core::ops::Deref;

use crate::alloc::{AllocError, Flags};

/// A counted reference.
#[derive(Debug)]
pub struct Arc<T>(std::sync::Arc<T>);

impl<T> Arc<T> {
    /// The first reference to a value.
    pub fn new(contents: T, _flags: Flags) -> Result<Self, AllocError> {
        Ok(Self(std::sync::Arc::new(contents)))
    }

    /// Whether both refer to the same value.
    pub fn ptr_eq(this: &Self, other: &Self) -> bool {
        std::sync::Arc::ptr_eq(&this.0, &other.0)
    }
}

impl<T> Clone for Arc<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Deref for Arc<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
