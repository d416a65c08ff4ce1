// SPDX-License-Identifier: GPL-2.0

//! The single-handle mode: VM and vCPU ioctls on the device descriptor itself.
//!
//! The first programs of this project's predecessor made one VM with one vCPU and did everything on the
//! descriptor of `/dev/rust_kvm`. Such a program works here as it stands: the device passes those
//! ioctls on to the first VM, and the first vCPU of it, that were made through the descriptor. The VM
//! and the vCPU live as long as their own files, no longer.

use crate::{vcpu::Vcpu, vm::Vm};
use kernel::{
    prelude::*,
    sync::{new_mutex, Arc, Mutex},
};

/// What a device descriptor passes VM and vCPU ioctls on to.
#[pin_data]
pub struct SingleHandle {
    #[pin]
    first: Mutex<First>,
}

#[derive(Default)]
struct First {
    vm: Option<Arc<Vm>>,
    vcpu: Option<Arc<Vcpu>>,
}

impl SingleHandle {
    /// No VM yet.
    pub fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            first <- new_mutex!(First::default()),
        })
    }

    /// The first VM. `ENOTTY` if there is none: the device itself has no such ioctl.
    pub fn vm(&self) -> Result<Arc<Vm>> {
        self.first.lock().vm.clone().ok_or(ENOTTY)
    }

    /// The first vCPU of the first VM. `ENOTTY` if there is none.
    pub fn vcpu(&self) -> Result<Arc<Vcpu>> {
        self.first.lock().vcpu.clone().ok_or(ENOTTY)
    }

    /// A VM was made through the descriptor.
    pub fn offer_vm(&self, vm: &Arc<Vm>) {
        let mut first = self.first.lock();
        if first.vm.is_none() {
            first.vm = Some(vm.clone());
        }
    }

    /// A vCPU was made.
    pub fn offer_vcpu(&self, vcpu: &Arc<Vcpu>) {
        let mut first = self.first.lock();
        let is_first_vm = first
            .vm
            .as_ref()
            .is_some_and(|vm| Arc::ptr_eq(vm, vcpu.vm()));
        if is_first_vm && first.vcpu.is_none() {
            first.vcpu = Some(vcpu.clone());
        }
    }

    /// A VM's file was closed.
    pub fn forget_vm(&self, vm: &Arc<Vm>) {
        let gone = {
            let mut first = self.first.lock();
            match &first.vm {
                Some(known) if Arc::ptr_eq(known, vm) => first.vm.take(),
                _ => None,
            }
        };
        drop(gone);
    }

    /// A vCPU's file was closed.
    pub fn forget_vcpu(&self, vcpu: &Vcpu) {
        let gone = {
            let mut first = self.first.lock();
            match &first.vcpu {
                Some(known) if core::ptr::eq(&**known, vcpu) => first.vcpu.take(),
                _ => None,
            }
        };
        drop(gone);
    }
}
