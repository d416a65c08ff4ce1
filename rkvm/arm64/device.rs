// SPDX-License-Identifier: GPL-2.0

//! Devices with files of their own.

use crate::{
    arm64::vgic::{mmio::Memory, Vgic},
    device::{Attribute, Request},
    host::bindings as uapi,
    mmu::View,
    types::Gpa,
    vm::Vm,
};
use kernel::{
    prelude::*,
    str::CStr,
    sync::{new_mutex, Arc, Mutex},
};

/// Guest memory as a device's ioctls access it.
pub struct GuestMemory<'a> {
    vm: &'a Vm,
    view: View,
}

impl<'a> GuestMemory<'a> {
    /// That of a VM.
    pub fn of(vm: &'a Vm) -> Self {
        Self {
            vm,
            view: View::new(vm.mmu()),
        }
    }
}

impl Memory for GuestMemory<'_> {
    fn read_byte(&mut self, gpa: Gpa) -> u8 {
        let mut byte = [0];
        match self.view.read(self.vm.mmu(), gpa, &mut byte) {
            Ok(()) => byte[0],
            Err(_) => 0,
        }
    }
}

/// A device that KVM_CREATE_DEVICE has made.
pub struct Device {
    vm: Arc<Vm>,
    kind: Kind,
}

/// What it is.
enum Kind {
    /// KVM_DEV_TYPE_ARM_VGIC_V3.
    Gic,
}

impl Device {
    /// Whether there are devices of this kind (KVM_DEV_TYPE_*).
    pub fn is_kind(kind: u32) -> bool {
        kind == uapi::kvm_device_type_KVM_DEV_TYPE_ARM_VGIC_V3
    }

    /// Makes a device. `ENODEV` for another kind, and as [`Vgic::create`] has it.
    pub fn new(vm: &Arc<Vm>, kind: u32) -> Result<Self> {
        if !Self::is_kind(kind) {
            return Err(ENODEV);
        }
        vm.arch().vgic().create()?;
        Ok(Self {
            vm: vm.clone(),
            kind: Kind::Gic,
        })
    }

    /// The name of its file.
    pub fn name(&self) -> &'static CStr {
        match self.kind {
            Kind::Gic => c"kvm-arm-vgic-v3",
        }
    }

    /// Serves an ioctl about an attribute. `ENXIO` for one that the device does not have.
    pub fn attribute(&self, request: Request, attribute: &Attribute) -> Result {
        let vgic: &Vgic = self.vm.arch().vgic();
        let mut memory = GuestMemory::of(&self.vm);
        match self.kind {
            Kind::Gic => vgic.attribute(request, attribute, &mut memory),
        }
    }
}
