// SPDX-License-Identifier: GPL-2.0
//! What to boot.

use std::fs::File;
use std::path::Path;

use anyhow::{bail, Context, Result};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use crate::memory::{low_end, PAGE};

pub struct Payload<'a> {
    pub kernel: &'a Path,
    pub initrd: Option<&'a Path>,
    pub cmdline: &'a str,
    /// How many virtio devices the guest is to be told of.
    pub virtio_devices: usize,
}

/// Loads an initial RAM disk as high below `limit` as memory allows, and not below `floor`; its address and size.
pub fn load_initrd(
    memory: &GuestMemoryMmap,
    path: &Path,
    floor: u64,
    limit: u64,
) -> Result<(u64, u64)> {
    let name = path.display();
    let mut file = File::open(path).with_context(|| format!("cannot open {name}"))?;
    let size = file.metadata()?.len();
    let start = limit
        .min(low_end(memory))
        .checked_sub(size)
        .map(|start| start & !(PAGE - 1))
        .filter(|start| *start >= floor);
    let Some(start) = start else {
        bail!("{name} ({size} bytes) does not fit into memory beside the kernel");
    };
    memory
        .read_exact_volatile_from(GuestAddress(start), &mut file, size as usize)
        .with_context(|| format!("cannot read {name}"))?;
    Ok((start, size))
}
