// SPDX-License-Identifier: GPL-2.0

//! System registers of AArch64: how an instruction, a syndrome and a VMM name them.
//!
//! Source: Arm ARM (DDI 0487), C5.1 "The System instruction class encoding space", D24.2.45 "ISS encoding
//! for an exception from MSR, MRS, or System instruction execution in AArch64 state".

pub mod cache;
pub mod kept;
pub mod name;
pub mod role;
pub mod trap;

use core::fmt;

/// The encoding of a system register or a system instruction. It orders as the manual lists them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SysReg(u16);

/// Where the parts of an encoding are; KVM_REG_ARM64_SYSREG has the same.
mod shift {
    pub(super) const OP0: u32 = 14;
    pub(super) const OP1: u32 = 11;
    pub(super) const CRN: u32 = 7;
    pub(super) const CRM: u32 = 3;
}

impl SysReg {
    /// From op0 (2 bits), op1 (3), CRn (4), CRm (4) and op2 (3), of which more bits are cut off.
    pub const fn new(op0: u16, op1: u16, crn: u16, crm: u16, op2: u16) -> Self {
        Self(
            (op0 & 3) << shift::OP0
                | (op1 & 7) << shift::OP1
                | (crn & 15) << shift::CRN
                | (crm & 15) << shift::CRM
                | op2 & 7,
        )
    }

    /// From the 16 bits that [`raw`](Self::raw) gives.
    pub const fn from_raw(raw: u16) -> Self {
        Self(raw)
    }

    /// op0, op1, CRn, CRm and op2 from the highest bit down, as in a register id of KVM.
    pub const fn raw(self) -> u16 {
        self.0
    }

    /// From the ISS of a trapped MSR, MRS or system instruction.
    pub const fn from_iss(iss: u32) -> Self {
        Self::new(
            (iss >> 20) as u16,
            (iss >> 14) as u16,
            (iss >> 10) as u16,
            (iss >> 1) as u16,
            (iss >> 17) as u16,
        )
    }

    /// op0: 2 and 3 are registers, 1 is instructions.
    pub const fn op0(self) -> u16 {
        self.0 >> shift::OP0
    }

    /// op1.
    pub const fn op1(self) -> u16 {
        self.0 >> shift::OP1 & 7
    }

    /// CRn.
    pub const fn crn(self) -> u16 {
        self.0 >> shift::CRN & 15
    }

    /// CRm.
    pub const fn crm(self) -> u16 {
        self.0 >> shift::CRM & 15
    }

    /// op2.
    pub const fn op2(self) -> u16 {
        self.0 & 7
    }
}

impl fmt::Debug for SysReg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "S{}_{}_C{}_C{}_{}",
            self.op0(),
            self.op1(),
            self.crn(),
            self.crm(),
            self.op2()
        )
    }
}
