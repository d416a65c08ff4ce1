// SPDX-License-Identifier: GPL-2.0

//! Registers that go along with KVM_RUN in `kvm_run.s.regs`, instead of by ioctls of their own.

use super::{events, get_regs, set_regs, sregs};
use crate::{
    host::bindings::{KVM_SYNC_X86_EVENTS, KVM_SYNC_X86_REGS, KVM_SYNC_X86_SREGS},
    run_page::{member, RunPage},
    x86::{run_state::SyncRequest, vcpu::Vcpu},
};
use kernel::prelude::*;

const REGS: u64 = KVM_SYNC_X86_REGS as u64;
const SREGS: u64 = KVM_SYNC_X86_SREGS as u64;
const EVENTS: u64 = KVM_SYNC_X86_EVENTS as u64;

/// KVM_CAP_SYNC_REGS: the sets of registers that can go along.
pub const SETS: u64 = REGS | SREGS | EVENTS;

/// Before KVM_RUN: takes what the VMM has changed. `EINVAL` for unknown sets, and for what the ioctls refuse; the sets
/// before it are taken then.
pub fn take(vcpu: &mut Vcpu, page: &RunPage) -> Result {
    let request = SyncRequest::of(page);
    if (request.valid | request.dirty) & !SETS != 0 {
        return Err(EINVAL);
    }
    if request.dirty == 0 {
        return Ok(());
    }
    let core = &mut vcpu.core;
    let mut left = request.dirty;
    if request.dirty & REGS != 0 {
        set_regs(core, &page.get(member!(s.regs.regs)));
        left &= !REGS;
        page.set_dirty_registers(left);
    }
    if request.dirty & SREGS != 0 {
        let sregs = page.get(member!(s.regs.sregs));
        sregs::set(core, &sregs)?;
        left &= !SREGS;
        page.set_dirty_registers(left);
    }
    if request.dirty & EVENTS != 0 {
        let state = page.get(member!(s.regs.events));
        events::set(core, &state)?;
        page.set_dirty_registers(0);
    }
    Ok(())
}

/// After KVM_RUN: gives what the VMM wants to see. Sets that do not exist are passed over.
pub fn give(vcpu: &mut Vcpu, page: &RunPage) {
    let valid = SyncRequest::of(page).valid;
    if valid == 0 {
        return;
    }
    let core = &mut vcpu.core;
    if valid & REGS != 0 {
        page.set(member!(s.regs.regs), get_regs(core));
    }
    if valid & SREGS != 0 {
        page.set(member!(s.regs.sregs), sregs::get(core));
    }
    if valid & EVENTS != 0 {
        page.set(member!(s.regs.events), events::get(core));
    }
}
