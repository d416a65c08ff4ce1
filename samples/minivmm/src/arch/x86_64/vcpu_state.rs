// SPDX-License-Identifier: GPL-2.0
//! A vCPU's state as KVM gives it.

use anyhow::{Context, Result};
use kvm_bindings::{
    kvm_cpuid_entry2, kvm_debugregs, kvm_lapic_state, kvm_mp_state, kvm_msr_entry, kvm_regs,
    kvm_sregs, kvm_vcpu_events, kvm_xcrs, kvm_xsave, CpuId, Msrs, KVM_MAX_CPUID_ENTRIES,
};
use kvm_ioctls::{Kvm, VcpuFd};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
pub struct VcpuState {
    cpuid: Vec<kvm_cpuid_entry2>,
    tsc_khz: u32,
    mp_state: kvm_mp_state,
    regs: kvm_regs,
    sregs: kvm_sregs,
    xsave: kvm_xsave,
    xcrs: kvm_xcrs,
    debug_regs: kvm_debugregs,
    lapic: kvm_lapic_state,
    msrs: Vec<kvm_msr_entry>,
    events: kvm_vcpu_events,
}

impl VcpuState {
    /// Gets the state of a vCPU at rest.
    pub fn get(kvm: &Kvm, vcpu: &VcpuFd) -> Result<Self> {
        let cpuid = vcpu
            .get_cpuid2(KVM_MAX_CPUID_ENTRIES)
            .context("KVM_GET_CPUID2")?;
        Ok(Self {
            // First: it takes an INIT or a start-up IPI that has come, which changes everything else.
            mp_state: vcpu.get_mp_state().context("KVM_GET_MP_STATE")?,
            cpuid: cpuid.as_slice().to_vec(),
            tsc_khz: vcpu.get_tsc_khz().context("KVM_GET_TSC_KHZ")?,
            regs: vcpu.get_regs().context("KVM_GET_REGS")?,
            sregs: vcpu.get_sregs().context("KVM_GET_SREGS")?,
            xsave: vcpu.get_xsave().context("KVM_GET_XSAVE")?,
            xcrs: vcpu.get_xcrs().context("KVM_GET_XCRS")?,
            debug_regs: vcpu.get_debug_regs().context("KVM_GET_DEBUGREGS")?,
            lapic: vcpu.get_lapic().context("KVM_GET_LAPIC")?,
            msrs: get_msrs(kvm, vcpu)?,
            events: vcpu.get_vcpu_events().context("KVM_GET_VCPU_EVENTS")?,
        })
    }

    /// Sets a new vCPU to this state.
    ///
    /// The order counts: CPUID says what may be set; SREGS has the mode of the local APIC, whose timer the
    /// TSC-deadline MSR arms.
    pub fn set(&self, vcpu: &VcpuFd) -> Result<()> {
        vcpu.set_cpuid2(&CpuId::from_entries(&self.cpuid)?)
            .context("KVM_SET_CPUID2")?;
        vcpu.set_tsc_khz(self.tsc_khz).context("KVM_SET_TSC_KHZ")?;
        vcpu.set_mp_state(self.mp_state)
            .context("KVM_SET_MP_STATE")?;
        vcpu.set_regs(&self.regs).context("KVM_SET_REGS")?;
        vcpu.set_sregs(&self.sregs).context("KVM_SET_SREGS")?;
        // SAFETY: the structure holds all of the state: no feature that needs more is enabled.
        unsafe { vcpu.set_xsave(&self.xsave) }.context("KVM_SET_XSAVE")?;
        vcpu.set_xcrs(&self.xcrs).context("KVM_SET_XCRS")?;
        vcpu.set_debug_regs(&self.debug_regs)
            .context("KVM_SET_DEBUGREGS")?;
        vcpu.set_lapic(&self.lapic).context("KVM_SET_LAPIC")?;
        set_msrs(vcpu, &self.msrs)?;
        vcpu.set_vcpu_events(&self.events)
            .context("KVM_SET_VCPU_EVENTS")
    }
}

/// All MSRs that KVM lists. One that this vCPU does not have ends a KVM_GET_MSRS early and is left out.
fn get_msrs(kvm: &Kvm, vcpu: &VcpuFd) -> Result<Vec<kvm_msr_entry>> {
    let list = kvm.get_msr_index_list().context("KVM_GET_MSR_INDEX_LIST")?;
    let mut wanted: Vec<_> = list
        .as_slice()
        .iter()
        .map(|index| kvm_msr_entry {
            index: *index,
            ..Default::default()
        })
        .collect();
    let mut got = Vec::new();
    while !wanted.is_empty() {
        let mut msrs = Msrs::from_entries(&wanted)?;
        let count = vcpu.get_msrs(&mut msrs).context("KVM_GET_MSRS")?;
        got.extend_from_slice(&msrs.as_slice()[..count]);
        wanted.drain(..wanted.len().min(count + 1));
    }
    Ok(got)
}

/// Sets MSRs in their order. One that cannot be set to what it holds is read-only, and left as it is.
fn set_msrs(vcpu: &VcpuFd, mut msrs: &[kvm_msr_entry]) -> Result<()> {
    while !msrs.is_empty() {
        let count = vcpu
            .set_msrs(&Msrs::from_entries(msrs)?)
            .context("KVM_SET_MSRS")?;
        msrs = msrs.get(count + 1..).unwrap_or_default();
    }
    Ok(())
}
