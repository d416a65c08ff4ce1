// SPDX-License-Identifier: GPL-2.0
//! Attributes of devices in the kernel (the kernel's virt/kvm/devices/arm-vgic-v3.rst and -its.rst).

use anyhow::{Context, Result};
use kvm_bindings::{kvm_create_device, kvm_device_attr, kvm_device_type};
use kvm_ioctls::{DeviceFd, VmFd};

/// A device in the kernel.
pub struct Device(DeviceFd);

impl Device {
    pub fn create(vm: &VmFd, kind: kvm_device_type) -> Result<Self> {
        let mut request = kvm_create_device {
            type_: kind,
            ..Default::default()
        };
        let device = vm
            .create_device(&mut request)
            .with_context(|| format!("KVM_CREATE_DEVICE {kind}"))?;
        Ok(Self(device))
    }

    /// Sets an attribute to `value`, an integer of the size that the group has.
    pub fn set<T>(&self, group: u32, attr: u64, value: &T) -> Result<()> {
        self.0
            .set_device_attr(&kvm_device_attr {
                flags: 0,
                group,
                attr,
                addr: std::ptr::from_ref(value) as u64,
            })
            .with_context(|| format!("KVM_SET_DEVICE_ATTR {group}:{attr:#x}"))
    }

    /// Has the device do something that takes no value.
    pub fn command(&self, group: u32, attr: u64) -> Result<()> {
        self.set(group, attr, &())
    }

    /// A value of a group whose values are 32 bits.
    pub fn get_u32(&self, group: u32, attr: u64) -> Result<u32> {
        let mut value = 0_u32;
        self.get(group, attr, std::ptr::from_mut(&mut value) as u64)?;
        Ok(value)
    }

    /// A value of a group whose values are 64 bits.
    pub fn get_u64(&self, group: u32, attr: u64) -> Result<u64> {
        let mut value = 0_u64;
        self.get(group, attr, std::ptr::from_mut(&mut value) as u64)?;
        Ok(value)
    }

    fn get(&self, group: u32, attr: u64, addr: u64) -> Result<()> {
        let mut request = kvm_device_attr {
            flags: 0,
            group,
            attr,
            addr,
        };
        // SAFETY: the callers' values are of the size that the kernel writes for their groups.
        unsafe { self.0.get_device_attr(&mut request) }
            .with_context(|| format!("KVM_GET_DEVICE_ATTR {group}:{attr:#x}"))
    }
}
