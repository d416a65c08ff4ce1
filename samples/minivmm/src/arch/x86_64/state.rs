// SPDX-License-Identifier: GPL-2.0
//! What KVM holds of a VM: its chips, its clock, its vCPUs.

use std::ops::Deref;

use anyhow::{ensure, Context, Result};
use kvm_bindings::{
    kvm_clock_data, kvm_irqchip, kvm_pit_state2, KVM_IRQCHIP_IOAPIC, KVM_IRQCHIP_PIC_MASTER,
    KVM_IRQCHIP_PIC_SLAVE,
};
use kvm_ioctls::{Kvm, VcpuFd, VmFd};
use serde::{Deserialize, Serialize};

use super::vcpu_state::VcpuState;
use super::vm::Chips;

const IRQCHIPS: [u32; 3] = [
    KVM_IRQCHIP_PIC_MASTER,
    KVM_IRQCHIP_PIC_SLAVE,
    KVM_IRQCHIP_IOAPIC,
];

#[derive(Serialize, Deserialize)]
pub struct VmState {
    irqchips: Vec<kvm_irqchip>,
    pit: kvm_pit_state2,
    clock: kvm_clock_data,
    vcpus: Vec<VcpuState>,
}

impl VmState {
    /// Gets the state of a VM whose vCPUs are at rest.
    pub fn get(
        kvm: &Kvm,
        vm: &VmFd,
        _: &Chips,
        vcpus: &[impl Deref<Target = VcpuFd>],
    ) -> Result<Self> {
        // The vCPUs first: getting a vCPU's state may still move an interrupt to the vCPU.
        let vcpus = vcpus
            .iter()
            .map(|vcpu| VcpuState::get(kvm, vcpu))
            .collect::<Result<_>>()?;
        let mut irqchips = Vec::new();
        for chip_id in IRQCHIPS {
            let mut irqchip = kvm_irqchip {
                chip_id,
                ..Default::default()
            };
            vm.get_irqchip(&mut irqchip).context("KVM_GET_IRQCHIP")?;
            irqchips.push(irqchip);
        }
        Ok(Self {
            irqchips,
            pit: vm.get_pit2().context("KVM_GET_PIT2")?,
            clock: vm.get_clock().context("KVM_GET_CLOCK")?,
            vcpus,
        })
    }

    /// Sets a new VM and its vCPUs to this state. Its memory is what it was already.
    pub fn set(&self, vm: &VmFd, _: &Chips, vcpus: &[VcpuFd]) -> Result<()> {
        let count = self.vcpus.len();
        ensure!(count == vcpus.len(), "the snapshot has {count} vCPUs");
        let clock = kvm_clock_data {
            clock: self.clock.clock,
            ..Default::default()
        };
        vm.set_clock(&clock).context("KVM_SET_CLOCK")?;
        for irqchip in &self.irqchips {
            vm.set_irqchip(irqchip).context("KVM_SET_IRQCHIP")?;
        }
        vm.set_pit2(&self.pit).context("KVM_SET_PIT2")?;
        for (state, vcpu) in self.vcpus.iter().zip(vcpus) {
            state.set(vcpu)?;
        }
        Ok(())
    }
}
