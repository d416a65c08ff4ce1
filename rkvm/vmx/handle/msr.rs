// SPDX-License-Identifier: GPL-2.0

//! RDMSR and WRMSR.

use crate::{
    vmx::{run::Leave, vmcs::Loaded},
    x86::{
        event::Event,
        insn::Gpr,
        lapic::{FIRST_MSR, LAST_MSR},
        msr::{
            index::{
                IA32_APIC_BASE, IA32_EFER, IA32_FMASK, IA32_LSTAR, IA32_STAR,
                IA32_TIME_STAMP_COUNTER, IA32_TSC_ADJUST, IA32_TSC_AUX, MSR_KVM_PV_EOI_EN,
            },
            Initiator,
        },
        vcpu::Core,
    },
};

/// RDMSR.
pub fn read(core: &mut Core, loaded: &Loaded) -> Option<Leave> {
    let index = core.guest.registers.get(Gpr::RCX) as u32;
    if !eoi_is_settled(core, index) {
        return Some(Leave::Paravirtual);
    }
    match core.read_msr(loaded, index, Initiator::Guest) {
        Ok(value) => {
            let registers = &mut core.guest.registers;
            registers.set(Gpr::RAX, value & u64::from(u32::MAX));
            registers.set(Gpr::RDX, value >> 32);
            super::done(core, loaded)
        }
        Err(_) => super::raise(core, Event::GENERAL_PROTECTION),
    }
}

/// WRMSR.
pub fn write(core: &mut Core, loaded: &Loaded) -> Option<Leave> {
    let registers = &core.guest.registers;
    let index = registers.get(Gpr::RCX) as u32;
    let low = registers.get(Gpr::RAX) & u64::from(u32::MAX);
    let value = registers.get(Gpr::RDX) << 32 | low;
    if !eoi_is_settled(core, index) {
        return Some(Leave::Paravirtual);
    }
    if core
        .write_msr(loaded, index, value, Initiator::Guest)
        .is_err()
    {
        return super::raise(core, Event::GENERAL_PROTECTION);
    }
    core.skip(loaded);
    if core.ended.is_some() {
        return Some(Leave::Reload);
    }
    match index {
        // In the host's registers while the guest runs, or deciding which are.
        IA32_STAR | IA32_LSTAR | IA32_FMASK | IA32_TSC_AUX | IA32_EFER => Some(Leave::Reload),
        IA32_APIC_BASE => {
            let cr4 = core.guest.cr4(loaded);
            core.refresh_cpuid(cr4);
            // Who delivers interrupts depends on the mode, and is chosen outside of sections.
            Some(Leave::Reload)
        }
        IA32_TIME_STAMP_COUNTER | IA32_TSC_ADJUST => Some(Leave::Paravirtual),
        _ if core.msrs.pv.is_pending() => Some(Leave::Paravirtual),
        _ => None,
    }
}

/// Whether the guest's access to this MSR finds the interrupts in service that there are: it has no offer any more to
/// do without writing EOI. If not, it executes the instruction again after a look in process context.
fn eoi_is_settled(core: &mut Core, index: u32) -> bool {
    let matters = matches!(
        index,
        FIRST_MSR..=LAST_MSR | IA32_APIC_BASE | MSR_KVM_PV_EOI_EN
    );
    !matters || core.settle_eoi().is_ok() && core.ended.is_none()
}
