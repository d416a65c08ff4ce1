// SPDX-License-Identifier: GPL-2.0

//! RDMSR and WRMSR.

use crate::{
    run_page::RunPage,
    vmx::{run::Leave, vmcs::Loaded},
    x86::{
        event::Event,
        insn::Gpr,
        lapic::{FIRST_MSR, LAST_MSR},
        msr::{
            filter::Accesses,
            index::{
                IA32_APIC_BASE, IA32_EFER, IA32_FMASK, IA32_LSTAR, IA32_MISC_ENABLE,
                IA32_SPEC_CTRL, IA32_STAR, IA32_TIME_STAMP_COUNTER, IA32_TSC_ADJUST, IA32_TSC_AUX,
                MSR_KVM_PV_EOI_EN,
            },
            Initiator, Refusal,
        },
        msr_io,
        user_exit::{Direction, MsrAccess},
        vcpu::Core,
    },
};

/// RDMSR.
pub fn read(core: &mut Core, loaded: &Loaded, page: &RunPage) -> Option<Leave> {
    let index = core.guest.registers.get(Gpr::RCX) as u32;
    if !eoi_is_settled(core, index) {
        return Some(Leave::Paravirtual);
    }
    let value = if core.msr_filter.denies(index, Accesses::READ) {
        Err(Refusal::Filtered)
    } else {
        core.read_msr(loaded, index, Initiator::Guest)
    };
    match value {
        Ok(value) => {
            let registers = &mut core.guest.registers;
            registers.set(Gpr::RAX, value & u64::from(u32::MAX));
            registers.set(Gpr::RDX, value >> 32);
            super::done(core, loaded)
        }
        Err(refusal) => refuse(core, loaded, page, (Direction::In, index, 0), refusal),
    }
}

/// WRMSR.
pub fn write(core: &mut Core, loaded: &Loaded, page: &RunPage) -> Option<Leave> {
    let registers = &core.guest.registers;
    let index = registers.get(Gpr::RCX) as u32;
    let low = registers.get(Gpr::RAX) & u64::from(u32::MAX);
    let value = registers.get(Gpr::RDX) << 32 | low;
    if !eoi_is_settled(core, index) {
        return Some(Leave::Paravirtual);
    }
    let written = if core.msr_filter.denies(index, Accesses::WRITE) {
        Err(Refusal::Filtered)
    } else {
        core.write_msr(loaded, index, value, Initiator::Guest)
    };
    if let Err(refusal) = written {
        return refuse(core, loaded, page, (Direction::Out, index, value), refusal);
    }
    core.skip(loaded);
    if core.ended.is_some() {
        return Some(Leave::Reload);
    }
    match index {
        // In the host's registers while the guest runs, or deciding which are.
        IA32_STAR | IA32_LSTAR | IA32_FMASK | IA32_TSC_AUX | IA32_EFER | IA32_SPEC_CTRL => {
            Some(Leave::Reload)
        }
        IA32_APIC_BASE | IA32_MISC_ENABLE => {
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

/// The access is the VMM's, if it wants to see those that are refused for this reason; else it faults.
#[cold]
fn refuse(
    core: &mut Core,
    loaded: &Loaded,
    page: &RunPage,
    (direction, index, data): (Direction, u32, u64),
    refusal: Refusal,
) -> Option<Leave> {
    let Some(reason) = core.vm.arch().settings.msr_exit_reason(refusal) else {
        return super::raise(core, Event::GENERAL_PROTECTION);
    };
    let access = MsrAccess {
        direction,
        index,
        reason,
        data,
    };
    Some(msr_io::begin(core, loaded, page, access))
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
