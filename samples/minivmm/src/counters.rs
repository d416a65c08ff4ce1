// SPDX-License-Identifier: GPL-2.0
//! What KVM itself counts for a vCPU: KVM_GET_STATS_FD (the kernel's virt/kvm/api.rst, 4.133).

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result};
use kvm_bindings::{
    KVM_STATS_TYPE_CUMULATIVE, KVM_STATS_TYPE_MASK, KVM_STATS_TYPE_SHIFT, KVM_STATS_UNIT_MASK,
    KVM_STATS_UNIT_NONE,
};
use kvm_ioctls::VcpuFd;

/// `_IO(KVMIO, 0xce)`.
const KVM_GET_STATS_FD: libc::c_ulong = 0xaece;

/// Bytes of `struct kvm_stats_header`, six words.
const HEADER_SIZE: usize = 24;
/// Bytes of `struct kvm_stats_desc` before the name.
const DESCRIPTOR_SIZE: usize = 16;
/// Longer names, or more values, are no sane answer.
const MOST: usize = 4096;

/// A number that only grows.
struct Value {
    name: String,
    /// Where its eight bytes lie in the file.
    offset: u64,
}

/// The counters of one vCPU.
pub struct Counters {
    file: File,
    values: Vec<Value>,
}

impl Counters {
    /// Those of `vcpu`.
    pub fn of(vcpu: &VcpuFd) -> Result<Self> {
        // SAFETY: the ioctl takes no argument and gives a new descriptor.
        let descriptor = unsafe { libc::ioctl(vcpu.as_raw_fd(), KVM_GET_STATS_FD, 0) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error()).context("KVM_GET_STATS_FD");
        }
        // SAFETY: the descriptor is new, so that nobody else owns it.
        let file = unsafe { File::from_raw_fd(descriptor) };
        let values = read_descriptors(&file).context("the descriptors of KVM_GET_STATS_FD")?;
        Ok(Self { file, values })
    }

    /// The values, in the order in which KVM tells them.
    pub fn read(&self) -> io::Result<Vec<(&str, u64)>> {
        let mut read = Vec::with_capacity(self.values.len());
        for Value { name, offset } in &self.values {
            let mut bytes = [0; size_of::<u64>()];
            self.file.read_exact_at(&mut bytes, *offset)?;
            read.push((name.as_str(), u64::from_ne_bytes(bytes)));
        }
        Ok(read)
    }
}

/// Those that are single numbers of events.
fn read_descriptors(file: &File) -> Result<Vec<Value>> {
    let mut header = [0; HEADER_SIZE];
    file.read_exact_at(&mut header, 0)?;
    let name_size = word(&header, 4) as usize;
    let count = word(&header, 8) as usize;
    let descriptors: u64 = word(&header, 16).into();
    let data: u64 = word(&header, 20).into();
    anyhow::ensure!(name_size <= MOST && count <= MOST, "too many of them");

    let size = DESCRIPTOR_SIZE + name_size;
    let mut descriptor = vec![0; size];
    let mut values = Vec::new();
    for number in 0..count as u64 {
        file.read_exact_at(&mut descriptor, descriptors + number * size as u64)?;
        let flags = word(&descriptor, 0);
        let is_sum =
            (flags >> KVM_STATS_TYPE_SHIFT) & KVM_STATS_TYPE_MASK == KVM_STATS_TYPE_CUMULATIVE;
        let is_events = flags & KVM_STATS_UNIT_MASK == KVM_STATS_UNIT_NONE;
        if !is_sum || !is_events {
            continue;
        }
        let mut name = descriptor[DESCRIPTOR_SIZE..].split(|byte| *byte == 0);
        values.push(Value {
            name: String::from_utf8_lossy(name.next().unwrap_or_default()).into_owned(),
            offset: data + u64::from(word(&descriptor, 8)),
        });
    }
    Ok(values)
}

/// The word at `offset`, which lies within `bytes`.
fn word(bytes: &[u8], offset: usize) -> u32 {
    let mut word = [0; size_of::<u32>()];
    word.copy_from_slice(&bytes[offset..offset + size_of::<u32>()]);
    u32::from_ne_bytes(word)
}
