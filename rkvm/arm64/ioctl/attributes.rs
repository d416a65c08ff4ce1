// SPDX-License-Identifier: GPL-2.0

//! KVM_HAS_DEVICE_ATTR, KVM_GET_DEVICE_ATTR and KVM_SET_DEVICE_ATTR on a vCPU.
//!
//! Source: Linux, Documentation/virt/kvm/devices/vcpu.rst.

use crate::{
    arm64::{timer::Which, vcpu::Core, vgic::gic::intid::Intid},
    host::bindings as uapi,
    types::Gpa,
    uapi::UserAddress,
};
use kernel::prelude::*;

/// An attribute.
enum Attribute {
    /// KVM_ARM_VCPU_TIMER_IRQ_VTIMER and its like: the interrupt of a timer.
    TimerInterrupt(Which),
    /// KVM_ARM_VCPU_PVTIME_IPA: where stolen time is counted.
    StolenTime,
}

/// Where stolen time is if it is nowhere.
const NOWHERE: u64 = u64::MAX;

/// The attribute that a VMM names. `ENXIO` for one that there is not.
fn attribute(named: &uapi::kvm_device_attr) -> Result<Attribute> {
    match (named.group, named.attr) {
        (uapi::KVM_ARM_VCPU_TIMER_CTRL, VTIMER) => Ok(Attribute::TimerInterrupt(Which::Virtual)),
        (uapi::KVM_ARM_VCPU_TIMER_CTRL, PTIMER) => Ok(Attribute::TimerInterrupt(Which::Physical)),
        (uapi::KVM_ARM_VCPU_PVTIME_CTRL, PVTIME_IPA) => Ok(Attribute::StolenTime),
        _ => Err(ENXIO),
    }
}

const VTIMER: u64 = uapi::KVM_ARM_VCPU_TIMER_IRQ_VTIMER as u64;
const PTIMER: u64 = uapi::KVM_ARM_VCPU_TIMER_IRQ_PTIMER as u64;
const PVTIME_IPA: u64 = uapi::KVM_ARM_VCPU_PVTIME_IPA as u64;

/// KVM_HAS_DEVICE_ATTR.
pub fn has(named: &uapi::kvm_device_attr) -> Result {
    attribute(named).map(|_| ())
}

/// KVM_GET_DEVICE_ATTR.
pub fn get(core: &Core, named: &uapi::kvm_device_attr) -> Result {
    let address = UserAddress::new(named.addr as usize);
    match attribute(named)? {
        Attribute::TimerInterrupt(which) => {
            address.write(&core.vm.arch().time().ppis().get(which).raw())
        }
        Attribute::StolenTime => {
            let place = core.stolen.place().map_or(NOWHERE, Gpa::raw);
            address.write(&place)
        }
    }
}

/// KVM_SET_DEVICE_ATTR. For a timer `EINVAL` for an interrupt that is no PPI, and without a GIC in the kernel, `EBUSY`
/// once a vCPU has run. For stolen time `EINVAL` for a place that is not aligned or not in a memory slot, `EEXIST` if
/// it has one.
pub fn set(core: &mut Core, named: &uapi::kvm_device_attr) -> Result {
    let address = UserAddress::new(named.addr as usize);
    match attribute(named)? {
        Attribute::TimerInterrupt(which) => {
            let arch = core.vm.arch();
            if !arch.vgic().is_created() {
                return Err(EINVAL);
            }
            arch.time().set_ppi(which, Intid::new(address.read()?))
        }
        Attribute::StolenTime => {
            let place = Gpa::new(address.read()?);
            core.stolen.check_place(place)?;
            if !core.view.is_backed(core.vm.mmu(), place) {
                return Err(EINVAL);
            }
            core.stolen.set_place(place);
            Ok(())
        }
    }
}
