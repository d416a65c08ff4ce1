// SPDX-License-Identifier: GPL-2.0
//! How a machine ends: the first of its threads and devices that knows tells the event loop.

use std::io;
use std::sync::{Arc, Mutex};

use vm_superio::Trigger;
use vmm_sys_util::eventfd::{EventFd, EFD_NONBLOCK};

use crate::sync::lock;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    PowerOff,
    Reset,
    /// By the person or a signal.
    Quit,
    /// A snapshot was written.
    Saved,
    /// KVM gave the vCPU up, or a device of the machine failed.
    Failure(String),
}

/// Where the end is told. Clones are the same place.
#[derive(Clone)]
pub struct Ending(Arc<Inner>);

struct Inner {
    end: Mutex<Option<End>>,
    told: EventFd,
}

impl Ending {
    pub fn new() -> io::Result<Self> {
        let told = EventFd::new(EFD_NONBLOCK)?;
        Ok(Self(Arc::new(Inner {
            end: Mutex::new(None),
            told,
        })))
    }

    /// Tells an end; the first one told counts.
    pub fn tell(&self, end: End) {
        lock(&self.0.end).get_or_insert(end);
        // The counter cannot overflow: an end is told a few times at most.
        let _ = self.0.told.write(1);
    }

    /// The end, once there is one.
    pub fn get(&self) -> Option<End> {
        lock(&self.0.end).clone()
    }

    /// Becomes readable when an end was told.
    pub fn event(&self) -> &EventFd {
        &self.0.told
    }
}

/// The i8042's reset line.
impl Trigger for Ending {
    type E = io::Error;

    fn trigger(&self) -> io::Result<()> {
        self.tell(End::Reset);
        Ok(())
    }
}
