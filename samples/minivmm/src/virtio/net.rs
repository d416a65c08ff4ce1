// SPDX-License-Identifier: GPL-2.0
//! The network device (virtio 1.2, 5.1): frames go to and come from a tap interface of the host.

use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};

use anyhow::Result;
use virtio_bindings::bindings::virtio_net::VIRTIO_NET_F_MAC;
use virtio_bindings::virtio_ids::VIRTIO_ID_NET;
use virtio_queue::{Queue, QueueOwnedT, QueueT};
use vm_memory::GuestMemoryMmap;

use super::VirtioDevice;
use crate::tap::Tap;

const RECEIVE: usize = 0;
const TRANSMIT: usize = 1;
const QUEUES: usize = 2;
/// `struct virtio_net_hdr_v1`, which comes before each frame, to and from the tap as well.
const HEADER: usize = 12;
/// The largest Ethernet frame, with a VLAN tag.
const FRAME: usize = 1518;

pub type Mac = [u8; 6];

pub struct Net {
    tap: Tap,
    mac: Mac,
    /// A frame from the tap for which the guest has had no room yet.
    waiting: Option<Vec<u8>>,
}

impl Net {
    pub fn new(interface: &str, mac: Mac) -> Result<Self> {
        Ok(Self {
            tap: Tap::open(interface, HEADER)?,
            mac,
            waiting: None,
        })
    }

    /// The next frame for the guest.
    fn next_frame(&mut self) -> io::Result<Option<Vec<u8>>> {
        if let Some(frame) = self.waiting.take() {
            return Ok(Some(frame));
        }
        let mut frame = vec![0; HEADER + FRAME];
        match self.tap.read(&mut frame) {
            Ok(size) => {
                frame.truncate(size);
                Ok(Some(frame))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn receive(&mut self, queue: &mut Queue, memory: &GuestMemoryMmap) -> Result<()> {
        while let Some(mut frame) = self.next_frame()? {
            let Some(chain) = queue.iter(memory)?.next() else {
                self.waiting = Some(frame);
                break;
            };
            // num_buffers of the header: the frame is in one chain.
            if let Some(count) = frame.get_mut(HEADER - 2..HEADER) {
                count.copy_from_slice(&1u16.to_le_bytes());
            }
            let head = chain.head_index();
            // A frame too long for the guest's buffer is lost.
            let written = match chain.writer(memory)?.write_all(&frame) {
                Ok(()) => frame.len() as u32,
                Err(_) => 0,
            };
            queue.add_used(memory, head, written)?;
        }
        Ok(())
    }

    fn transmit(&mut self, queue: &mut Queue, memory: &GuestMemoryMmap) -> Result<()> {
        let mut frame = Vec::with_capacity(HEADER + FRAME);
        while let Some(chain) = queue.iter(memory)?.next() {
            let head = chain.head_index();
            frame.clear();
            chain
                .reader(memory)?
                .take((HEADER + FRAME) as u64)
                .read_to_end(&mut frame)?;
            // A tap that is down or full loses the frame, as a cable would.
            let _ = self.tap.write(&frame);
            queue.add_used(memory, head, 0)?;
        }
        Ok(())
    }
}

impl VirtioDevice for Net {
    fn id(&self) -> u32 {
        VIRTIO_ID_NET
    }

    fn features(&self) -> u64 {
        1 << VIRTIO_NET_F_MAC
    }

    fn queues(&self) -> usize {
        QUEUES
    }

    fn config(&self) -> &[u8] {
        &self.mac
    }

    fn source(&self) -> Option<(RawFd, usize)> {
        Some((self.tap.as_raw_fd(), RECEIVE))
    }

    fn serve(&mut self, index: usize, queue: &mut Queue, memory: &GuestMemoryMmap) -> Result<()> {
        match index {
            TRANSMIT => self.transmit(queue, memory),
            _ => self.receive(queue, memory),
        }
    }
}
