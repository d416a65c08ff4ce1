// SPDX-License-Identifier: GPL-2.0
//! Virtio devices behind the MMIO transport (virtio 1.2).

pub mod block;
pub mod net;
pub mod transport;

use std::os::fd::RawFd;

use anyhow::Result;
use virtio_queue::Queue;
use vm_memory::GuestMemoryMmap;

/// What a kind of device adds to the transport.
pub trait VirtioDevice: Send {
    /// The device id (virtio 1.2, 5).
    fn id(&self) -> u32;

    /// The features offered, without those of the transport.
    fn features(&self) -> u64;

    /// How many queues there are.
    fn queues(&self) -> usize;

    /// The device's configuration space.
    fn config(&self) -> &[u8];

    /// A file that becomes readable when there is something for the guest, and the queue it goes to.
    fn source(&self) -> Option<(RawFd, usize)> {
        None
    }

    /// Serves what a queue holds: takes chains, and marks them as used. An error breaks the device.
    fn serve(&mut self, index: usize, queue: &mut Queue, memory: &GuestMemoryMmap) -> Result<()>;
}
