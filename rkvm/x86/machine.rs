// SPDX-License-Identifier: GPL-2.0

//! Instructions that this module executes for the guest: accesses to addresses without memory, and INS
//! and OUTS.
//!
//! An access that the VMM has to answer ends KVM_RUN in the middle of the instruction. The next KVM_RUN
//! executes the instruction from its beginning, with the answers so far taken from a [`Replay`];
//! nothing but memory changes before the last access is through, so that this is invisible.

mod replay;
mod segmentation;
mod translation;

use crate::{
    host::x86::fpu::InGuest,
    run_page::{RunPage, UserExit},
    vmx::{handle::suberror, vmcs::Loaded},
    x86::{
        emulate::{self, string, AccessKind, Machine, Outcome, XMM_SIZE},
        event::{vector, Event},
        insn::{self, AddressSize, CodeSize, Gpr, Insn, Op, Segment, Xmm},
        paging::{self, ErrorCode},
        port,
        regs::{
            rules::PagingState,
            segment::{Segment as SegmentState, SegmentRegister},
            Cr0, Efer, Rflags,
        },
        vcpu::{Core, Pending},
    },
};
use kernel::prelude::*;
use replay::Replay;

/// An instruction under way.
pub struct Emulation {
    insn: Insn,
    context: Context,
    replay: Replay,
}

/// The registers that an instruction's accesses depend on, as they were when it exited.
struct Context {
    rip: u64,
    rsp: u64,
    rflags: u64,
    cpl: u8,
    paging: PagingState,
    pdptes: [u64; 4],
    /// ES, CS, SS, DS, FS, GS.
    segments: [SegmentState; 6],
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

impl Context {
    fn read(core: &mut Core, loaded: &Loaded) -> Self {
        use crate::vmx::field::{GUEST_PDPTE0, GUEST_PDPTE1, GUEST_PDPTE2, GUEST_PDPTE3};
        let paging = core.guest.paging(loaded);
        let pdptes = if paging.is_pae_paging() {
            [GUEST_PDPTE0, GUEST_PDPTE1, GUEST_PDPTE2, GUEST_PDPTE3].map(|field| loaded.read(field))
        } else {
            [0; 4]
        };
        Self {
            rip: core.guest.rip(loaded),
            rsp: core.guest.rsp(loaded),
            rflags: core.guest.rflags(loaded).raw(),
            cpl: core.guest.cpl(loaded),
            paging,
            pdptes,
            segments: [
                SegmentRegister::Es,
                SegmentRegister::Cs,
                SegmentRegister::Ss,
                SegmentRegister::Ds,
                SegmentRegister::Fs,
                SegmentRegister::Gs,
            ]
            .map(|register| core.guest.segment(loaded, register)),
        }
    }

    fn segment(&self, segment: Segment) -> &SegmentState {
        let [es, cs, ss, ds, fs, gs] = &self.segments;
        match segment {
            Segment::Es => es,
            Segment::Cs => cs,
            Segment::Ss => ss,
            Segment::Ds => ds,
            Segment::Fs => fs,
            Segment::Gs => gs,
        }
    }

    /// Whether segmentation is that of real mode or virtual-8086 mode.
    fn is_real_like(&self) -> bool {
        !self.paging.cr0.contains(Cr0::PE) || Rflags::new(self.rflags).contains(Rflags::VM)
    }

    fn code_size(&self) -> CodeSize {
        let cs = self.segment(Segment::Cs);
        if self.is_real_like() {
            CodeSize::Bits16
        } else if self.paging.efer.contains(Efer::LMA) && cs.l != 0 {
            CodeSize::Bits64
        } else if cs.db != 0 {
            CodeSize::Bits32
        } else {
            CodeSize::Bits16
        }
    }
}

impl Core {
    /// Finishes what the VMM has answered. `Some` if it has to answer more.
    pub fn complete(&mut self, fpu: &InGuest<'_>, page: &RunPage) -> Result<Option<UserExit>> {
        match self.take_pending() {
            Pending::None => Ok(None),
            Pending::Port(io) => {
                port::finish(self, page, &io);
                Ok(None)
            }
            Pending::Emulation(mut emulation) => {
                emulation.replay.answer(page);
                self.execute(fpu, page, emulation)
            }
        }
    }

    /// Executes the instruction that has exited. `Some` if the VMM has to answer.
    pub fn emulate(&mut self, fpu: &InGuest<'_>, page: &RunPage) -> Result<Option<UserExit>> {
        let loaded = self.load();
        if let Some(event) = self.events.due {
            // An access made by the delivery of an event, not by an instruction.
            let info = u64::from(event.info.raw());
            return Ok(Some(UserExit::InternalError {
                suberror: suberror::DELIVERY_EVENT,
                data: [info, 0, 0, 0],
                words: 1,
            }));
        }
        let context = Context::read(self, &loaded);
        drop(loaded);
        match self.fetch(&context) {
            Ok(insn) => {
                let emulation = KBox::new(
                    Emulation {
                        insn,
                        context,
                        replay: Replay::new(),
                    },
                    GFP_KERNEL_ACCOUNT,
                )?;
                self.execute(fpu, page, emulation)
            }
            Err(stop) => Ok(self.stop(stop, context.cpl)),
        }
    }

    fn execute(
        &mut self,
        fpu: &InGuest<'_>,
        page: &RunPage,
        mut emulation: KBox<Emulation>,
    ) -> Result<Option<UserExit>> {
        emulation.replay.rewind();
        let Emulation {
            insn,
            context,
            replay,
        } = &mut *emulation;
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
                Ok(None)
            }
            // The guest executes the next iteration, and may take interrupts before.
            Ok(Outcome::Again) => Ok(None),
            Err(Stop::Exit(exit)) => {
                self.pending = Pending::Emulation(emulation);
                Ok(Some(exit))
            }
            Err(stop) => Ok(self.stop(stop, emulation.context.cpl)),
        }
    }

    /// `Some` for what the VMM has to see.
    fn stop(&mut self, stop: Stop, cpl: u8) -> Option<UserExit> {
        match stop {
            Stop::Exit(exit) => return Some(exit),
            Stop::Raise(event) => self.events.raise(event),
            Stop::PageFault(code, address) => {
                self.guest.cr2 = address;
                let code = Some(code.into_raw());
                self.events
                    .raise(Event::exception(vector::PAGE_FAULT, code));
            }
            Stop::Retry => (),
            Stop::Unhandleable if cpl > 0 => self.events.raise(Event::INVALID_OPCODE),
            Stop::Unhandleable => {
                return Some(UserExit::InternalError {
                    suberror: suberror::EMULATION,
                    data: [0; 4],
                    words: 0,
                });
            }
        }
        None
    }

    /// Fetches and decodes the instruction at RIP.
    fn fetch(&mut self, context: &Context) -> Result<Insn, Stop> {
        let mut bytes = [0; insn::MAX_LENGTH];
        let code = context.code_size();
        let linear = context
            .segment(Segment::Cs)
            .base
            .wrapping_add(context.rip);
        let mut length = 0;
        // A page at a time: the instruction may end before a page that is not there.
        while length < bytes.len() {
            let next = linear.wrapping_add(length as u64);
            let room = translation::bytes_to_page_end(next).min(bytes.len() - length);
            let gpa = self.translate(context, next, paging::Kind::Fetch)?;
            let Some(target) = bytes.get_mut(length..length + room) else {
                break;
            };
            self.read_ram(gpa, target).map_err(|_| Stop::Unhandleable)?;
            length += room;
            match insn::decode(code, bytes.get(..length).unwrap_or(&[])) {
                Ok(insn) => return Ok(insn),
                Err(insn::DecodeError::Truncated) => (),
                Err(insn::DecodeError::TooLong) => {
                    return Err(Stop::Raise(Event::GENERAL_PROTECTION));
                }
                Err(insn::DecodeError::Unsupported) => return Err(Stop::Unhandleable),
            }
        }
        Err(Stop::Unhandleable)
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
    /// One iteration of INS or OUTS.
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
            self.replay.port_out(port, item, self.page)?;
        } else {
            self.replay.port_in(port, item)?;
            self.write(address, item)?;
        }
        Ok(string::advance(insn, self, 1))
    }

    /// Calls `access` for each part of `bytes` bytes at `linear` that lies within one page, with its guest
    /// physical address and its place.
    fn for_each_page(
        &mut self,
        linear: u64,
        bytes: usize,
        kind: paging::Kind,
        mut access: impl FnMut(&mut Self, crate::types::Gpa, core::ops::Range<usize>) -> Result<(), Stop>,
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
        match self.context.code_size() {
            CodeSize::Bits64 => AddressSize::Bits64,
            _ if self.context.segment(Segment::Ss).db != 0 => AddressSize::Bits32,
            _ => AddressSize::Bits16,
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
        segmentation::linear(self.context, segment, effective, size, kind)
    }

    fn read(&mut self, linear: u64, data: &mut [u8]) -> Result<(), Stop> {
        let bytes = data.len();
        self.for_each_page(linear, bytes, paging::Kind::Read, |this, gpa, place| {
            let part = data.get_mut(place).ok_or(Stop::Unhandleable)?;
            if this.core.is_ram(gpa) {
                this.core.read_ram(gpa, part)
            } else {
                this.replay.mmio_read(gpa, part)
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
                this.replay.mmio_write(gpa, part)
            }
        })
    }
}
