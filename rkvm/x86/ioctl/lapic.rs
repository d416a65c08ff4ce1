// SPDX-License-Identifier: GPL-2.0

//! KVM_GET_LAPIC, KVM_SET_LAPIC, KVM_SET_VAPIC_ADDR, KVM_GET_MP_STATE and KVM_SET_MP_STATE.

use crate::{
    host::bindings::kvm_mp_state,
    x86::{
        activity::{Activity, Wanted},
        lapic::STATE_BYTES,
        vcpu::Core,
    },
};
use kernel::prelude::*;

/// KVM_GET_LAPIC. `EINVAL` where the local APIC is the VMM's.
pub fn get(core: &mut Core) -> Result<[u8; STATE_BYTES]> {
    take_news(core);
    let clock = core.clock();
    let apic = core.apic.as_mut().ok_or(EINVAL)?;
    let format = apic.interrupts.settings().id_format();
    Ok(apic.lapic().save(format, &clock))
}

/// KVM_SET_LAPIC. `EINVAL` where the local APIC is the VMM's, and for an id that is not this vCPU's.
pub fn set(core: &mut Core, state: &[u8; STATE_BYTES]) -> Result {
    let clock = core.clock();
    let apic = core.apic.as_mut().ok_or(EINVAL)?;
    let format = apic.interrupts.settings().id_format();
    apic.lapic().restore(state, format, &clock)?;
    let level = apic.registers().level_triggered();
    apic.target.inbox.drop_vectors(level);
    apic.publish();
    Ok(())
}

/// KVM_SET_VAPIC_ADDR: where a VMM shares the task priority with a guest that it has patched, which takes
/// KVM_CAP_VAPIC. VMMs turn it off without a look at that: address 0. `EINVAL` for any other, and where the local APIC is
/// the VMM's.
pub fn set_vapic(core: &Core, address: u64) -> Result {
    match &core.apic {
        Some(_) if address == 0 => Ok(()),
        _ => Err(EINVAL),
    }
}

/// KVM_GET_MP_STATE.
pub fn mp_state(core: &mut Core) -> kvm_mp_state {
    take_news(core);
    let unhalted = core.apic.as_ref().is_some_and(|apic| apic.unhalted);
    let activity = match core.activity {
        Activity::Halted if unhalted => Activity::Running,
        activity => activity,
    };
    kvm_mp_state {
        mp_state: activity.mp_state(),
    }
}

/// KVM_SET_MP_STATE. `EINVAL` for a state that x86 does not have, and for all but "runnable" where the local APIC is the
/// VMM's.
pub fn set_mp_state(core: &mut Core, state: &kvm_mp_state) -> Result {
    let wanted = Wanted::from_mp_state(state.mp_state).ok_or(EINVAL)?;
    let Some(apic) = &core.apic else {
        return match wanted {
            Wanted::Activity(Activity::Running) => Ok(()),
            _ => Err(EINVAL),
        };
    };
    core.activity = match wanted {
        Wanted::Activity(activity) => activity,
        Wanted::Start => {
            apic.target.inbox.repeat_sipi();
            Activity::WaitingForSipi
        }
    };
    Ok(())
}

/// What others have left for the vCPU is part of its state.
fn take_news(core: &mut Core) {
    let loaded = core.load();
    core.take_news(&loaded);
    core.guest.flush(&loaded);
}
