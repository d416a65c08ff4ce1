// SPDX-License-Identifier: GPL-2.0

//! KVM_CREATE_DEVICE: devices in the kernel that have a file of their own, and are set up by attributes.
//!
//! Source: Linux Documentation/virt/kvm/api.rst, 4.79 KVM_CREATE_DEVICE, 4.80 KVM_SET_DEVICE_ATTR.

use crate::{
    arch,
    host::{
        bindings as uapi,
        file::{self, FileObject},
    },
    uapi::UserAddress,
    vm::Vm,
};
use kernel::{
    prelude::*,
    sync::{Arc, ArcBorrow},
};

/// What an ioctl asks about an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// KVM_SET_DEVICE_ATTR.
    Set,
    /// KVM_GET_DEVICE_ATTR.
    Get,
    /// KVM_HAS_DEVICE_ATTR: whether there is such a one.
    Has,
}

impl Request {
    /// The ioctl's request. `None` for other ioctls.
    pub fn from_ioctl(cmd: u32) -> Option<Self> {
        match cmd {
            uapi::RKVM_SET_DEVICE_ATTR => Some(Self::Set),
            uapi::RKVM_GET_DEVICE_ATTR => Some(Self::Get),
            uapi::RKVM_HAS_DEVICE_ATTR => Some(Self::Has),
            _ => None,
        }
    }
}

/// `struct kvm_device_attr`.
#[derive(Clone, Copy)]
#[cfg_attr(
    CONFIG_X86_64,
    expect(dead_code, reason = "x86 has no devices that could read it")
)]
pub struct Attribute {
    /// A group of attributes of the device.
    pub group: u32,
    /// An attribute of the group.
    pub number: u64,
    /// Where its value is in user space.
    pub value: UserAddress,
}

impl Attribute {
    /// Copies the ioctl's argument in. `EFAULT`.
    pub fn read(argument: UserAddress) -> Result<Self> {
        let raw: uapi::kvm_device_attr = argument.read()?;
        Ok(Self {
            group: raw.group,
            number: raw.attr,
            value: UserAddress::new(raw.addr as usize),
        })
    }
}

/// KVM_CREATE_DEVICE. `ENODEV` for a kind of device that there is none of, and what the device's own creation has.
pub fn create(vm: &Arc<Vm>, argument: UserAddress) -> Result<isize> {
    let request: uapi::kvm_create_device = argument.read()?;
    if !arch::Device::is_kind(request.type_) {
        return Err(ENODEV);
    }
    if request.flags & uapi::KVM_CREATE_DEVICE_TEST != 0 {
        return Ok(0);
    }
    let device = arch::Device::new(vm, request.type_)?;
    let name = device.name();
    let file = DeviceFile {
        vm: vm.clone(),
        device,
    };
    let file = Arc::new(file, GFP_KERNEL_ACCOUNT)?;
    let fd = file::anonymous(name, file)?;
    let made = uapi::kvm_create_device {
        fd: fd as u32,
        ..request
    };
    argument.write(&made)?;
    Ok(0)
}

/// An open descriptor of a device.
struct DeviceFile {
    vm: Arc<Vm>,
    device: arch::Device,
}

impl FileObject for DeviceFile {
    fn ioctl(this: ArcBorrow<'_, Self>, cmd: u32, arg: usize) -> Result<isize> {
        this.vm.check_process()?;
        let request = Request::from_ioctl(cmd).ok_or(ENOTTY)?;
        let attribute = Attribute::read(UserAddress::new(arg))?;
        this.device.attribute(request, &attribute).map(|()| 0)
    }
}
