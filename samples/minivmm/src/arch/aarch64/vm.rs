// SPDX-License-Identifier: GPL-2.0
//! A VM with initialised vCPUs, a GICv3 and an ITS.

use anyhow::{Context, Result};
use kvm_bindings::{
    kvm_vcpu_init, KVM_ARM_VCPU_POWER_OFF, KVM_ARM_VCPU_PSCI_0_2, KVM_ARM_VCPU_PTRAUTH_ADDRESS,
    KVM_ARM_VCPU_PTRAUTH_GENERIC, KVM_ARM_VCPU_SVE,
};
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

/// What vCPUs have beside PSCI, where the processor has it. Of pointer authentication KVM gives both kinds or none.
const OPTIONAL: [(Cap, u32); 3] = [
    (Cap::ArmSve, KVM_ARM_VCPU_SVE),
    (Cap::ArmPtrAuthAddress, KVM_ARM_VCPU_PTRAUTH_ADDRESS),
    (Cap::ArmPtrAuthGeneric, KVM_ARM_VCPU_PTRAUTH_GENERIC),
];

/// Creates a VM with `cpus` vCPUs and its interrupt controllers, which have to know all vCPUs. If
/// the vCPUs have SVE, its vector lengths are still to be fixed ([`fix_vectors`]).
pub fn create(kvm: &Kvm, cpus: u8) -> Result<(VmFd, Vec<VcpuFd>, Chips)> {
    let vm = kvm.create_vm().context("KVM_CREATE_VM")?;
    let mut init = kvm_vcpu_init::default();
    vm.get_preferred_target(&mut init)
        .context("KVM_ARM_PREFERRED_TARGET")?;
    init.features[0] |= 1 << KVM_ARM_VCPU_PSCI_0_2;
    for (capability, feature) in OPTIONAL {
        if kvm.check_extension(capability) {
            init.features[0] |= 1 << feature;
        }
    }
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

/// Fixes the vector lengths of a vCPU with SVE, without which it does not run.
pub fn fix_vectors(vcpu: &VcpuFd) -> Result<()> {
    vcpu.vcpu_finalize(&(KVM_ARM_VCPU_SVE as i32))
        .context("KVM_ARM_VCPU_FINALIZE")
}
