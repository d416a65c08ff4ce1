// SPDX-License-Identifier: GPL-2.0

//! KVM_PRE_FAULT_MEMORY: maps guest memory before the guest touches it.

use crate::{
    host::{bindings as uapi, cpu},
    mmu::{entry::Access, Mmu},
    types::{Gfn, Gpa, PAGE_SIZE},
    uapi::UserAddress,
    x86::vcpu::Core,
};
use kernel::prelude::*;

/// Maps the range for reading, and writes back what of it is left. Success if any page was mapped.
///
/// `EINVAL` for flags, and for a range that is empty, wraps or is not of whole pages; `ENOENT` where no slot is,
/// `EFAULT` where the VMM has no memory, `EINTR` if the task has a signal, `ENOMEM`.
pub fn serve(core: &mut Core, argument: UserAddress) -> Result {
    let mut range = argument.read::<uapi::kvm_pre_fault_memory>()?;
    let result = pre_fault(core, &mut range);
    argument.write(&range)?;
    result
}

fn pre_fault(core: &mut Core, range: &mut uapi::kvm_pre_fault_memory) -> Result {
    let page = PAGE_SIZE as u64;
    let end = range.gpa.checked_add(range.size).ok_or(EINVAL)?;
    if range.flags != 0 || range.gpa % page != 0 || range.size % page != 0 || range.size == 0 {
        return Err(EINVAL);
    }
    let start = range.gpa;
    let vm = core.vm.clone();
    while range.gpa < end {
        let mapped = if cpu::signal_pending() {
            Err(EINTR)
        } else {
            map(core, vm.mmu(), Gpa::new(range.gpa).frame())
        };
        match mapped {
            Ok(next) => range.gpa = end.min(next.base().raw()),
            Err(error) if range.gpa == start => return Err(error),
            Err(_) => break,
        }
        range.size = end.saturating_sub(range.gpa);
        cpu::relax();
    }
    Ok(())
}

/// Maps the page of a frame for reading, as a fault would. The frame after what is mapped now.
fn map(core: &mut Core, mmu: &Mmu, gfn: Gfn) -> Result<Gfn> {
    let level = core.view.fault_level(mmu, gfn, Access::READ)?;
    let level = level.ok_or(ENOENT)?;
    let first = level.align_down(gfn);
    first.checked_add(level.pages()).ok_or(EINVAL)
}
