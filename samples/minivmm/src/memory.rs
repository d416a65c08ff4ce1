// SPDX-License-Identifier: GPL-2.0
//! Guest memory: anonymous memory of this process, given to KVM as memory slots.

use anyhow::{Context, Result};
use kvm_bindings::kvm_userspace_memory_region;
use kvm_ioctls::VmFd;
use vm_memory::{
    Address, Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion,
};

use crate::layout::{GAP_END, GAP_START};

/// Maps `size` bytes of guest memory: from address 0, and what does not fit below the gap from 4 GiB on.
pub fn allocate(size: u64) -> Result<GuestMemoryMmap> {
    let low = size.min(GAP_START);
    let mut ranges = vec![(GuestAddress(0), low as usize)];
    if size > low {
        ranges.push((GuestAddress(GAP_END), (size - low) as usize));
    }
    GuestMemoryMmap::from_ranges(&ranges).context("cannot map guest memory")
}

/// Gives every region to the VM as a slot.
pub fn register(vm: &VmFd, memory: &GuestMemoryMmap) -> Result<()> {
    for (slot, region) in memory.iter().enumerate() {
        let slot = kvm_userspace_memory_region {
            slot: slot as u32,
            flags: 0,
            guest_phys_addr: region.start_addr().raw_value(),
            memory_size: region.len(),
            userspace_addr: memory.get_host_address(region.start_addr())? as u64,
        };
        // SAFETY: the mapping is the size it says, and the machine keeps it until the VM is gone.
        unsafe { vm.set_user_memory_region(slot) }.context("KVM_SET_USER_MEMORY_REGION")?;
    }
    Ok(())
}

/// The end of the memory below the gap.
pub fn low_end(memory: &GuestMemoryMmap) -> u64 {
    memory
        .iter()
        .next()
        .map_or(0, |region| region.start_addr().raw_value() + region.len())
}

/// Writes all memory to a file, region after region.
pub fn save(memory: &GuestMemoryMmap, file: &mut std::fs::File) -> Result<()> {
    for region in memory.iter() {
        memory.write_all_volatile_to(region.start_addr(), file, region.len() as usize)?;
    }
    Ok(())
}

/// Reads all memory back from a file that [`save`] wrote.
pub fn load(memory: &GuestMemoryMmap, file: &mut std::fs::File) -> Result<()> {
    for region in memory.iter() {
        memory.read_exact_volatile_from(region.start_addr(), file, region.len() as usize)?;
    }
    Ok(())
}
