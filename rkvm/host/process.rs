// SPDX-License-Identifier: GPL-2.0

//! The address space of a process, kept to be compared and watched.

// UNSAFETY: takes a reference to the current task's mm.
#![expect(unsafe_code)]

use super::bindings;
use kernel::{mm::Mm, prelude::*, sync::aref::ARef};

/// An address space. The structure stays; the memory goes when the process does.
pub struct Process(ARef<Mm>);

impl Process {
    /// That of the current task. `EINVAL` for a kernel thread.
    pub fn current() -> Result<Self> {
        // SAFETY: the current task's mm stays while the task runs.
        let mm = unsafe { bindings::rkvm_current_mm() };
        if mm.is_null() {
            return Err(EINVAL);
        }
        // SAFETY: as above, and it is not null.
        Ok(Self(unsafe { Mm::from_raw(mm) }.into()))
    }

    /// Whether the current task runs in it.
    #[inline]
    pub fn is_current(&self) -> bool {
        // SAFETY: only the address is used.
        core::ptr::eq(self.0.as_raw(), unsafe { bindings::rkvm_current_mm() })
    }

    /// The mm.
    pub fn mm(&self) -> &Mm {
        &self.0
    }
}
