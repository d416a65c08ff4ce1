// SPDX-License-Identifier: GPL-2.0

//! The ioctls of an arm64 VM that are about what its processors are.
//!
//! Source: Linux, Documentation/virt/kvm/api.rst, "KVM_ARM_GET_REG_WRITABLE_MASKS", "KVM_CAP_ARM_SYSTEM_SUSPEND",
//! "KVM_CAP_ARM_WRITABLE_IMP_ID_REGS"; Documentation/virt/kvm/devices/vm.rst.

use crate::{
    arm64::{id_regs::writable_masks, options::VmOption, smccc::filter::Action},
    host::bindings as uapi,
    uapi::UserAddress,
    vm::Vm,
};
use kernel::prelude::*;

/// Whether `cmd` is one of the ioctls that [`serve`] knows and a vCPU does not have.
pub fn has_ioctl(cmd: u32) -> bool {
    matches!(
        cmd,
        uapi::RKVM_ARM_PREFERRED_TARGET | uapi::RKVM_ARM_GET_REG_WRITABLE_MASKS
    )
}

/// Serves a VM ioctl. `EINVAL` for one that does not exist.
pub fn serve(vm: &Vm, cmd: u32, argument: UserAddress) -> Result<isize> {
    match cmd {
        uapi::RKVM_ARM_PREFERRED_TARGET => argument.write(&uapi::kvm_vcpu_init {
            target: uapi::KVM_ARM_TARGET_GENERIC_V8,
            ..Default::default()
        })?,
        uapi::RKVM_ARM_GET_REG_WRITABLE_MASKS => get_masks(vm, &argument.read()?)?,
        uapi::RKVM_ENABLE_CAP => enable_cap(vm, &argument.read()?)?,
        uapi::RKVM_HAS_DEVICE_ATTR => has_attribute(&argument.read()?)?,
        uapi::RKVM_SET_DEVICE_ATTR => set_attribute(vm, &argument.read()?)?,
        _ => return Err(EINVAL),
    }
    Ok(0)
}

/// KVM_ARM_GET_REG_WRITABLE_MASKS. `EINVAL` for another range than that of features, `EFAULT`.
fn get_masks(vm: &Vm, range: &uapi::reg_mask_range) -> Result {
    if range.range != uapi::KVM_ARM_FEATURE_ID_RANGE || range.reserved.iter().any(|word| *word != 0)
    {
        return Err(EINVAL);
    }
    let masks = writable_masks(vm.platform().host.aarch32());
    UserAddress::new(range.addr as usize).write_array(&masks)
}

/// KVM_ENABLE_CAP on a VM. `EINVAL` for flags, and for capabilities that a VM cannot turn on; another make of processor
/// can only be chosen before there are vCPUs.
fn enable_cap(vm: &Vm, request: &uapi::kvm_enable_cap) -> Result {
    if request.flags != 0 {
        return Err(EINVAL);
    }
    let (machine, options) = (vm.arch().machine(), vm.arch().options());
    match request.cap {
        uapi::KVM_CAP_ARM_SYSTEM_SUSPEND => options.turn_on(VmOption::SystemSuspend),
        uapi::KVM_CAP_ARM_NISV_TO_USER => options.turn_on(VmOption::UndescribedToVmm),
        uapi::KVM_CAP_ARM_WRITABLE_IMP_ID_REGS => vm.before_vcpus(EINVAL, || {
            machine.lock().free_implementation();
            Ok(())
        })?,
        _ => return Err(EINVAL),
    }
    Ok(())
}

/// KVM_HAS_DEVICE_ATTR on a VM. `ENXIO` for what there is not.
fn has_attribute(named: &uapi::kvm_device_attr) -> Result {
    match (named.group, named.attr) {
        (uapi::KVM_ARM_VM_SMCCC_CTRL, FILTER) => Ok(()),
        _ => Err(ENXIO),
    }
}

const FILTER: u64 = uapi::KVM_ARM_VM_SMCCC_FILTER as u64;

/// KVM_SET_DEVICE_ATTR on a VM: functions that the VMM serves, or forbids. `ENXIO` for another attribute; `EINVAL` for
/// bytes that are reserved; else as [`Machine::filter`](crate::arm64::machine::Machine::filter).
fn set_attribute(vm: &Vm, named: &uapi::kvm_device_attr) -> Result {
    has_attribute(named)?;
    let filter: uapi::kvm_smccc_filter = UserAddress::new(named.addr as usize).read()?;
    if filter.pad.iter().any(|byte| *byte != 0) {
        return Err(EINVAL);
    }
    let action = Action::from_raw(filter.action)?;
    let mut machine = vm.arch().machine().lock();
    machine.filter(filter.base, filter.nr_functions, action)
}
