// SPDX-License-Identifier: GPL-2.0

//! Devices with files of their own.

use crate::{
    arm64::{
        guest_memory::LateMemory,
        vgic::{its_device::ItsDevice, Vgic},
    },
    device::{Attribute, Request},
    host::bindings as uapi,
    vm::Vm,
};
use kernel::{prelude::*, str::CStr, sync::Arc};

/// A device that KVM_CREATE_DEVICE has made.
pub struct Device {
    vm: Arc<Vm>,
    kind: Kind,
}

/// What it is.
enum Kind {
    /// KVM_DEV_TYPE_ARM_VGIC_V3.
    Gic,
    /// KVM_DEV_TYPE_ARM_VGIC_ITS.
    Its(Arc<ItsDevice>),
}

/// KVM_DEV_TYPE_ARM_VGIC_V3.
const GIC: u32 = uapi::kvm_device_type_KVM_DEV_TYPE_ARM_VGIC_V3;
/// KVM_DEV_TYPE_ARM_VGIC_ITS.
const ITS: u32 = uapi::kvm_device_type_KVM_DEV_TYPE_ARM_VGIC_ITS;

impl Device {
    /// Whether there are devices of this kind (KVM_DEV_TYPE_*).
    pub fn is_kind(kind: u32) -> bool {
        matches!(kind, GIC | ITS)
    }

    /// Makes a device. `ENODEV` for another kind, and as [`Vgic::create`] and [`Vgic::add_its`] have it.
    pub fn new(vm: &Arc<Vm>, kind: u32) -> Result<Self> {
        let vgic = vm.arch().vgic();
        let kind = match kind {
            GIC => {
                vgic.create()?;
                Kind::Gic
            }
            ITS => Kind::Its(vgic.add_its()?),
            _ => return Err(ENODEV),
        };
        Ok(Self {
            vm: vm.clone(),
            kind,
        })
    }

    /// The name of its file.
    pub fn name(&self) -> &'static CStr {
        match self.kind {
            Kind::Gic => c"kvm-arm-vgic-v3",
            Kind::Its(_) => c"kvm-arm-vgic-its",
        }
    }

    /// Serves an ioctl about an attribute. `ENXIO` for one that the device does not have.
    pub fn attribute(&self, request: Request, attribute: &Attribute) -> Result {
        let vgic: &Vgic = self.vm.arch().vgic();
        let mut memory = LateMemory::new(self.vm.mmu());
        match &self.kind {
            Kind::Gic => vgic.attribute(request, attribute, &mut memory),
            Kind::Its(its) => its.attribute(vgic, request, attribute, &mut memory),
        }
    }
}
