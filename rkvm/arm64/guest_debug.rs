// SPDX-License-Identifier: GPL-2.0

//! Debugging: by the guest itself, and by a VMM (KVM_SET_GUEST_DEBUG).
//!
//! A guest's debug registers are in memory; its accesses to them trap. While breakpoints or watchpoints of its own are
//! on, they are in the processor for each section. Those of a VMM take their place, and debug exceptions then go to EL2.
//!
//! Source: Arm ARM (DDI 0487), D2 "AArch64 Self-hosted Debug"; D24.3.20 "MDSCR_EL1"; Linux,
//! Documentation/virt/kvm/api.rst, "KVM_SET_GUEST_DEBUG".

use crate::{
    arm64::{
        debug_registers,
        exit::{DebugEvent, Syndrome},
        registers::{FarEl2, MdcrEl2, MdscrEl1},
        regs::pstate,
        sysreg::{
            kept::DebugRegs,
            role::{Bank, Kept},
        },
        traps::{mdcr, InGuestWorld},
        user_exit::UserExit,
        vcpu::Core,
    },
    host::bindings::{
        kvm_debug_exit_arch, kvm_guest_debug, KVM_GUESTDBG_ENABLE, KVM_GUESTDBG_SINGLESTEP,
        KVM_GUESTDBG_USE_HW, KVM_GUESTDBG_USE_SW_BP,
    },
};
use kernel::prelude::*;

/// KVM_CAP_SET_GUEST_DEBUG2: the flags of `kvm_guest_debug.control` that have a meaning.
pub const FLAGS: u32 =
    KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_SW_BP | KVM_GUESTDBG_USE_HW;

/// Bits of MDSCR_EL1.
mod mdscr {
    /// Software steps.
    pub(super) const SS: u64 = 1 << 0;
    /// EL0 has no debug communications channel.
    pub(super) const TDCC: u64 = 1 << 12;
    /// Debug exceptions from the level that takes them.
    pub(super) const KDE: u64 = 1 << 13;
    /// Breakpoints and watchpoints.
    pub(super) const MDE: u64 = 1 << 15;
}

/// What a VMM debugs a guest with.
pub struct GuestDebug {
    /// KVM_GUESTDBG_*; 0 unless debugging is enabled.
    control: u32,
    /// Breakpoints and watchpoints.
    registers: Option<KBox<DebugRegs>>,
    /// An instruction has been stepped, and the exception is still to come.
    step_is_due: bool,
    /// PSTATE.SS as the guest itself has it, while KVM_RUN steps.
    own_step: u64,
}

impl GuestDebug {
    /// Nothing.
    pub const OFF: Self = Self {
        control: 0,
        registers: None,
        step_is_due: false,
        own_step: 0,
    };

    /// KVM_SET_GUEST_DEBUG. `EINVAL` for flags without a meaning, `ENOMEM`.
    pub fn set(&mut self, request: &kvm_guest_debug) -> Result {
        if request.control & !FLAGS != 0 {
            return Err(EINVAL);
        }
        if request.control & KVM_GUESTDBG_ENABLE == 0 {
            *self = Self::OFF;
            return Ok(());
        }
        if request.control & KVM_GUESTDBG_USE_HW != 0 {
            let mut registers = DebugRegs::RESET;
            *registers.bank_mut(Bank::BreakpointControl) = request.arch.dbg_bcr;
            *registers.bank_mut(Bank::BreakpointValue) = request.arch.dbg_bvr;
            *registers.bank_mut(Bank::WatchpointControl) = request.arch.dbg_wcr;
            *registers.bank_mut(Bank::WatchpointValue) = request.arch.dbg_wvr;
            self.registers = Some(KBox::new(registers, GFP_KERNEL_ACCOUNT)?);
        }
        self.control = request.control;
        Ok(())
    }

    const fn has(&self, flag: u32) -> bool {
        self.control & flag != 0
    }
}

/// The host's breakpoints and watchpoints, if the guest's are in the processor. Large, so that it stays where it is.
pub type HostRegisters = Option<DebugRegs>;

/// The host's other debug state, which is to come back at the end of a section.
pub struct HostDebug {
    /// If it is not what the guest runs with.
    mdscr: Option<u64>,
    mdcr: u64,
}

impl Core {
    /// MDSCR_EL1 as the guest runs with it.
    fn effective_mdscr(&self) -> u64 {
        const DEBUGGING: u64 = mdscr::SS | mdscr::KDE | mdscr::MDE;
        let own = self.kept.get(Kept::Mdscr);
        let debug = &self.guest_debug;
        if debug.control == 0 && !self.kept.os_lock_is_taken() {
            return own;
        }
        let mut effective = own & !DEBUGGING;
        if debug.has(KVM_GUESTDBG_SINGLESTEP) {
            effective |= mdscr::SS;
        }
        if debug.has(KVM_GUESTDBG_USE_HW) {
            effective |= mdscr::KDE | mdscr::MDE;
        }
        effective
    }

    /// A section begins: what is debugged is the guest. `registers` is to be `None`.
    #[inline]
    pub fn enter_debug(
        &self,
        world: &InGuestWorld<'_>,
        registers: &mut HostRegisters,
    ) -> HostDebug {
        let (effective, mdscr) = (self.effective_mdscr(), MdscrEl1::read());
        let mut host = HostDebug {
            mdscr: None,
            mdcr: MdcrEl2::read(),
        };
        if effective | mdscr & mdscr::TDCC != mdscr {
            MdscrEl1::write(world.here(), effective);
            host.mdscr = Some(mdscr);
        }
        if self.guest_debug.control != 0 {
            MdcrEl2::write(world.here(), host.mdcr | mdcr::TDE);
        }
        if effective & (mdscr::KDE | mdscr::MDE) != 0 {
            let guest = match &self.guest_debug.registers {
                Some(registers) if self.guest_debug.has(KVM_GUESTDBG_USE_HW) => registers,
                _ => &self.kept.debug,
            };
            let host = registers.insert(DebugRegs::RESET);
            debug_registers::exchange(world, self.vm.platform().debug_counts(), guest, host);
        }
        host
    }

    /// The section ends.
    #[inline]
    pub fn leave_debug(
        &self,
        world: &InGuestWorld<'_>,
        host: &HostDebug,
        registers: &HostRegisters,
    ) {
        if let Some(registers) = registers {
            debug_registers::restore(world, self.vm.platform().debug_counts(), registers);
        }
        if self.guest_debug.control != 0 {
            MdcrEl2::write(world.here(), host.mdcr);
        }
        if let Some(mdscr) = host.mdscr {
            MdscrEl1::write(world.here(), mdscr);
        }
    }

    /// A debug exception that the VMM wants: KVM_EXIT_DEBUG.
    #[cold]
    pub fn debug_exit(&mut self, event: DebugEvent, syndrome: Syndrome) -> UserExit {
        if event == DebugEvent::Step {
            // The next instruction is to be stepped again.
            self.regs.pstate |= pstate::SS;
        }
        let far = match event {
            DebugEvent::Watchpoint => FarEl2::read(),
            DebugEvent::Breakpoint | DebugEvent::Step | DebugEvent::Instruction => 0,
        };
        UserExit::Debug(kvm_debug_exit_arch {
            hsr: syndrome.raw() as u32,
            hsr_high: (syndrome.raw() >> u32::BITS) as u32,
            far,
        })
    }

    /// KVM_RUN begins: if the VMM steps, PSTATE.SS is its own.
    pub fn begin_steps(&mut self) {
        if !self.guest_debug.has(KVM_GUESTDBG_SINGLESTEP) {
            return;
        }
        self.guest_debug.own_step = self.regs.pstate & pstate::SS;
        if self.guest_debug.step_is_due {
            self.regs.pstate &= !pstate::SS;
        } else {
            self.regs.pstate |= pstate::SS;
        }
    }

    /// KVM_RUN ends. If the instruction was emulated, its step has not been reported.
    pub fn end_steps(&mut self) {
        if !self.guest_debug.has(KVM_GUESTDBG_SINGLESTEP) {
            return;
        }
        self.guest_debug.step_is_due = self.regs.pstate & pstate::SS == 0;
        self.regs.pstate = self.regs.pstate & !pstate::SS | self.guest_debug.own_step;
    }
}
