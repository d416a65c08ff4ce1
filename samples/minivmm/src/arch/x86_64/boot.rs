// SPDX-License-Identifier: GPL-2.0
//! Loads a bzImage as a boot loader does, for the 64-bit entry (Documentation/arch/x86/boot.rst).

use std::fs::File;

use anyhow::{bail, Context, Result};
use kvm_ioctls::{Kvm, VcpuFd};
use linux_loader::configurator::linux::LinuxBootConfigurator;
use linux_loader::configurator::{BootConfigurator, BootParams};
use linux_loader::loader::bootparam::{boot_e820_entry, boot_params};
use linux_loader::loader::bzimage::BzImage;
use linux_loader::loader::{load_cmdline, Cmdline, KernelLoader};
use vm_memory::{Address, GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion};

use super::cpuid;
use super::layout::{CMDLINE, CMDLINE_SIZE, GAP_END, HIGH_MEMORY, RESERVED_START, RSDP, ZERO_PAGE};
use crate::memory::low_end;
use crate::payload::{load_initrd, Payload};

mod acpi;
mod registers;

/// The 64-bit entry lies this far behind the 32-bit one.
const ENTRY_64: u64 = 0x200;
/// `xloadflags`: the kernel has a 64-bit entry.
const XLF_KERNEL_64: u16 = 1;
/// `type_of_loader`: a loader without a number of its own.
const LOADER_UNDEFINED: u8 = 0xff;
const E820_RAM: u32 = 1;
const E820_RESERVED: u32 = 2;

/// Puts what is to boot, and the tables that tell it of the machine, into memory, and the first vCPU at its entry.
pub fn load(
    kvm: &Kvm,
    memory: &GuestMemoryMmap,
    vcpus: &[VcpuFd],
    payload: &Payload,
) -> Result<()> {
    let entry = load_kernel(memory, payload)?;
    let cpus = vcpus.len().try_into()?;
    acpi::write(memory, cpus, payload.virtio_devices)?;
    let entries = cpuid::supported(kvm)?;
    for (id, vcpu) in (0..).zip(vcpus) {
        let entries = cpuid::of_vcpu(&entries, id, cpus)?;
        vcpu.set_cpuid2(&entries).context("KVM_SET_CPUID2")?;
        registers::set_common(vcpu)?;
    }
    // The others wait for the first to start them.
    registers::set_entry(&vcpus[0], memory, entry)
}

/// Puts kernel, initial RAM disk, command line and boot parameters into memory; the address to enter at.
fn load_kernel(memory: &GuestMemoryMmap, payload: &Payload) -> Result<GuestAddress> {
    let name = payload.kernel.display();
    let mut kernel = File::open(payload.kernel).with_context(|| format!("cannot open {name}"))?;
    let loaded = BzImage::load(memory, None, &mut kernel, Some(GuestAddress(HIGH_MEMORY)))
        .with_context(|| format!("cannot load {name} as a bzImage"))?;
    let Some(mut header) = loaded.setup_header else {
        bail!("{name} has no setup header");
    };
    if header.xloadflags & XLF_KERNEL_64 == 0 {
        bail!("{name} has no 64-bit entry");
    }
    header.type_of_loader = LOADER_UNDEFINED;

    let mut cmdline = Cmdline::new(CMDLINE_SIZE)?;
    cmdline.insert_str(payload.cmdline).context("-append")?;
    load_cmdline(memory, CMDLINE, &cmdline)?;
    header.cmd_line_ptr = CMDLINE.raw_value() as u32;

    if let Some(path) = payload.initrd {
        let limit = u64::from(header.initrd_addr_max) + 1;
        let (start, size) = load_initrd(memory, path, loaded.kernel_end, limit)?;
        // Below the limit, which has 32 bits.
        header.ramdisk_image = start as u32;
        header.ramdisk_size = size as u32;
    }

    let mut params = boot_params {
        hdr: header,
        acpi_rsdp_addr: RSDP.raw_value(),
        ..Default::default()
    };
    let map = e820(memory);
    params.e820_table[..map.len()].copy_from_slice(&map);
    params.e820_entries = map.len() as u8;
    LinuxBootConfigurator::write_bootparams(&BootParams::new(&params, ZERO_PAGE), memory)?;
    Ok(loaded.kernel_load.unchecked_add(ENTRY_64))
}

fn e820(memory: &GuestMemoryMmap) -> Vec<boot_e820_entry> {
    let entry = |from, to, r#type| boot_e820_entry {
        addr: from,
        size: to - from,
        r#type,
    };
    let mut map = vec![
        entry(0, RESERVED_START, E820_RAM),
        entry(RESERVED_START, HIGH_MEMORY, E820_RESERVED),
        entry(HIGH_MEMORY, low_end(memory), E820_RAM),
    ];
    if let Some(high) = memory.find_region(GuestAddress(GAP_END)) {
        map.push(entry(GAP_END, GAP_END + high.len(), E820_RAM));
    }
    map
}
