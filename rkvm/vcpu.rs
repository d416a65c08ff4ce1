// SPDX-License-Identifier: GPL-2.0

//! A virtual CPU and its file.
//!
//! All state of a vCPU lies behind one mutex that an ioctl holds to its end: KVM_RUN is such an
//! ioctl, so that nothing reads or changes registers while the guest runs.

use crate::{
    arch,
    host::{
        bindings as uapi, cpu,
        file::{self, FileObject},
        mutex::KillableMutex,
        signal::{MaskedSignals, SignalMask, SIGSET_SIZE},
    },
    request::Kick,
    run_page::RunPage,
    stats::{Owner, Source},
    stats_file,
    step_log::log_step,
    system::System,
    text::Text,
    uapi::UserAddress,
    vm::Vm,
};
use kernel::{
    mm::virt::VmaNew,
    prelude::*,
    static_lock_class,
    sync::{Arc, ArcBorrow},
};

/// A virtual CPU.
#[pin_data]
pub struct Vcpu {
    membership: Membership,
    run: RunPage,
    stats: Arc<dyn Source>,
    #[pin]
    state: KillableMutex<State>,
}

/// What the mutex protects.
struct State {
    arch: arch::Vcpu,
    /// The signals that KVM_RUN blocks; `None` leaves the thread's as they are.
    signal_mask: Option<SignalMask>,
}

/// KVM_CREATE_VCPU: makes the vCPU and its file. `ENOMEM`, `EMFILE`.
pub fn create(vm: &Arc<Vm>, system: &Arc<System>, id: u32) -> Result<isize> {
    let kick = Arc::pin_init(Kick::new(), GFP_KERNEL_ACCOUNT)?;
    let run = RunPage::new()?;
    let process = vm.creator();
    let owner = Owner::Vcpu { process, id };
    let state = State {
        arch: arch::Vcpu::new(vm, kick.clone(), id, owner)?,
        signal_mask: None,
    };
    let stats = state.arch.stats();
    let membership = Membership::new(vm, &kick)?;
    let vcpu = Arc::pin_init(
        pin_init!(Vcpu {
            membership,
            run,
            stats,
            state <- KillableMutex::new(state, static_lock_class!()),
        }),
        GFP_KERNEL_ACCOUNT,
    )?;
    let file = Arc::new(
        VcpuFile {
            vcpu: vcpu.clone(),
            system: system.clone(),
        },
        GFP_KERNEL_ACCOUNT,
    )?;
    let name = Text::new(format_args!("kvm-vcpu:{id}"));
    let fd = file::anonymous(name.as_c_str(), file)?;
    system.single().offer_vcpu(&vcpu);
    log_step!("KVM_CREATE_VCPU: id {id}\n");
    Ok(fd)
}

impl Vcpu {
    /// The VM that the vCPU belongs to.
    pub fn vm(&self) -> &Arc<Vm> {
        &self.membership.vm
    }

    /// Serves a vCPU ioctl.
    pub fn ioctl(this: &Self, cmd: u32, arg: usize) -> Result<isize> {
        this.vm().check_process()?;
        if cmd == uapi::RKVM_RUN {
            return this.run(arg).map(|()| 0);
        }
        if cmd == uapi::RKVM_GET_STATS_FD {
            return stats_file::create(c"kvm-vcpu-stats", this.stats.clone());
        }
        // Unknown commands fail at once, whatever the vCPU does; EINVAL is what C KVM has for them.
        if !arch::Vcpu::has_ioctl(cmd) && cmd != uapi::RKVM_SET_SIGNAL_MASK {
            return Err(EINVAL);
        }
        let mut state = this.state.lock()?;
        let argument = UserAddress::new(arg);
        match cmd {
            uapi::RKVM_SET_SIGNAL_MASK => {
                state.signal_mask = read_signal_mask(arg)?;
                Ok(0)
            }
            _ => state.arch.ioctl(cmd, argument),
        }
    }

    /// KVM_RUN. `EINVAL` for an argument other than 0; `EINTR` when a signal is pending, with
    /// KVM_EXIT_INTR as the exit reason.
    fn run(&self, arg: usize) -> Result {
        if arg != 0 {
            return Err(EINVAL);
        }
        let mut state = self.state.lock()?;
        let masked = state.signal_mask.as_ref().map(MaskedSignals::new);
        let result = state.arch.run(&self.run);
        drop(masked);
        cpu::note_user_return();
        result
    }

    /// Maps the shared pages. `EINVAL` for an area that reaches past them.
    pub fn mmap(&self, vma: &VmaNew, first_page: usize) -> Result {
        let ring = self.vm().io().ring()?;
        self.run.map(ring.page(), vma, first_page)
    }
}

/// A vCPU's place among those of its VM.
struct Membership {
    vm: Arc<Vm>,
    kick: Arc<Kick>,
}

impl Membership {
    fn new(vm: &Arc<Vm>, kick: &Arc<Kick>) -> Result<Self> {
        vm.mmu().vcpus().add(kick.clone())?;
        Ok(Self {
            vm: vm.clone(),
            kick: kick.clone(),
        })
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.vm.mmu().vcpus().remove(&self.kick);
    }
}

/// KVM_SET_SIGNAL_MASK: `struct kvm_signal_mask`, or a null pointer to drop the mask. `EINVAL` for a
/// set of another size than the kernel's.
fn read_signal_mask(arg: usize) -> Result<Option<SignalMask>> {
    if arg == 0 {
        return Ok(None);
    }
    let header = UserAddress::new(arg);
    if header.read::<u32>()? as usize != SIGSET_SIZE {
        return Err(EINVAL);
    }
    let mut mask = SignalMask([0; SIGSET_SIZE]);
    header.offset(size_of::<u32>()).read_bytes(&mut mask.0)?;
    Ok(Some(mask))
}

/// An open descriptor of a vCPU.
struct VcpuFile {
    vcpu: Arc<Vcpu>,
    system: Arc<System>,
}

impl FileObject for VcpuFile {
    fn ioctl(this: ArcBorrow<'_, Self>, cmd: u32, arg: usize) -> Result<isize> {
        Vcpu::ioctl(&this.vcpu, cmd, arg)
    }

    fn mmap(this: ArcBorrow<'_, Self>, vma: &VmaNew, first_page: usize) -> Result {
        this.vcpu.mmap(vma, first_page)
    }

    fn release(this: ArcBorrow<'_, Self>) {
        this.system.single().forget_vcpu(&this.vcpu);
    }
}
