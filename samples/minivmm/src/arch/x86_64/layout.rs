// SPDX-License-Identifier: GPL-2.0
//! The machine's address map: guest memory, boot data, devices, ports and interrupts.

use vm_memory::GuestAddress;

use crate::memory::MIB;

/// Memory ends here at the latest and goes on at 4 GiB: devices lie between (as on StratoVirt's microvm).
pub const GAP_START: u64 = 0xc000_0000;
pub const GAP_END: u64 = 1 << 32;

/// Where `size` bytes of memory lie: from address 0, and what does not fit below the gap from its end on.
pub fn ram(size: u64) -> Vec<(GuestAddress, usize)> {
    let low = size.min(GAP_START);
    let mut ranges = vec![(GuestAddress(0), low as usize)];
    if size > low {
        ranges.push((GuestAddress(GAP_END), (size - low) as usize));
    }
    ranges
}

/// Boot data, all in the first 640 KiB, which Linux takes for free memory once it has read it.
pub const ZERO_PAGE: GuestAddress = GuestAddress(0x7000);
pub const GDT: GuestAddress = GuestAddress(0x5000);
pub const PAGE_TABLES: GuestAddress = GuestAddress(0x9000);
pub const CMDLINE: GuestAddress = GuestAddress(0x2_0000);
/// Room for the command line, its final zero byte included.
pub const CMDLINE_SIZE: usize = 0x1000;

/// What an e820 map reserves below 1 MiB; the ACPI tables lie inside, where Linux also looks by itself.
pub const RESERVED_START: u64 = 0x9_fc00;
pub const RSDP: GuestAddress = GuestAddress(0xe_0000);
pub const ACPI_TABLES: GuestAddress = GuestAddress(0xe_0100);
pub const ACPI_TABLES_END: GuestAddress = GuestAddress(0xf_0000);
pub const HIGH_MEMORY: u64 = MIB;

/// One page of registers for each virtio device.
pub const VIRTIO_START: u64 = 0xd000_0000;
pub const VIRTIO_DEVICES_MAX: usize = 8;

/// KVM's own interrupt controllers.
pub const IOAPIC: u32 = 0xfec0_0000;
pub const LOCAL_APIC: u32 = 0xfee0_0000;
/// A page and three pages which KVM needs for itself on processors that lack unrestricted guests.
pub const IDENTITY_MAP: u64 = 0xfffb_c000;
pub const TSS: usize = 0xfffb_d000;

/// Ports.
pub const I8042: u16 = 0x60;
/// Of the i8042: its command register, and the command that resets the machine.
pub const I8042_COMMAND: u16 = 0x64;
pub const I8042_RESET: u8 = 0xfe;
pub const CMOS: u16 = 0x70;
pub const COM1: u16 = 0x3f8;
/// The ACPI registers PM1a_EVT (4 bytes) and PM1a_CNT (2 bytes).
pub const PM1A_EVENT: u16 = 0x600;
pub const PM1A_CONTROL: u16 = 0x604;

/// Global system interrupts. Virtio devices have the IOAPIC's inputs that no PC device uses.
pub const SERIAL_GSI: u32 = 4;
pub const SCI_GSI: u32 = 9;
pub const VIRTIO_GSI: u32 = 16;
