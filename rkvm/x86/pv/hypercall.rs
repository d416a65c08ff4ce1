// SPDX-License-Identifier: GPL-2.0

//! Hypercalls: what VMCALL asks for (Documentation/virt/kvm/x86/hypercalls.rst).

/// An error, which a guest gets negated in RAX.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// KVM_ENOSYS: there is no such hypercall.
    NotImplemented,
    /// KVM_EPERM: hypercalls are for the guest's kernel.
    NotPermitted,
    /// KVM_EINVAL: an argument is not allowed.
    Invalid,
    /// KVM_EFAULT: an address has no memory.
    Fault,
    /// KVM_EOPNOTSUPP: not with these arguments, or not here.
    NotSupported,
}

impl Error {
    const fn number(self) -> i64 {
        match self {
            Self::NotImplemented => 1000,
            Self::NotPermitted => 1,
            Self::Invalid => 22,
            Self::Fault => 14,
            Self::NotSupported => 95,
        }
    }
}

/// What a hypercall returns.
pub type Answer = Result<u32, Error>;

/// How wide a caller's registers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// 64-bit code.
    Bits64,
    /// Any other.
    Bits32,
}

impl Width {
    /// What the caller sees of a register.
    pub const fn truncate(self, value: u64) -> u64 {
        match self {
            Self::Bits64 => value,
            Self::Bits32 => value & u32::MAX as u64,
        }
    }

    /// RAX after a hypercall.
    pub const fn result(self, answer: Answer) -> u64 {
        let value = match answer {
            Ok(value) => value as i64,
            Err(error) => -error.number(),
        };
        self.truncate(value as u64)
    }

    const fn bits(self) -> u32 {
        match self {
            Self::Bits64 => u64::BITS,
            Self::Bits32 => u32::BITS,
        }
    }
}

/// The registers of a caller: RAX, RBX, RCX, RDX and RSI.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arguments {
    /// The hypercall's number.
    pub number: u64,
    /// Its arguments.
    pub values: [u64; 4],
}

/// What a guest asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hypercall {
    /// KVM_HC_VAPIC_POLL_IRQ: leaving the guest is all.
    PollInterrupts,
    /// KVM_HC_KICK_CPU: wakes the vCPU with this APIC id from HLT.
    Kick(u32),
    /// KVM_HC_CLOCK_PAIRING: writes wall clock and TSC of one moment to this address. The clock is the second
    /// argument.
    ClockPairing {
        /// Guest physical address of `struct kvm_clock_pairing`.
        address: u64,
        /// The clock: 0 is the only one.
        clock: u64,
    },
    /// KVM_HC_SEND_IPI.
    SendIpi(Ipi),
    /// KVM_HC_SCHED_YIELD: the vCPU with this APIC id has something to do that the caller waits for.
    Yield(u32),
}

/// An interrupt to several vCPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipi {
    targets: u128,
    first: u32,
    /// The low half of an interrupt command register, with no shorthand.
    pub command: u32,
}

impl Ipi {
    /// Whether it goes to the vCPU with this APIC id.
    pub fn is_for(&self, apic_id: u32) -> bool {
        apic_id
            .checked_sub(self.first)
            .filter(|bit| *bit < u128::BITS)
            .is_some_and(|bit| self.targets >> bit & 1 != 0)
    }
}

mod number {
    pub(super) const VAPIC_POLL_IRQ: u64 = 1;
    pub(super) const KICK_CPU: u64 = 5;
    pub(super) const CLOCK_PAIRING: u64 = 9;
    pub(super) const SEND_IPI: u64 = 10;
    pub(super) const SCHED_YIELD: u64 = 11;
}

impl Hypercall {
    /// What a caller asks for by its registers, of which it sees `width`.
    ///
    /// # Errors
    /// [`Error::NotImplemented`] for an unknown number, [`Error::Invalid`] for an interrupt command with a
    /// shorthand or a destination.
    pub fn decode(arguments: &Arguments, width: Width) -> Result<Self, Error> {
        let [first, second, third, fourth] = arguments.values.map(|value| width.truncate(value));
        match width.truncate(arguments.number) {
            number::VAPIC_POLL_IRQ => Ok(Self::PollInterrupts),
            number::KICK_CPU => Ok(Self::Kick(second as u32)),
            number::CLOCK_PAIRING => Ok(Self::ClockPairing {
                address: first,
                clock: second,
            }),
            number::SEND_IPI => {
                /// Destination shorthand (SDM volume 3, section 12.6.1).
                const SHORTHAND: u64 = 3 << 18;
                /// The destination of an xAPIC, which lies in the other half.
                const DESTINATION: u64 = 0xff << 24;
                if fourth & (SHORTHAND | DESTINATION) != 0 {
                    return Err(Error::Invalid);
                }
                Ok(Self::SendIpi(Ipi {
                    targets: u128::from(first) | u128::from(second) << width.bits(),
                    first: third as u32,
                    command: fourth as u32,
                }))
            }
            number::SCHED_YIELD => Ok(Self::Yield(first as u32)),
            _ => Err(Error::NotImplemented),
        }
    }
}
