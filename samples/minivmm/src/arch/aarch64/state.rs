// SPDX-License-Identifier: GPL-2.0
//! What KVM holds of a VM: its vCPUs, its GIC, its ITS.

use std::ops::Deref;

use anyhow::{ensure, Result};
use kvm_ioctls::{Kvm, VcpuFd, VmFd};
use serde::{Deserialize, Serialize};

use super::boot::affinity;
use super::gic::GicState;
use super::its::ItsState;
use super::vcpu_state::VcpuState;
use super::vm::Chips;

#[derive(Serialize, Deserialize)]
pub struct VmState {
    vcpus: Vec<VcpuState>,
    gic: GicState,
    its: ItsState,
}

impl VmState {
    /// Gets the state of a VM whose vCPUs are at rest. KVM writes a part of it to guest memory, which is to be saved
    /// afterwards.
    pub fn get(
        _: &Kvm,
        _: &VmFd,
        chips: &Chips,
        vcpus: &[impl Deref<Target = VcpuFd>],
    ) -> Result<Self> {
        let affinities: Vec<u32> = vcpus
            .iter()
            .map(|vcpu| affinity(vcpu))
            .collect::<Result<_>>()?;
        let vcpus = vcpus.iter().map(|vcpu| VcpuState::get(vcpu));
        Ok(Self {
            vcpus: vcpus.collect::<Result<_>>()?,
            its: chips.its.state()?,
            gic: chips.gic.state(&affinities)?,
        })
    }

    /// Sets a new VM and its vCPUs to this state. Its memory is what it was already.
    pub fn set(&self, _: &VmFd, chips: &Chips, vcpus: &[VcpuFd]) -> Result<()> {
        let count = self.vcpus.len();
        ensure!(count == vcpus.len(), "the snapshot has {count} vCPUs");
        for (state, vcpu) in self.vcpus.iter().zip(vcpus) {
            state.set(vcpu)?;
        }
        chips.gic.restore(&self.gic)?;
        chips.its.restore(&self.its)
    }
}
