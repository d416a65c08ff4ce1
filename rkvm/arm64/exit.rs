// SPDX-License-Identifier: GPL-2.0

//! The syndrome of an exception that left the guest: ESR_EL2.
//!
//! Source: Arm ARM (DDI 0487), D24.2.45 "ESR_EL2".

/// The exception class, ESR_EL2.EC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// An unknown reason: the instruction is undefined.
    Unknown,
    /// WFI, WFE and their forms with a time-out.
    Wait,
    /// The floating point unit is not the guest's at the moment.
    FloatingPoint,
    /// An instruction of pointer authentication.
    PointerAuthentication,
    /// HVC from AArch32 or AArch64.
    Hvc,
    /// SMC.
    Smc,
    /// MSR, MRS or a system instruction of AArch64.
    SystemRegister,
    /// SVE.
    Sve,
    /// SME.
    Sme,
    /// A memory copy or memory set, whose registers are of the other format than the processor's.
    MemoryCopy,
    /// A stage-2 fault of an instruction fetch.
    InstructionAbort,
    /// A stage-2 fault of a data access.
    DataAbort,
    /// A breakpoint, watchpoint, single step or breakpoint instruction, which the VMM debugs the guest by.
    Debug(DebugEvent),
    /// Any other, by its number.
    Other(u8),
}

/// An exception of the debug facilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DebugEvent {
    /// A hardware breakpoint.
    Breakpoint,
    /// A software step.
    Step,
    /// A watchpoint; FAR_EL2 has the address.
    Watchpoint,
    /// BRK or BKPT.
    Instruction,
}

/// ESR_EL2 and its like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Syndrome(u64);

impl Syndrome {
    /// Where EC begins.
    pub const CLASS_SHIFT: u32 = 26;
    /// IL: the instruction has 4 bytes.
    pub const IL: u64 = 1 << 25;
    /// Bits 24 to 0.
    pub const ISS: u64 = 0x1ff_ffff;

    /// From the register's value.
    pub const fn new(raw: u64) -> Self {
        Self(raw)
    }

    /// The register's value.
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// The number of the exception class.
    pub const fn class_number(self) -> u8 {
        (self.0 >> Self::CLASS_SHIFT & 0x3f) as u8
    }

    /// The exception class.
    pub const fn class(self) -> Class {
        match self.class_number() {
            0x00 => Class::Unknown,
            0x01 => Class::Wait,
            0x07 => Class::FloatingPoint,
            0x09 => Class::PointerAuthentication,
            0x12 | 0x16 => Class::Hvc,
            0x13 | 0x17 => Class::Smc,
            0x18 => Class::SystemRegister,
            0x19 => Class::Sve,
            0x1d => Class::Sme,
            0x20 => Class::InstructionAbort,
            0x24 => Class::DataAbort,
            0x27 => Class::MemoryCopy,
            0x30 => Class::Debug(DebugEvent::Breakpoint),
            0x32 => Class::Debug(DebugEvent::Step),
            0x34 => Class::Debug(DebugEvent::Watchpoint),
            0x38 | 0x3c => Class::Debug(DebugEvent::Instruction),
            other => Class::Other(other),
        }
    }

    /// What EC leaves to say: bits 24 to 0.
    pub const fn iss(self) -> u32 {
        (self.0 & Self::ISS) as u32
    }

    /// HVC and SMC: the immediate.
    pub const fn immediate(self) -> u16 {
        self.0 as u16
    }

    /// The bytes of the instruction.
    pub const fn instruction_bytes(self) -> u64 {
        if self.0 & Self::IL != 0 {
            4
        } else {
            2
        }
    }
}

kernel::bitfield! {
    /// The ISS of a data abort; an instruction abort has the lower ten bits of it.
    pub struct Abort(u32) {
        /// The fault status code.
        5:0 status;
        /// A write, or cache maintenance.
        6:6 write;
        /// Stage 2 refused the guest's own table walk.
        7:7 table_walk;
        /// A cache maintenance or address translation instruction.
        8:8 maintenance;
        /// FAR_EL2 is not valid.
        10:10 address_unknown;
        /// The access is a load-acquire or store-release.
        14:14 ordered;
        /// The register has 64 bits.
        15:15 wide;
        /// The register that is loaded or stored.
        20:16 register;
        /// The loaded value is extended by its sign.
        21:21 signed;
        /// log2 of the bytes.
        23:22 size;
        /// Bits 23 to 14 are valid.
        24:24 valid;
    }
}

impl Abort {
    /// What is true of an access that the syndrome does not describe: status, direction, and whether it is maintenance.
    pub const UNDESCRIBED: u32 = 0x3f | 1 << 6 | 1 << 8;
}

/// Why a stage refused an access, from the fault status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultStatus {
    /// The address is wider than the tables.
    AddressSize,
    /// Nothing is mapped.
    Translation,
    /// The mapping's access flag is clear.
    AccessFlag,
    /// The mapping does not allow it.
    Permission,
    /// The memory system reported an error.
    External,
    /// The TLB holds two translations for one address.
    TlbConflict,
    /// An exclusive or atomic access to memory that has none.
    ExclusiveOrAtomic,
    /// Anything else.
    Other(u8),
}

impl Abort {
    /// Why the access was refused.
    pub fn fault(self) -> FaultStatus {
        let code = self.status().get() as u8;
        match code {
            0x00..=0x03 => FaultStatus::AddressSize,
            0x04..=0x07 => FaultStatus::Translation,
            0x08..=0x0b => FaultStatus::AccessFlag,
            0x0c..=0x0f => FaultStatus::Permission,
            0x10 | 0x13..=0x17 => FaultStatus::External,
            // Levels -2 and -1, with FEAT_LPA2.
            0x29 | 0x2c => FaultStatus::AddressSize,
            0x2a | 0x2b => FaultStatus::Translation,
            0x30 => FaultStatus::TlbConflict,
            0x35 => FaultStatus::ExclusiveOrAtomic,
            other => FaultStatus::Other(other),
        }
    }
}

kernel::bitfield! {
    /// The ISS of WFI and WFE.
    pub struct WaitIss(u32) {
        /// WFE; else WFI.
        0:0 for_event;
        /// With a time-out.
        1:1 timed;
        /// The register's number is valid.
        2:2 register_valid;
        /// The register with the time-out, a value of CNTVCT_EL0.
        9:5 register;
    }
}
