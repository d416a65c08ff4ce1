// SPDX-License-Identifier: GPL-2.0
//! A VM with initialised vCPUs, a GICv3 and an ITS.

use anyhow::{Context, Result};
use kvm_bindings::{kvm_vcpu_init, KVM_ARM_VCPU_POWER_OFF, KVM_ARM_VCPU_PSCI_0_2};
use kvm_ioctls::{Cap, Kvm, VcpuFd, VmFd};

use super::gic::Gic;
use super::its::Its;

/// Without these the machine cannot be built.
pub const NEEDED: [(Cap, &str); 5] = [
    (Cap::UserMemory, "KVM_CAP_USER_MEMORY"),
    (Cap::DeviceCtrl, "KVM_CAP_DEVICE_CTRL"),
    (Cap::ArmPsci02, "KVM_CAP_ARM_PSCI_0_2"),
    (Cap::Irqfd, "KVM_CAP_IRQFD"),
    (Cap::Ioeventfd, "KVM_CAP_IOEVENTFD"),
];

pub struct Chips {
    pub gic: Gic,
    pub its: Its,
}

/// Creates a VM with `cpus` vCPUs and its interrupt controllers, which have to know all vCPUs.
pub fn create(kvm: &Kvm, cpus: u8) -> Result<(VmFd, Vec<VcpuFd>, Chips)> {
    let vm = kvm.create_vm().context("KVM_CREATE_VM")?;
    let mut init = kvm_vcpu_init::default();
    vm.get_preferred_target(&mut init)
        .context("KVM_ARM_PREFERRED_TARGET")?;
    init.features[0] |= 1 << KVM_ARM_VCPU_PSCI_0_2;
    let mut vcpus = Vec::new();
    for id in 0..cpus {
        let vcpu = vm.create_vcpu(id.into()).context("KVM_CREATE_VCPU")?;
        vcpu.vcpu_init(&init).context("KVM_ARM_VCPU_INIT")?;
        vcpus.push(vcpu);
        // The others wait until a CPU_ON of the guest's starts them.
        init.features[0] |= 1 << KVM_ARM_VCPU_POWER_OFF;
    }
    let gic = Gic::create(&vm)?;
    let its = Its::create(&vm)?;
    Ok((vm, vcpus, Chips { gic, its }))
}
