// SPDX-License-Identifier: GPL-2.0
//! Guest memory: anonymous memory of this process, given to KVM as memory slots.

use anyhow::{Context, Result};
use kvm_bindings::kvm_userspace_memory_region;
use kvm_ioctls::VmFd;
use vm_memory::{Address, Bytes, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion};

use crate::arch::layout;

pub const PAGE: u64 = 0x1000;
pub const MIB: u64 = 1 << 20;

/// Maps `size` bytes of guest memory where the architecture has it.
pub fn allocate(size: u64) -> Result<GuestMemoryMmap> {
    GuestMemoryMmap::from_ranges(&layout::ram(size)).context("cannot map guest memory")
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

/// The end of the first region.
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
