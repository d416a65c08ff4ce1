// SPDX-License-Identifier: GPL-2.0

//! An arm64 virtual CPU.

use crate::{
    arm64::{
        counters::{Counters, Event},
        device_access::Pending,
        el1::El1Regs,
        features::{Features, PointerAuthentication, ScalableVectors},
        fpsimd::Fpsimd,
        guest_debug::GuestDebug,
        id_regs::HostIds,
        interrupts::Interrupts,
        ioctl,
        machine::{Fixed, Gic},
        newer_features::Allowed,
        platform::CacheType,
        processors::{Processor, Seat},
        pv_time::StolenTime,
        registers::VsesrEl2,
        regs::CoreRegs,
        serror::ISS_OWN,
        sysreg::{
            kept::KeptRegs,
            name::{CTR_EL0, MIDR_EL1},
            role::Kept,
        },
        timer::Count,
        traps::{hcr, InGuestWorld},
        vgic::gic::irq::Level,
    },
    halt::Looked,
    host::{bindings as uapi, cpu::Cpu},
    io_bus::IoView,
    mmu::View,
    request::Kick,
    run_page::{Reported, RunPage},
    stats::{Owner, Source},
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
    /// What is counted about it.
    pub counters: Arc<Counters>,
    /// The syndrome of the SError that waits, if one does.
    pub serror: u64,
    /// System registers that are in memory alone.
    pub kept: KeptRegs,
    /// What the VMM has chosen by KVM_ARM_VCPU_INIT.
    pub features: Option<Features>,
    /// What the VM's processors are, from the first KVM_RUN on.
    pub fixed: Option<Arc<Fixed>>,
    /// Stolen time.
    pub stolen: StolenTime,
    /// The virtual address of the last access that was not to memory.
    pub fault_address: u64,
    /// What the VMM debugs the guest with.
    pub guest_debug: GuestDebug,
    /// The vCPU's place among the others.
    pub(super) seat: Seat,
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
    pub fn new(vm: &Arc<Vm>, kick: Arc<Kick>, id: u32, owner: Owner) -> Result<Self> {
        let kept = KeptRegs::new(id, vm.platform().host.get(CTR_EL0));
        Ok(Self {
            core: Core {
                seat: Seat::take(vm, kick.clone(), kept.get(Kept::Mpidr))?,
                vm: vm.clone(),
                interrupts: Interrupts::new(vm, kick.clone(), id)?,
                kick,
                id,
                view: View::new(vm.mmu()),
                io: IoView::new(vm.io())?,
                regs: CoreRegs::RESET,
                el1: El1Regs::RESET,
                fpsimd: KBox::new(Fpsimd::NEW, GFP_KERNEL_ACCOUNT)?,
                hcr: vm.mmu().format().hcr(),
                counters: Arc::new(Counters::new(owner), GFP_KERNEL_ACCOUNT)?,
                serror: 0,
                kept,
                features: None,
                fixed: None,
                stolen: StolenTime::NONE,
                fault_address: 0,
                guest_debug: GuestDebug::OFF,
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

    /// KVM_RUN. `ENOEXEC` before KVM_ARM_VCPU_INIT, `EPERM` before KVM_ARM_VCPU_FINALIZE if that is due, `ENOSYS` for an access to a device that the syndrome does not
    /// describe, `EINTR` for a signal.
    pub fn run(&mut self, page: &RunPage) -> Result {
        self.core.fix()?;
        self.core.interrupts.begin()?;
        let immediate_exit = page.immediate_exit();
        self.core.begin_steps();
        self.core.complete(page);
        let result = (!immediate_exit).then(|| self.core.run());
        self.core.end_steps();
        self.core.report_lines(page);
        self.core.interrupts.finish();
        // What has been pending is done, and nothing else: the VMM finds the exit as it was.
        let Some(result) = result else {
            return Err(EINTR);
        };
        match result {
            Ok(exit) => {
                let Reported { .. } = exit.report(page);
                Ok(())
            }
            Err(error) => {
                let Reported { .. } = if error == EINTR {
                    self.core.counters.count(Event::SignalExit);
                    page.report_interrupted()
                } else {
                    // An old reason would be taken for that of the failure.
                    page.report(uapi::KVM_EXIT_UNKNOWN)
                };
                Err(error)
            }
        }
    }
}

impl Core {
    /// The state after a reset, but for what KVM_ARM_VCPU_INIT alone decides.
    pub fn reset(&mut self) {
        self.kept.reset();
        self.regs = CoreRegs::RESET;
        self.el1 = El1Regs::RESET;
        let vectors = self
            .features
            .map_or(ScalableVectors::Absent, Features::scalable_vectors);
        let longest = self.vm.platform().vectors.longest();
        self.fpsimd.reset(vectors, longest);
        self.interrupts.reset();
        self.hcr = self.vm.mmu().format().hcr();
        if self.pointer_authentication() == PointerAuthentication::Present {
            self.hcr |= hcr::API | hcr::APK;
        }
        self.show_cache_type();
        self.pending = Pending::None;
    }

    /// `ENOEXEC` before KVM_ARM_VCPU_INIT.
    pub fn initialised(&self) -> Result<&Self> {
        self.features.map(|_| self).ok_or(ENOEXEC)
    }

    /// What the VM's processors are does not change from now on. `ENOEXEC` before KVM_ARM_VCPU_INIT, `EPERM` before
    /// KVM_ARM_VCPU_FINALIZE if that is due, `ENOMEM`.
    fn fix(&mut self) -> Result {
        if self.fixed.is_none() {
            self.initialised()?.fpsimd.finalized()?;
            let gic = if self.vm.arch().vgic().is_created() {
                Gic::V3
            } else {
                Gic::Absent
            };
            self.fixed = Some(self.vm.arch().machine().lock().fix(gic)?);
            self.show_cache_type();
        }
        Ok(())
    }

    /// Has CTR_EL0 not trap if the processor's is the VM's: Linux reads it for each instruction that it patches.
    fn show_cache_type(&mut self) {
        let Some(fixed) = &self.fixed else { return };
        let platform = self.vm.platform();
        let of_host = platform.host.get(CTR_EL0);
        if platform.cache_type == CacheType::Shown && fixed.ids.get(CTR_EL0) == Some(of_host) {
            self.hcr = self.hcr & !hcr::TID2 | hcr::TID4;
        }
    }

    /// Whether the guest can sign pointers.
    pub fn pointer_authentication(&self) -> PointerAuthentication {
        self.features.map_or(
            PointerAuthentication::Absent,
            Features::pointer_authentication,
        )
    }

    /// MIDR_EL1.
    pub fn midr(&self) -> u64 {
        let fixed = self.fixed.as_deref();
        fixed.and_then(|fixed| fixed.ids.get(MIDR_EL1)).unwrap_or(0)
    }

    /// What the guest may use of features that it would be kept from.
    pub fn allowed(&self) -> Allowed {
        let fixed = self.fixed.as_deref();
        fixed.map_or(Allowed::NOTHING, |fixed| fixed.allowed)
    }

    /// What the host's processors have in common.
    pub fn host_ids(&self) -> &HostIds {
        &self.vm.platform().host
    }

    /// The vCPU as others see it.
    #[inline]
    pub fn processor(&self) -> &Processor {
        self.seat.processor()
    }

    /// Whether the kernel has the guest's interrupt controller.
    pub fn has_gic(&self) -> bool {
        self.interrupts.index().is_some()
    }

    /// A VMM that has the interrupt controller finds the timers' lines in `kvm_run`.
    fn report_lines(&mut self, page: &RunPage) {
        let Some([virtual_line, physical_line]) = self.interrupts.tell_lines() else {
            return;
        };
        let bit = |line, bit: u32| {
            if line == Level::High {
                u64::from(bit)
            } else {
                0
            }
        };
        let lines = bit(virtual_line, uapi::KVM_ARM_DEV_EL1_VTIMER)
            | bit(physical_line, uapi::KVM_ARM_DEV_EL1_PTIMER);
        page.set_device_lines(lines);
    }

    /// The guest gets an SError, with a syndrome that tells nothing.
    pub fn raise_serror(&mut self, world: &InGuestWorld<'_>) {
        self.serror = ISS_OWN;
        if self.host_ids().has_ras() {
            VsesrEl2::write(world.here(), ISS_OWN);
        }
        world.change_hcr(&mut self.hcr, |hcr| hcr | hcr::VSE);
    }

    /// WFI: sleeps until there is an interrupt for the guest, or its virtual counter is there. `EINTR` if the thread
    /// has a signal.
    pub fn wait(&mut self, until: Option<Count>) -> Result {
        let (waited, looked) = self.interrupts.sleep(until, || false)?;
        self.counters.add(Event::HaltWait, waited);
        self.counters.count(Event::HaltWakeup);
        match looked {
            Looked::Not => (),
            Looked::InVain => self.counters.count(Event::HaltPoll),
            Looked::Successfully => {
                self.counters.count(Event::HaltPoll);
                self.counters.count(Event::HaltPollSuccess);
            }
        }
        Ok(())
    }
}
