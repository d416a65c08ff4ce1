// SPDX-License-Identifier: GPL-2.0

//! What an arm64 VM has besides memory and vCPUs.

use crate::{
    arm64::{residents::Residents, vmid::Tag},
    host::bindings as uapi,
    irqfd::{IrqSink, Style},
    uapi::UserAddress,
    vm::Vm,
};
use kernel::{prelude::*, sync::Arc};

/// The state of a VM.
pub struct VmState {
    vmid: Tag,
    residents: Residents,
}

impl VmState {
    /// A VM that has not run yet. `ENOMEM`.
    pub fn new() -> Result<impl PinInit<Self>> {
        Ok(Self {
            vmid: Tag::new(),
            residents: Residents::new()?,
        })
    }

    /// The tag of its translations.
    pub fn vmid(&self) -> &Tag {
        &self.vmid
    }

    /// Which vCPU each CPU ran last.
    pub fn residents(&self) -> &Residents {
        &self.residents
    }

    /// The interrupt controller, for an irqfd. `EINVAL` while there is none.
    pub fn irq_sink(&self, _style: Style) -> Result<Arc<dyn IrqSink>> {
        Err(EINVAL)
    }

    /// Whether `cmd` is an ioctl of an arm64 VM.
    pub fn has_ioctl(cmd: u32) -> bool {
        matches!(cmd, uapi::RKVM_ARM_PREFERRED_TARGET)
    }

    /// Serves an ioctl of an arm64 VM. `ENOTTY` for any other.
    pub fn ioctl(_vm: &Vm, cmd: u32, argument: UserAddress) -> Result<isize> {
        match cmd {
            uapi::RKVM_ARM_PREFERRED_TARGET => argument.write(&uapi::kvm_vcpu_init {
                target: uapi::KVM_ARM_TARGET_GENERIC_V8,
                ..Default::default()
            })?,
            _ => return Err(ENOTTY),
        }
        Ok(0)
    }
}
