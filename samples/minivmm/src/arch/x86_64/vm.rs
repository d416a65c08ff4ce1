// SPDX-License-Identifier: GPL-2.0
//! A VM with a PC's interrupt controllers and timer in the kernel.

use anyhow::{Context, Result};
use kvm_bindings::{kvm_pit_config, KVM_PIT_SPEAKER_DUMMY};
use kvm_ioctls::{Cap, Kvm, VcpuFd, VmFd};

use super::layout;

/// Without these the machine cannot be built.
pub const NEEDED: [(Cap, &str); 5] = [
    (Cap::UserMemory, "KVM_CAP_USER_MEMORY"),
    (Cap::Irqchip, "KVM_CAP_IRQCHIP"),
    (Cap::Pit2, "KVM_CAP_PIT2"),
    (Cap::Irqfd, "KVM_CAP_IRQFD"),
    (Cap::Ioeventfd, "KVM_CAP_IOEVENTFD"),
];

/// The chips of a PC belong to the VM: there is nothing to hold.
pub struct Chips;

/// Creates a VM with its interrupt controllers, and `cpus` vCPUs.
pub fn create(kvm: &Kvm, cpus: u8) -> Result<(VmFd, Vec<VcpuFd>, Chips)> {
    let vm = kvm.create_vm().context("KVM_CREATE_VM")?;
    vm.set_identity_map_address(layout::IDENTITY_MAP)
        .context("KVM_SET_IDENTITY_MAP_ADDR")?;
    vm.set_tss_address(layout::TSS)
        .context("KVM_SET_TSS_ADDR")?;
    vm.create_irq_chip().context("KVM_CREATE_IRQCHIP")?;
    let pit = kvm_pit_config {
        flags: KVM_PIT_SPEAKER_DUMMY,
        ..Default::default()
    };
    vm.create_pit2(pit).context("KVM_CREATE_PIT2")?;
    let vcpus = (0..cpus)
        .map(|id| vm.create_vcpu(id.into()).context("KVM_CREATE_VCPU"))
        .collect::<Result<_>>()?;
    Ok((vm, vcpus, Chips))
}
