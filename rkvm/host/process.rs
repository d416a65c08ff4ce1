// SPDX-License-Identifier: GPL-2.0

//! The address space of a process, kept to be compared and watched.

use kernel::{current, mm::Mm, prelude::*, sync::aref::ARef};

/// An address space. The structure stays; the memory goes when the process does.
pub struct Process(ARef<Mm>);

impl Process {
    /// That of the current task. `EINVAL` for a kernel thread.
    pub fn current() -> Result<Self> {
        let task = current!();
        let mm: &Mm = task.mm().ok_or(EINVAL)?;
        Ok(Self(mm.into()))
    }

    /// Whether the current task runs in it.
    #[inline]
    pub fn is_current(&self) -> bool {
        let own = self.0.as_raw();
        current!().mm().is_some_and(|mm| mm.as_raw() == own)
    }

    /// The mm.
    pub fn mm(&self) -> &Mm {
        &self.0
    }
}
