// SPDX-License-Identifier: GPL-2.0

//! Task switches of a vCPU: its registers and its memory for [`task_switch`].

use super::{context::Context, translation, Stop};
use crate::{
    run_page::{Reported, RunPage},
    types::Gpa,
    vmx::{field::*, run::write_pdptes, vmcs::Loaded},
    x86::{
        event::{Event, Kind},
        insn::Gpr,
        paging::{self, Mode},
        regs::{
            rules::{GeneralProtection, PagingState},
            segment::SegmentRegister,
            Dr6, Rflags,
        },
        task_switch::{
            self, Failure, Fault, Memory, Origin, Outcome, Request, Source, State, Table,
        },
        vcpu::{Core, BLOCKING_BY_NMI, BLOCKING_BY_STI_OR_MOV_SS},
    },
};

/// A task switch that the guest asks for.
pub struct TaskSwitch {
    /// The selector of the new task's TSS.
    pub selector: u16,
    /// What asks for it. For a task gate, the event is the one that is due.
    pub source: Source,
    /// The length of the instruction, if an instruction asks.
    pub instruction_length: u32,
}

impl Core {
    /// Does a task switch. `Some` if this module cannot.
    pub fn switch_task(&mut self, page: &RunPage, switch: &TaskSwitch) -> Option<Reported> {
        let event = match switch.source {
            Source::TaskGate => self.events.due,
            Source::Call | Source::Iret | Source::Jump => None,
        };
        let mut context = Context::default();
        let loaded = self.load();
        context.fill(self, &loaded, None);
        let mut state = self.task(&loaded, &context);
        drop(loaded);
        if context.paging.is_long_mode() {
            // Gates and IRET fault there; it is the guest state that is out of joint.
            context.cpl = KERNEL;
            return self.stop(page, Stop::Unhandleable, &context);
        }
        let request = request(switch, event, context.rip as u32);
        let mut memory = TaskMemory {
            core: self,
            context: &mut context,
        };
        let result = task_switch::switch(&mut state, &mut memory, &request);
        if !matches!(result, Err(Failure::OldTask(_))) {
            let loaded = self.load();
            self.set_task(&loaded, &state, &context);
            self.end_blocking(&loaded, switch.source);
        }
        let stop = match result {
            Ok(outcome) => {
                self.events.due = None;
                if outcome == Outcome::DebugTrap {
                    let dr6 = self.debug.dr6().with(Dr6::BT);
                    self.debug.set_dr6(dr6);
                    self.events.raise(Event::DEBUG);
                }
                None
            }
            Err(Failure::OldTask(Fault::Raise(event)) | Failure::NewTask(Fault::Raise(event))) => {
                Some(Stop::Raise(event))
            }
            Err(Failure::OldTask(Fault::Memory(stop))) => Some(stop),
            // There is no instruction any more that the guest could execute again.
            Err(Failure::NewTask(Fault::Memory(Stop::Retry))) => Some(Stop::Unhandleable),
            Err(Failure::NewTask(Fault::Memory(stop))) => Some(stop),
        };
        context.cpl = KERNEL;
        let exit = stop.and_then(|stop| self.stop(page, stop, &context));
        let is_nmi =
            |event: Option<Event>| event.is_some_and(|event| event.info.kind() == Kind::Nmi);
        if is_nmi(event) && !is_nmi(self.events.due) {
            self.block_nmis();
        }
        exit
    }

    /// The registers of the running task.
    fn task(&mut self, loaded: &Loaded, context: &Context) -> State {
        let mut gprs = [0; 8];
        for (number, gpr) in (0..).zip(&mut gprs) {
            *gpr = self.guest.gpr(loaded, Gpr::new(number)) as u32;
        }
        State {
            gprs,
            eip: context.rip as u32,
            eflags: Rflags::new(context.rflags),
            segments: SegmentRegister::ALL.map(|register| self.guest.segment(loaded, register)),
            gdt: Table {
                base: loaded.read(GUEST_GDTR_BASE) as u32,
                limit: loaded.read(GUEST_GDTR_LIMIT),
            },
            cr0: context.paging.cr0,
            dr7: self.debug.dr7,
        }
    }

    /// Sets the registers of the new task, whose CR3 and PDPTEs are in `context`.
    fn set_task(&mut self, loaded: &Loaded, state: &State, context: &Context) {
        for (number, gpr) in (0..).zip(state.gprs) {
            self.guest.set_gpr(Gpr::new(number), gpr.into());
        }
        self.guest.set_rip(state.eip.into());
        self.guest.set_rflags(state.eflags.raw());
        for register in SegmentRegister::ALL {
            self.guest
                .set_segment(loaded, register, state.segment(register));
        }
        let paging = PagingState {
            cr0: state.cr0,
            ..context.paging
        };
        self.set_paging(loaded, &paging);
        if paging.is_pae_paging() {
            write_pdptes(loaded, &context.pdptes);
        }
        self.drop_translations();
        self.set_dr7(loaded, state.dr7);
    }

    /// What asked for the switch is complete: the shadow of STI and MOV SS is over, and IRET unblocks NMIs.
    fn end_blocking(&mut self, loaded: &Loaded, source: Source) {
        let ended = match source {
            Source::Iret => BLOCKING_BY_STI_OR_MOV_SS | BLOCKING_BY_NMI,
            Source::Call | Source::Jump | Source::TaskGate => BLOCKING_BY_STI_OR_MOV_SS,
        };
        let interruptibility = loaded.read(GUEST_INTERRUPTIBILITY);
        loaded.write(GUEST_INTERRUPTIBILITY, interruptibility & !ended);
    }

    /// An NMI was delivered, or lost to the fault of its delivery.
    fn block_nmis(&mut self) {
        let loaded = self.load();
        let interruptibility = loaded.read(GUEST_INTERRUPTIBILITY);
        loaded.write(GUEST_INTERRUPTIBILITY, interruptibility | BLOCKING_BY_NMI);
    }
}

/// CPL 0: what cannot be done is for the VMM to see, and not the fault of an instruction.
const KERNEL: u8 = 0;

/// The switch, where the old task is at `rip`. An instruction is over when its task goes on; an event comes
/// before the one that RIP points to.
fn request(switch: &TaskSwitch, event: Option<Event>, rip: u32) -> Request {
    let (origin, length) = match event.map(|event| event.info.kind()) {
        Some(Kind::External | Kind::Nmi | Kind::Exception) => (Origin::External, 0),
        // INT1 counts as external, but is an instruction.
        Some(Kind::PrivilegedSoftwareException) => (Origin::External, switch.instruction_length),
        Some(Kind::SoftwareInterrupt | Kind::SoftwareException | Kind::Other(_)) | None => {
            (Origin::Program, switch.instruction_length)
        }
    };
    Request {
        selector: switch.selector,
        source: switch.source,
        origin,
        error_code: event
            .filter(|event| event.info.has_error_code())
            .map(|event| event.error_code),
        next_eip: rip.wrapping_add(length),
    }
}

/// A vCPU's memory, as the old and then the new task see it.
struct TaskMemory<'a> {
    core: &'a mut Core,
    context: &'a mut Context,
}

impl TaskMemory<'_> {
    /// How often the guest may change an entry of its page tables under a translation.
    const ATTEMPTS: usize = 8;

    fn translate(&mut self, linear: u64, kind: paging::Kind, mode: Mode) -> Result<Gpa, Stop> {
        for _ in 0..Self::ATTEMPTS {
            match self.core.walk(self.context, linear, kind, mode) {
                Err(Stop::Retry) => (),
                result => return result,
            }
        }
        Err(Stop::Retry)
    }
}

impl Memory for TaskMemory<'_> {
    type Error = Stop;

    fn read(&mut self, linear: u32, mut data: &mut [u8]) -> Result<(), Stop> {
        let mut next = linear;
        while !data.is_empty() {
            let room = translation::bytes_to_page_end(next.into()).min(data.len());
            let gpa = self.translate(next.into(), paging::Kind::Read, Mode::Implicit)?;
            let (part, rest) = data.split_at_mut(room);
            self.core.read_ram(gpa, part)?;
            data = rest;
            next = next.wrapping_add(room as u32);
        }
        Ok(())
    }

    fn write(&mut self, linear: u32, mut data: &[u8], mode: Mode) -> Result<(), Stop> {
        let mut next = linear;
        while !data.is_empty() {
            let room = translation::bytes_to_page_end(next.into()).min(data.len());
            let gpa = self.translate(next.into(), paging::Kind::Write, mode)?;
            let (part, rest) = data.split_at(room);
            self.core.write_ram(gpa, part)?;
            data = rest;
            next = next.wrapping_add(room as u32);
        }
        Ok(())
    }

    fn enter(&mut self, eflags: Rflags, cr3: Option<u32>) -> Result<(), GeneralProtection> {
        self.context.rflags = eflags.raw();
        let Some(cr3) = cr3 else { return Ok(()) };
        let paging = PagingState {
            cr3: cr3.into(),
            ..self.context.paging
        };
        if paging.is_pae_paging() {
            self.context.pdptes = self.core.read_pdptes(&paging).ok_or(GeneralProtection)?;
        }
        self.context.paging = paging;
        Ok(())
    }
}
