// SPDX-License-Identifier: GPL-2.0

//! Control registers, debug registers and XCR0.

use crate::{
    run_page::RunPage,
    vmx::{
        exit::{CrAccess, DrAccess, DrDirection, ExitReason},
        field::*,
        handle::{done, raise, unexpected},
        run::Leave,
        vmcs::Loaded,
    },
    x86::{
        event::{vector, Event},
        insn::Gpr,
        regs::{
            rules::{self, CodeSegment, GeneralProtection, PagingState, Pdptes},
            Cr0, Cr4, Dr6, Dr7,
        },
        user_exit::UserExit,
        vcpu::Core,
    },
};

/// MOV to or from a control register, CLTS, LMSW.
pub fn control_register(core: &mut Core, loaded: &Loaded, page: &RunPage) -> Option<Leave> {
    match CrAccess::new(loaded.read(EXIT_QUALIFICATION)) {
        CrAccess::Write { cr: 0, from } => {
            let value = core.operand(loaded, from);
            write_cr0(core, loaded, value)
        }
        CrAccess::Write { cr: 4, from } => {
            let value = core.operand(loaded, from);
            let limits = core.features.limits;
            let paging = core.guest.paging(loaded);
            write_paging(core, loaded, paging.write_cr4(value, &limits))
        }
        CrAccess::Write { cr: 8, from } => {
            let value = core.operand(loaded, from);
            write_cr8(core, loaded, page, value)
        }
        CrAccess::Read { cr: 8, to } => {
            let value = core.cr8();
            core.guest.set_gpr(to, value);
            done(core, loaded)
        }
        CrAccess::Clts => {
            let value = core.guest.cr0(loaded).without(Cr0::TS).raw();
            write_cr0(core, loaded, value)
        }
        CrAccess::Lmsw(source) => {
            let value = core.guest.paging(loaded).machine_status_word(source);
            write_cr0(core, loaded, value)
        }
        // CR3 does not exit, and reads of CR0 and CR4 come from the shadows.
        CrAccess::Write { .. } | CrAccess::Read { .. } => {
            let reason = ExitReason::new(loaded.read(EXIT_REASON));
            unexpected(core, loaded, page, reason)
        }
    }
}

fn write_cr0(core: &mut Core, loaded: &Loaded, value: u64) -> Option<Leave> {
    let code = core.code_segment(loaded);
    let paging = core.guest.paging(loaded);
    write_paging(core, loaded, paging.write_cr0(value, code))
}

fn write_paging(
    core: &mut Core,
    loaded: &Loaded,
    outcome: Result<(PagingState, Pdptes), GeneralProtection>,
) -> Option<Leave> {
    match outcome {
        Ok((paging, Pdptes::Keep)) => {
            let before = core.guest.paging(loaded);
            core.set_paging(loaded, &paging);
            core.skip(loaded);
            if paging.invalidates(&before) {
                core.drop_translations();
            }
            // The next section starts with the registers that belong to the new mode.
            Some(Leave::Reload)
        }
        Ok((paging, Pdptes::Load)) => Some(Leave::LoadPdptes(paging)),
        Err(GeneralProtection) => raise(core, Event::GENERAL_PROTECTION),
    }
}

/// CR8 is the local APIC's. A VMM that has it hears of a lower priority, under which an interrupt may now be
/// let in.
fn write_cr8(core: &mut Core, loaded: &Loaded, page: &RunPage, value: u64) -> Option<Leave> {
    const PRIORITY: u64 = 0xf;
    if value & !PRIORITY != 0 {
        return raise(core, Event::GENERAL_PROTECTION);
    }
    let before = core.cr8();
    core.set_cr8(value);
    core.skip(loaded);
    let vmm_waits = core.apic.is_none() && value < before;
    vmm_waits.then(|| core.leave_for_vmm(loaded, page, &UserExit::SetTpr))
}

/// MOV to or from a debug register.
pub fn debug_register(core: &mut Core, loaded: &Loaded, page: &RunPage) -> Option<Leave> {
    let access = DrAccess::new(loaded.read(EXIT_QUALIFICATION));
    let register = match access.dr {
        4 | 5 if core.guest.cr4(loaded).contains(Cr4::DE) => {
            return raise(core, Event::INVALID_OPCODE);
        }
        alias @ (4 | 5) => alias + 2,
        register => register,
    };
    // The exit comes before the trap that general detection makes of the access.
    if core.debug.effective().control.contains(Dr7::GD) {
        if core.guest_debug.has_hardware_breakpoints() {
            let exit = core.debug_exit(loaded, vector::DEBUG, Dr6::BD);
            return Some(core.leave_for_vmm(loaded, page, &exit));
        }
        let dr6 = core.debug.dr6().with(Dr6::BD);
        core.debug.set_dr6(dr6);
        core.set_dr7(loaded, core.debug.dr7.without(Dr7::GD));
        core.events.raise(Event::DEBUG);
        return Some(Leave::Reload);
    }
    match access.direction {
        DrDirection::Read => {
            let value = core.read_dr(register);
            core.guest.set_gpr(access.gpr, value);
            done(core, loaded)
        }
        DrDirection::Write => {
            let value = core.operand(loaded, access.gpr);
            if write_dr(core, loaded, register, value).is_err() {
                return raise(core, Event::GENERAL_PROTECTION);
            }
            core.skip(loaded);
            // The next section loads them.
            Some(Leave::Reload)
        }
    }
}

fn write_dr(
    core: &mut Core,
    loaded: &Loaded,
    register: u8,
    value: u64,
) -> Result<(), GeneralProtection> {
    match register {
        6 => core.debug.set_dr6(rules::write_dr6(value)?),
        7 => core.set_dr7(loaded, rules::write_dr7(value)?),
        number => {
            if let Some(address) = core.debug.address.get_mut(usize::from(number)) {
                *address = value;
            }
        }
    }
    Ok(())
}

/// XSETBV.
pub fn xsetbv(core: &mut Core, loaded: &Loaded) -> Option<Leave> {
    let registers = &core.guest.registers;
    let index = registers.get(Gpr::RCX) as u32;
    let low = registers.get(Gpr::RAX) & u64::from(u32::MAX);
    let value = registers.get(Gpr::RDX) << 32 | low;
    let limits = core.features.limits;
    let privileged = core.guest.cpl(loaded) == 0;
    match rules::write_xcr(index, value, &limits) {
        Ok(xcr0) if privileged => {
            core.xcr0 = xcr0;
            let cr4 = core.guest.cr4(loaded);
            core.refresh_cpuid(cr4);
            core.skip(loaded);
            Some(Leave::Reload)
        }
        _ => raise(core, Event::GENERAL_PROTECTION),
    }
}

impl Core {
    /// A register operand: 32 bits of it outside of 64-bit code.
    fn operand(&mut self, loaded: &Loaded, register: Gpr) -> u64 {
        let value = self.guest.gpr(loaded, register);
        match self.code_segment(loaded) {
            CodeSegment::Long => value,
            CodeSegment::Other => value & u64::from(u32::MAX),
        }
    }

    /// Whether the guest executes 64-bit code.
    fn code_segment(&self, loaded: &Loaded) -> CodeSegment {
        let long_mode = self.guest.efer().contains(crate::x86::regs::Efer::LMA);
        if long_mode && self.guest.code_rights(loaded).is_long() {
            CodeSegment::Long
        } else {
            CodeSegment::Other
        }
    }

    fn read_dr(&mut self, register: u8) -> u64 {
        match register {
            6 => self.debug.dr6().raw(),
            7 => self.debug.dr7.raw(),
            number => self
                .debug
                .address
                .get(usize::from(number))
                .copied()
                .unwrap_or(0),
        }
    }
}
