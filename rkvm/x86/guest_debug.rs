// SPDX-License-Identifier: GPL-2.0

//! Debugging a guest from outside: KVM_SET_GUEST_DEBUG.
//!
//! Breakpoints and single steps of the VMM use the processor's debug features in the guest's place. While
//! they are on, the guest's own DR0 to DR3 and DR7 are stored without effect. RFLAGS.TF is the VMM's inside of
//! KVM_RUN only: outside, the guest's own is there again.

use crate::{
    host::bindings::{
        kvm_debug_exit_arch, kvm_guest_debug, KVM_GUESTDBG_BLOCKIRQ, KVM_GUESTDBG_ENABLE,
        KVM_GUESTDBG_INJECT_BP, KVM_GUESTDBG_INJECT_DB, KVM_GUESTDBG_SINGLESTEP,
        KVM_GUESTDBG_USE_HW_BP, KVM_GUESTDBG_USE_SW_BP,
    },
    vmx::{field::*, vmcs::Loaded},
    x86::{
        activity::Activity,
        debug::Breakpoints,
        event::{vector, Event, Kind},
        regs::{reset, Dr6, Dr7, Efer, Rflags},
        user_exit::UserExit,
        vcpu::{
            Core, ACTIVITY_HLT, BLOCKING_BY_STI_OR_MOV_SS, EXITING_EXCEPTIONS, PENDING_BREAKPOINT,
            PENDING_SINGLE_STEP,
        },
    },
};
use kernel::prelude::*;

/// KVM_CAP_SET_GUEST_DEBUG2: the flags of `kvm_guest_debug.control` that have a meaning.
pub const FLAGS: u32 = KVM_GUESTDBG_ENABLE
    | KVM_GUESTDBG_SINGLESTEP
    | KVM_GUESTDBG_USE_HW_BP
    | KVM_GUESTDBG_USE_SW_BP
    | KVM_GUESTDBG_INJECT_BP
    | KVM_GUESTDBG_INJECT_DB
    | KVM_GUESTDBG_BLOCKIRQ;

/// What a VMM debugs a guest with.
#[derive(Clone, Copy, Debug, Default)]
pub struct GuestDebug {
    /// KVM_GUESTDBG_*; 0 unless debugging is enabled.
    control: u32,
    /// The TF that the guest had when KVM_RUN began to single-step it.
    own_tf: Rflags,
    /// RIP of the INT3 that was reported last.
    int3: Option<u64>,
}

impl GuestDebug {
    const fn has(&self, flag: u32) -> bool {
        self.control & flag != 0
    }

    /// Whether every instruction of the guest ends KVM_RUN.
    #[inline]
    pub const fn is_stepping(&self) -> bool {
        self.has(KVM_GUESTDBG_SINGLESTEP)
    }

    /// Whether INT3 is the VMM's breakpoint.
    pub const fn has_software_breakpoints(&self) -> bool {
        self.has(KVM_GUESTDBG_USE_SW_BP)
    }

    /// Whether #DB is the VMM's.
    pub const fn takes_debug_exceptions(&self) -> bool {
        self.has(KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_HW_BP)
    }

    /// Whether the debug registers are the VMM's.
    pub const fn has_hardware_breakpoints(&self) -> bool {
        self.has(KVM_GUESTDBG_USE_HW_BP)
    }

    /// Whether no interrupt and no NMI is let in.
    #[inline]
    pub const fn blocks_interrupts(&self) -> bool {
        self.has(KVM_GUESTDBG_BLOCKIRQ)
    }

    /// The exceptions that exit.
    fn exception_bitmap(&self) -> u32 {
        if self.has_software_breakpoints() {
            EXITING_EXCEPTIONS | 1 << vector::BREAKPOINT
        } else {
            EXITING_EXCEPTIONS
        }
    }
}

impl Core {
    /// KVM_SET_GUEST_DEBUG. Flags that are not known have no effect. `EBUSY` if an exception is to be injected
    /// while another one is on its way.
    pub fn set_guest_debug(&mut self, wanted: &kvm_guest_debug) -> Result {
        let inject = KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP;
        if wanted.control & inject != 0 {
            let due = self.events.due.map(|event| event.info.kind());
            if matches!(due, Some(Kind::Exception | Kind::SoftwareException)) {
                return Err(EBUSY);
            }
            let event = if wanted.control & KVM_GUESTDBG_INJECT_DB != 0 {
                Event::DEBUG
            } else {
                self.breakpoint_exception()
            };
            self.events.raise(event);
        }
        let before = self.guest_debug;
        self.guest_debug.control = if wanted.control & KVM_GUESTDBG_ENABLE != 0 {
            wanted.control & FLAGS
        } else {
            0
        };
        let foreign = self.guest_debug.has(KVM_GUESTDBG_USE_HW_BP).then(|| {
            let [address @ .., _, _, _, control] = wanted.arch.debugreg;
            Breakpoints {
                address,
                // The upper half has to be 0 for an entry.
                control: Dr7::new(control & u64::from(u32::MAX)).with(reset::DR7),
            }
        });
        let loaded = self.load();
        self.debug.set_foreign(foreign);
        self.write_effective_dr7(&loaded);
        loaded.write(EXCEPTION_BITMAP, self.guest_debug.exception_bitmap());
        if before.is_stepping() && !self.guest_debug.is_stepping() {
            self.drop_step(&loaded);
        }
        Ok(())
    }

    /// #BP for the guest. Where the VMM was told of the guest's own INT3, it is as if that were executed.
    fn breakpoint_exception(&mut self) -> Event {
        let loaded = self.load();
        let rip = self.guest.rip(&loaded);
        if self.guest_debug.int3 == Some(rip) {
            Event::software_exception(vector::BREAKPOINT)
        } else {
            Event::exception(vector::BREAKPOINT, None)
        }
    }

    /// A step that has not been taken yet goes with the TF that it came from: that of the VMM's, or of a state that the
    /// VMM has replaced.
    pub fn drop_step(&mut self, loaded: &Loaded) {
        if self.guest.rflags(loaded).contains(Rflags::TF) {
            return;
        }
        let pending = loaded.read(GUEST_PENDING_DEBUG_EXCEPTIONS);
        loaded.write(
            GUEST_PENDING_DEBUG_EXCEPTIONS,
            pending & !PENDING_SINGLE_STEP,
        );
    }

    /// Makes the trap of the guest's own step, where it is pending, an exception that is due, as a VMM can be told of.
    pub fn settle_step(&mut self, loaded: &Loaded) {
        let pending = loaded.read(GUEST_PENDING_DEBUG_EXCEPTIONS);
        let held_off = loaded.read(GUEST_INTERRUPTIBILITY) & BLOCKING_BY_STI_OR_MOV_SS != 0;
        if pending & (PENDING_SINGLE_STEP | PENDING_BREAKPOINT) != PENDING_SINGLE_STEP
            || held_off
            || self.events.due.is_some()
            || self.guest_debug.takes_debug_exceptions()
        {
            return;
        }
        loaded.write(
            GUEST_PENDING_DEBUG_EXCEPTIONS,
            pending & !PENDING_SINGLE_STEP,
        );
        let dr6 = self.debug.dr6().with(Dr6::BS);
        self.debug.set_dr6(dr6);
        self.set_dr7(loaded, self.debug.dr7.without(Dr7::GD));
        self.events.raise(Event::DEBUG);
    }

    /// KVM_RUN begins. An entry with TF set demands that interrupts are not held off by STI or MOV SS unless a
    /// step is pending (SDM volume 3, section 28.3.1.5), so that the shadow goes.
    pub fn begin_step(&mut self) {
        let loaded = self.load();
        let rflags = self.guest.rflags(&loaded);
        self.guest_debug.own_tf = Rflags::new(rflags.raw() & Rflags::TF.raw());
        self.set_tf(rflags, Rflags::TF);
        if loaded.read(GUEST_ACTIVITY_STATE) == ACTIVITY_HLT {
            // What an entry with TF set demands of a halted guest too.
            loaded.write(GUEST_PENDING_DEBUG_EXCEPTIONS, PENDING_SINGLE_STEP);
        }
        let interruptibility = loaded.read(GUEST_INTERRUPTIBILITY);
        loaded.write(
            GUEST_INTERRUPTIBILITY,
            interruptibility & !BLOCKING_BY_STI_OR_MOV_SS,
        );
        self.guest.flush(&loaded);
    }

    /// The guest has executed HLT in a step, and waits in the kernel.
    pub fn step_into_halt(&mut self, loaded: &Loaded) -> UserExit {
        self.activity = Activity::Halted;
        // What the step has left is reported here and now.
        loaded.write(GUEST_PENDING_DEBUG_EXCEPTIONS, 0);
        self.debug_exit(loaded, vector::DEBUG, Dr6::BS)
    }

    /// KVM_RUN ends: TF is the guest's again, unless the guest itself has cleared it.
    pub fn end_step(&mut self) {
        let loaded = self.load();
        let rflags = self.guest.rflags(&loaded);
        if rflags.contains(Rflags::TF) {
            self.set_tf(rflags, self.guest_debug.own_tf);
            self.guest.flush(&loaded);
        }
    }

    /// Sets TF to `tf`, also in the registers that an instruction under way works with.
    fn set_tf(&mut self, rflags: Rflags, tf: Rflags) {
        self.guest
            .set_rflags(rflags.without(Rflags::TF).with(tf).raw());
        if let Some(emulation) = &mut self.emulation {
            emulation.set_tf(tf);
        }
    }

    /// Sets the guest's DR7.
    pub fn set_dr7(&mut self, loaded: &Loaded, dr7: Dr7) {
        self.debug.dr7 = dr7;
        self.write_effective_dr7(loaded);
    }

    fn write_effective_dr7(&self, loaded: &Loaded) {
        loaded.write(GUEST_DR7, self.debug.effective().control.raw());
    }

    /// KVM_EXIT_DEBUG for an exception that is the VMM's; `causes` are bits of DR6.
    pub fn debug_exit(&mut self, loaded: &Loaded, exception: u8, causes: Dr6) -> UserExit {
        let rip = self.guest.rip(loaded);
        self.guest_debug.int3 = (exception == vector::BREAKPOINT).then_some(rip);
        UserExit::Debug(kvm_debug_exit_arch {
            exception: exception.into(),
            pad: 0,
            pc: self.linear_rip(loaded),
            dr6: reset::DR6.with(causes).raw(),
            dr7: self.debug.effective().control.raw(),
        })
    }

    /// The linear address of the next instruction.
    fn linear_rip(&mut self, loaded: &Loaded) -> u64 {
        let rip = self.guest.rip(loaded);
        let long =
            self.guest.efer().contains(Efer::LMA) && self.guest.code_rights(loaded).is_long();
        if long {
            rip
        } else {
            u64::from(loaded.read(GUEST_CS_BASE).wrapping_add(rip) as u32)
        }
    }
}
