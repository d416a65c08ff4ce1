// SPDX-License-Identifier: GPL-2.0

//! Exits for exceptions, NMIs and windows, and events whose delivery an exit cut short.

use crate::{
    host::{cpu::IrqOff, x86::nmi},
    run_page::RunPage,
    vmx::{
        controls::{ExitControls, PrimaryControls},
        exit::ExitReason,
        field::*,
        handle::unexpected,
        run::Leave,
        vmcs::Loaded,
    },
    x86::{
        event::{vector, Event, InterruptionInfo, Kind},
        regs::{Cr0, Dr6, Dr7, Rflags},
        vcpu::{Core, BLOCKING_BY_NMI},
    },
};

/// An interrupt of the host, which the exit has acknowledged or not, as its controls say.
#[inline(always)]
pub fn external_interrupt(core: &Core, loaded: &Loaded) -> Option<Leave> {
    let acknowledges = ExitControls::ACKNOWLEDGE_INTERRUPT;
    Some(if core.controls.exit.contains(acknowledges) {
        let info = InterruptionInfo::new(loaded.read(EXIT_INTERRUPTION_INFO));
        Leave::Acknowledged(info.vector())
    } else {
        Leave::Interrupt
    })
}

/// An exception that the bitmap selects, or an NMI of the host.
pub fn exception_or_nmi(
    core: &mut Core,
    loaded: &Loaded,
    irq_off: &IrqOff<'_>,
    page: &RunPage,
) -> Option<Leave> {
    let info = InterruptionInfo::new(loaded.read(EXIT_INTERRUPTION_INFO));
    if info.kind() == Kind::Nmi {
        requeue_interrupted(core, loaded);
        nmi::handle(irq_off);
        return None;
    }
    requeue_interrupted(core, loaded);
    if info.vector() == vector::MACHINE_CHECK {
        nmi::machine_check(irq_off);
        return None;
    }
    if info.is_nmi_unblocked_by_iret() && core.events.due.is_none() {
        block_nmis_again(loaded);
    }
    match info.vector() {
        vector::DEBUG => debug(core, loaded, page, info.kind()),
        vector::BREAKPOINT if core.guest_debug.has_software_breakpoints() => {
            let exit = core.debug_exit(loaded, vector::BREAKPOINT, Dr6::default());
            Some(core.leave_for_vmm(loaded, page, &exit))
        }
        vector::ALIGNMENT_CHECK if !checks_alignment(core, loaded) => {
            Some(Leave::SplitLock(core.guest.rip(loaded)))
        }
        vector::ALIGNMENT_CHECK => {
            let error_code = loaded.read(EXIT_INTERRUPTION_ERROR_CODE);
            core.events
                .raise(Event::exception(vector::ALIGNMENT_CHECK, Some(error_code)));
            None
        }
        _ => {
            let reason = ExitReason::new(loaded.read(EXIT_REASON));
            unexpected(core, loaded, page, reason)
        }
    }
}

/// Whether the guest has asked for alignment checks; else #AC tells of a split lock, which is the
/// host's to treat.
fn checks_alignment(core: &mut Core, loaded: &Loaded) -> bool {
    const USER: u8 = 3;
    core.guest.cpl(loaded) == USER
        && core.guest.cr0(loaded).contains(Cr0::AM)
        && core.guest.rflags(loaded).contains(Rflags::AC)
}

/// #DB: the exit has left DR6 and DR7 as they were; the qualification says what goes into DR6.
fn debug(core: &mut Core, loaded: &Loaded, page: &RunPage, kind: Kind) -> Option<Leave> {
    /// B0 to B3.
    const BREAKPOINTS: u64 = 0xf;
    const REPORTED: Dr6 = Dr6::new(BREAKPOINTS).with(Dr6::BD).with(Dr6::BS);
    let reported = Dr6::new(loaded.read(EXIT_QUALIFICATION) & REPORTED.raw());
    if core.guest_debug.takes_debug_exceptions() {
        let exit = core.debug_exit(loaded, vector::DEBUG, reported);
        return Some(core.leave_for_vmm(loaded, page, &exit));
    }
    let kept = Dr6::new(core.debug.dr6().raw() & !BREAKPOINTS);
    core.debug.set_dr6(kept.with(reported));
    core.set_dr7(loaded, core.debug.dr7.without(Dr7::GD));
    if kind == Kind::PrivilegedSoftwareException {
        // INT1 traps: its exception is delivered after it.
        core.skip(loaded);
    }
    core.events.raise(Event::DEBUG);
    Some(Leave::Reload)
}

/// The guest can take an interrupt: whoever waits for that is served before the next entry.
pub fn interrupt_window(core: &mut Core, loaded: &Loaded) -> Option<Leave> {
    let primary = core.controls.primary;
    core.set_primary(
        loaded,
        primary.without(PrimaryControls::INTERRUPT_WINDOW_EXITING),
    );
    None
}

/// The guest can take an NMI.
pub fn nmi_window(core: &mut Core, loaded: &Loaded) -> Option<Leave> {
    let primary = core.controls.primary;
    core.set_primary(loaded, primary.without(PrimaryControls::NMI_WINDOW_EXITING));
    None
}

/// An IRET that unblocked NMIs has faulted: it will be executed again, and must find them blocked as
/// it did the first time (SDM volume 3, section 29.2.3).
pub fn block_nmis_again(loaded: &Loaded) {
    let interruptibility = loaded.read(GUEST_INTERRUPTIBILITY);
    loaded.write(GUEST_INTERRUPTIBILITY, interruptibility | BLOCKING_BY_NMI);
}

/// If the exit happened while an event was being delivered, has it delivered again.
pub fn requeue_interrupted(core: &mut Core, loaded: &Loaded) {
    let vectoring = InterruptionInfo::new(loaded.read(IDT_VECTORING_INFO));
    if !vectoring.is_valid() {
        return;
    }
    if core.undo_delivery(loaded, vectoring) {
        return;
    }
    let error_code = if vectoring.has_error_code() {
        loaded.read(IDT_VECTORING_ERROR_CODE)
    } else {
        0
    };
    let length = loaded.read(EXIT_INSTRUCTION_LENGTH);
    if vectoring.kind() == Kind::Nmi {
        // Its delivery began by blocking NMIs; injecting one while they are blocked is invalid.
        let interruptibility = loaded.read(GUEST_INTERRUPTIBILITY);
        loaded.write(GUEST_INTERRUPTIBILITY, interruptibility & !BLOCKING_BY_NMI);
    }
    core.events.due = Some(Event::interrupted(vectoring, error_code, length));
}
