// SPDX-License-Identifier: GPL-2.0

//! Instructions that this module executes for the guest: accesses to addresses without memory, and INS
//! and OUTS.
//!
//! An access that the VMM has to answer ends KVM_RUN in the middle of the instruction. The next KVM_RUN
//! executes the instruction from its beginning, with the answers so far taken from a [`Replay`];
//! nothing but memory changes before the last access is through, so that this is invisible.

mod context;
mod failure;
mod replay;
mod segmentation;
mod task_switch;
mod translation;

use crate::{
    host::x86::fpu::InGuest,
    run_page::{Reported, RunPage},
    vmx::field::EXIT_INSTRUCTION_LENGTH,
    x86::{
        counters::Event as Counted,
        doorbell::Store,
        emulate::{self, string, AccessKind, Machine, Outcome, XMM_SIZE},
        event::{vector, Event},
        insn::{self, AddressSize, CodeSize, Gpr, Insn, Op, Segment, Xmm},
        msr_io,
        paging::{self, ErrorCode},
        port,
        regs::{
            segment::{Segment as SegmentState, SegmentRegister},
            Rflags,
        },
        user_exit::{UserExit, IO_BYTES},
        vcpu::{Core, Pending},
    },
};
use context::Context;
pub use context::Known;
use kernel::prelude::*;
use replay::Replay;
pub use task_switch::TaskSwitch;

/// An instruction under way. A vCPU keeps the memory for the next one.
#[derive(Default)]
pub struct Emulation {
    insn: Option<Insn>,
    context: Context,
    replay: Replay,
}

impl Emulation {
    /// RFLAGS.TF has become `tf` while the VMM was answering.
    pub fn set_tf(&mut self, tf: Rflags) {
        let rflags = Rflags::new(self.context.rflags);
        self.context.rflags = rflags.without(Rflags::TF).with(tf).raw();
    }
}

/// Why an instruction cannot go on.
enum Stop {
    /// The VMM has to answer first.
    Exit(UserExit),
    /// It faults.
    Raise(Event),
    /// It faults with #PF at this address.
    PageFault(ErrorCode, u64),
    /// The guest has to execute it again.
    Retry,
    /// This module cannot execute it.
    Unhandleable,
}

impl Core {
    /// Finishes what the VMM has answered. `Some` if it has to answer more.
    pub fn complete(&mut self, fpu: &InGuest<'_>, page: &RunPage) -> Result<Option<Reported>> {
        match self.take_pending() {
            Pending::None => Ok(None),
            Pending::Port(io) => {
                port::finish(self, page, &io);
                Ok(None)
            }
            Pending::Msr(io) => {
                msr_io::finish(self, page, &io);
                Ok(None)
            }
            Pending::Emulation => {
                let Some(mut emulation) = self.emulation.take() else {
                    return Ok(None);
                };
                emulation.replay.answer(page);
                let exit = self.execute(fpu, page, &mut emulation);
                self.emulation = Some(emulation);
                Ok(exit)
            }
        }
    }

    /// Executes the instruction that has exited. `known` is a translation that the processor made for it.
    /// `Some` if the VMM has to answer.
    pub fn emulate(
        &mut self,
        fpu: &InGuest<'_>,
        page: &RunPage,
        known: Option<Known>,
    ) -> Result<Option<Reported>> {
        // The instruction may look at the local APIC.
        self.fetch_eoi();
        if self.events.due.is_some() {
            // An access made by the delivery of an event, not by an instruction.
            return Ok(Some(self.fail_delivery(page)));
        }
        let mut emulation = match self.emulation.take() {
            Some(emulation) => emulation,
            None => KBox::new(Emulation::default(), GFP_KERNEL_ACCOUNT)?,
        };
        let loaded = self.load();
        emulation.context.fill(self, &loaded, known);
        let (rip, cr3) = (emulation.context.rip, emulation.context.paging.cr3);
        let length = loaded.read(EXIT_INSTRUCTION_LENGTH);
        drop(loaded);
        self.counters.count(Counted::Emulation);
        emulation.replay.clear();
        emulation.insn = None;
        let exit = self.execute(fpu, page, &mut emulation);
        if let (None, Some(insn)) = (&exit, &emulation.insn) {
            if let Some(store) = Store::new(insn, rip, cr3, length) {
                self.last_store = store;
            }
        }
        self.emulation = Some(emulation);
        Ok(exit)
    }

    fn execute(
        &mut self,
        fpu: &InGuest<'_>,
        page: &RunPage,
        emulation: &mut Emulation,
    ) -> Option<Reported> {
        let Emulation {
            insn,
            context,
            replay,
        } = emulation;
        replay.rewind();
        let insn = match insn {
            Some(insn) => insn,
            None => match self.fetch(context) {
                Ok(fetched) => insn.insert(fetched),
                Err(stop) => return self.stop(page, stop, context),
            },
        };
        let mut machine = GuestMachine {
            core: self,
            fpu,
            page,
            context,
            replay,
        };
        let outcome = match emulate::execute(insn, &mut machine) {
            Ok(Outcome::PortString) => machine.port_string(insn),
            outcome => outcome,
        };
        match outcome {
            Ok(Outcome::Done | Outcome::PortString) => {
                let loaded = self.load();
                self.retire(&loaded);
                None
            }
            // The guest executes the next iteration, and may take interrupts before.
            Ok(Outcome::Again) => None,
            Err(Stop::Exit(exit)) => {
                if let UserExit::MmioRead { .. } | UserExit::MmioWrite { .. } = exit {
                    self.counters.count(Counted::MmioExit);
                }
                self.pending = Pending::Emulation;
                Some(exit.report(page))
            }
            Err(stop) => self.stop(page, stop, context),
        }
    }

    /// `Some` for what the VMM has to see.
    fn stop(&mut self, page: &RunPage, stop: Stop, context: &Context) -> Option<Reported> {
        match stop {
            Stop::Exit(exit) => return Some(exit.report(page)),
            Stop::Raise(event) => self.events.raise(event),
            Stop::PageFault(code, address) => {
                self.guest.cr2 = address;
                let code = Some(code.into_raw());
                self.events
                    .raise(Event::exception(vector::PAGE_FAULT, code));
            }
            Stop::Retry => (),
            Stop::Unhandleable => return self.fail_emulation(context, page),
        }
        None
    }

    /// Fetches and decodes the instruction at RIP.
    fn fetch(&mut self, context: &mut Context) -> Result<Insn, Stop> {
        context.fetched.clear();
        let linear = match context.code_size {
            CodeSize::Bits64 => context.rip,
            _ => u64::from(context.code_base.wrapping_add(context.rip) as u32),
        };
        // A page at a time: the instruction may end before a page that is not there.
        loop {
            let length = context.fetched.bytes().len();
            let next = linear.wrapping_add(length as u64);
            let gpa = self.translate(context, next, paging::Kind::Fetch)?;
            let target = context.fetched.room(translation::bytes_to_page_end(next));
            if target.is_empty() {
                return Err(Stop::Unhandleable);
            }
            let count = target.len();
            self.view
                .read(self.vm.mmu(), gpa, target)
                .map_err(|_| Stop::Unhandleable)?;
            context.fetched.extend(count);
            match insn::decode(context.code_size, context.fetched.bytes()) {
                Ok(insn) => return Ok(insn),
                Err(insn::DecodeError::Truncated) => (),
                Err(insn::DecodeError::TooLong) => {
                    return Err(Stop::Raise(Event::GENERAL_PROTECTION));
                }
                Err(insn::DecodeError::Unsupported) => return Err(Stop::Unhandleable),
            }
        }
    }
}

/// A vCPU as the emulator sees it.
struct GuestMachine<'a, 'b> {
    core: &'a mut Core,
    fpu: &'a InGuest<'b>,
    page: &'a RunPage,
    context: &'a mut Context,
    replay: &'a mut Replay,
}

impl GuestMachine<'_, '_> {
    /// A segment register, read from the VMCS when it is first needed.
    fn segment(&mut self, segment: Segment) -> &SegmentState {
        let register = match segment {
            Segment::Es => SegmentRegister::Es,
            Segment::Cs => SegmentRegister::Cs,
            Segment::Ss => SegmentRegister::Ss,
            Segment::Ds => SegmentRegister::Ds,
            Segment::Fs => SegmentRegister::Fs,
            Segment::Gs => SegmentRegister::Gs,
        };
        let core = &mut *self.core;
        let [es, cs, ss, ds, fs, gs] = &mut self.context.segments;
        let slot = match segment {
            Segment::Es => es,
            Segment::Cs => cs,
            Segment::Ss => ss,
            Segment::Ds => ds,
            Segment::Fs => fs,
            Segment::Gs => gs,
        };
        slot.get_or_insert_with(|| {
            let loaded = core.load();
            core.guest.segment(&loaded, register)
        })
    }

    /// INS or OUTS: one iteration, or for INS as many as one exit to the VMM can carry.
    fn port_string(&mut self, insn: &Insn) -> Result<Outcome, Stop> {
        if string::iterations(insn, self) == 0 {
            return Ok(string::advance(insn, self, 0));
        }
        let address = string::address(insn, self)?.ok_or(Stop::Unhandleable)?;
        let port = self.gpr(Gpr::RDX) as u16;
        let mut item = [0; 4];
        let item = item
            .get_mut(..insn.size.bytes())
            .ok_or(Stop::Unhandleable)?;
        if insn.op == Op::Outs {
            self.read(address, item)?;
            self.replay.port_out(self.core, port, item, self.page)?;
            return Ok(string::advance(insn, self, 1));
        }
        let count = self.items_at_once(insn, address)?;
        if let Some(answered) = self.replay.take_items() {
            let count = count.min(answered);
            self.store_items(address, count as usize * item.len())?;
            return Ok(string::advance(insn, self, count.into()));
        }
        self.replay.port_in(self.core, port, item, count)?;
        self.write(address, item)?;
        Ok(string::advance(insn, self, 1))
    }

    /// How many items of INS the VMM can be asked for at once: those that go to one page of RAM, upwards.
    fn items_at_once(&mut self, insn: &Insn, address: u64) -> Result<u32, Stop> {
        let gpa = self
            .core
            .translate(self.context, address, paging::Kind::Write)?;
        let room = translation::bytes_to_page_end(address).min(IO_BYTES) / insn.size.bytes();
        let count = string::iterations(insn, self).min(room as u64);
        let at_once = count > 1
            && self.core.is_writable_ram(gpa)
            && string::is_contiguous(insn, self, address, count);
        Ok(if at_once { count as u32 } else { 1 })
    }

    /// Copies items of the VMM's to `address`; they lie within a page.
    fn store_items(&mut self, address: u64, bytes: usize) -> Result<(), Stop> {
        const AT_ONCE: usize = 128;
        let mut part = [0; AT_ONCE];
        let mut done = 0;
        while done < bytes {
            let count = AT_ONCE.min(bytes - done);
            let Some(part) = part.get_mut(..count) else {
                break;
            };
            self.page.read_io_bytes(done, part);
            self.write(address.wrapping_add(done as u64), part)?;
            done += count;
        }
        Ok(())
    }

    /// Calls `access` for each part of `bytes` bytes at `linear` that lies within one page, with its guest
    /// physical address and its place.
    fn for_each_page(
        &mut self,
        linear: u64,
        bytes: usize,
        kind: paging::Kind,
        mut access: impl FnMut(
            &mut Self,
            crate::types::Gpa,
            core::ops::Range<usize>,
        ) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let mut done = 0;
        while done < bytes {
            let next = linear.wrapping_add(done as u64);
            let end = bytes.min(done + translation::bytes_to_page_end(next));
            let gpa = self.core.translate(self.context, next, kind)?;
            access(self, gpa, done..end)?;
            done = end;
        }
        Ok(())
    }
}

impl Machine for GuestMachine<'_, '_> {
    type Stop = Stop;

    fn gpr(&mut self, register: Gpr) -> u64 {
        if register == Gpr::RSP {
            self.context.rsp
        } else {
            self.core.guest.registers.get(register)
        }
    }

    fn set_gpr(&mut self, register: Gpr, value: u64) {
        if register == Gpr::RSP {
            self.context.rsp = value;
        }
        self.core.guest.set_gpr(register, value);
    }

    fn rip(&mut self) -> u64 {
        self.context.rip
    }

    fn set_rip(&mut self, rip: u64) {
        self.context.rip = rip;
        self.core.guest.set_rip(rip);
    }

    fn rflags(&mut self) -> u64 {
        self.context.rflags
    }

    fn set_rflags(&mut self, rflags: u64) {
        self.context.rflags = rflags;
        self.core.guest.set_rflags(rflags);
    }

    fn stack_size(&mut self) -> AddressSize {
        if self.context.code_size == CodeSize::Bits64 {
            AddressSize::Bits64
        } else if self.segment(Segment::Ss).db != 0 {
            AddressSize::Bits32
        } else {
            AddressSize::Bits16
        }
    }

    fn read_xmm(&mut self, register: Xmm) -> [u8; XMM_SIZE] {
        self.fpu.read_xmm(register.number())
    }

    fn write_xmm(&mut self, register: Xmm, value: [u8; XMM_SIZE]) {
        self.fpu.write_xmm(register.number(), value);
    }

    fn linear(
        &mut self,
        segment: Segment,
        effective: u64,
        size: usize,
        kind: AccessKind,
    ) -> Result<u64, Stop> {
        let code_size = self.context.code_size;
        if code_size == CodeSize::Bits64 && !matches!(segment, Segment::Fs | Segment::Gs) {
            return segmentation::linear_64(segment, 0, effective, size);
        }
        let is_real_like = self.context.is_real_like();
        let state = self.segment(segment);
        if code_size == CodeSize::Bits64 {
            segmentation::linear_64(segment, state.base, effective, size)
        } else {
            segmentation::linear_32(segment, state, is_real_like, effective, size, kind)
        }
    }

    fn read(&mut self, linear: u64, data: &mut [u8]) -> Result<(), Stop> {
        let bytes = data.len();
        self.for_each_page(linear, bytes, paging::Kind::Read, |this, gpa, place| {
            let part = data.get_mut(place).ok_or(Stop::Unhandleable)?;
            if this.core.is_ram(gpa) {
                this.core.read_ram(gpa, part)
            } else {
                this.replay.mmio_read(this.core, gpa, part)
            }
        })
    }

    fn write(&mut self, linear: u64, data: &[u8]) -> Result<(), Stop> {
        let bytes = data.len();
        self.for_each_page(linear, bytes, paging::Kind::Write, |this, gpa, place| {
            let part = data.get(place).ok_or(Stop::Unhandleable)?;
            if this.core.is_writable_ram(gpa) {
                this.core.write_ram(gpa, part)
            } else {
                this.replay.mmio_write(this.core, gpa, part)
            }
        })
    }
}
