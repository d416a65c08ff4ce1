// SPDX-License-Identifier: GPL-2.0

//! The ioctls of an arm64 vCPU but for KVM_RUN.

mod attributes;
mod events;
mod one_reg;
mod scalable;

use crate::{
    arm64::{
        features::{Features, Start},
        processors::Activity,
        vcpu::{Core, Vcpu},
    },
    host::bindings as uapi,
    uapi::UserAddress,
};
use kernel::prelude::*;

/// Whether `cmd` is an ioctl of an arm64 vCPU.
pub fn is_vcpu_ioctl(cmd: u32) -> bool {
    matches!(
        cmd,
        uapi::RKVM_ARM_VCPU_INIT
            | uapi::RKVM_ARM_VCPU_FINALIZE
            | uapi::RKVM_GET_ONE_REG
            | uapi::RKVM_SET_ONE_REG
            | uapi::RKVM_GET_REG_LIST
            | uapi::RKVM_GET_MP_STATE
            | uapi::RKVM_SET_MP_STATE
            | uapi::RKVM_GET_VCPU_EVENTS
            | uapi::RKVM_SET_VCPU_EVENTS
            | uapi::RKVM_SET_GUEST_DEBUG
            | uapi::RKVM_HAS_DEVICE_ATTR
            | uapi::RKVM_GET_DEVICE_ATTR
            | uapi::RKVM_SET_DEVICE_ATTR
    )
}

/// Serves an ioctl. `ENOEXEC` for most before KVM_ARM_VCPU_INIT; `EINVAL` for one that does not exist.
pub fn serve(vcpu: &mut Vcpu, cmd: u32, argument: UserAddress) -> Result<isize> {
    let core = &mut vcpu.core;
    match cmd {
        uapi::RKVM_ARM_VCPU_INIT => init(core, &argument.read()?)?,
        uapi::RKVM_ARM_VCPU_FINALIZE => {
            core.initialised()?;
            finalize(core, argument.read()?)?;
        }
        uapi::RKVM_GET_ONE_REG => {
            core.initialised()?;
            core.begin();
            one_reg::get(core, &argument.read()?)?;
        }
        uapi::RKVM_SET_ONE_REG => {
            core.initialised()?;
            core.begin();
            one_reg::set(core, &argument.read()?)?;
        }
        uapi::RKVM_GET_REG_LIST => one_reg::list(core.initialised()?, argument)?,
        uapi::RKVM_GET_MP_STATE => argument.write(&mp_state(core))?,
        uapi::RKVM_SET_MP_STATE => set_mp_state(core, &argument.read()?)?,
        uapi::RKVM_GET_VCPU_EVENTS => {
            core.initialised()?;
            argument.write(&events::get(core))?;
        }
        uapi::RKVM_SET_VCPU_EVENTS => {
            core.initialised()?;
            events::set(core, &argument.read()?)?;
        }
        uapi::RKVM_SET_GUEST_DEBUG => core.guest_debug.set(&argument.read()?)?,
        uapi::RKVM_HAS_DEVICE_ATTR => attributes::has(&argument.read()?)?,
        uapi::RKVM_GET_DEVICE_ATTR => attributes::get(core, &argument.read()?)?,
        uapi::RKVM_SET_DEVICE_ATTR => attributes::set(core, &argument.read()?)?,
        _ => return Err(EINVAL),
    }
    Ok(0)
}

/// KVM_ARM_VCPU_INIT: chooses the features, and resets. `EINVAL` for another target, features that are not there, and
/// others than before, or than those of other vCPUs; `ENOENT` for features that have no meaning.
fn init(core: &mut Core, init: &uapi::kvm_vcpu_init) -> Result {
    if init.target != uapi::KVM_ARM_TARGET_GENERIC_V8 {
        return Err(EINVAL);
    }
    let (features, start) = Features::parse(init.features, core.vm.platform().features())?;
    let platform = core.vm.platform();
    core.vm
        .arch()
        .machine()
        .lock()
        .choose_features(features, || platform.ids(features))?;
    core.features = Some(features);
    if core.fixed.is_some() {
        // A guest begins anew, with its caches off: what the VMM writes meanwhile has to reach memory.
        core.vm.mmu().forget();
    }
    core.reset();
    core.processor().reset(match start {
        Start::Now => Activity::Running,
        Start::WhenTurnedOn => Activity::Off,
    });
    Ok(())
}

/// KVM_ARM_VCPU_FINALIZE: SVE alone has a second step. `EINVAL` for other features, `EPERM` for the second time.
fn finalize(core: &mut Core, feature: u32) -> Result {
    match feature {
        uapi::KVM_ARM_VCPU_SVE => core.fpsimd.finalize(),
        _ => Err(EINVAL),
    }
}

/// KVM_GET_MP_STATE.
fn mp_state(core: &Core) -> uapi::kvm_mp_state {
    uapi::kvm_mp_state {
        mp_state: match core.processor().activity() {
            Activity::Running | Activity::Starting => uapi::KVM_MP_STATE_RUNNABLE,
            Activity::Off => uapi::KVM_MP_STATE_STOPPED,
            Activity::Suspended => uapi::KVM_MP_STATE_SUSPENDED,
        },
    }
}

/// KVM_SET_MP_STATE. `EINVAL` for the states of other architectures.
fn set_mp_state(core: &Core, state: &uapi::kvm_mp_state) -> Result {
    let activity = match state.mp_state {
        uapi::KVM_MP_STATE_RUNNABLE => Activity::Running,
        uapi::KVM_MP_STATE_STOPPED => Activity::Off,
        uapi::KVM_MP_STATE_SUSPENDED => Activity::Suspended,
        _ => return Err(EINVAL),
    };
    core.processor().set_activity(activity);
    Ok(())
}
