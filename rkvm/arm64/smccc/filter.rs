// SPDX-License-Identifier: GPL-2.0

//! Which functions a VMM serves, or forbids: KVM_ARM_VM_SMCCC_FILTER.
//!
//! Source: Linux, Documentation/virt/kvm/devices/vm.rst, "KVM_ARM_VM_SMCCC_CTRL".

use kernel::prelude::*;

use crate::arm64::id_regs::Stage;

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is served here, if it is offered.
    Handle,
    /// The guest is told that there is no such function.
    Deny,
    /// It goes to the VMM.
    Forward,
}

impl Action {
    /// From the UAPI's number; `EINVAL` for others.
    pub fn from_raw(raw: u8) -> Result<Self> {
        match raw {
            0 => Ok(Self::Handle),
            1 => Ok(Self::Deny),
            2 => Ok(Self::Forward),
            _ => Err(EINVAL),
        }
    }
}

/// Functions with the same action.
#[derive(Clone, Copy, Debug)]
struct Range {
    first: u32,
    last: u32,
    action: Action,
}

/// Arm's architecture calls, of 32 and of 64 bits: a VMM cannot misrepresent the processor's faults there.
const RESERVED: [Range; 2] = [
    Range {
        first: 0x8000_0000,
        last: 0x8000_ffff,
        action: Action::Handle,
    },
    Range {
        first: 0xc000_0000,
        last: 0xc000_ffff,
        action: Action::Handle,
    },
];

/// The most ranges: they are gone through at each call of a guest.
pub const MAX_RANGES: usize = 512;

/// The filter of a VM. Without ranges every function is [`Action::Handle`].
pub struct Filter {
    ranges: KVec<Range>,
}

impl Filter {
    /// One that leaves every call.
    pub const fn new() -> Self {
        Self {
            ranges: KVec::new(),
        }
    }

    /// Adds `count` functions from `first` on. `EINVAL` for none, or for more than there are; `EEXIST` where one
    /// has an action, or can have no other; `EBUSY` once a vCPU has run; `ENOSPC` for more than [`MAX_RANGES`];
    /// `ENOMEM`.
    pub fn add(&mut self, first: u32, count: u32, action: Action, stage: Stage) -> Result {
        let further = count.checked_sub(1).ok_or(EINVAL)?;
        let last = first.checked_add(further).ok_or(EINVAL)?;
        if stage == Stage::Running {
            return Err(EBUSY);
        }
        let meets = |range: &Range| first <= range.last && range.first <= last;
        if RESERVED.iter().any(meets) || self.ranges.iter().any(meets) {
            return Err(EEXIST);
        }
        if self.ranges.len() >= MAX_RANGES {
            return Err(ENOSPC);
        }
        let added = Range {
            first,
            last,
            action,
        };
        self.ranges.push(added, GFP_KERNEL_ACCOUNT)?;
        Ok(())
    }

    /// What becomes of a function.
    pub fn action(&self, function: u32) -> Action {
        let holds = |range: &&Range| (range.first..=range.last).contains(&function);
        self.ranges
            .iter()
            .find(holds)
            .map_or(Action::Handle, |range| range.action)
    }
}
