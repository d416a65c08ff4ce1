// SPDX-License-Identifier: GPL-2.0

//! Exceptions that this module has the guest take to EL1.
//!
//! Source: Arm ARM (DDI 0487), D1.3.5 "Exception entry", and the AArch64.TakeException() pseudocode.

use crate::arm64::{
    el1::{El1Access, El1Reg},
    exit::{Class, Syndrome},
    regs::{pstate, CoreRegs},
};

/// Which of the four entries of a vector table's quarter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A synchronous exception.
    Synchronous,
    /// An SError.
    SError,
}

/// Offsets in a vector table.
mod offset {
    pub(super) const FROM_SP_ELX: u64 = 0x200;
    pub(super) const FROM_LOWER_AARCH64: u64 = 0x400;
    pub(super) const FROM_LOWER_AARCH32: u64 = 0x600;
    pub(super) const SERROR: u64 = 0x180;
}

/// SCTLR_EL1.SPAN: taking an exception leaves PAN alone.
const SCTLR_SPAN: u64 = 1 << 23;
/// SCTLR2_EL1.EASE: synchronous external aborts use the vector of SErrors.
const SCTLR2_EASE: u64 = 1 << 5;
/// SCTLR_EL1.DSSBS: what SSBS is in an exception's handler.
const SCTLR_DSSBS: u64 = 1 << 44;

/// Bits of PSTATE that an exception leaves as they are: N, Z, C, V, DIT and PAN.
const KEPT: u64 = 0b1111 << 28 | 1 << 24 | PAN;
const PAN: u64 = 1 << 22;
const SSBS: u64 = 1 << 12;

/// FnV of an abort's syndrome: FAR_EL1 is not valid.
const ADDRESS_UNKNOWN: u64 = 1 << 10;

/// Exception classes that are injected.
mod class {
    pub(super) const UNKNOWN: u64 = 0x00;
    pub(super) const INSTRUCTION_ABORT_LOWER: u64 = 0x20;
    pub(super) const DATA_ABORT_LOWER: u64 = 0x24;
    pub(super) const SERROR: u64 = 0x2f;
    /// What a class of a lower level has added where the exception comes from EL1 itself.
    pub(super) const SAME_LEVEL: u64 = 1;
}

/// Fault status codes.
pub mod status {
    /// The address is wider than physical addresses, at level 0.
    pub const ADDRESS_SIZE: u64 = 0x00;
    /// A synchronous external abort, not on a table walk.
    pub const EXTERNAL: u64 = 0x10;
    /// An exclusive or atomic access to memory that has none.
    pub const EXCLUSIVE_OR_ATOMIC: u64 = 0x35;
    /// One on a walk, of a table of level 0.
    const EXTERNAL_ON_WALK: u64 = 0x14;

    /// A synchronous external abort on a walk, of a table of a level from -1 to 3.
    pub const fn external_on_walk(level: i8) -> u64 {
        EXTERNAL_ON_WALK.wrapping_add_signed(level as i64)
    }
}

/// What kind of access an abort is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aborted {
    /// An instruction fetch.
    Fetch,
    /// A load or store.
    Data,
}

impl Aborted {
    /// What stage 2 refused.
    pub fn of(syndrome: Syndrome) -> Self {
        match syndrome.class() {
            Class::InstructionAbort => Self::Fetch,
            _ => Self::Data,
        }
    }
}

/// Has the guest take an exception to EL1.
pub fn take(regs: &mut CoreRegs, el1: &mut impl El1Access, entry: Entry, syndrome: u64) {
    let old = regs.pstate;
    let from = match old & pstate::MODE {
        pstate::EL1H => offset::FROM_SP_ELX,
        pstate::EL1T => 0,
        mode if mode & pstate::AARCH32 != 0 => offset::FROM_LOWER_AARCH32,
        _ => offset::FROM_LOWER_AARCH64,
    };
    let kind = match entry {
        Entry::Synchronous => 0,
        Entry::SError => offset::SERROR,
    };
    let sctlr = el1.get(El1Reg::Sctlr);
    let mut new = old & KEPT | pstate::RESET;
    if sctlr & SCTLR_SPAN == 0 {
        new |= PAN;
    }
    if sctlr & SCTLR_DSSBS != 0 {
        new |= SSBS;
    }
    el1.set(El1Reg::Esr, syndrome);
    el1.set(El1Reg::Elr, regs.pc);
    el1.set(El1Reg::Spsr, old);
    regs.pc = el1.get(El1Reg::Vbar).wrapping_add(from + kind);
    regs.pstate = new;
}

/// The instruction is undefined.
pub fn undefined(regs: &mut CoreRegs, el1: &mut impl El1Access, cause: Syndrome) {
    let syndrome = class::UNKNOWN << Syndrome::CLASS_SHIFT | cause.raw() & Syndrome::IL;
    take(regs, el1, Entry::Synchronous, syndrome);
}

/// An SError with an ISS.
pub fn serror(regs: &mut CoreRegs, el1: &mut impl El1Access, iss: u64) {
    let syndrome = class::SERROR << Syndrome::CLASS_SHIFT | Syndrome::IL | iss;
    take(regs, el1, Entry::SError, syndrome);
}

/// What trapped here is a trap at EL1.
pub fn pass_on(regs: &mut CoreRegs, el1: &mut impl El1Access, syndrome: Syndrome) {
    take(regs, el1, Entry::Synchronous, syndrome.raw());
}

/// An access to `address`, a virtual one, fails with a fault status.
pub fn abort(
    regs: &mut CoreRegs,
    el1: &mut impl El1Access,
    aborted: Aborted,
    address: u64,
    status: u64,
    cause: Syndrome,
) {
    let mut class = match aborted {
        Aborted::Fetch => class::INSTRUCTION_ABORT_LOWER,
        Aborted::Data => class::DATA_ABORT_LOWER,
    };
    if matches!(regs.pstate & pstate::MODE, pstate::EL1H | pstate::EL1T) {
        class |= class::SAME_LEVEL;
    }
    el1.set(El1Reg::Far, address);
    let kept = cause.raw() & (Syndrome::IL | ADDRESS_UNKNOWN);
    let syndrome = class << Syndrome::CLASS_SHIFT | kept | status;
    let eased = status == status::EXTERNAL && el1.get(El1Reg::Sctlr2) & SCTLR2_EASE != 0;
    let entry = if eased {
        Entry::SError
    } else {
        Entry::Synchronous
    };
    take(regs, el1, entry, syndrome);
}
