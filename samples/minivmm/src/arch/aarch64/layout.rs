// SPDX-License-Identifier: GPL-2.0
//! The machine's address map: interrupt controller, devices, guest memory, interrupts.

use vm_memory::GuestAddress;

use crate::memory::MIB;

/// The GICv3's distributor, the ITS's two frames, and the redistributors, two frames for each vCPU.
pub const DISTRIBUTOR: u64 = 0x0800_0000;
pub const DISTRIBUTOR_SIZE: u64 = 0x1_0000;
pub const ITS: u64 = 0x0808_0000;
pub const ITS_SIZE: u64 = 0x2_0000;
pub const REDISTRIBUTORS: u64 = 0x080a_0000;
pub const REDISTRIBUTOR_SIZE: u64 = 0x2_0000;

/// The serial console's registers, and a page for the real-time clock's.
pub const SERIAL: u64 = 0x0900_0000;
pub const RTC: u64 = 0x0901_0000;

/// One page of registers for each virtio device.
pub const VIRTIO_START: u64 = 0x0a00_0000;
pub const VIRTIO_DEVICES_MAX: usize = 8;

/// Memory. The device tree is at its start, the kernel behind that.
pub const RAM: u64 = 0x8000_0000;
pub const FDT: GuestAddress = GuestAddress(RAM);
pub const FDT_SIZE: u64 = 2 * MIB;
pub const KERNEL: GuestAddress = GuestAddress(RAM + FDT_SIZE);
/// The initial RAM disk ends here at the latest: Linux wants it near the kernel.
pub const INITRD_END: u64 = RAM + 1024 * MIB;

/// Where `size` bytes of memory lie.
pub fn ram(size: u64) -> Vec<(GuestAddress, usize)> {
    vec![(GuestAddress(RAM), size as usize)]
}

/// Shared interrupts (SPIs), counted from 0, as KVM's GSIs are.
pub const SERIAL_GSI: u32 = 1;
pub const VIRTIO_GSI: u32 = 16;
/// Interrupts of the GIC: 32 of each processor, and 32 shared ones.
pub const INTERRUPTS: u32 = 64;

/// Private interrupts (PPIs), counted from 0: the timers' as KVM raises them, secure physical, physical, virtual and
/// hypervisor's, and the maintenance interrupt, which no guest here sees.
pub const TIMER_PPIS: [u32; 4] = [13, 14, 11, 10];
