// SPDX-License-Identifier: GPL-2.0

//! The device: `/dev/rust_kvm` and its ioctls (Documentation/virt/kvm/api.rst, "system ioctls").

use crate::{
    arch,
    host::{
        bindings as uapi,
        device::DeviceObject,
        file::{self, FileObject},
    },
    run_page::RunPage,
    single::SingleHandle,
    uapi::UserAddress,
    vcpu::Vcpu,
    vm::{Vm, VmFile},
};
use kernel::{
    mm::virt::VmaNew,
    prelude::*,
    sync::{Arc, ArcBorrow},
};

/// KVM_GET_API_VERSION.
const API_VERSION: isize = 12;

/// An open descriptor of the device.
pub struct System {
    platform: Arc<arch::Platform>,
    single: Arc<SingleHandle>,
}

impl DeviceObject for System {
    type Context = Arc<arch::Platform>;

    fn open(platform: &Self::Context) -> Result<Arc<Self>> {
        let single = Arc::pin_init(SingleHandle::new(), GFP_KERNEL)?;
        Ok(Arc::new(
            Self {
                platform: platform.clone(),
                single,
            },
            GFP_KERNEL,
        )?)
    }
}

impl FileObject for System {
    fn ioctl(this: ArcBorrow<'_, Self>, cmd: u32, arg: usize) -> Result<isize> {
        match cmd {
            uapi::RKVM_GET_API_VERSION => no_argument(arg).map(|()| API_VERSION),
            uapi::RKVM_CREATE_VM => this.create_vm(arg),
            uapi::RKVM_CHECK_EXTENSION => Ok(check_extension(&this.platform, arg)),
            uapi::RKVM_GET_VCPU_MMAP_SIZE => {
                no_argument(arg).map(|()| RunPage::MMAP_SIZE as isize)
            }
            _ => match this.platform.system_ioctl(cmd, UserAddress::new(arg)) {
                Err(error) if error == ENOTTY => this.pass_on(cmd, arg),
                result => result,
            },
        }
    }

    fn mmap(this: ArcBorrow<'_, Self>, vma: &VmaNew, first_page: usize) -> Result {
        this.single.vcpu().map_err(|_| ENODEV)?.mmap(vma, first_page)
    }
}

impl System {
    /// KVM_CREATE_VM. `EINVAL` for a machine type that the architecture does not have.
    fn create_vm(&self, kind: usize) -> Result<isize> {
        let vm = Vm::new(self.platform.clone(), kind)?;
        let file = Arc::new(
            VmFile::new(vm.clone(), self.single.clone()),
            GFP_KERNEL_ACCOUNT,
        )?;
        let fd = file::anonymous(c"kvm-vm", file)?;
        self.single.offer_vm(&vm);
        Ok(fd)
    }

    /// The single-handle mode.
    fn pass_on(&self, cmd: u32, arg: usize) -> Result<isize> {
        if VmFile::has_ioctl(cmd) {
            Vm::ioctl(&self.single.vm()?, &self.single, cmd, arg)
        } else {
            Vcpu::ioctl(&*self.single.vcpu()?, cmd, arg)
        }
    }
}

/// KVM_CHECK_EXTENSION: 0 for what is not there, also on a VM descriptor.
pub fn check_extension(platform: &arch::Platform, extension: usize) -> isize {
    match u32::try_from(extension) {
        Ok(
            uapi::KVM_CAP_USER_MEMORY
            | uapi::KVM_CAP_DESTROY_MEMORY_REGION_WORKS
            | uapi::KVM_CAP_JOIN_MEMORY_REGIONS_WORKS
            | uapi::KVM_CAP_SYNC_MMU
            | uapi::KVM_CAP_READONLY_MEM
            | uapi::KVM_CAP_CHECK_EXTENSION_VM
            | uapi::KVM_CAP_IMMEDIATE_EXIT
            | uapi::KVM_CAP_INTERNAL_ERROR_DATA
            | uapi::KVM_CAP_MEMORY_FAULT_INFO,
        ) => 1,
        Ok(uapi::KVM_CAP_NR_MEMSLOTS) => arch::MEMORY_SLOTS as isize,
        Ok(extension) => platform.check_extension(extension),
        Err(_) => 0,
    }
}

/// Ioctls without an argument refuse one.
fn no_argument(arg: usize) -> Result {
    if arg == 0 {
        Ok(())
    } else {
        Err(EINVAL)
    }
}
