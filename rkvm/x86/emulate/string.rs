// SPDX-License-Identifier: GPL-2.0

//! String instructions, and what INS and OUTS need from them.
//!
//! A caller that executes INS or OUTS asks [`iterations`] how many elements there are (none: it
//! calls [`retire`](super::retire)), moves some from or to the [`address`] on, and calls
//! [`advance`].

use super::{
    alu, load, resolve, retire, store, write_gpr, AccessKind, Gpr, Insn, Machine, Op, Operand,
    Outcome,
};
use crate::x86::insn::{Alu, Base, Memory, Repeat};
use crate::x86::regs::Rflags;

/// Which way the addresses of a string instruction go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// DF = 0.
    Up,
    /// DF = 1.
    Down,
}

/// The direction of string instructions.
pub fn direction<M: Machine>(machine: &mut M) -> Direction {
    if machine.rflags() & Rflags::DF.raw() == 0 {
        Direction::Up
    } else {
        Direction::Down
    }
}

/// How many iterations are left: one without REP, otherwise what rCX says, which can be none.
pub fn iterations<M: Machine>(insn: &Insn, machine: &mut M) -> u64 {
    match insn.repeat {
        Repeat::Once => 1,
        _ => machine.gpr(Gpr::RCX) & insn.address_size.mask(),
    }
}

/// The linear address of the next element of INS or OUTS; `None` for an instruction without a
/// memory operand.
///
/// # Errors
///
/// What [`Machine::linear`] stops with.
pub fn address<M: Machine>(insn: &Insn, machine: &mut M) -> Result<Option<u64>, M::Stop> {
    let (memory, kind) = match (insn.dst, insn.src) {
        (Operand::Memory(memory), _) => (memory, AccessKind::Write),
        (_, Operand::Memory(memory)) => (memory, AccessKind::Read),
        _ => return Ok(None),
    };
    super::linear(insn, machine, memory, kind).map(Some)
}

/// Whether the operand of INS or OUTS, which begins at `address`, is one piece of memory for `count` iterations
/// upwards: it lies within the segment, and the address register does not wrap.
pub fn is_contiguous<M: Machine>(insn: &Insn, machine: &mut M, address: u64, count: u64) -> bool {
    let (memory, kind) = match (insn.dst, insn.src) {
        (Operand::Memory(memory), _) => (memory, AccessKind::Write),
        (_, Operand::Memory(memory)) => (memory, AccessKind::Read),
        _ => return false,
    };
    let distance = count.wrapping_sub(1).wrapping_mul(insn.size.bytes() as u64);
    let last = Memory {
        displacement: memory.displacement.wrapping_add(distance as i64),
        ..memory
    };
    let last = super::linear(insn, machine, last, kind);
    last.is_ok_and(|last| last == address.wrapping_add(distance))
        && direction(machine) == Direction::Up
}

/// Accounts for `count` iterations, at most those that are left: moves rSI, rDI and rCX, and
/// behind the last one RIP.
pub fn advance<M: Machine>(insn: &Insn, machine: &mut M, count: u64) -> Outcome {
    let left = iterations(insn, machine).wrapping_sub(count);
    let distance = count.wrapping_mul(insn.size.bytes() as u64);
    let width = insn.address_size.register_size();
    let direction = direction(machine);
    for operand in [insn.dst, insn.src] {
        let Operand::Memory(memory) = operand else {
            continue;
        };
        let Base::Gpr(register) = memory.base else {
            continue;
        };
        let address = machine.gpr(register);
        let moved = match direction {
            Direction::Up => address.wrapping_add(distance),
            Direction::Down => address.wrapping_sub(distance),
        };
        write_gpr(machine, register, width, moved);
    }
    if insn.repeat != Repeat::Once {
        write_gpr(machine, Gpr::RCX, width, left);
    }
    if left == 0 {
        retire(insn, machine);
        Outcome::Done
    } else {
        Outcome::Again
    }
}

/// One iteration of MOVS, CMPS, STOS, LODS or SCAS.
pub(super) fn execute<M: Machine>(insn: &Insn, machine: &mut M) -> Result<Outcome, M::Stop> {
    if iterations(insn, machine) == 0 {
        retire(insn, machine);
        return Ok(Outcome::Done);
    }
    let size = insn.size;
    let compares = matches!(insn.op, Op::Cmps | Op::Scas);
    let kind = if compares {
        AccessKind::Read
    } else {
        AccessKind::Write
    };
    let src = resolve(insn, machine, insn.src, size, AccessKind::Read)?;
    let dst = resolve(insn, machine, insn.dst, size, kind)?;
    if !compares {
        let value = load(machine, src, size)?;
        store(machine, dst, size, value)?;
        return Ok(advance(insn, machine, 1));
    }
    let a = load(machine, dst, size)?;
    let b = load(machine, src, size)?;
    let result = alu::compute(Op::Alu(Alu::Cmp), size, a, b, machine.rflags());
    machine.set_rflags(result.rflags);
    let equal = result.rflags & Rflags::ZF.raw() != 0;
    let outcome = advance(insn, machine, 1);
    let ends = match insn.repeat {
        Repeat::Once => false,
        Repeat::WhileEqual => !equal,
        Repeat::WhileNotEqual => equal,
    };
    if ends && outcome == Outcome::Again {
        retire(insn, machine);
        return Ok(Outcome::Done);
    }
    Ok(outcome)
}
