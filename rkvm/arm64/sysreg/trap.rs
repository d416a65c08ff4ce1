// SPDX-License-Identifier: GPL-2.0

//! Accesses of a guest to system registers that trap.

use super::{
    kept::KeptRegs,
    name,
    role::{role, Bank, Kept, Ras, Role, TimerPart},
    SysReg,
};
use crate::arm64::{el1::El1Reg, id_regs::IdRegs, timer::Which, vgic::gic::sgi::Register};

/// What a guest does with a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// MRS.
    Read,
    /// MSR of a value, or a system instruction with an argument.
    Write(u64),
}

/// MSR, MRS or a system instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// The register, or the instruction.
    pub register: SysReg,
    /// What is done with it.
    pub operation: Operation,
}

/// What becomes of an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It is done. What a read has got, if it was one.
    Done(u64),
    /// There is no such register in this guest, or it cannot be read, or not be written.
    Undefined,
    /// There is no such identification register, which a guest with FEAT_IDST is told of as of a trap.
    NoIdentification,
    /// It is the processor's.
    El1(El1Reg),
    /// It is the timer's.
    Timer(Which, TimerPart),
    /// An interrupt for other processors, as the value says.
    Sgi(Register, u64),
    /// Whether the GIC is accessed by system registers; what is written is ignored.
    GicEnable,
    /// The interrupt with this number is deactivated.
    GicDeactivate(u64),
    /// It is done, and the guest has changed its debug registers.
    Debugging,
    /// Caches by set and way.
    SetWay,
}

/// Lowest bits of the fields of identification registers that decide over registers.
mod field {
    pub(super) const PFR0_RAS: u32 = 28;
    pub(super) const MMFR1_LO: u32 = 16;
    pub(super) const MMFR2_IDS: u32 = 36;
}

/// Carries out an access as far as no other part of the vCPU is concerned.
pub fn access(access: Access, ids: &IdRegs, kept: &mut KeptRegs) -> Effect {
    let Some(role) = role(access.register) else {
        let is_told = ids.field(name::ID_AA64MMFR2_EL1, field::MMFR2_IDS) != 0;
        return if is_told && may_identify(access.register) {
            Effect::NoIdentification
        } else {
            Effect::Undefined
        };
    };
    let exists = role.extension().is_none_or(|extension| ids.has(extension));
    match (role, access.operation) {
        _ if !exists => Effect::Undefined,
        (Role::El1(register), _) => Effect::El1(register),
        (Role::Timer(_, TimerPart::Counter | TimerPart::OrderedCounter), Operation::Write(_)) => {
            Effect::Undefined
        }
        (Role::Timer(timer, part), _) => Effect::Timer(timer, part),
        (Role::Identification, Operation::Read) => ids
            .get(access.register)
            .map_or(Effect::Undefined, Effect::Done),
        (Role::CacheSize, Operation::Read) => Effect::Done(u64::from(kept.selected_cache())),
        (Role::Kept(register), _) if is_of_aarch32(register) => Effect::Undefined,
        (Role::Kept(register), Operation::Read) => Effect::Done(kept.get(register)),
        (Role::Kept(register), Operation::Write(value)) => {
            match (kept.guest_write(register, value), register) {
                (Err(_), _) => Effect::Undefined,
                (Ok(()), Kept::Mdscr) => Effect::Debugging,
                (Ok(()), _) => Effect::Done(0),
            }
        }
        (Role::Debug(bank, number), operation) => debug(kept, bank, number, operation),
        (Role::OsLockAccess, Operation::Write(value)) => {
            kept.lock_os(value);
            Effect::Debugging
        }
        (Role::Zero, _) => Effect::Done(0),
        (Role::OrderingRegion, operation) => {
            let has = ids.field(name::ID_AA64MMFR1_EL1, field::MMFR1_LO) != 0;
            let writes_id = access.register == name::LORID_EL1 && operation != Operation::Read;
            zero_if(has && !writes_id)
        }
        (Role::ErrorRecord(version), _) => {
            let least = match version {
                Ras::V1 => 1,
                Ras::V1P1 => 2,
            };
            zero_if(ids.field(name::ID_AA64PFR0_EL1, field::PFR0_RAS) >= least)
        }
        (Role::SetWay, Operation::Write(_)) => Effect::SetWay,
        (Role::Sgi(sgi), Operation::Write(value)) => Effect::Sgi(sgi, value),
        (Role::GicEnable, _) => Effect::GicEnable,
        (Role::GicDeactivate, Operation::Write(value)) => Effect::GicDeactivate(value),
        (
            Role::Identification
            | Role::VectorLength
            | Role::Fpmr
            | Role::CacheSize
            | Role::OsLockAccess
            | Role::SetWay
            | Role::Sgi(_)
            | Role::GicDeactivate,
            _,
        ) => Effect::Undefined,
    }
}

/// Whether the encoding is of the space of identification registers (DDI 0487, D19.3.1).
fn may_identify(register: SysReg) -> bool {
    register.op0() == 3
        && matches!(register.op1(), 0 | 1 | 3)
        && register.crn() == 0
        && register.crm() < 8
}

/// Whether only a VMM can name the register: it would be AArch32's at EL1.
fn is_of_aarch32(register: Kept) -> bool {
    matches!(
        register,
        Kept::Dbgvcr32 | Kept::Dacr32 | Kept::Ifsr32 | Kept::Fpexc32
    )
}

fn debug(kept: &mut KeptRegs, bank: Bank, number: u8, operation: Operation) -> Effect {
    match operation {
        Operation::Read => Effect::Done(kept.debug.get(bank, number)),
        Operation::Write(value) => {
            kept.debug.set(bank, number, value);
            Effect::Debugging
        }
    }
}

fn zero_if(exists: bool) -> Effect {
    if exists {
        Effect::Done(0)
    } else {
        Effect::Undefined
    }
}
