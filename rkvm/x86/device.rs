// SPDX-License-Identifier: GPL-2.0

//! Devices with files of their own: x86 has none, since its interrupt controllers come by ioctls of the VM.

use crate::{
    device::{Attribute, Request},
    vm::Vm,
};
use kernel::{prelude::*, str::CStr, sync::Arc};

/// A device that KVM_CREATE_DEVICE has made. There is none.
pub enum Device {}

impl Device {
    /// Whether there are devices of this kind (KVM_DEV_TYPE_*).
    pub fn is_kind(_kind: u32) -> bool {
        false
    }

    /// Makes a device. `ENODEV`.
    pub fn new(_vm: &Arc<Vm>, _kind: u32) -> Result<Self> {
        Err(ENODEV)
    }

    /// The name of its file.
    pub fn name(&self) -> &'static CStr {
        match *self {}
    }

    /// Serves an ioctl about an attribute.
    pub fn attribute(&self, _request: Request, _attribute: &Attribute) -> Result {
        match *self {}
    }
}
