// SPDX-License-Identifier: GPL-2.0

//! The device: `/dev/rust_kvm` and its ioctls (Documentation/virt/kvm/api.rst, "system ioctls").

use crate::{
    arch,
    host::{
        bindings as uapi,
        device::{DeviceObject, Session},
        file,
    },
    mmu::LOG_MODES,
    run_page::RunPage,
    single::SingleHandle,
    step_log::log_step,
    uapi::UserAddress,
    vcpu::Vcpu,
    vm::{Vm, VmFile},
};
use kernel::{mm::virt::VmaNew, prelude::*, sync::Arc};

/// KVM_GET_API_VERSION.
const API_VERSION: isize = 12;

/// An open descriptor of the device that has made a VM.
#[pin_data]
pub struct System {
    platform: Arc<arch::Platform>,
    #[pin]
    single: SingleHandle,
}

impl DeviceObject for System {
    type Context = Arc<arch::Platform>;

    fn new(platform: &Self::Context) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                platform: platform.clone(),
                single <- SingleHandle::new(),
            }),
            GFP_KERNEL_ACCOUNT,
        )
    }

    fn context(&self) -> &Self::Context {
        &self.platform
    }

    fn ioctl(session: Session<'_, Self>, cmd: u32, arg: usize) -> Result<isize> {
        let platform = session.context();
        match cmd {
            uapi::RKVM_GET_API_VERSION => no_argument(arg).map(|()| API_VERSION),
            uapi::RKVM_CREATE_VM => Self::create_vm(&session.get_or_make()?.into(), arg),
            uapi::RKVM_CHECK_EXTENSION => Ok(check_extension(platform, arg)),
            uapi::RKVM_GET_VCPU_MMAP_SIZE => no_argument(arg).map(|()| RunPage::MMAP_SIZE as isize),
            _ => match platform.system_ioctl(cmd, UserAddress::new(arg)) {
                Err(error) if error == ENOTTY => {
                    let system = session.get().ok_or(ENOTTY)?;
                    Self::pass_on(&system.into(), cmd, arg)
                }
                result => result,
            },
        }
    }

    fn mmap(session: Session<'_, Self>, vma: &VmaNew, first_page: usize) -> Result {
        let system = session.get().ok_or(ENODEV)?;
        let vcpu = system.single.vcpu().map_err(|_| ENODEV)?;
        vcpu.mmap(vma, first_page)
    }
}

impl System {
    /// KVM_CREATE_VM. `EINVAL` for a machine type that the architecture does not have.
    fn create_vm(this: &Arc<Self>, kind: usize) -> Result<isize> {
        let vm = Vm::new(this.platform.clone(), kind)?;
        let file = Arc::new(VmFile::new(vm.clone(), this.clone()), GFP_KERNEL_ACCOUNT)?;
        let fd = file::anonymous(c"kvm-vm", file)?;
        this.single.offer_vm(&vm);
        log_step!("KVM_CREATE_VM\n");
        Ok(fd)
    }

    /// The single-handle mode of this descriptor.
    pub fn single(&self) -> &SingleHandle {
        &self.single
    }

    /// The single-handle mode.
    fn pass_on(this: &Arc<Self>, cmd: u32, arg: usize) -> Result<isize> {
        if VmFile::has_ioctl(cmd) {
            Vm::ioctl(&this.single.vm()?, this, cmd, arg)
        } else {
            Vcpu::ioctl(&*this.single.vcpu()?, cmd, arg)
        }
    }
}

/// KVM_CHECK_EXTENSION: 0 for what is not there, also on a VM descriptor.
pub fn check_extension(platform: &arch::Platform, extension: usize) -> isize {
    match u32::try_from(extension) {
        Ok(
            uapi::KVM_CAP_USER_MEMORY
            | uapi::KVM_CAP_USER_MEMORY2
            | uapi::KVM_CAP_DESTROY_MEMORY_REGION_WORKS
            | uapi::KVM_CAP_JOIN_MEMORY_REGIONS_WORKS
            | uapi::KVM_CAP_SYNC_MMU
            | uapi::KVM_CAP_READONLY_MEM
            | uapi::KVM_CAP_CHECK_EXTENSION_VM
            | uapi::KVM_CAP_IMMEDIATE_EXIT
            | uapi::KVM_CAP_IOEVENTFD
            | uapi::KVM_CAP_IOEVENTFD_ANY_LENGTH
            | uapi::KVM_CAP_IRQFD
            | uapi::KVM_CAP_DEVICE_CTRL
            | uapi::KVM_CAP_IRQFD_RESAMPLE
            | uapi::KVM_CAP_COALESCED_PIO
            | uapi::KVM_CAP_INTERNAL_ERROR_DATA
            | uapi::KVM_CAP_BINARY_STATS_FD
            | uapi::KVM_CAP_HALT_POLL,
        ) => 1,
        Ok(uapi::KVM_CAP_COALESCED_MMIO) => RunPage::RING_PAGE as isize,
        Ok(uapi::KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2) => LOG_MODES as isize,
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
