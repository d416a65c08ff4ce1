// SPDX-License-Identifier: GPL-2.0

//! Power of a VM's processors: PSCI 0.1 to 1.3.
//!
//! Source: Arm, "Power State Coordination Interface" (DEN0022), 5 "PSCI functions"; Linux,
//! Documentation/virt/kvm/arm/fw-pseudo-registers.rst; include/uapi/linux/psci.h and
//! arch/arm64/include/uapi/asm/kvm.h for version 0.1, which is KVM's own.

use super::smccc::{Call, NOT_SUPPORTED, SUCCESS};

/// A version of PSCI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// KVM's own, before Arm gave functions numbers.
    V0_1,
    /// 0.2.
    V0_2,
    /// 1.0.
    V1_0,
    /// 1.1, with SYSTEM_RESET2.
    V1_1,
    /// 1.2.
    V1_2,
    /// 1.3, with SYSTEM_OFF2.
    V1_3,
}

impl Version {
    /// What a guest sees whose VMM says nothing.
    pub const LATEST: Self = Self::V1_3;

    /// The major version in bits 31 to 16 and the minor one below.
    pub const fn raw(self) -> u64 {
        match self {
            Self::V0_1 => 0x0_0001,
            Self::V0_2 => 0x0_0002,
            Self::V1_0 => 0x1_0000,
            Self::V1_1 => 0x1_0001,
            Self::V1_2 => 0x1_0002,
            Self::V1_3 => 0x1_0003,
        }
    }

    /// The version with these numbers, if there is one.
    pub fn from_raw(raw: u64) -> Option<Self> {
        [
            Self::V0_1,
            Self::V0_2,
            Self::V1_0,
            Self::V1_1,
            Self::V1_2,
            Self::V1_3,
        ]
        .into_iter()
        .find(|version| version.raw() == raw)
    }
}

/// Function identifiers. Those of 64 bits have [`WIDE`](function::WIDE) set.
mod function {
    /// Arguments have 64 bits.
    pub(super) const WIDE: u32 = 1 << 30;

    pub(super) const VERSION: u32 = 0x8400_0000;
    pub(super) const CPU_SUSPEND: u32 = 0x8400_0001;
    pub(super) const CPU_OFF: u32 = 0x8400_0002;
    pub(super) const CPU_ON: u32 = 0x8400_0003;
    pub(super) const AFFINITY_INFO: u32 = 0x8400_0004;
    pub(super) const MIGRATE_INFO_TYPE: u32 = 0x8400_0006;
    pub(super) const SYSTEM_OFF: u32 = 0x8400_0008;
    pub(super) const SYSTEM_RESET: u32 = 0x8400_0009;
    pub(super) const FEATURES: u32 = 0x8400_000a;
    pub(super) const SYSTEM_SUSPEND: u32 = 0x8400_000e;
    pub(super) const SYSTEM_RESET2: u32 = 0x8400_0012;
    pub(super) const SYSTEM_OFF2: u32 = 0x8400_0015;
    pub(super) const SMCCC_VERSION: u32 = 0x8000_0000;

    pub(super) const CPU_SUSPEND_64: u32 = CPU_SUSPEND | WIDE;
    pub(super) const CPU_ON_64: u32 = CPU_ON | WIDE;
    pub(super) const AFFINITY_INFO_64: u32 = AFFINITY_INFO | WIDE;
    pub(super) const SYSTEM_SUSPEND_64: u32 = SYSTEM_SUSPEND | WIDE;
    pub(super) const SYSTEM_RESET2_64: u32 = SYSTEM_RESET2 | WIDE;
    pub(super) const SYSTEM_OFF2_64: u32 = SYSTEM_OFF2 | WIDE;

    /// KVM's own, of version 0.1.
    pub(super) const V0_1_BASE: u32 = 0x95c1_ba5e;
    pub(super) const V0_1_CPU_OFF: u32 = V0_1_BASE + 1;
    pub(super) const V0_1_CPU_ON: u32 = V0_1_BASE + 2;
    pub(super) const V0_1_LAST: u32 = V0_1_BASE + 3;
}

/// The numbers that PSCI has: function 0 to 0x1f of the standard services, of 32 and 64 bits.
const NUMBERS: u32 = 0x1f;
/// The owner of a function, and the standard services as one.
const OWNER: u32 = 0x3f << 24;
const STANDARD_SERVICES: u32 = 4 << 24;
/// The number of a function.
const NUMBER: u32 = 0xffff;

/// Whether a function is one of PSCI's, of whichever version.
pub const fn is_function(function: u32) -> bool {
    let standard = function & OWNER == STANDARD_SERVICES && function & NUMBER <= NUMBERS;
    standard || function >= function::V0_1_BASE && function <= function::V0_1_LAST
}

/// What a function returns.
mod returned {
    pub(super) const INVALID_PARAMETERS: u64 = -2i64 as u64;
    pub(super) const ALREADY_ON: u64 = -4i64 as u64;
    pub(super) const INTERNAL_FAILURE: u64 = -6i64 as u64;
    /// AFFINITY_INFO: one of the processors is on; all are off.
    pub(super) const ON: u64 = 0;
    pub(super) const OFF: u64 = 1;
    /// MIGRATE_INFO_TYPE: there is no trusted operating system that would have to move.
    pub(super) const NO_MIGRATION: u64 = 2;
}

/// SYSTEM_OFF2: hibernate. It is also how PSCI_FEATURES says that there is.
const HIBERNATE_OFF: u64 = 1;
/// SYSTEM_RESET2: a warm reset, and from here on what vendors make of it.
const WARM_RESET: u32 = 0;
const VENDOR_RESETS: u32 = 1 << 31;

/// The bits of MPIDR_EL1 that name a processor: Aff3, and Aff2 to Aff0.
pub const AFFINITY: u64 = 0xff_00ff_ffff;
/// Affinity levels, and the bits of each.
const LEVELS: u64 = 4;
const LEVEL_BITS: u64 = 8;

/// MPIDR_EL1 of the vCPU with an id: 16 share Aff1, as a GICv3's SGIs can reach 16 at once.
pub const fn mpidr(vcpu: u32) -> u64 {
    const RES1: u64 = 1 << 31;
    let id = vcpu as u64;
    RES1 | id & 0xf | (id >> 4 & 0xff) << 8 | (id >> 12 & 0xff) << 16
}

/// Where a processor that is turned on begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The address of its first instruction.
    pub address: u64,
    /// X0.
    pub context: u64,
}

/// What came of turning a processor on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnedOn {
    /// It runs from the entry on.
    Now,
    /// It was on.
    Already,
    /// There is none of that name.
    Unknown,
}

/// Power of some of a VM's processors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// One is on.
    On,
    /// All are off.
    Off,
    /// There is none.
    Unknown,
}

/// The processors of a VM.
pub trait Processors {
    /// Turns on the one whose MPIDR_EL1 has this affinity.
    fn turn_on(&self, affinity: u64, entry: Entry) -> TurnedOn;

    /// The power of those whose affinity has the bits of `mask` in common with `affinity`.
    fn power(&self, affinity: u64, mask: u64) -> Power;
}

/// What a VMM has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SystemEvent {
    /// Turn the VM off.
    Off,
    /// Turn it off and keep what is on disk of its memory.
    Hibernate,
    /// Reset it.
    Reset,
    /// Reset it in the guest's way.
    WarmReset,
    /// Suspend it: KVM_SYSTEM_EVENT_SUSPEND. The guest's registers are as at the call.
    Suspend,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The guest goes on with this in X0; X1 to X3 are 0.
    Return(u64),
    /// It waits for an interrupt, and then goes on with this in X0.
    Wait(u64),
    /// This processor is off. X0 is this, should the VMM turn it on without a reset.
    Off(u64),
    /// The VMM acts, while all processors are off. X0 is this, should it let the guest go on.
    Event(SystemEvent, u64),
    /// The VMM acts; nothing has changed.
    SuspendEvent,
}

/// Whether a VMM lets guests suspend the VM (KVM_CAP_ARM_SYSTEM_SUSPEND).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SystemSuspend {
    /// It does.
    Offered,
    /// There is no such function.
    Absent,
}

/// The answer to a call that only asks what there is; `None` for others.
pub fn inquire(version: Version, suspend: SystemSuspend, call: &Call) -> Option<u64> {
    let [asked, ..] = call.arguments;
    match call.function {
        function::VERSION if version >= Version::V0_2 => Some(version.raw()),
        function::FEATURES if version >= Version::V1_0 => {
            Some(features(version, suspend, asked as u32))
        }
        _ => None,
    }
}

/// A call of a 64-bit guest.
pub fn call(
    version: Version,
    suspend: SystemSuspend,
    call: Call,
    processors: &impl Processors,
) -> Outcome {
    if let Some(answer) = inquire(version, suspend, &call) {
        return Outcome::Return(answer);
    }
    if version == Version::V0_1 {
        return match call.function {
            function::V0_1_CPU_OFF => Outcome::Off(SUCCESS),
            function::V0_1_CPU_ON => Outcome::Return(match turn_on(&call, processors) {
                returned::ALREADY_ON => returned::INVALID_PARAMETERS,
                other => other,
            }),
            _ => Outcome::Return(NOT_SUPPORTED),
        };
    }
    if version >= Version::V1_0 {
        if let Some(outcome) = call_1_0(version, suspend, &call) {
            return outcome;
        }
    }
    let narrow = Call {
        arguments: call
            .arguments
            .map(|argument| argument & u64::from(u32::MAX)),
        ..call
    };
    match call.function {
        // A power-down state is allowed to be shallow: it is a wait, and keeps all registers.
        function::CPU_SUSPEND | function::CPU_SUSPEND_64 => Outcome::Wait(SUCCESS),
        function::CPU_OFF => Outcome::Off(SUCCESS),
        function::CPU_ON => Outcome::Return(turn_on(&narrow, processors)),
        function::CPU_ON_64 => Outcome::Return(turn_on(&call, processors)),
        function::AFFINITY_INFO => Outcome::Return(affinity_info(&narrow, processors)),
        function::AFFINITY_INFO_64 => Outcome::Return(affinity_info(&call, processors)),
        function::MIGRATE_INFO_TYPE => Outcome::Return(returned::NO_MIGRATION),
        function::SYSTEM_OFF => Outcome::Event(SystemEvent::Off, returned::INTERNAL_FAILURE),
        function::SYSTEM_RESET => Outcome::Event(SystemEvent::Reset, returned::INTERNAL_FAILURE),
        _ => Outcome::Return(NOT_SUPPORTED),
    }
}

/// The functions that version 1.0 and later have added; `None` for others.
fn call_1_0(version: Version, suspend: SystemSuspend, call: &Call) -> Option<Outcome> {
    let [first, second, _] = call.arguments;
    let outcome = match call.function {
        function::SYSTEM_SUSPEND | function::SYSTEM_SUSPEND_64 => match suspend {
            SystemSuspend::Offered => Outcome::SuspendEvent,
            SystemSuspend::Absent => Outcome::Return(NOT_SUPPORTED),
        },
        function::SYSTEM_RESET2 | function::SYSTEM_RESET2_64 if version >= Version::V1_1 => {
            match first as u32 {
                WARM_RESET | VENDOR_RESETS.. => {
                    Outcome::Event(SystemEvent::WarmReset, returned::INTERNAL_FAILURE)
                }
                _ => Outcome::Return(returned::INVALID_PARAMETERS),
            }
        }
        function::SYSTEM_OFF2 | function::SYSTEM_OFF2_64 if version >= Version::V1_3 => {
            let second = match call.function & function::WIDE {
                0 => u64::from(second as u32),
                _ => second,
            };
            match (u64::from(first as u32), second) {
                (0 | HIBERNATE_OFF, 0) => {
                    Outcome::Event(SystemEvent::Hibernate, returned::INTERNAL_FAILURE)
                }
                _ => Outcome::Return(returned::INVALID_PARAMETERS),
            }
        }
        _ => return None,
    };
    Some(outcome)
}

/// PSCI_FEATURES.
fn features(version: Version, suspend: SystemSuspend, asked: u32) -> u64 {
    match asked {
        function::VERSION
        | function::CPU_SUSPEND
        | function::CPU_SUSPEND_64
        | function::CPU_OFF
        | function::CPU_ON
        | function::CPU_ON_64
        | function::AFFINITY_INFO
        | function::AFFINITY_INFO_64
        | function::MIGRATE_INFO_TYPE
        | function::SYSTEM_OFF
        | function::SYSTEM_RESET
        | function::FEATURES
        | function::SMCCC_VERSION => SUCCESS,
        function::SYSTEM_SUSPEND | function::SYSTEM_SUSPEND_64
            if suspend == SystemSuspend::Offered =>
        {
            SUCCESS
        }
        function::SYSTEM_RESET2 | function::SYSTEM_RESET2_64 if version >= Version::V1_1 => SUCCESS,
        function::SYSTEM_OFF2 | function::SYSTEM_OFF2_64 if version >= Version::V1_3 => {
            HIBERNATE_OFF
        }
        _ => NOT_SUPPORTED,
    }
}

/// CPU_ON.
fn turn_on(call: &Call, processors: &impl Processors) -> u64 {
    let [affinity, address, context] = call.arguments;
    if affinity & !AFFINITY != 0 {
        return returned::INVALID_PARAMETERS;
    }
    match processors.turn_on(affinity, Entry { address, context }) {
        TurnedOn::Now => SUCCESS,
        TurnedOn::Already => returned::ALREADY_ON,
        TurnedOn::Unknown => returned::INVALID_PARAMETERS,
    }
}

/// AFFINITY_INFO: the power of all processors that agree with an affinity from a level upwards.
fn affinity_info(call: &Call, processors: &impl Processors) -> u64 {
    let [affinity, lowest_level, _] = call.arguments;
    if affinity & !AFFINITY != 0 || lowest_level >= LEVELS {
        return returned::INVALID_PARAMETERS;
    }
    // Level 3 is not beside level 2: bits 24 to 31 are not of the affinity.
    let mask = AFFINITY & (u64::MAX << (lowest_level * LEVEL_BITS));
    match processors.power(affinity & mask, mask) {
        Power::On => returned::ON,
        Power::Off => returned::OFF,
        Power::Unknown => returned::INVALID_PARAMETERS,
    }
}
