// SPDX-License-Identifier: GPL-2.0

//! What an x86 VM has besides memory and vCPUs: its time, and its interrupt controllers.

use crate::{
    host::{bindings as uapi, x86::timer::Timer},
    irqfd::{IrqSink, Style},
    uapi::UserAddress,
    vm::Vm,
    vmx::platform::MemoryFormat,
    x86::{
        clock::VmClock,
        interrupts::{self, Interrupts, Kind},
        msr_filter::VmFilter,
        vm_ioctl,
        vm_settings::VmSettings,
    },
};
use kernel::{
    prelude::*,
    sync::{Arc, SetOnce},
};

/// The state of a VM.
#[pin_data]
pub struct VmState {
    #[pin]
    clock: VmClock,
    /// Ticks for the 8254, if there is one. Goes before what it ticks.
    pit_timer: SetOnce<Pin<KBox<Timer<Interrupts>>>>,
    interrupts: Arc<Interrupts>,
    #[pin]
    msr_filter: VmFilter,
    /// What else the VMM has chosen.
    pub settings: VmSettings,
}

impl VmState {
    /// A VM whose time starts now, without interrupt controllers. `ENOMEM`.
    pub fn new(_format: &MemoryFormat) -> Result<impl PinInit<Self>> {
        let interrupts = Interrupts::new()?;
        Ok(pin_init!(Self {
            clock <- VmClock::new(),
            pit_timer: SetOnce::new(),
            interrupts,
            msr_filter <- VmFilter::new(),
            settings: VmSettings::new(),
        }))
    }

    /// TSC and paravirtual clock.
    pub fn clock(&self) -> &VmClock {
        &self.clock
    }

    /// The MSRs that the VMM answers for.
    pub fn msr_filter(&self) -> &VmFilter {
        &self.msr_filter
    }

    /// The interrupt controllers.
    pub fn interrupts(&self) -> &Arc<Interrupts> {
        &self.interrupts
    }

    /// What irqfds interrupt the guest by. `EAGAIN` without local APICs in the kernel, `EINVAL` for a resampling one
    /// where the I/O APIC is the VMM's.
    pub fn irq_sink(&self, style: Style) -> Result<Arc<dyn IrqSink>> {
        match (self.interrupts.kind(), style) {
            (Kind::Userspace, _) | (Kind::Split, Style::Resample) => Err(EINVAL),
            _ => Ok(self.interrupts.clone()),
        }
    }

    /// Makes what ticks for the 8254. `EEXIST` for a second one, `ENOMEM`.
    pub fn make_pit_timer(&self) -> Result {
        let timer = KBox::pin_init(Timer::new(self.interrupts.clone()), GFP_KERNEL_ACCOUNT)?;
        if self.pit_timer.populate(timer) {
            Ok(())
        } else {
            Err(EEXIST)
        }
    }

    /// The 8254 wants to tick at this time of the monotonic clock, in nanoseconds.
    pub fn start_pit(&self, at: u64) {
        if let Some(timer) = self.pit_timer.as_ref() {
            timer.start(at);
        }
    }

    /// KVM_CHECK_EXTENSION for what is another number for each VM; `None` for anything else.
    pub fn check_extension(&self, extension: u32) -> Option<isize> {
        match extension {
            uapi::KVM_CAP_X86_APIC_BUS_CYCLES_NS => {
                Some(self.interrupts.settings().bus_cycle_ns() as isize)
            }
            _ => None,
        }
    }

    /// Whether `cmd` is an ioctl of an x86 VM.
    pub fn has_ioctl(cmd: u32) -> bool {
        matches!(cmd, uapi::RKVM_GET_CLOCK | uapi::RKVM_SET_CLOCK)
            || interrupts::has_ioctl(cmd)
            || vm_ioctl::has_ioctl(cmd)
    }

    /// Serves an ioctl of an x86 VM. `ENOTTY` for any other.
    pub fn ioctl(vm: &Vm, cmd: u32, argument: UserAddress) -> Result<isize> {
        let clock = vm.arch().clock();
        match cmd {
            uapi::RKVM_GET_CLOCK => argument.write(&clock.get())?,
            uapi::RKVM_SET_CLOCK => {
                clock.set(&argument.read()?)?;
                vm.mmu().vcpus().expel();
            }
            _ if interrupts::has_ioctl(cmd) => return interrupts::serve(vm, cmd, argument),
            _ => return vm_ioctl::serve(vm, cmd, argument),
        }
        Ok(0)
    }
}
