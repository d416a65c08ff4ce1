// SPDX-License-Identifier: GPL-2.0

//! KVM_GET_DEBUGREGS and KVM_SET_DEBUGREGS.

use crate::{
    host::bindings::kvm_debugregs,
    x86::{regs::rules, vcpu::Core},
};
use kernel::prelude::*;

/// KVM_GET_DEBUGREGS.
pub fn get(core: &mut Core) -> kvm_debugregs {
    kvm_debugregs {
        db: core.debug.address,
        dr6: core.debug.dr6().raw(),
        dr7: core.debug.dr7.raw(),
        ..kvm_debugregs::default()
    }
}

/// KVM_SET_DEBUGREGS. Bits that DR6 and DR7 do not have, or that are fixed, are as MOV leaves them.
/// `EINVAL` for any flag and for a DR6 or DR7 of more than 32 bits, with nothing changed.
pub fn set(core: &mut Core, state: &kvm_debugregs) -> Result {
    if state.flags != 0 {
        return Err(EINVAL);
    }
    let dr6 = rules::write_dr6(state.dr6).map_err(|_| EINVAL)?;
    let dr7 = rules::write_dr7(state.dr7).map_err(|_| EINVAL)?;
    let loaded = core.load();
    core.debug.address = state.db;
    core.debug.set_dr6(dr6);
    core.set_dr7(&loaded, dr7);
    Ok(())
}
