// SPDX-License-Identifier: GPL-2.0

//! Executes a decoded instruction on a [`Machine`].
//!
//! The machine may stop any access to memory, for a fault of the guest or because user space has
//! to answer first. Execution then starts over from the beginning of the instruction, or of the
//! iteration of a REP instruction, once the cause is gone. So the order is always: compute the
//! addresses, read, write, and only then change registers, flags and RIP; and the same state leads
//! to the same sequence of accesses.
//!
//! Source: Intel SDM volume 2, the "Operation" and "Flags affected" sections.

pub mod string;

mod alu;
mod operand;

use super::insn::{
    AddressSize, Alu, Bit, Gpr, Insn, Memory, Op, Operand, OperandSize, Segment, Xmm,
};
use super::regs::Rflags;
use operand::{effective_address, load, resolve, store, write_gpr, Place};

/// The size of an SSE register in bytes.
pub const XMM_SIZE: usize = OperandSize::Xmmword.bytes();

/// What an access does to memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessKind {
    /// It reads.
    Read,
    /// It writes.
    Write,
    /// It reads and then writes the same bytes; the right to write is needed from the start.
    Modify,
}

/// What an instruction acts on: the state of a vCPU and its memory.
pub trait Machine {
    /// Why an access could not be made.
    type Stop;

    /// All 64 bits of a general-purpose register.
    fn gpr(&mut self, register: Gpr) -> u64;
    /// Sets all 64 bits of a general-purpose register.
    fn set_gpr(&mut self, register: Gpr, value: u64);
    /// RIP of the instruction.
    fn rip(&mut self) -> u64;
    /// Sets RIP.
    fn set_rip(&mut self, rip: u64);
    /// RFLAGS.
    fn rflags(&mut self) -> u64;
    /// Sets RFLAGS.
    fn set_rflags(&mut self, rflags: u64);
    /// The width of the stack pointer: 64 bits in 64-bit code, otherwise by SS.B.
    fn stack_size(&mut self) -> AddressSize;
    /// Bytes of an SSE register.
    fn read_xmm(&mut self, register: Xmm) -> [u8; XMM_SIZE];
    /// Sets an SSE register.
    fn write_xmm(&mut self, register: Xmm, value: [u8; XMM_SIZE]);

    /// The linear address of an effective one, after the segment's checks for an access of `size`
    /// bytes.
    ///
    /// # Errors
    ///
    /// Where the access breaks the segment's rules.
    fn linear(
        &mut self,
        segment: Segment,
        effective: u64,
        size: usize,
        kind: AccessKind,
    ) -> Result<u64, Self::Stop>;

    /// Reads at most [`XMM_SIZE`] bytes.
    ///
    /// # Errors
    ///
    /// Where the guest's paging refuses, or the bytes are not there yet.
    fn read(&mut self, linear: u64, data: &mut [u8]) -> Result<(), Self::Stop>;

    /// Writes at most [`XMM_SIZE`] bytes.
    ///
    /// # Errors
    ///
    /// Where the guest's paging refuses, or the write is not taken yet.
    fn write(&mut self, linear: u64, data: &[u8]) -> Result<(), Self::Stop>;
}

/// How far the execution of an instruction came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// To its end: RIP is at the next instruction.
    Done,
    /// Through one iteration of a REP instruction; RIP stands still, others follow.
    Again,
    /// Nowhere: INS and OUTS are left to the caller, who has [`string`] to help.
    PortString,
}

/// Executes `insn`, or one iteration of it under REP.
///
/// The instruction's checks that a CPU makes before it accesses memory (LOCK, alignment of SSE
/// operands, CR0.TS and CR4.OSFXSR) are taken to have passed.
///
/// # Errors
///
/// What an access stopped with. Then nothing but memory has changed.
pub fn execute<M: Machine>(insn: &Insn, machine: &mut M) -> Result<Outcome, M::Stop> {
    match insn.op {
        Op::Mov => transfer(insn, machine, insn.size, |value| value)?,
        Op::MovZx(from) => transfer(insn, machine, from, |value| value)?,
        Op::MovSx(from) => transfer(insn, machine, from, |value| from.sign_extend(value))?,
        Op::Movbe => {
            let unused_bits = u64::BITS.saturating_sub(insn.size.bits());
            transfer(insn, machine, insn.size, |value| {
                value.swap_bytes() >> unused_bits
            })?;
        }
        Op::MovVector => move_vector(insn, machine)?,
        Op::Setcc(_) => arithmetic(insn, machine, AccessKind::Write)?,
        Op::Alu(Alu::Cmp) | Op::Test | Op::Bit(Bit::Test) => {
            arithmetic(insn, machine, AccessKind::Read)?;
        }
        Op::Alu(_)
        | Op::Not
        | Op::Neg
        | Op::Inc
        | Op::Dec
        | Op::Shift(_)
        | Op::Bit(Bit::Set | Bit::Reset | Bit::Complement) => {
            arithmetic(insn, machine, AccessKind::Modify)?;
        }
        Op::Xchg => exchange(insn, machine)?,
        Op::Xadd => exchange_and_add(insn, machine)?,
        Op::Cmpxchg => compare_and_exchange(insn, machine)?,
        Op::Push => push(insn, machine)?,
        Op::Pop => pop(insn, machine)?,
        Op::Movs | Op::Cmps | Op::Stos | Op::Lods | Op::Scas => {
            return string::execute(insn, machine);
        }
        Op::Ins | Op::Outs => return Ok(Outcome::PortString),
    }
    retire(insn, machine);
    Ok(Outcome::Done)
}

/// Moves RIP behind the instruction, and clears RF.
pub fn retire<M: Machine>(insn: &Insn, machine: &mut M) {
    let next = next_rip(insn, machine);
    machine.set_rip(next);
    let rflags = machine.rflags();
    if rflags & Rflags::RF.raw() != 0 {
        machine.set_rflags(rflags & !Rflags::RF.raw());
    }
}

fn next_rip<M: Machine>(insn: &Insn, machine: &mut M) -> u64 {
    let next = machine.rip().wrapping_add(u64::from(insn.length));
    next & insn.code_size.address_size().mask()
}

/// Destination = `convert`(source).
fn transfer<M: Machine>(
    insn: &Insn,
    machine: &mut M,
    from: OperandSize,
    convert: impl FnOnce(u64) -> u64,
) -> Result<(), M::Stop> {
    let src = resolve(insn, machine, insn.src, from, AccessKind::Read)?;
    let dst = resolve(insn, machine, insn.dst, insn.size, AccessKind::Write)?;
    let value = load(machine, src, from)?;
    store(machine, dst, insn.size, convert(value))
}

/// Destination and flags = operation(destination, source); `kind` is the access to the
/// destination.
fn arithmetic<M: Machine>(insn: &Insn, machine: &mut M, kind: AccessKind) -> Result<(), M::Stop> {
    let size = insn.size;
    let src = resolve(insn, machine, insn.src, size, AccessKind::Read)?;
    let b = load(machine, src, size)?;
    let dst = match (insn.op, insn.dst, insn.src) {
        (Op::Bit(_), Operand::Memory(memory), Operand::Gpr(_)) => {
            let memory = operand::bit_string_element(memory, size, b);
            resolve(insn, machine, Operand::Memory(memory), size, kind)?
        }
        _ => resolve(insn, machine, insn.dst, size, kind)?,
    };
    let a = match kind {
        AccessKind::Write => 0,
        AccessKind::Read | AccessKind::Modify => load(machine, dst, size)?,
    };
    let result = alu::compute(insn.op, size, a, b, machine.rflags());
    if kind != AccessKind::Read {
        store(machine, dst, size, result.value)?;
    }
    machine.set_rflags(result.rflags);
    Ok(())
}

fn exchange<M: Machine>(insn: &Insn, machine: &mut M) -> Result<(), M::Stop> {
    let src = resolve(insn, machine, insn.src, insn.size, AccessKind::Modify)?;
    let dst = resolve(insn, machine, insn.dst, insn.size, AccessKind::Modify)?;
    let a = load(machine, dst, insn.size)?;
    let b = load(machine, src, insn.size)?;
    store(machine, dst, insn.size, b)?;
    store(machine, src, insn.size, a)
}

fn exchange_and_add<M: Machine>(insn: &Insn, machine: &mut M) -> Result<(), M::Stop> {
    let src = resolve(insn, machine, insn.src, insn.size, AccessKind::Modify)?;
    let dst = resolve(insn, machine, insn.dst, insn.size, AccessKind::Modify)?;
    let a = load(machine, dst, insn.size)?;
    let b = load(machine, src, insn.size)?;
    let sum = alu::add(insn.size, a, b, machine.rflags());
    match dst {
        Place::Linear(_) => {
            store(machine, dst, insn.size, sum.value)?;
            store(machine, src, insn.size, a)?;
        }
        // The sum stays where both operands are the same register.
        _ => {
            store(machine, src, insn.size, a)?;
            store(machine, dst, insn.size, sum.value)?;
        }
    }
    machine.set_rflags(sum.rflags);
    Ok(())
}

fn compare_and_exchange<M: Machine>(insn: &Insn, machine: &mut M) -> Result<(), M::Stop> {
    let size = insn.size;
    let src = resolve(insn, machine, insn.src, size, AccessKind::Read)?;
    let dst = resolve(insn, machine, insn.dst, size, AccessKind::Modify)?;
    let old = load(machine, dst, size)?;
    let new = load(machine, src, size)?;
    let accumulator = load(machine, Place::Gpr(Gpr::RAX), size)?;
    let comparison = alu::subtract(size, accumulator, old, machine.rflags());
    if comparison.value == 0 {
        store(machine, dst, size, new)?;
    } else {
        // The CPU writes the destination in any case.
        if let Place::Linear(_) = dst {
            store(machine, dst, size, old)?;
        }
        store(machine, Place::Gpr(Gpr::RAX), size, old)?;
    }
    machine.set_rflags(comparison.rflags);
    Ok(())
}

fn push<M: Machine>(insn: &Insn, machine: &mut M) -> Result<(), M::Stop> {
    let size = insn.size;
    let src = resolve(insn, machine, insn.dst, size, AccessKind::Read)?;
    let width = machine.stack_size();
    let top = machine.gpr(Gpr::RSP).wrapping_sub(size.bytes() as u64) & width.mask();
    let slot = machine.linear(Segment::Ss, top, size.bytes(), AccessKind::Write)?;
    let value = load(machine, src, size)?;
    store(machine, Place::Linear(slot), size, value)?;
    write_gpr(machine, Gpr::RSP, width.register_size(), top);
    Ok(())
}

fn pop<M: Machine>(insn: &Insn, machine: &mut M) -> Result<(), M::Stop> {
    let size = insn.size;
    let width = machine.stack_size();
    let old_rsp = machine.gpr(Gpr::RSP);
    let top = old_rsp & width.mask();
    let slot = machine.linear(Segment::Ss, top, size.bytes(), AccessKind::Read)?;
    let value = load(machine, Place::Linear(slot), size)?;
    // The destination's address is computed from RSP as it is after the pop; a stop takes the
    // change back.
    let above = top.wrapping_add(size.bytes() as u64);
    write_gpr(machine, Gpr::RSP, width.register_size(), above);
    let stored = resolve(insn, machine, insn.dst, size, AccessKind::Write)
        .and_then(|dst| store(machine, dst, size, value));
    if stored.is_err() {
        machine.set_gpr(Gpr::RSP, old_rsp);
    }
    stored
}

fn move_vector<M: Machine>(insn: &Insn, machine: &mut M) -> Result<(), M::Stop> {
    let length = insn.size.bytes().min(XMM_SIZE);
    match (insn.dst, insn.src) {
        (Operand::Xmm(register), Operand::Memory(memory)) => {
            let linear = linear(insn, machine, memory, AccessKind::Read)?;
            let mut value = [0; XMM_SIZE];
            machine.read(linear, &mut value[..length])?;
            machine.write_xmm(register, value);
        }
        (Operand::Memory(memory), Operand::Xmm(register)) => {
            let linear = linear(insn, machine, memory, AccessKind::Write)?;
            let value = machine.read_xmm(register);
            machine.write(linear, &value[..length])?;
        }
        // The decoder makes no others.
        _ => {}
    }
    Ok(())
}

/// The linear address of a memory operand of the instruction's size.
fn linear<M: Machine>(
    insn: &Insn,
    machine: &mut M,
    memory: Memory,
    kind: AccessKind,
) -> Result<u64, M::Stop> {
    let effective = effective_address(insn, machine, memory);
    machine.linear(memory.segment, effective, insn.size.bytes(), kind)
}
