// SPDX-License-Identifier: GPL-2.0

//! An arm64 virtual CPU.

use crate::{
    arm64::{
        counters::{Counters, Event},
        device_access::Pending,
        el1::El1Regs,
        fpsimd::Fpsimd,
        interrupts::Interrupts,
        ioctl,
        registers::MidrEl1,
        regs::CoreRegs,
        traps::{hcr, InGuestWorld},
    },
    host::cpu::Cpu,
    io_bus::IoView,
    mmu::View,
    request::Kick,
    run_page::{Reported, RunPage, UserExit},
    stats::{Name, Source},
    uapi::UserAddress,
    vm::Vm,
};
use kernel::{prelude::*, sync::Arc};

/// A virtual CPU.
pub struct Vcpu {
    pub(super) core: Core,
}

/// All state of a vCPU.
pub struct Core {
    /// The VM.
    pub vm: Arc<Vm>,
    /// Where others see whether the vCPU runs.
    pub kick: Arc<Kick>,
    /// The number that the VMM gave it.
    pub id: u32,
    /// Guest memory.
    pub view: View,
    /// Writes to devices that need no exit to the VMM.
    pub io: IoView,
    /// General registers, PC and PSTATE.
    pub regs: CoreRegs,
    /// System registers of EL1 and EL0, while they are not in the processor.
    pub el1: El1Regs,
    /// Vector registers.
    pub fpsimd: KBox<Fpsimd>,
    /// Interrupts and timers.
    pub interrupts: Interrupts,
    /// HCR_EL2.
    pub hcr: u64,
    /// MIDR_EL1.
    pub midr: u64,
    /// MPIDR_EL1.
    pub mpidr: u64,
    /// The VMM has chosen the features.
    pub initialised: bool,
    /// What is counted about it.
    pub counters: Arc<Counters>,
    /// What the VMM is doing for the guest.
    pub pending: Pending,
    /// The CPU that the vCPU ran on last.
    pub(super) last_cpu: Option<Cpu>,
    /// The CPU has to forget what it has cached of the guest's translations.
    pub(super) moved: bool,
    /// The generation of mappings that the CPU's TLB has been flushed for.
    pub(super) flushed: u64,
}

impl Vcpu {
    /// A vCPU that the VMM has yet to initialise. `ENOMEM`.
    pub fn new(vm: &Arc<Vm>, kick: Arc<Kick>, id: u32, name: Name) -> Result<Self> {
        Ok(Self {
            core: Core {
                vm: vm.clone(),
                interrupts: Interrupts::new(vm, kick.clone(), id)?,
                kick,
                id,
                view: View::new(vm.mmu()),
                io: IoView::new(vm.io())?,
                regs: CoreRegs::RESET,
                el1: El1Regs::RESET,
                fpsimd: KBox::new(Fpsimd::RESET, GFP_KERNEL_ACCOUNT)?,
                hcr: hcr::GUEST,
                midr: MidrEl1::read(),
                mpidr: mpidr(id),
                initialised: false,
                counters: Arc::new(Counters::new(name), GFP_KERNEL_ACCOUNT)?,
                pending: Pending::None,
                last_cpu: None,
                moved: true,
                flushed: 0,
            },
        })
    }

    /// What is counted about it.
    pub fn stats(&self) -> Arc<dyn Source> {
        self.core.counters.clone()
    }

    /// Whether `cmd` is an ioctl of an arm64 vCPU.
    pub fn has_ioctl(cmd: u32) -> bool {
        ioctl::is_vcpu_ioctl(cmd)
    }

    /// Serves an ioctl other than KVM_RUN.
    pub fn ioctl(&mut self, cmd: u32, argument: UserAddress) -> Result<isize> {
        ioctl::serve(self, cmd, argument)
    }

    /// KVM_RUN. `ENOEXEC` before KVM_ARM_VCPU_INIT, `ENOSYS` for an access to a device that the syndrome does not
    /// describe, `EINTR` for a signal.
    pub fn run(&mut self, page: &RunPage) -> Result {
        if !self.core.initialised {
            return Err(ENOEXEC);
        }
        self.core.interrupts.begin()?;
        let request = page.request();
        self.core.complete(page);
        let result = if request.immediate_exit {
            Err(EINTR)
        } else {
            self.core.run()
        };
        self.core.interrupts.finish();
        match result {
            Ok(exit) => {
                let Reported { .. } = page.report_exit(&exit);
                Ok(())
            }
            Err(error) => {
                if error == EINTR {
                    self.core.counters.count(Event::SignalExit);
                    let Reported { .. } = page.report_exit(&UserExit::Interrupted);
                }
                Err(error)
            }
        }
    }
}

impl Core {
    /// The state after a reset, but for what KVM_ARM_VCPU_INIT alone decides.
    pub fn reset(&mut self) {
        self.regs = CoreRegs::RESET;
        self.el1 = El1Regs::RESET;
        *self.fpsimd = Fpsimd::RESET;
        self.interrupts.reset();
        self.hcr = hcr::GUEST;
        self.pending = Pending::None;
    }

    /// The guest gets an SError.
    pub fn raise_serror(&mut self, world: &InGuestWorld<'_>) {
        self.hcr |= hcr::VSE;
        world.set_hcr(self.hcr);
    }

    /// WFI: sleeps until there is an interrupt for the guest. `EINTR` if the thread has a signal.
    pub fn wait(&mut self) -> Result {
        self.interrupts.sleep(|| false)?;
        self.counters.count(Event::HaltWakeup);
        Ok(())
    }
}

/// MPIDR_EL1 of a vCPU: clusters of 16, so that a GIC can reach all of one by a list of targets.
fn mpidr(id: u32) -> u64 {
    const RES1: u64 = 1 << 31;
    let id = u64::from(id);
    RES1 | id & 0xf | (id >> 4 & 0xff) << 8 | (id >> 12 & 0xff) << 16
}
