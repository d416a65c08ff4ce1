// SPDX-License-Identifier: GPL-2.0

//! VM exits: what is done about each.
//!
//! Handlers run with interrupts off right after the exit. `None` enters the guest again at once;
//! everything else ends the section.

mod apic;
mod control;
mod event;
mod hypercall;
mod memory;
mod msr;
mod task_switch;

use crate::{
    bus::Handled,
    host::{cpu::IrqOff, x86::nmi},
    run_page::RunPage,
    vmx::{
        exit::{ExitReason, IoQualification, Reason},
        field::*,
        run::{drop_injection, Leave},
        vmcs::Loaded,
    },
    x86::{event::Event, insn::Gpr, port, user_exit::UserExit, vcpu::Core, vm_settings::Quirk},
};

/// The suberrors of KVM_EXIT_INTERNAL_ERROR that this module reports.
pub mod suberror {
    use crate::host::bindings as uapi;

    /// An instruction could not be emulated.
    pub const EMULATION: u32 = uapi::KVM_INTERNAL_ERROR_EMULATION;
    /// An event's delivery ended in an exit that cannot be resolved.
    pub const DELIVERY_EVENT: u32 = uapi::KVM_INTERNAL_ERROR_DELIVERY_EV;
    /// The exit reason is not one that this module handles.
    pub const UNEXPECTED_EXIT_REASON: u32 = uapi::KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON;
}

/// Deals with the exit that has just happened.
#[inline(always)]
pub fn handle(
    core: &mut Core,
    loaded: &Loaded,
    irq_off: &IrqOff<'_>,
    page: &RunPage,
) -> Option<Leave> {
    let reason = ExitReason::new(loaded.read(EXIT_REASON));
    if reason.is_entry_failure() {
        if reason.basic() == Reason::MachineCheck {
            nmi::machine_check(irq_off);
        }
        drop_injection(loaded);
        let exit = UserExit::FailEntry {
            reason: u64::from(reason.raw()),
            cpu: loaded.here().cpu().number(),
        };
        return Some(core.leave_for_vmm(loaded, page, &exit));
    }
    core.vmcs.set_launched();
    core.counters.count_exit(reason.basic());
    match reason.basic() {
        Reason::ExternalInterrupt => event::external_interrupt(core, loaded),
        Reason::Cpuid => cpuid(core, loaded),
        Reason::IoInstruction => io(core, loaded, page),
        Reason::Hlt => hlt(core, loaded, page),
        Reason::Rdmsr => msr::read(core, loaded, page),
        Reason::Wrmsr => msr::write(core, loaded, page),
        Reason::EptViolation => memory::violation(core, loaded),
        Reason::EptMisconfiguration => memory::misconfiguration(core, loaded, page),
        Reason::ExceptionOrNmi => event::exception_or_nmi(core, loaded, irq_off, page),
        Reason::InterruptWindow => event::interrupt_window(core, loaded),
        Reason::NmiWindow => event::nmi_window(core, loaded),
        Reason::ControlRegister => control::control_register(core, loaded, page),
        Reason::DebugRegister => control::debug_register(core, loaded, page),
        Reason::Xsetbv => control::xsetbv(core, loaded),
        Reason::TripleFault => Some(core.leave_for_vmm(loaded, page, &UserExit::Shutdown)),
        Reason::Vmcall => hypercall::vmcall(core, loaded),
        // Memory is coherent: there is nothing to write back.
        Reason::Invd | Reason::Wbinvd => done(core, loaded),
        Reason::Pause => {
            core.skip(loaded);
            Some(Leave::Spin)
        }
        Reason::VirtualizedEoi => apic::virtualized_eoi(core, loaded),
        Reason::ApicWrite => apic::written(core, loaded),
        // The local APIC's timer is looked at before the next entry.
        Reason::PreemptionTimer => Some(Leave::Interrupt),
        // Counters and instructions that no guest is offered.
        Reason::Rdpmc => raise(core, Event::GENERAL_PROTECTION),
        Reason::Getsec
        | Reason::Vmclear
        | Reason::Vmlaunch
        | Reason::Vmptrld
        | Reason::Vmptrst
        | Reason::Vmread
        | Reason::Vmresume
        | Reason::Vmwrite
        | Reason::Vmxoff
        | Reason::Vmxon
        | Reason::Invept
        | Reason::Invvpid
        | Reason::Rdtscp
        | Reason::Invpcid
        | Reason::Vmfunc
        | Reason::Encls
        | Reason::Xsaves
        | Reason::Xrstors
        | Reason::Umwait
        | Reason::Tpause
        | Reason::Loadiwkey
        | Reason::Seamcall
        | Reason::Tdcall
        | Reason::RdmsrImmediate
        | Reason::WrmsrnsImmediate => raise(core, Event::INVALID_OPCODE),
        Reason::Mwait | Reason::Monitor => mwait(core, loaded),
        Reason::TaskSwitch => task_switch::task_switch(core, loaded),
        Reason::Init
        | Reason::MachineCheck
        | Reason::Invlpg
        | Reason::Rdtsc
        | Reason::InvalidGuestState
        | Reason::MsrLoading
        | Reason::MonitorTrapFlag
        | Reason::DescriptorTable
        | Reason::TaskRegister
        | Reason::Rdrand
        | Reason::Rdseed
        | Reason::Unknown(_) => unexpected(core, loaded, page, reason),
    }
}

/// The instruction has had its effect.
fn done(core: &mut Core, loaded: &Loaded) -> Option<Leave> {
    core.skip(loaded);
    None
}

/// The instruction faults.
fn raise(core: &mut Core, exception: Event) -> Option<Leave> {
    core.events.raise(exception);
    None
}

/// CPUID. With CPUID faulting on, it is for the kernel alone.
#[inline(always)]
fn cpuid(core: &mut Core, loaded: &Loaded) -> Option<Leave> {
    if core.msrs.has_cpuid_faulting() && core.guest.cpl(loaded) > 0 {
        return raise(core, Event::GENERAL_PROTECTION);
    }
    let registers = &mut core.guest.registers;
    let function = registers.get(Gpr::RAX) as u32;
    let index = registers.get(Gpr::RCX) as u32;
    let result = core.cpuid.execute(function, index);
    registers.set(Gpr::RAX, result.eax.into());
    registers.set(Gpr::RBX, result.ebx.into());
    registers.set(Gpr::RCX, result.ecx.into());
    registers.set(Gpr::RDX, result.edx.into());
    done(core, loaded)
}

/// IN, OUT, INS or OUTS: devices answer.
#[inline(always)]
fn io(core: &mut Core, loaded: &Loaded, page: &RunPage) -> Option<Leave> {
    let qualification = IoQualification::new(loaded.read(EXIT_QUALIFICATION));
    if qualification.is_string() {
        return Some(Leave::PortString);
    }
    if port::try_devices(core, loaded, qualification) == Handled::Yes {
        return None;
    }
    Some(Leave::User(port::begin(core, loaded, page, qualification)))
}

/// HLT: whoever has the local APIC waits.
fn hlt(core: &mut Core, loaded: &Loaded, page: &RunPage) -> Option<Leave> {
    core.skip(loaded);
    if core.apic.is_none() {
        return Some(core.leave_for_vmm(loaded, page, &UserExit::Hlt));
    }
    if core.guest_debug.is_stepping() {
        let exit = core.step_into_halt(loaded);
        return Some(core.leave_for_vmm(loaded, page, &exit));
    }
    if core.settle_eoi().is_err() || core.ended.is_some() {
        return Some(Leave::Halt);
    }
    (!core.is_woken(loaded)).then_some(Leave::Halt)
}

/// MONITOR or MWAIT: what is waited for may have happened.
fn mwait(core: &mut Core, loaded: &Loaded) -> Option<Leave> {
    let settings = &core.vm.arch().settings;
    if settings.has_quirk(Quirk::MwaitNeverFaults) || core.cpuid.has_mwait() {
        done(core, loaded)
    } else {
        raise(core, Event::INVALID_OPCODE)
    }
}

/// An exit that should not happen with the controls that are set.
#[cold]
fn unexpected(
    core: &mut Core,
    loaded: &Loaded,
    page: &RunPage,
    reason: ExitReason,
) -> Option<Leave> {
    let exit = UserExit::InternalError {
        suberror: suberror::UNEXPECTED_EXIT_REASON,
        data: [u64::from(reason.raw()), here(loaded), 0, 0],
        words: 2,
    };
    Some(core.leave_for_vmm(loaded, page, &exit))
}

/// The CPU, as errors name it.
fn here(loaded: &Loaded) -> u64 {
    loaded.here().cpu().number().into()
}
