// SPDX-License-Identifier: GPL-2.0

//! The run loop: from a vCPU's thread into the guest and back.
//!
//! Three scopes lie inside each other. In the outermost the task may sleep. In the second the VMCS is loaded
//! and preemption is off; here the host's MSRs are exchanged for the guest's. In the innermost,
//! a *section*, interrupts are off: the guest is entered, and most exits are handled and the guest
//! entered again, until something needs more.

use crate::{
    bus::Handled,
    host::{
        cpu::{self, handle_pending_work, IrqOff},
        x86::{
            breakpoints::DebugControl, fpu::InGuest, mitigations, nmi, registers,
            segments::ThreadSegments, speculation::SpecCtrl, split_lock, virtualization,
        },
    },
    mmu::{entry::Access, Fault},
    run_page::{Reported, RunPage},
    step_log::{self, log_step},
    types::Gpa,
    vmx::{
        controls::PrimaryControls,
        enter,
        field::*,
        handle,
        instructions::{invept, InveptScope},
        vmcs::{Loaded, Residence},
    },
    x86::{
        activity::Activity,
        counters::Event as Counted,
        event::Event,
        extended_state::ExtendedState,
        machine::{Known, TaskSwitch},
        regs::{rules::PagingState, Cr0, Rflags},
        user_exit::UserExit,
        vcpu::{
            Core, Pending, BLOCKING_BY_NMI, BLOCKING_BY_STI, BLOCKING_BY_STI_OR_MOV_SS,
            PENDING_BREAKPOINT, PENDING_SINGLE_STEP,
        },
    },
};
use kernel::prelude::*;

/// An access that the second-level tables do not allow.
pub struct FaultInfo {
    /// The guest physical address.
    pub gpa: Gpa,
    /// What the access does.
    pub wanted: Access,
    /// The linear address, where the processor reports it.
    pub known: Option<Known>,
}

/// Why a section ends.
pub enum Leave {
    /// An interrupt of the host waits.
    Interrupt,
    /// An interrupt of the host was acknowledged, and has this vector.
    Acknowledged(u8),
    /// The thread has a signal, a reschedule or task work to attend to.
    Work,
    /// Registers that are exchanged outside of sections have changed.
    Reload,
    /// The guest's access to this address is not mapped, or not for this.
    Fault(FaultInfo),
    /// The guest accesses an address without memory.
    Mmio(Option<Known>),
    /// INS or OUTS.
    PortString,
    /// A control-register write wants the PDPTEs loaded first.
    LoadPdptes(PagingState),
    /// The guest's paravirtual interface wants something done.
    Paravirtual,
    /// The guest has executed HLT and nothing is there to wake it.
    Halt,
    /// The guest switches tasks.
    TaskSwitch(TaskSwitch),
    /// The guest made a split lock at this address, and will make it again.
    SplitLock(u64),
    /// The guest's PAUSE loop waits for another of its processors.
    Spin,
    /// The VMM has set another MSR filter.
    MsrFilter,
    /// The machine is being rebooted.
    GoingDown,
    /// The VMM has to act, and has been told.
    User(Reported),
}

/// What became of changes that others have made.
#[derive(PartialEq, Eq)]
enum Changes {
    /// The guest can be entered.
    Taken,
    /// Process context has to take up another MSR filter.
    MsrFilter,
}

impl Core {
    /// Runs the guest until the thread has to do something in process context, and does it. `None` if the
    /// guest can go on.
    pub fn run_once(&mut self, fpu: &InGuest<'_>, page: &RunPage) -> Result<Option<Reported>> {
        if let Some(vector) = self.ended.take() {
            return Ok(Some(UserExit::IoapicEoi(vector).report(page)));
        }
        if self.activity != Activity::Running {
            return self.wait().map(|()| None);
        }
        self.serve_pv();
        match self.run_loaded(fpu, page) {
            Leave::Interrupt | Leave::Acknowledged(_) | Leave::Reload => Ok(None),
            Leave::Work => {
                self.mark_preempted();
                handle_pending_work().map(|()| None)
            }
            Leave::Paravirtual => {
                self.fetch_eoi();
                self.serve_pv();
                Ok(None)
            }
            Leave::Halt => {
                self.activity = Activity::Halted;
                Ok(None)
            }
            Leave::Fault(fault) => self.fault(fpu, page, &fault),
            Leave::Mmio(known) => self.emulate(fpu, page, known),
            Leave::PortString => self.emulate(fpu, page, None),
            Leave::LoadPdptes(paging) => {
                self.load_pdptes(&paging);
                Ok(None)
            }
            Leave::TaskSwitch(switch) => Ok(self.switch_task(page, &switch)),
            Leave::SplitLock(rip) => {
                split_lock::handle(rip);
                Ok(None)
            }
            Leave::Spin => {
                cpu::yield_to_others();
                Ok(None)
            }
            Leave::MsrFilter => {
                self.refresh_msr_filter();
                Ok(None)
            }
            Leave::GoingDown => Err(EIO),
            Leave::User(reported) => Ok(Some(reported)),
        }
    }

    fn fault(
        &mut self,
        fpu: &InGuest<'_>,
        page: &RunPage,
        fault: &FaultInfo,
    ) -> Result<Option<Reported>> {
        let FaultInfo { gpa, wanted, known } = *fault;
        match self.view.fault(self.vm.mmu(), gpa.frame(), wanted) {
            Ok(Fault::Mmio) => self.emulate(fpu, page, known),
            Ok(Fault::Mapped | Fault::Sleep) => {
                self.counters.count(Counted::PageMapped);
                Ok(None)
            }
            Err(error) => {
                if error != EINTR {
                    let Reported { .. } = UserExit::MemoryFault {
                        gpa: gpa.frame().base(),
                        size: crate::types::PAGE_SIZE as u64,
                    }
                    .report(page);
                }
                Err(error)
            }
        }
    }

    /// The second scope.
    fn run_loaded(&mut self, fpu: &InGuest<'_>, page: &RunPage) -> Leave {
        let loaded = self.load();
        let here = loaded.here();
        let thread = ThreadSegments::save(here);
        let residence = if self.moved {
            self.platform().mitigations.separate_guests(here);
            Residence::Moved
        } else {
            Residence::Current
        };
        self.host.refresh(&loaded, residence, &thread);
        self.choose_delivery(&loaded);
        thread.enter_guest(here, self.kernel_gs_base);
        self.counters.count(Counted::HostStateReload);
        let host_msrs = self.platform().host_msrs;
        let msrs = host_msrs.enter(here, &self.guest_msrs, self.msrs_in_use());

        let leave = loop {
            let leave = self.section(&loaded, fpu, page);
            self.log(&loaded, &leave);
            match leave {
                Leave::Interrupt | Leave::Acknowledged(_) => (),
                Leave::Fault(fault) => {
                    let (mmu, gfn) = (self.vm.mmu(), fault.gpa.frame());
                    match self.view.fault_present(mmu, gfn, fault.wanted) {
                        Fault::Mapped => self.counters.count(Counted::PageMapped),
                        Fault::Mmio if self.ring_doorbell(&loaded, &fault) == Handled::Yes => (),
                        Fault::Mmio => break Leave::Mmio(fault.known),
                        Fault::Sleep => break Leave::Fault(fault),
                    }
                }
                leave => break leave,
            }
        };

        mitigations::guest_has_run(here);
        host_msrs.leave(here, msrs);
        self.kernel_gs_base = thread.leave_guest(&loaded.irq_off());
        leave
    }

    /// Logs why the guest was left, for learners.
    fn log(&mut self, loaded: &Loaded, leave: &Leave) {
        if !step_log::is_on() {
            return;
        }
        let rip = self.guest.rip(loaded);
        match leave {
            Leave::Fault(fault) => {
                let (gpa, wanted) = (fault.gpa.raw(), fault.wanted.into_raw());
                pr_info!("rip {rip:#x}: EPT violation at gpa {gpa:#x}, access {wanted:#b}\n");
            }
            Leave::PortString => pr_info!("rip {rip:#x}: INS or OUTS\n"),
            _ => (),
        }
    }

    /// Tells the VMM why the guest is left for it.
    #[cold]
    pub fn leave_for_vmm(&mut self, loaded: &Loaded, page: &RunPage, exit: &UserExit) -> Leave {
        let rip = self.guest.rip(loaded);
        log_step!("rip {rip:#x}: to the VMM: {exit:x?}\n");
        Leave::User(exit.report(page))
    }

    /// The innermost scope.
    fn section(&mut self, loaded: &Loaded, fpu: &InGuest<'_>, page: &RunPage) -> Leave {
        let mut irq_off = loaded.irq_off();
        if irq_off.work_pending() {
            return Leave::Work;
        }
        if !virtualization::is_enabled(&irq_off) {
            return Leave::GoingDown;
        }
        self.host.refresh_controls(loaded, &irq_off);
        self.kick.enter(loaded.here(), &irq_off);
        if self.is_time_stale() {
            self.kick.leave();
            return Leave::Paravirtual;
        }
        if self.take_changes() == Changes::MsrFilter {
            self.kick.leave();
            return Leave::MsrFilter;
        }
        fpu.ensure_loaded(&irq_off);
        let extended = ExtendedState::enter(self, &irq_off);
        self.debug.enter(&irq_off);
        let control = DebugControl::read(&irq_off);
        let platform = self.platform();
        let speculation = SpecCtrl::enter(
            &irq_off,
            platform.speculation,
            self.msrs.spec_ctrl(),
            platform.mitigations.ibrs(),
        );
        if let Some(values) = speculation.exchanged() {
            self.guest.registers.set_spec_ctrl(values);
        }
        if let Some(flush) = self.platform().mitigations.l1d_flush() {
            flush.carry_out(&irq_off);
            self.counters.count(Counted::L1dFlush);
        }
        registers::set_cr2(self.guest.cr2);
        self.counters.count(Counted::Section);

        let leave = loop {
            if let Some(leave) = self.prepare_entry(loaded, page) {
                break leave;
            }
            if let Some(leave) = self.enter_and_handle(loaded, &irq_off, page) {
                break leave;
            }
        };

        speculation.leave(&irq_off);
        self.guest.cr2 = registers::cr2();
        self.debug.leave(&irq_off);
        control.restore(&irq_off);
        extended.leave(&irq_off);
        self.kick.leave();
        match leave {
            Leave::Interrupt => {
                irq_off.note_quiescent_state();
                irq_off.take_interrupts();
            }
            Leave::Acknowledged(vector) => {
                irq_off.note_quiescent_state();
                irq_off.take_interrupts_after(|irq_off| nmi::external(irq_off, vector));
            }
            _ => (),
        }
        leave
    }

    /// One entry and its exit.
    #[inline(always)]
    fn enter_and_handle(
        &mut self,
        loaded: &Loaded,
        irq_off: &IrqOff<'_>,
        page: &RunPage,
    ) -> Option<Leave> {
        self.guest.flush(loaded);
        let launch = self.vmcs.launch();
        if enter::enter(loaded, irq_off, &mut self.guest.registers, launch).is_err() {
            let error = loaded.read(VM_INSTRUCTION_ERROR);
            drop_injection(loaded);
            let exit = UserExit::FailEntry {
                reason: u64::from(error),
                cpu: loaded.here().cpu().number(),
            };
            return Some(self.leave_for_vmm(loaded, page, &exit));
        }
        self.guest.forget();
        handle::handle(self, loaded, irq_off, page)
    }

    /// Translations that this CPU may have cached for the guest, from before it was here last or from before
    /// a mapping went, are flushed before it runs. Another MSR filter steps the same generation.
    #[inline(always)]
    fn take_changes(&mut self) -> Changes {
        let generation = self.vm.mmu().vcpus().generation().current();
        if self.moved || self.flushed != generation {
            if self.has_stale_msr_filter() {
                return Changes::MsrFilter;
            }
            let single = self.platform().caps.ept_vpid.has_invept_single_context();
            invept(if single {
                InveptScope::Context(self.eptp.into())
            } else {
                InveptScope::Global
            });
            self.counters.count(Counted::TlbFlush);
            self.moved = false;
            self.flushed = generation;
        }
        Changes::Taken
    }

    /// What is cached of the guest's translations is flushed before it runs again.
    pub fn drop_translations(&mut self) {
        self.flushed = self.flushed.wrapping_sub(1);
    }

    /// Arranges for events to be delivered by the entry.
    #[inline(always)]
    fn prepare_entry(&mut self, loaded: &Loaded, page: &RunPage) -> Option<Leave> {
        let mut interrupt = self.events.interrupt.is_some();
        if self.apic.is_some() {
            if let Some(leave) = self.prepare_apic(loaded) {
                return Some(leave);
            }
            interrupt |= self.has_apic_interrupt();
        }
        let events = &self.events;
        let idle = !interrupt
            && events.due.is_none()
            && events.nmis == 0
            && !events.triple_fault
            && !self.window_requested;
        if idle {
            return None;
        }
        self.prepare_events(loaded, page)
    }

    #[cold]
    fn prepare_events(&mut self, loaded: &Loaded, page: &RunPage) -> Option<Leave> {
        if core::mem::take(&mut self.events.triple_fault) {
            return Some(self.leave_for_vmm(loaded, page, &UserExit::Shutdown));
        }
        let window_requested = self.window_requested && self.takes_vmm_interrupt();
        if window_requested && self.is_ready_for_interrupt(loaded) {
            self.counters.count(Counted::InterruptWindowExit);
            return Some(self.leave_for_vmm(loaded, page, &UserExit::InterruptWindowOpen));
        }
        let mut primary = self
            .controls
            .primary
            .without(PrimaryControls::NMI_WINDOW_EXITING)
            .without(PrimaryControls::INTERRUPT_WINDOW_EXITING);
        let mut injected = false;
        if let Some(event) = self.events.due.take() {
            self.inject(loaded, event);
            injected = true;
        }
        // The trap of the last instruction goes first, and would be lost to an injection (SDM volume 3, section
        // 28.7.3). It exits, and what waits is looked at again.
        let traps = !injected && self.has_pending_trap(loaded);
        if traps || self.guest_debug.blocks_interrupts() {
            self.set_primary(loaded, primary);
            return None;
        }
        if self.events.nmis > 0 {
            let blocked =
                loaded.read(GUEST_INTERRUPTIBILITY) & (BLOCKING_BY_NMI | BLOCKING_BY_STI_OR_MOV_SS);
            if !injected && blocked == BLOCKING_BY_STI {
                // An exit at the NMI window need not wait for the end of this, one at the interrupt window does (SDM
                // volume 3, section 27.2); interrupts are on.
                primary = primary.with(PrimaryControls::INTERRUPT_WINDOW_EXITING);
            } else if injected || blocked != 0 {
                primary = primary.with(PrimaryControls::NMI_WINDOW_EXITING);
            } else {
                self.events.nmis -= 1;
                self.counters.count(Counted::Nmi);
                self.inject(loaded, Event::NMI);
                injected = true;
                if self.events.nmis > 0 {
                    primary = primary.with(PrimaryControls::NMI_WINDOW_EXITING);
                }
            }
        }
        if !injected && self.accepts_interrupt(loaded) {
            if let Some(vector) = self.next_interrupt() {
                self.counters.count(Counted::Interrupt);
                self.inject(loaded, Event::interrupt(vector));
            }
        }
        if self.has_interrupt() || window_requested {
            primary = primary.with(PrimaryControls::INTERRUPT_WINDOW_EXITING);
        }
        self.set_primary(loaded, primary);
        None
    }

    /// Whether the guest has a debug trap that waits to be delivered.
    pub fn has_pending_trap(&self, loaded: &Loaded) -> bool {
        const TRAPS: u64 = PENDING_SINGLE_STEP | PENDING_BREAKPOINT;
        loaded.read(GUEST_PENDING_DEBUG_EXCEPTIONS) & TRAPS != 0
    }

    fn inject(&mut self, loaded: &Loaded, event: Event) {
        if let Some(apic) = &mut self.apic {
            apic.note_injection();
        }
        // In real mode exceptions push no error code (SDM volume 3, section 28.2.1.3).
        let event = if self.guest.cr0(loaded).contains(Cr0::PE) {
            event
        } else {
            event.without_error_code()
        };
        if self.halts_without_exit() {
            // The guest may be halted, and few events are allowed there.
            loaded.write(GUEST_ACTIVITY_STATE, 0);
        }
        if event.info.has_error_code() {
            loaded.write(ENTRY_EXCEPTION_ERROR_CODE, event.error_code);
        }
        if event == Event::DEBUG {
            self.note_single_step(loaded);
        }
        if event.is_fault() {
            // An entry pushes the flags that it loads (SDM volume 3, sections 19.3.1.1 and 28.6.1.1).
            let rflags = self.guest.rflags(loaded);
            self.guest.set_rflags(rflags.raw() | Rflags::RF.raw());
            self.guest.flush(loaded);
        }
        loaded.write(ENTRY_INSTRUCTION_LENGTH, event.instruction_length);
        loaded.write(ENTRY_INTERRUPTION_INFO, event.info.raw());
    }

    /// With TF set and interrupts held off by STI or MOV SS, an entry demands that a single-step
    /// trap is pending (SDM volume 3, section 28.3.1.5).
    fn note_single_step(&mut self, loaded: &Loaded) {
        let held_off = loaded.read(GUEST_INTERRUPTIBILITY) & BLOCKING_BY_STI_OR_MOV_SS != 0;
        if held_off && self.guest.rflags(loaded).contains(Rflags::TF) {
            let pending = loaded.read(GUEST_PENDING_DEBUG_EXCEPTIONS);
            loaded.write(
                GUEST_PENDING_DEBUG_EXCEPTIONS,
                pending | PENDING_SINGLE_STEP,
            );
        }
    }

    /// Finishes a control-register write that wants the PDPTEs.
    fn load_pdptes(&mut self, paging: &PagingState) {
        match self.read_pdptes(paging) {
            Some(pdptes) => {
                let loaded = self.load();
                self.set_paging(&loaded, paging);
                write_pdptes(&loaded, &pdptes);
                self.skip(&loaded);
                self.drop_translations();
            }
            None => self.events.raise(Event::GENERAL_PROTECTION),
        }
    }

    /// Reads the PDPTEs that CR3 points to; `None` if they are not there or not valid.
    pub fn read_pdptes(&mut self, paging: &PagingState) -> Option<[u64; 4]> {
        const TABLE: u64 = !0x1f & 0xffff_ffff;
        /// Bits 2:1 and 8:5.
        const RESERVED: u64 = 0x1e6;
        const PRESENT: u64 = 1;
        let mut bytes = [0; 32];
        let table = Gpa::new(paging.cr3 & TABLE);
        self.view.read(self.vm.mmu(), table, &mut bytes).ok()?;
        let mut pdptes = [0; 4];
        for (pdpte, raw) in pdptes.iter_mut().zip(bytes.chunks_exact(8)) {
            *pdpte = u64::from_le_bytes(raw.try_into().ok()?);
        }
        let reserved = RESERVED | self.features.limits.physical_bits.reserved();
        pdptes
            .iter()
            .all(|pdpte| pdpte & PRESENT == 0 || pdpte & reserved == 0)
            .then_some(pdptes)
    }

    /// Nothing is pending any more.
    pub fn take_pending(&mut self) -> Pending {
        core::mem::replace(&mut self.pending, Pending::None)
    }
}

/// Forgets what a refused entry was to deliver. Only exits clear it (SDM volume 3, section 26.8.3).
#[cold]
pub fn drop_injection(loaded: &Loaded) {
    loaded.write(ENTRY_INTERRUPTION_INFO, 0);
}

/// Loads the PDPTE registers.
pub fn write_pdptes(loaded: &Loaded, pdptes: &[u64; 4]) {
    let fields = [GUEST_PDPTE0, GUEST_PDPTE1, GUEST_PDPTE2, GUEST_PDPTE3];
    for (field, pdpte) in fields.into_iter().zip(pdptes) {
        loaded.write(field, *pdpte);
    }
}
