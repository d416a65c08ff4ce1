// SPDX-License-Identifier: GPL-2.0

//! The run loop: from a vCPU's thread into the guest and back.
//!
//! Three scopes lie inside each other. In the outermost the task may sleep. In the second preemption is off and the
//! guest's EL1 registers are in the processor. In the innermost, a *section*, EL1 and EL0 are the guest's and all
//! exceptions are masked: the guest is entered, and most exits are handled and the guest entered again, until
//! something needs more.

use crate::{
    arm64::{
        counters::Event,
        device_access::Answer,
        enter,
        exit::{Abort, Class, FaultStatus, Syndrome},
        features::PointerAuthentication,
        handle,
        loaded::Loaded,
        processors::Activity,
        registers,
        sysreg::role::Kept,
        timer::Count,
        traps::{hcr, Identity, InGuestWorld, Stage2},
        user_exit::UserExit,
        vcpu::Core,
    },
    host::{
        arm64::exceptions::stop_machine,
        cpu::{self, handle_pending_work, PreemptOff},
    },
    mmu::{entry::Access, Fault},
    step_log,
    types::Gpa,
};
use kernel::prelude::*;

/// An access that stage 2 does not allow.
#[derive(Clone, Copy)]
pub struct FaultInfo {
    /// The guest physical address.
    pub gpa: Gpa,
    /// The guest's virtual address.
    pub far: u64,
    /// ESR_EL2.
    pub syndrome: Syndrome,
}

impl FaultInfo {
    /// Why it was refused.
    pub fn status(&self) -> FaultStatus {
        Abort::from(self.syndrome.iss()).fault()
    }

    /// What the access does.
    pub fn wanted(&self) -> Access {
        let iss = Abort::from(self.syndrome.iss());
        if iss.table_walk().into_bool() {
            // The processor updates the guest's tables only where it may read them.
            if iss.fault() == FaultStatus::Permission {
                Access::WRITE
            } else {
                Access::READ
            }
        } else if self.syndrome.class() == Class::InstructionAbort {
            Access::EXECUTE
        } else if iss.write().into_bool()
            && (!iss.maintenance().into_bool() || iss.fault() == FaultStatus::Permission)
        {
            // Maintenance counts as a write, but is a read but for DC IVAC, which needs the right to write.
            Access::WRITE
        } else {
            Access::READ
        }
    }
}

/// Why a section ends.
pub enum Leave {
    /// An interrupt of the host waits.
    Interrupt,
    /// The thread has a signal, a reschedule or task work to attend to.
    Work,
    /// What is set up outside of sections has to be set up anew.
    Reload,
    /// The guest's access to this address is not mapped, or not for this.
    Fault(FaultInfo),
    /// The guest accesses an address without memory.
    Mmio(FaultInfo),
    /// The guest uses the floating point unit.
    FloatingPoint,
    /// The guest waits for an interrupt, but not longer than until its virtual counter is there.
    Wait(Option<Count>),
    /// The guest waits for an event, which another of its processors may cause.
    Spin,
    /// The guest calls its firmware, for what needs process context.
    Call,
    /// The guest turns its caches on or off, or takes them for something that it can clean as a whole.
    CleanMemory,
    /// An SError says that wrong data may be anywhere.
    Uncontained(Syndrome),
    /// A timer's line has changed, of which a VMM that has the interrupt controller has to be told.
    Line,
    /// The VMM has to act.
    User(UserExit),
}

/// It is moved from scope to scope, which for larger ones the compiler does by a call each time.
const _: () = assert!(size_of::<Leave>() <= 32);

impl Core {
    /// Runs the guest until something is for the VMM.
    pub fn run(&mut self) -> Result<UserExit> {
        loop {
            if let Some(exit) = self.run_once()? {
                return Ok(exit);
            }
            if cpu::signal_pending() {
                return Err(EINTR);
            }
        }
    }

    /// Runs the guest until the thread has to do something in process context, and does it. `None` if the guest can
    /// go on.
    fn run_once(&mut self) -> Result<Option<UserExit>> {
        match self.processor().activity() {
            // The VMM may have made one run that was about to begin.
            Activity::Running | Activity::Starting => self.begin(),
            Activity::Off => return self.wait_for_power().map(|()| None),
            Activity::Suspended => return self.wait_for_wakeup().map(Some),
        }
        self.update_stolen_time();
        match self.run_loaded() {
            Leave::Interrupt | Leave::Reload | Leave::FloatingPoint => Ok(None),
            Leave::Work => handle_pending_work().map(|()| None),
            Leave::Fault(fault) => self.fault(&fault),
            Leave::Mmio(fault) => {
                self.fault_address = fault.far;
                self.mmio(&fault)
            }
            Leave::Line => Err(EINTR),
            Leave::Wait(until) => self.wait(until).map(|()| None),
            Leave::Spin => {
                cpu::yield_to_others();
                Ok(None)
            }
            Leave::Call => self.serve_call(),
            Leave::CleanMemory => {
                let (mmu, format) = (self.vm.mmu(), self.vm.mmu().format());
                mmu.for_each_mapped(|frame, pages| format.clean(frame, pages));
                Ok(None)
            }
            Leave::Uncontained(syndrome) => stop_machine(syndrome.raw()),
            Leave::User(exit) => Ok(Some(exit)),
        }
    }

    fn fault(&mut self, fault: &FaultInfo) -> Result<Option<UserExit>> {
        match self
            .view
            .fault(self.vm.mmu(), fault.gpa.frame(), fault.wanted())?
        {
            Fault::Mmio => {
                self.fault_address = fault.far;
                self.mmio(fault)
            }
            Fault::Mapped | Fault::Sleep => {
                self.note_mapped(fault);
                Ok(None)
            }
        }
    }

    /// Before the vCPU runs again its CPU flushes what it has cached of the guest's translations.
    pub fn forget_translations(&mut self) {
        self.moved = true;
    }

    /// A fault has been dealt with. What the processor has cached of a mapping with fewer rights is flushed; of no
    /// mapping it caches nothing.
    fn note_mapped(&mut self, fault: &FaultInfo) {
        self.counters.count(Event::PageMapped);
        if fault.status() == FaultStatus::Permission {
            self.flushed = self.flushed.wrapping_sub(1);
        }
    }

    /// The second scope.
    fn run_loaded(&mut self) -> Leave {
        let here = PreemptOff::new();
        let vmid = self.vm.platform().vmids.get(self.vm.arch().vmid());
        self.arrive(&here);
        let stage2 = Stage2::enter(
            &here,
            &Identity {
                vtcr: self.vm.mmu().format().vtcr(),
                vttbr: self.vm.mmu().root().raw() | vmid << VTTBR_VMID_SHIFT,
                midr: self.midr(),
                mpidr: self.kept.get(Kept::Mpidr),
            },
        );
        self.enter_serror(&here);
        let signing = self.pointer_authentication();
        let allowed = self.allowed();
        self.vm.platform().newer.allow(&here, allowed);
        let loaded = Loaded::enter(here, &self.el1, signing, allowed.extensions);
        self.counters.count(Event::Load);
        self.interrupts.enter(loaded.here());

        let leave = loop {
            let leave = self.section(&loaded, signing);
            self.log(&leave);
            match leave {
                Leave::Interrupt => (),
                Leave::FloatingPoint => {
                    self.counters.count(Event::FpuReload);
                    self.fpsimd.load(&loaded);
                }
                Leave::Fault(fault) => {
                    let gfn = fault.gpa.frame();
                    match self.view.fault_present(self.vm.mmu(), gfn, fault.wanted()) {
                        Fault::Mapped => self.note_mapped(&fault),
                        Fault::Mmio => match self.access_device(&loaded, &fault) {
                            Answer::Done => (),
                            Answer::Later => break Leave::Mmio(fault),
                            Answer::Vmm(exit) => {
                                self.fault_address = fault.far;
                                break Leave::User(exit);
                            }
                        },
                        Fault::Sleep => break Leave::Fault(fault),
                    }
                }
                leave => break leave,
            }
        };

        self.interrupts.leave(loaded.here());
        self.fpsimd.save(&loaded);
        self.leave_serror();
        stage2.leave(loaded.here());
        self.vm.platform().newer.leave(loaded.here());
        loaded.leave(&mut self.el1);
        leave
    }

    /// The guest's own errors come into the processor: the syndrome of one that waits, and one that it has deferred.
    fn enter_serror(&self, here: &PreemptOff) {
        if self.host_ids().has_ras() {
            if self.hcr & hcr::VSE != 0 {
                registers::VsesrEl2::write(here, self.serror);
            }
            registers::VdisrEl2::write(here, self.kept.get(Kept::Disr));
        }
    }

    /// What the guest has deferred leaves the processor.
    fn leave_serror(&mut self) {
        if self.host_ids().has_ras() {
            self.kept.note_deferred(registers::VdisrEl2::read());
        }
    }

    /// The vCPU has come to this CPU. If it was elsewhere, or another vCPU of the VM was here, what the CPU has
    /// cached of the guest's translations may be stale, or another's.
    fn arrive(&mut self, here: &PreemptOff) {
        let was_last = self.vm.arch().residents().arrive(here.cpu(), self.id);
        if !was_last || self.last_cpu != Some(here.cpu()) {
            self.moved = true;
        }
        self.last_cpu = Some(here.cpu());
    }

    /// Logs why the guest was left, for learners.
    fn log(&self, leave: &Leave) {
        if !step_log::is_on() {
            return;
        }
        let pc = self.regs.pc;
        match leave {
            Leave::Fault(fault) => {
                let (gpa, wanted) = (fault.gpa.raw(), fault.wanted().into_raw());
                pr_info!("pc {pc:#x}: stage-2 fault at gpa {gpa:#x}, access {wanted:#b}\n");
            }
            Leave::User(exit) => pr_info!("pc {pc:#x}: to the VMM: {exit:x?}\n"),
            _ => (),
        }
    }

    /// The innermost scope.
    fn section(&mut self, loaded: &Loaded, signing: PointerAuthentication) -> Leave {
        let mut irq_off = loaded.here().irq_off();
        if irq_off.work_pending() {
            return Leave::Work;
        }
        self.kick.enter(loaded.here(), &irq_off);
        if self.processor().activity() != Activity::Running {
            self.kick.leave();
            return Leave::Reload;
        }
        let vmids = &self.vm.platform().vmids;
        if vmids.current(self.vm.arch().vmid()).is_none() {
            self.kick.leave();
            return Leave::Reload;
        }
        self.hcr = self.interrupts.with_lines(self.hcr);
        let world = InGuestWorld::enter(loaded.here(), &irq_off, self.hcr, self.fpsimd.owner());
        self.flush_stale_translations(loaded);
        self.counters.count(Event::Section);
        let tells_vmm = self.interrupts.begin_section();
        let mut host_registers = None;
        let debug = self.enter_debug(&world, &mut host_registers);
        self.fpsimd.begin_section(&world);

        let leave = if tells_vmm {
            Leave::Line
        } else {
            self.stay(loaded, &world, signing)
        };

        self.fpsimd.end_section(&world);
        self.leave_debug(&world, &debug, &host_registers);
        self.interrupts.end_section(loaded.here());
        self.hcr = world.leave(&irq_off);
        self.kick.leave();
        if let Leave::Interrupt = leave {
            irq_off.note_quiescent_state();
            irq_off.take_interrupts();
        }
        leave
    }

    /// The guest runs until something ends the section.
    #[inline(always)]
    fn stay(
        &mut self,
        loaded: &Loaded,
        world: &InGuestWorld<'_>,
        signing: PointerAuthentication,
    ) -> Leave {
        loop {
            self.interrupts.prepare(loaded.here());
            let key = match signing {
                PointerAuthentication::Present => self.el1.first_key(),
                PointerAuthentication::Absent => None,
            };
            let exit = enter::enter(world, &mut self.regs, key);
            self.counters.count(Event::Exit);
            if let Some(leave) = handle::handle(self, loaded, world, exit) {
                return leave;
            }
        }
    }

    /// Translations that this CPU may have cached for the guest, from before the vCPU was here last or from before a
    /// mapping went, are flushed before it runs.
    #[inline(always)]
    fn flush_stale_translations(&mut self, loaded: &Loaded) {
        let generation = self.vm.mmu().vcpus().generation().current();
        if self.moved || self.flushed != generation {
            self.counters.count(Event::TlbFlush);
            registers::flush_guest_here(loaded.here());
            self.moved = false;
            self.flushed = generation;
        }
    }
}

/// Where the VMID is in VTTBR_EL2.
const VTTBR_VMID_SHIFT: u32 = 48;
