// SPDX-License-Identifier: GPL-2.0
//! The block device (virtio 1.2, 5.2): a file is the disk.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom};
use std::path::Path;

use anyhow::{Context, Result};
use virtio_bindings::bindings::virtio_blk as blk;
use virtio_bindings::virtio_ids::VIRTIO_ID_BLOCK;
use virtio_queue::desc::split::Descriptor;
use virtio_queue::{DescriptorChain, Queue, QueueOwnedT, QueueT};
use vm_memory::{ByteValued, Bytes, GuestMemoryMmap};

use super::VirtioDevice;

const SECTOR_SHIFT: u32 = 9;
const STATUS_SIZE: u32 = 1;
const ID: &[u8; blk::VIRTIO_BLK_ID_BYTES as usize] = b"minivmm\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// May the guest write to the disk?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    ReadWrite,
    ReadOnly,
}

/// The header of a request, its first descriptor.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Header {
    kind: u32,
    reserved: u32,
    sector: u64,
}

// SAFETY: plain integers without padding.
unsafe impl ByteValued for Header {}

pub struct Block {
    file: File,
    access: Access,
    size: u64,
    config: [u8; size_of::<u64>()],
}

impl Block {
    /// The file's size is the disk's, in whole sectors.
    pub fn new(path: &Path, access: Access) -> Result<Self> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(access == Access::ReadWrite)
            .open(path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        let sectors = file.seek(SeekFrom::End(0))? >> SECTOR_SHIFT;
        let size = sectors << SECTOR_SHIFT;
        Ok(Self {
            file,
            access,
            size,
            config: sectors.to_le_bytes(),
        })
    }

    /// Does a request; the status, and how many bytes were written to memory (not counting the status).
    fn execute(
        &mut self,
        header: Header,
        data: &[Descriptor],
        memory: &GuestMemoryMmap,
    ) -> (u32, u32) {
        let result = match header.kind {
            blk::VIRTIO_BLK_T_IN => self.transfer(header.sector, data, memory),
            blk::VIRTIO_BLK_T_OUT if self.access == Access::ReadWrite => {
                self.transfer(header.sector, data, memory).map(|_| 0)
            }
            blk::VIRTIO_BLK_T_FLUSH => self.file.sync_data().map(|()| 0).map_err(Into::into),
            blk::VIRTIO_BLK_T_GET_ID => write_id(data, memory),
            _ => return (blk::VIRTIO_BLK_S_UNSUPP, 0),
        };
        match result {
            Ok(written) => (blk::VIRTIO_BLK_S_OK, written),
            Err(_) => (blk::VIRTIO_BLK_S_IOERR, 0),
        }
    }

    /// Reads into buffers that the device may write to, writes from the others; the bytes moved.
    fn transfer(
        &mut self,
        sector: u64,
        data: &[Descriptor],
        memory: &GuestMemoryMmap,
    ) -> Result<u32> {
        let length: u64 = data.iter().map(|buffer| u64::from(buffer.len())).sum();
        let start = sector.checked_mul(1 << SECTOR_SHIFT).context("sector")?;
        let end = start.checked_add(length).filter(|end| *end <= self.size);
        end.context("beyond the end of the disk")?;
        self.file.seek(SeekFrom::Start(start))?;
        for buffer in data {
            let size = buffer.len() as usize;
            if buffer.is_write_only() {
                memory.read_exact_volatile_from(buffer.addr(), &mut self.file, size)?;
            } else {
                memory.write_all_volatile_to(buffer.addr(), &mut self.file, size)?;
            }
        }
        Ok(length as u32)
    }

    /// Takes a chain of a header, data, and a byte for the status; the bytes written to it.
    fn request(
        &mut self,
        chain: DescriptorChain<&GuestMemoryMmap>,
        memory: &GuestMemoryMmap,
    ) -> Result<u32> {
        let descriptors: Vec<Descriptor> = chain.collect();
        let [head, data @ .., status] = descriptors.as_slice() else {
            anyhow::bail!("a request of {} descriptors", descriptors.len());
        };
        let header: Header = memory.read_obj(head.addr())?;
        let read = matches!(header.kind, blk::VIRTIO_BLK_T_IN | blk::VIRTIO_BLK_T_GET_ID);
        let (outcome, written) = if data.iter().all(|buffer| buffer.is_write_only() == read) {
            self.execute(header, data, memory)
        } else {
            (blk::VIRTIO_BLK_S_IOERR, 0)
        };
        memory.write_obj(outcome as u8, status.addr())?;
        Ok(written + STATUS_SIZE)
    }
}

fn write_id(data: &[Descriptor], memory: &GuestMemoryMmap) -> Result<u32> {
    let buffer = data.first().context("no buffer for the id")?;
    let id = &ID[..ID.len().min(buffer.len() as usize)];
    memory.write_slice(id, buffer.addr())?;
    Ok(id.len() as u32)
}

impl VirtioDevice for Block {
    fn id(&self) -> u32 {
        VIRTIO_ID_BLOCK
    }

    fn features(&self) -> u64 {
        let read_only = match self.access {
            Access::ReadWrite => 0,
            Access::ReadOnly => 1 << blk::VIRTIO_BLK_F_RO,
        };
        1 << blk::VIRTIO_BLK_F_FLUSH | read_only
    }

    fn queues(&self) -> usize {
        1
    }

    fn config(&self) -> &[u8] {
        &self.config
    }

    fn serve(&mut self, _: usize, queue: &mut Queue, memory: &GuestMemoryMmap) -> Result<()> {
        while let Some(chain) = queue.iter(memory)?.next() {
            let head = chain.head_index();
            let written = self.request(chain, memory)?;
            queue.add_used(memory, head, written)?;
        }
        Ok(())
    }
}
