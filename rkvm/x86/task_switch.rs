// SPDX-License-Identifier: GPL-2.0

//! Hardware task switches outside of IA-32e mode, which every processor leaves to the VMM.
//!
//! A switch has two halves. In the context of the old task the new TSS is found and checked, the old state
//! is saved and the descriptors are marked; whatever faults there is the fault of the instruction or event
//! that asked, and repeating what was done is harmless. Then the registers become those of the new task,
//! and what faults from there on, faults in the new task.
//!
//! Source: Intel SDM volume 3, sections 8.2 "Task Management Data Structures" and 8.3 "Task Switching",
//! in particular table 8-1 for the faults.

mod descriptor;
mod load;
mod tss;

use crate::x86::{
    event::{vector, Event},
    paging::Mode,
    regs::{
        rules::GeneralProtection,
        segment::{Segment, SegmentRegister},
        Cr0, Dr7, Rflags,
    },
};
use descriptor::{Descriptor, Selector};
use tss::{Image, Width};

/// What asks for a task switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// CALL of a TSS or of a task gate.
    Call,
    /// IRET with NT set.
    Iret,
    /// JMP to a TSS or to a task gate.
    Jump,
    /// An event whose IDT entry is a task gate.
    TaskGate,
}

impl Source {
    /// Whether the new task returns to the old one by IRET.
    const fn nests(self) -> bool {
        matches!(self, Self::Call | Self::TaskGate)
    }
}

/// Where the request comes from, which error codes tell (SDM 7.13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// An instruction, INT n, INT3 and INTO among them.
    Program,
    /// An interrupt or an exception.
    External,
}

/// A task switch to do. The checks of a gate's privilege level have passed.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// The selector of the new task's TSS.
    pub selector: u16,
    /// What asks for it.
    pub source: Source,
    /// Where that comes from.
    pub origin: Origin,
    /// What an exception leaves on the new task's stack.
    pub error_code: Option<u32>,
    /// Where the old task goes on.
    pub next_eip: u32,
}

/// The GDT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    /// Linear address.
    pub base: u32,
    /// Offset of the last byte.
    pub limit: u32,
}

/// The registers of a task, and those that a switch looks at or changes besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI.
    pub gprs: [u32; 8],
    /// EIP.
    pub eip: u32,
    /// EFLAGS.
    pub eflags: Rflags,
    /// In the order of [`SegmentRegister::ALL`].
    pub segments: [Segment; 8],
    /// GDTR.
    pub gdt: Table,
    /// CR0.
    pub cr0: Cr0,
    /// DR7.
    pub dr7: Dr7,
}

impl State {
    /// A segment register.
    pub const fn segment(&self, register: SegmentRegister) -> &Segment {
        let [es, cs, ss, ds, fs, gs, ldtr, tr] = &self.segments;
        match register {
            SegmentRegister::Es => es,
            SegmentRegister::Cs => cs,
            SegmentRegister::Ss => ss,
            SegmentRegister::Ds => ds,
            SegmentRegister::Fs => fs,
            SegmentRegister::Gs => gs,
            SegmentRegister::Ldtr => ldtr,
            SegmentRegister::Tr => tr,
        }
    }

    /// Sets a segment register.
    pub fn set_segment(&mut self, register: SegmentRegister, segment: Segment) {
        let [es, cs, ss, ds, fs, gs, ldtr, tr] = &mut self.segments;
        *match register {
            SegmentRegister::Es => es,
            SegmentRegister::Cs => cs,
            SegmentRegister::Ss => ss,
            SegmentRegister::Ds => ds,
            SegmentRegister::Fs => fs,
            SegmentRegister::Gs => gs,
            SegmentRegister::Ldtr => ldtr,
            SegmentRegister::Tr => tr,
        } = segment;
    }
}

/// Guest memory at linear addresses.
pub trait Memory {
    /// Why memory could not be accessed: the guest's paging refuses, for example.
    type Error;

    /// Reads a system structure, an implicit supervisor-mode access.
    ///
    /// # Errors
    ///
    /// Where a byte cannot be read.
    fn read(&mut self, linear: u32, data: &mut [u8]) -> Result<(), Self::Error>;

    /// Writes on behalf of `mode`.
    ///
    /// # Errors
    ///
    /// Where a byte cannot be written.
    fn write(&mut self, linear: u32, data: &[u8], mode: Mode) -> Result<(), Self::Error>;

    /// Further accesses are made in the new task: with these flags and, if it has one, with its CR3.
    ///
    /// # Errors
    ///
    /// Where CR3 points to PDPTEs that are not valid. It then stays as it is.
    fn enter(&mut self, eflags: Rflags, cr3: Option<u32>) -> Result<(), GeneralProtection>;
}

/// Why a switch stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault<E> {
    /// The guest gets this exception.
    Raise(Event),
    /// Memory could not be accessed.
    Memory(E),
}

impl<E> From<E> for Fault<E> {
    fn from(error: E) -> Self {
        Self::Memory(error)
    }
}

/// How far a switch that stops has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure<E> {
    /// The old task is still there: the registers have not changed.
    OldTask(Fault<E>),
    /// The registers are those of the new task. Segment registers that were not loaded any more hold
    /// their selectors and are of no use.
    NewTask(Fault<E>),
}

/// What is left to do after a switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// Nothing.
    Done,
    /// The debug trap flag of the new TSS is set: #DB, with BT in DR6.
    DebugTrap,
}

/// Does a task switch.
///
/// # Errors
///
/// See [`Failure`].
pub fn switch<M: Memory>(
    state: &mut State,
    memory: &mut M,
    request: &Request,
) -> Result<Outcome, Failure<M::Error>> {
    let mut switch = Switch {
        state,
        memory,
        request,
    };
    let (tss, image) = switch.leave_old().map_err(Failure::OldTask)?;
    switch.enter_new(&tss, &image).map_err(Failure::NewTask)?;
    Ok(if image.traps() {
        Outcome::DebugTrap
    } else {
        Outcome::Done
    })
}

/// A switch under way.
struct Switch<'a, M> {
    state: &'a mut State,
    memory: &'a mut M,
    request: &'a Request,
}

impl<M: Memory> Switch<'_, M> {
    /// L0 to L3 and LE, which do not outlive the task.
    const LOCAL_BREAKPOINTS: Dr7 = Dr7::new(0x155);
    /// The flags that exist.
    const LOADABLE_FLAGS: u64 = 0x003f_7fd5;
    /// CPL of user mode and of virtual-8086 mode.
    const USER: u8 = 3;

    /// The first half: the new TSS and what it holds.
    fn leave_old(&mut self) -> Result<(Descriptor, Image), Fault<M::Error>> {
        let source = self.request.source;
        let new = self.find_tss()?;
        let old = *self.state.segment(SegmentRegister::Tr);
        let old_width = Width::of(&old);
        let old_descriptor = self
            .read_global(Selector(old.selector))?
            .filter(|_| old.limit >= old_width.least_limit())
            .ok_or_else(|| self.exception(vector::INVALID_TSS, old.selector))?;

        let eflags = match source {
            Source::Iret => self.state.eflags.without(Rflags::NT),
            _ => self.state.eflags,
        };
        let saved = Image::of(self.state, self.request.next_eip, eflags);
        saved.save(self.memory, old.base as u32, old_width)?;

        let image = Image::read(self.memory, new.base(), Width::of(&new.segment))?;
        if source.nests() {
            let link = old.selector.to_le_bytes();
            self.memory.write(new.base(), &link, Mode::Implicit)?;
        } else {
            old_descriptor
                .with_kind(old_descriptor.segment.kind & !descriptor::BUSY)
                .write_kind(self.memory)?;
        }
        // IRET finds the flag set; it goes only if the task returns to itself.
        if source != Source::Iret {
            new.write_kind(self.memory)?;
        }
        Ok((new, image))
    }

    /// The new TSS's descriptor, busy.
    fn find_tss(&mut self) -> Result<Descriptor, Fault<M::Error>> {
        let selector = self.request.selector;
        let (wanted, vector) = match self.request.source {
            Source::Iret => (descriptor::BUSY, vector::INVALID_TSS),
            _ => (0, vector::GENERAL_PROTECTION),
        };
        let found = self
            .read_global(Selector(selector))?
            .filter(|found| {
                let kind = found.segment.kind;
                let available = kind & !(descriptor::BUSY | descriptor::WIDE);
                found.segment.s == 0
                    && available == descriptor::TSS
                    && kind & descriptor::BUSY == wanted
            })
            .ok_or_else(|| self.exception(vector, selector))?;
        if found.segment.present == 0 {
            return Err(self.exception(vector::SEGMENT_NOT_PRESENT, selector));
        }
        if found.segment.limit < Width::of(&found.segment).least_limit() {
            return Err(self.exception(vector::INVALID_TSS, selector));
        }
        Ok(found.with_kind(found.segment.kind | descriptor::BUSY))
    }

    /// The second half.
    fn enter_new(&mut self, tss: &Descriptor, image: &Image) -> Result<(), Fault<M::Error>> {
        let state = &mut *self.state;
        let mut eflags =
            Rflags::new(u64::from(image.eflags) & Self::LOADABLE_FLAGS).with(Rflags::FIXED);
        if self.request.source.nests() {
            eflags = eflags.with(Rflags::NT);
        }
        let virtual_8086 = eflags.contains(Rflags::VM);
        let cpl = if virtual_8086 {
            Self::USER
        } else {
            Selector(image.cs()).rpl()
        };
        state.set_segment(SegmentRegister::Tr, tss.segment);
        state.cr0 = state.cr0.with(Cr0::TS);
        state.dr7 = state.dr7.without(Self::LOCAL_BREAKPOINTS);
        state.eip = image.eip;
        state.eflags = eflags;
        state.gprs = image.gprs;
        state.set_segment(SegmentRegister::Ldtr, load::unusable(image.ldtr));
        for (register, selector) in image.segments() {
            let segment = if virtual_8086 {
                load::virtual_8086(selector)
            } else {
                load::unloaded(register, selector, cpl)
            };
            state.set_segment(register, segment);
        }
        let cr3 = image.cr3.filter(|_| state.cr0.contains(Cr0::PG));
        self.memory
            .enter(eflags, cr3)
            .map_err(|GeneralProtection| self.exception(vector::GENERAL_PROTECTION, 0))?;
        self.load_ldtr(image.ldtr)?;
        if !virtual_8086 {
            self.load_code(image.cs(), cpl)?;
            self.load_stack(image.ss(), cpl)?;
            for (register, selector) in image.data_segments() {
                self.load_data(register, selector, cpl)?;
            }
        }
        match self.request.error_code {
            Some(code) => self.push(code, Width::of(&tss.segment), cpl),
            None => Ok(()),
        }
    }

    /// Pushes an error code onto the new task's stack.
    fn push(&mut self, code: u32, width: Width, cpl: u8) -> Result<(), Fault<M::Error>> {
        let stack = *self.state.segment(SegmentRegister::Ss);
        let mask = if stack.db != 0 {
            u32::MAX
        } else {
            u32::from(u16::MAX)
        };
        let bytes = code.to_le_bytes();
        let bytes = bytes.get(..width.slot()).unwrap_or(&bytes);
        let [_, _, _, _, esp, ..] = &mut self.state.gprs;
        let top = esp.wrapping_sub(bytes.len() as u32) & mask;
        let pushed = *esp & !mask | top;
        if stack.unusable != 0 || !stack.covers(top.into(), bytes.len()) {
            return Err(self.exception(vector::STACK, 0));
        }
        let mode = if cpl == Self::USER {
            Mode::User
        } else {
            Mode::Supervisor
        };
        let linear = (stack.base as u32).wrapping_add(top);
        self.memory.write(linear, bytes, mode)?;
        *esp = pushed;
        Ok(())
    }

    /// An exception whose error code names a descriptor; 0 names none.
    fn exception(&self, vector: u8, selector: u16) -> Fault<M::Error> {
        const EXTERNAL: u32 = 1;
        let external = match self.request.origin {
            Origin::Program => 0,
            Origin::External => EXTERNAL,
        };
        let code = u32::from(Selector(selector).without_rpl()) | external;
        Fault::Raise(Event::exception(vector, Some(code)))
    }
}
