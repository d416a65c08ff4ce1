// SPDX-License-Identifier: GPL-2.0
//! A vCPU's state as KVM gives it: all registers that KVM_GET_REG_LIST names, and what is none of them.

use anyhow::{Context, Result};
use kvm_bindings::{
    kvm_mp_state, kvm_vcpu_events, RegList, KVM_REG_ARM64, KVM_REG_ARM64_SVE, KVM_REG_SIZE_U512,
};
use kvm_ioctls::VcpuFd;
use serde::{Deserialize, Serialize};

use super::vm::fix_vectors;

/// Of a vCPU with SVE: which vector lengths it has.
const VECTOR_LENGTHS: u64 = KVM_REG_ARM64 | KVM_REG_ARM64_SVE as u64 | KVM_REG_SIZE_U512 | 0xffff;

/// More registers than any processor has today.
const REGISTERS_MAX: usize = 500;
/// Bytes of the largest register.
const REGISTER_SIZE: usize = 256;

#[derive(Serialize, Deserialize)]
struct Register {
    id: u64,
    value: Vec<u8>,
}

impl Register {
    fn get(vcpu: &VcpuFd, id: u64) -> Result<Self> {
        let mut value = vec![0; REGISTER_SIZE];
        let size = vcpu
            .get_one_reg(id, &mut value)
            .with_context(|| format!("KVM_GET_ONE_REG {id:#x}"))?;
        value.truncate(size);
        Ok(Self { id, value })
    }

    fn set(&self, vcpu: &VcpuFd) -> Result<()> {
        vcpu.set_one_reg(self.id, &self.value)
            .with_context(|| format!("KVM_SET_ONE_REG {:#x}", self.id))?;
        Ok(())
    }
}

/// An SError that the guest has not taken, of `kvm_vcpu_events`. An external abort is no state: KVM injects it.
#[derive(Serialize, Deserialize)]
struct SError {
    pending: u8,
    has_syndrome: u8,
    syndrome: u64,
}

impl SError {
    fn get(vcpu: &VcpuFd) -> Result<Self> {
        let exception = vcpu
            .get_vcpu_events()
            .context("KVM_GET_VCPU_EVENTS")?
            .exception;
        Ok(Self {
            pending: exception.serror_pending,
            has_syndrome: exception.serror_has_esr,
            syndrome: exception.serror_esr,
        })
    }

    fn set(&self, vcpu: &VcpuFd) -> Result<()> {
        let mut events = kvm_vcpu_events::default();
        events.exception.serror_pending = self.pending;
        events.exception.serror_has_esr = self.has_syndrome;
        events.exception.serror_esr = self.syndrome;
        vcpu.set_vcpu_events(&events).context("KVM_SET_VCPU_EVENTS")
    }
}

#[derive(Serialize, Deserialize)]
pub struct VcpuState {
    registers: Vec<Register>,
    serror: SError,
    mp_state: kvm_mp_state,
}

impl VcpuState {
    /// Gets the state of a vCPU at rest.
    pub fn get(vcpu: &VcpuFd) -> Result<Self> {
        let mut list = RegList::new(REGISTERS_MAX)?;
        vcpu.get_reg_list(&mut list).context("KVM_GET_REG_LIST")?;
        let registers = list.as_slice().iter();
        let registers = registers.map(|id| Register::get(vcpu, *id));
        Ok(Self {
            registers: registers.collect::<Result<_>>()?,
            serror: SError::get(vcpu)?,
            mp_state: vcpu.get_mp_state().context("KVM_GET_MP_STATE")?,
        })
    }

    /// Sets a new vCPU, which was initialised, to this state. The registers of the counter move all vCPUs' time to
    /// what it was; what they do not move back is how long the machine was away.
    pub fn set(&self, vcpu: &VcpuFd) -> Result<()> {
        let is_lengths = |register: &&Register| register.id == VECTOR_LENGTHS;
        if let Some(lengths) = self.registers.iter().find(is_lengths) {
            lengths.set(vcpu)?;
            fix_vectors(vcpu)?;
        }
        for register in self.registers.iter().filter(|it| !is_lengths(it)) {
            register.set(vcpu)?;
        }
        self.serror.set(vcpu)?;
        vcpu.set_mp_state(self.mp_state).context("KVM_SET_MP_STATE")
    }
}
