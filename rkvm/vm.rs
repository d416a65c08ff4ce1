// SPDX-License-Identifier: GPL-2.0

//! A virtual machine and its file.
//!
//! The VM file holds the VM, a vCPU file holds its vCPU, and a vCPU holds the VM: whichever order
//! the files are closed in, the VM goes with the last of them. The VM knows its vCPUs by id and by
//! [`Kick`](crate::request::Kick) only, so that there is no cycle.

use crate::{
    arch, device, halt,
    host::{bindings as uapi, file::FileObject, process::Process},
    io_bus::IoBus,
    irqfd::Irqfds,
    mmu::Mmu,
    stats_file,
    system::{check_extension, System},
    uapi::UserAddress,
    vcpu,
};
use core::sync::atomic::{AtomicU32, Ordering};
use kernel::{
    prelude::*,
    sync::{new_mutex, Arc, ArcBorrow, Mutex},
    task::Pid,
};

/// A virtual machine.
#[pin_data]
pub struct Vm {
    platform: Arc<arch::Platform>,
    /// The process whose memory the guest runs on, and the only one that may use the VM.
    process: Process,
    mmu: Mmu,
    /// The id of that process's task that made the VM.
    creator: Pid,
    /// How long its vCPUs look for an interrupt before they sleep, at the longest, in nanoseconds.
    longest_poll: AtomicU32,
    /// Dropped before the interrupt controller that they call.
    #[pin]
    irqfds: Irqfds,
    #[pin]
    io: IoBus,
    #[pin]
    arch: arch::VmState,
    /// The ids that vCPUs were made with.
    #[pin]
    vcpu_ids: Mutex<KVec<u32>>,
}

impl Vm {
    /// KVM_CREATE_VM. `EINVAL` for a machine type that the architecture does not have.
    pub fn new(platform: Arc<arch::Platform>, kind: usize) -> Result<Arc<Self>> {
        let format = platform.memory_format(kind)?;
        let process = Process::current()?;
        let mmu = Mmu::new(&process, format)?;
        let io = IoBus::new()?;
        let creator = current!().pid();
        let arch = arch::VmState::new(mmu.format())?;
        Arc::pin_init(
            pin_init!(Self {
                platform,
                process,
                mmu,
                creator,
                longest_poll: AtomicU32::new(halt::default_longest()),
                irqfds <- Irqfds::new(),
                io <- io,
                arch <- arch,
                vcpu_ids <- new_mutex!(KVec::new()),
            }),
            GFP_KERNEL_ACCOUNT,
        )
    }

    /// The processor support that the VM runs on.
    pub fn platform(&self) -> &Arc<arch::Platform> {
        &self.platform
    }

    /// What the architecture keeps for a whole VM.
    pub fn arch(&self) -> &arch::VmState {
        &self.arch
    }

    /// Guest physical memory.
    pub fn mmu(&self) -> &Mmu {
        &self.mmu
    }

    /// Writes to devices that need no exit to the VMM.
    pub fn io(&self) -> &IoBus {
        &self.io
    }

    /// The id of the task that made the VM.
    pub fn creator(&self) -> Pid {
        self.creator
    }

    /// How long its vCPUs look for an interrupt before they sleep, at the longest, in nanoseconds.
    pub fn longest_poll(&self) -> u64 {
        self.longest_poll.load(Ordering::Relaxed).into()
    }

    /// Ioctls work in the process that made the VM alone: guest memory is that process's. `EIO`
    /// elsewhere.
    pub fn check_process(&self) -> Result {
        if self.process.is_current() {
            Ok(())
        } else {
            Err(EIO)
        }
    }

    /// Serves a VM ioctl.
    pub fn ioctl(this: &Arc<Self>, system: &Arc<System>, cmd: u32, arg: usize) -> Result<isize> {
        this.check_process()?;
        match cmd {
            uapi::RKVM_CREATE_VCPU => Self::create_vcpu(this, system, arg),
            uapi::RKVM_SET_USER_MEMORY_REGION => {
                let region = UserAddress::new(arg).read::<uapi::kvm_userspace_memory_region>()?;
                this.mmu.set_region(&region).map(|()| 0)
            }
            uapi::RKVM_SET_USER_MEMORY_REGION2 => {
                let region = UserAddress::new(arg).read::<uapi::kvm_userspace_memory_region2>()?;
                // The rest is about memory of a guest_memfd, whose flag is not among those known.
                let region = uapi::kvm_userspace_memory_region {
                    slot: region.slot,
                    flags: region.flags,
                    guest_phys_addr: region.guest_phys_addr,
                    memory_size: region.memory_size,
                    userspace_addr: region.userspace_addr,
                };
                this.mmu.set_region(&region).map(|()| 0)
            }
            uapi::RKVM_GET_DIRTY_LOG => {
                let request = UserAddress::new(arg).read()?;
                this.mmu.get_dirty_log(&request).map(|()| 0)
            }
            uapi::RKVM_CLEAR_DIRTY_LOG => {
                let request = UserAddress::new(arg).read()?;
                this.mmu.clear_dirty_log(&request).map(|()| 0)
            }
            uapi::RKVM_ENABLE_CAP => this.enable_cap(cmd, UserAddress::new(arg)),
            uapi::RKVM_IOEVENTFD => {
                let request = UserAddress::new(arg).read::<uapi::kvm_ioeventfd>()?;
                this.io.ioeventfd(&request).map(|()| 0)
            }
            uapi::RKVM_IRQFD => {
                let request = UserAddress::new(arg).read::<uapi::kvm_irqfd>()?;
                let sink = |style| this.arch.irq_sink(style);
                this.irqfds.ioctl(&request, sink).map(|()| 0)
            }
            uapi::RKVM_REGISTER_COALESCED_MMIO => {
                let zone = UserAddress::new(arg).read()?;
                this.io.register_coalesced(&zone).map(|()| 0)
            }
            uapi::RKVM_UNREGISTER_COALESCED_MMIO => {
                let zone = UserAddress::new(arg).read()?;
                this.io.unregister_coalesced(&zone).map(|()| 0)
            }
            uapi::RKVM_GET_STATS_FD => stats_file::create(c"kvm-vm-stats", this.clone()),
            uapi::RKVM_CREATE_DEVICE => device::create(this, UserAddress::new(arg)),
            uapi::RKVM_CHECK_EXTENSION => {
                let own = u32::try_from(arg).ok();
                let own = own.and_then(|extension| this.arch.check_extension(extension));
                Ok(own.unwrap_or_else(|| check_extension(&this.platform, arg)))
            }
            _ => arch::VmState::ioctl(this, cmd, UserAddress::new(arg)),
        }
    }

    /// KVM_ENABLE_CAP: what every architecture has, or the architecture's own.
    fn enable_cap(&self, cmd: u32, argument: UserAddress) -> Result<isize> {
        let request = argument.read::<uapi::kvm_enable_cap>()?;
        let [value, ..] = request.args;
        match (request.flags, request.cap) {
            (0, uapi::KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2) => {
                self.mmu.set_log_mode(value).map(|()| 0)
            }
            (0, uapi::KVM_CAP_HALT_POLL) => {
                let longest = u32::try_from(value).map_err(|_| EINVAL)?;
                self.longest_poll.store(longest, Ordering::Relaxed);
                Ok(0)
            }
            _ => arch::VmState::ioctl(self, cmd, argument),
        }
    }

    /// Does what can only be done before there are vCPUs; `refused` if there is one.
    pub fn before_vcpus(&self, refused: Error, act: impl FnOnce() -> Result) -> Result {
        let ids = self.vcpu_ids.lock();
        if !ids.is_empty() {
            return Err(refused);
        }
        act()
    }

    /// KVM_CREATE_VCPU. `EINVAL` for an id out of range or too many vCPUs, `EEXIST` for one in use.
    fn create_vcpu(this: &Arc<Self>, system: &Arc<System>, id: usize) -> Result<isize> {
        let id = u32::try_from(id)
            .ok()
            .filter(|id| *id < arch::MAX_VCPU_ID)
            .ok_or(EINVAL)?;
        {
            let mut ids = this.vcpu_ids.lock();
            if ids.len() >= arch::MAX_VCPUS {
                return Err(EINVAL);
            }
            if ids.contains(&id) {
                return Err(EEXIST);
            }
            ids.push(id, GFP_KERNEL_ACCOUNT)?;
        }
        let made = vcpu::create(this, system, id);
        if made.is_err() {
            this.vcpu_ids.lock().retain(|known| *known != id);
        }
        made
    }
}

/// An open descriptor of a VM.
pub struct VmFile {
    vm: Arc<Vm>,
    system: Arc<System>,
}

impl VmFile {
    /// A file for `vm`.
    pub fn new(vm: Arc<Vm>, system: Arc<System>) -> Self {
        Self { vm, system }
    }

    /// Whether `cmd` is a VM ioctl.
    pub fn has_ioctl(cmd: u32) -> bool {
        matches!(
            cmd,
            uapi::RKVM_CREATE_VCPU
                | uapi::RKVM_SET_USER_MEMORY_REGION
                | uapi::RKVM_SET_USER_MEMORY_REGION2
                | uapi::RKVM_GET_DIRTY_LOG
                | uapi::RKVM_CLEAR_DIRTY_LOG
                | uapi::RKVM_IOEVENTFD
                | uapi::RKVM_IRQFD
                | uapi::RKVM_REGISTER_COALESCED_MMIO
                | uapi::RKVM_UNREGISTER_COALESCED_MMIO
                | uapi::RKVM_CREATE_DEVICE
        ) || arch::VmState::has_ioctl(cmd)
    }
}

impl FileObject for VmFile {
    fn ioctl(this: ArcBorrow<'_, Self>, cmd: u32, arg: usize) -> Result<isize> {
        Vm::ioctl(&this.vm, &this.system, cmd, arg)
    }

    fn release(this: ArcBorrow<'_, Self>) {
        this.vm.irqfds.clear();
        this.system.single().forget_vm(&this.vm);
    }
}
