// SPDX-License-Identifier: GPL-2.0

//! Whether a vCPU executes instructions, and what it waits for if not.

/// What a vCPU does. Without a local APIC in the kernel it always runs, as far as the kernel knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activity {
    /// It runs.
    #[default]
    Running,
    /// An application processor that nobody has sent an INIT to yet.
    Uninitialized,
    /// It has got an INIT, and waits for a start-up IPI.
    WaitingForSipi,
    /// It has executed HLT, and waits for an interrupt.
    Halted,
}

/// The values of `struct kvm_mp_state` (include/uapi/linux/kvm.h).
mod mp_state {
    pub(super) const RUNNABLE: u32 = 0;
    pub(super) const UNINITIALIZED: u32 = 1;
    pub(super) const INIT_RECEIVED: u32 = 2;
    pub(super) const HALTED: u32 = 3;
    pub(super) const SIPI_RECEIVED: u32 = 4;
}

/// What KVM_SET_MP_STATE asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// This activity.
    Activity(Activity),
    /// The vCPU has got its start-up IPI and starts with the next KVM_RUN, at the vector of
    /// KVM_SET_VCPU_EVENTS.
    Start,
}

impl Activity {
    /// The number for KVM_GET_MP_STATE.
    pub const fn mp_state(self) -> u32 {
        match self {
            Self::Running => mp_state::RUNNABLE,
            Self::Uninitialized => mp_state::UNINITIALIZED,
            Self::WaitingForSipi => mp_state::INIT_RECEIVED,
            Self::Halted => mp_state::HALTED,
        }
    }
}

impl Wanted {
    /// From the number of KVM_SET_MP_STATE; `None` for one that x86 does not have.
    pub const fn from_mp_state(state: u32) -> Option<Self> {
        Some(match state {
            mp_state::RUNNABLE => Self::Activity(Activity::Running),
            mp_state::UNINITIALIZED => Self::Activity(Activity::Uninitialized),
            mp_state::INIT_RECEIVED => Self::Activity(Activity::WaitingForSipi),
            mp_state::HALTED => Self::Activity(Activity::Halted),
            mp_state::SIPI_RECEIVED => Self::Start,
            _ => return None,
        })
    }
}
