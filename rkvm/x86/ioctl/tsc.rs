// SPDX-License-Identifier: GPL-2.0

//! KVM_SET_TSC_KHZ, and the attributes of a vCPU's TSC: KVM_HAS_DEVICE_ATTR, KVM_GET_DEVICE_ATTR and
//! KVM_SET_DEVICE_ATTR with KVM_VCPU_TSC_CTRL.

use crate::{
    host::bindings::{
        kvm_device_attr, KVM_VCPU_TSC_CTRL, KVM_VCPU_TSC_OFFSET, RKVM_GET_DEVICE_ATTR,
        RKVM_SET_DEVICE_ATTR,
    },
    uapi::UserAddress,
    x86::{vcpu::Core, vm_settings::check_tsc_khz},
};
use kernel::prelude::*;

/// KVM_SET_TSC_KHZ. `EINVAL` for a frequency that is not close to the host's; 0 is the host's own.
pub fn set_khz(core: &mut Core, khz: u32) -> Result {
    core.tsc_khz = check_tsc_khz(khz)?;
    Ok(())
}

/// Asks for, gets or sets an attribute. The one there is: what is added to the host's TSC. `ENXIO` for any other,
/// `EFAULT`.
pub fn attribute(core: &mut Core, cmd: u32, attribute: &kvm_device_attr) -> Result {
    if attribute.group != KVM_VCPU_TSC_CTRL || attribute.attr != u64::from(KVM_VCPU_TSC_OFFSET) {
        return Err(ENXIO);
    }
    let value = UserAddress::new(attribute.addr as usize);
    match cmd {
        RKVM_GET_DEVICE_ATTR => value.write(&core.tsc_offset),
        RKVM_SET_DEVICE_ATTR => {
            let offset = value.read()?;
            core.vm.arch().clock().set_tsc_offset(offset);
            let loaded = core.load();
            core.set_tsc_offset(&loaded, offset);
            drop(loaded);
            core.agree_on_tsc();
            Ok(())
        }
        _ => Ok(()),
    }
}
