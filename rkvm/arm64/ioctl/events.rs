// SPDX-License-Identifier: GPL-2.0

//! KVM_GET_VCPU_EVENTS and KVM_SET_VCPU_EVENTS: errors that are to reach the guest.
//!
//! Source: Linux, Documentation/virt/kvm/api.rst, "KVM_GET_VCPU_EVENTS".

use crate::{
    arm64::{
        device_access::Pending,
        exception::{self, status, Aborted},
        exit::Syndrome,
        regs::pstate,
        serror::ISS_OWN,
        traps::hcr,
        vcpu::Core,
    },
    host::bindings as uapi,
};
use kernel::prelude::*;

/// The syndrome of an SError: bits 24 to 0.
const ISS: u64 = 0x1ff_ffff;

/// KVM_GET_VCPU_EVENTS.
pub fn get(core: &Core) -> uapi::kvm_vcpu_events {
    let mut events = uapi::kvm_vcpu_events::default();
    let pending = core.hcr & hcr::VSE != 0;
    let has_syndrome = core.host_ids().has_ras();
    events.exception.serror_pending = pending.into();
    events.exception.serror_has_esr = has_syndrome.into();
    if pending && has_syndrome {
        events.exception.serror_esr = core.serror;
    }
    events
}

/// KVM_SET_VCPU_EVENTS. An SError that the guest does not mask is taken at once. `EINVAL` for bytes that are reserved, for a syndrome where the processor has none, and for one
/// with more than its 25 bits.
pub fn set(core: &mut Core, events: &uapi::kvm_vcpu_events) -> Result {
    let exception = &events.exception;
    let reserved = events.reserved.iter().any(|word| *word != 0)
        || exception.pad.iter().any(|byte| *byte != 0);
    if reserved {
        return Err(EINVAL);
    }
    if exception.ext_dabt_pending != 0 {
        abort(core);
    }
    if exception.serror_pending == 0 {
        return Ok(());
    }
    let syndrome = match exception.serror_has_esr {
        0 => ISS_OWN,
        _ if !core.host_ids().has_ras() || exception.serror_esr & !ISS != 0 => return Err(EINVAL),
        _ => exception.serror_esr,
    };
    if core.regs.pstate & pstate::A == 0 {
        core.pending = Pending::None;
        exception::serror(&mut core.regs, &mut core.el1, syndrome);
    } else {
        core.serror = syndrome;
        core.hcr |= hcr::VSE;
    }
    Ok(())
}

/// The access that KVM_RUN has returned for fails: the guest takes an abort, and the instruction is not done.
fn abort(core: &mut Core) {
    core.pending = Pending::None;
    exception::abort(
        &mut core.regs,
        &mut core.el1,
        Aborted::Data,
        core.fault_address,
        status::EXTERNAL,
        Syndrome::new(Syndrome::IL),
    );
}
