// SPDX-License-Identifier: GPL-2.0
//! Loads an Image as a boot loader does (the kernel's arch/arm64/booting.rst).

use std::fs::File;
use std::mem::offset_of;

use anyhow::{ensure, Context, Result};
use kvm_bindings::{
    kvm_regs, user_pt_regs, KVM_REG_ARM64, KVM_REG_ARM64_SYSREG, KVM_REG_ARM_CORE, KVM_REG_SIZE_U64,
};
use kvm_ioctls::{Cap, Kvm, VcpuFd};
use linux_loader::loader::pe::{arm64_image_header, PE};
use linux_loader::loader::KernelLoader;
use vm_memory::{Address, Bytes, GuestAddress, GuestMemoryMmap};

use super::layout::{FDT, FDT_SIZE, INITRD_END, KERNEL};
use super::vm::fix_vectors;
use crate::memory::low_end;
use crate::payload::{load_initrd, Payload};

mod fdt;

/// The index of a field of [`kvm_regs`] as KVM_REG_ARM_CORE counts it, in words.
const fn core_register(offset: usize) -> u64 {
    KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE as u64 | (offset / size_of::<u32>()) as u64
}
const X0: u64 = core_register(offset_of!(kvm_regs, regs) + offset_of!(user_pt_regs, regs));
const PC: u64 = core_register(offset_of!(kvm_regs, regs) + offset_of!(user_pt_regs, pc));
/// MPIDR_EL1: op0 3, op2 5, the other parts of its name 0.
const MPIDR: u64 = KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM64_SYSREG as u64 | 3 << 14 | 5;
/// Of MPIDR_EL1: Aff3 and Aff2 to Aff0.
const AFFINITY_3_SHIFT: u32 = 32;
const AFFINITY_LOW: u64 = 0xff_ffff;

/// A vCPU's affinity: Aff3 to Aff0, a byte each.
pub fn affinity(vcpu: &VcpuFd) -> Result<u32> {
    let mut mpidr = [0; size_of::<u64>()];
    vcpu.get_one_reg(MPIDR, &mut mpidr)
        .context("KVM_GET_ONE_REG of MPIDR_EL1")?;
    let mpidr = u64::from_le_bytes(mpidr);
    let low = (mpidr & AFFINITY_LOW) as u32;
    let high = (mpidr >> AFFINITY_3_SHIFT) as u8;
    Ok(u32::from(high) << AFFINITY_LOW.count_ones() | low)
}

/// Puts what is to boot, and the device tree that tells it of the machine, into memory, and the first vCPU at its
/// entry.
pub fn load(
    kvm: &Kvm,
    memory: &GuestMemoryMmap,
    vcpus: &[VcpuFd],
    payload: &Payload,
) -> Result<()> {
    let name = payload.kernel.display();
    let mut kernel = File::open(payload.kernel).with_context(|| format!("cannot open {name}"))?;
    let entry = PE::load(memory, Some(KERNEL), &mut kernel, None)
        .with_context(|| format!("cannot load {name} as an Image"))?
        .kernel_load;
    let header: arm64_image_header = memory.read_obj(entry)?;
    // Memory that the kernel uses before it looks at what is free: more than the file has.
    let kernel_end = entry
        .checked_add(u64::from_le(header.image_size))
        .map(|end| end.raw_value())
        .filter(|end| *end <= low_end(memory))
        .with_context(|| format!("{name} does not fit into memory"))?;
    let initrd = match payload.initrd {
        Some(path) => Some(load_initrd(memory, path, kernel_end, INITRD_END)?),
        None => None,
    };

    let affinities: Vec<u32> = vcpus.iter().map(affinity).collect::<Result<_>>()?;
    let machine = fdt::Machine {
        cmdline: payload.cmdline,
        initrd,
        affinities: &affinities,
        virtio_devices: payload.virtio_devices,
    };
    let tree = machine.device_tree(memory)?;
    ensure!(
        tree.len() as u64 <= FDT_SIZE,
        "the device tree is too large"
    );
    memory.write_slice(&tree, FDT)?;

    if kvm.check_extension(Cap::ArmSve) {
        vcpus.iter().try_for_each(fix_vectors)?;
    }
    set_entry(&vcpus[0], entry)
}

/// KVM has reset the vCPU to EL1 with interrupts and MMU off; what is missing is where to begin, and the argument.
fn set_entry(vcpu: &VcpuFd, entry: GuestAddress) -> Result<()> {
    for (id, value) in [(X0, FDT), (PC, entry)] {
        vcpu.set_one_reg(id, &value.raw_value().to_le_bytes())
            .context("KVM_SET_ONE_REG")?;
    }
    Ok(())
}
