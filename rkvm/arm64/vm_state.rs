// SPDX-License-Identifier: GPL-2.0

//! What an arm64 VM has besides memory and vCPUs.

use crate::{
    arm64::{
        machine::Machine, options::VmOptions, platform::MemoryFormat, processors::Processors,
        residents::Residents, time::VmTime, timer::Offset, vgic::Vgic, vm_ioctl, vmid::Tag,
    },
    host::bindings as uapi,
    irqfd::{IrqSink, Style},
    uapi::UserAddress,
    vm::Vm,
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{Arc, Mutex},
};

/// The state of a VM.
#[pin_data]
pub struct VmState {
    vmid: Tag,
    residents: Residents,
    vgic: Arc<Vgic>,
    #[pin]
    time: VmTime,
    /// What its processors are.
    #[pin]
    machine: Mutex<Machine>,
    #[pin]
    processors: Processors,
    options: VmOptions,
}

impl VmState {
    /// A VM that has not run yet, whose time starts now. `ENOMEM`.
    pub fn new(format: &MemoryFormat) -> Result<impl PinInit<Self>> {
        let residents = Residents::new()?;
        let vgic = Vgic::new(1 << format.ipa_bits())?;
        Ok(pin_init!(Self {
            vmid: Tag::new(),
            residents,
            vgic,
            time <- VmTime::new(),
            machine <- new_mutex!(Machine::new()),
            processors <- Processors::new(),
            options: VmOptions::new(),
        }))
    }

    /// What its processors are to the guest.
    pub fn machine(&self) -> &Mutex<Machine> {
        &self.machine
    }

    /// What the VMM has turned on.
    pub fn options(&self) -> &VmOptions {
        &self.options
    }

    /// Its vCPUs to each other.
    pub fn processors(&self) -> &Processors {
        &self.processors
    }

    /// The interrupt controller.
    pub fn vgic(&self) -> &Arc<Vgic> {
        &self.vgic
    }

    /// Counters and timers.
    pub fn time(&self) -> &VmTime {
        &self.time
    }

    /// The tag of its translations.
    pub fn vmid(&self) -> &Tag {
        &self.vmid
    }

    /// Which vCPU each CPU ran last.
    pub fn residents(&self) -> &Residents {
        &self.residents
    }

    /// The interrupt controller, for an irqfd. `EAGAIN` while there is none, or it is not initialised.
    pub fn irq_sink(&self, _style: Style) -> Result<Arc<dyn IrqSink>> {
        if !self.vgic.is_initialised() {
            return Err(EAGAIN);
        }
        Ok(self.vgic.clone())
    }

    /// KVM_CHECK_EXTENSION for what is another number for each VM: whether messages have to name their device.
    pub fn check_extension(&self, extension: u32) -> Option<isize> {
        (extension == uapi::KVM_CAP_MSI_DEVID).then(|| self.vgic.has_its().into())
    }

    /// Whether `cmd` is an ioctl of an arm64 VM.
    pub fn has_ioctl(cmd: u32) -> bool {
        matches!(
            cmd,
            uapi::RKVM_IRQ_LINE
                | uapi::RKVM_IRQ_LINE_STATUS
                | uapi::RKVM_SIGNAL_MSI
                | uapi::RKVM_SET_GSI_ROUTING
                | uapi::RKVM_ARM_SET_COUNTER_OFFSET
                | uapi::RKVM_CREATE_IRQCHIP
                | uapi::RKVM_ARM_SET_DEVICE_ADDR
        ) || vm_ioctl::has_ioctl(cmd)
    }

    /// Serves an ioctl of an arm64 VM. `EINVAL` for any other.
    pub fn ioctl(vm: &Vm, cmd: u32, argument: UserAddress) -> Result<isize> {
        let vgic = vm.arch().vgic();
        match cmd {
            // What has become of the interrupt is not told on arm64.
            uapi::RKVM_IRQ_LINE | uapi::RKVM_IRQ_LINE_STATUS => vgic.irq_line(argument)?,
            uapi::RKVM_SIGNAL_MSI => return vgic.signal_msi(argument),
            uapi::RKVM_SET_GSI_ROUTING => vgic.set_routing(argument)?,
            uapi::RKVM_ARM_SET_COUNTER_OFFSET => {
                let offset: uapi::kvm_arm_counter_offset = argument.read()?;
                if offset.reserved != 0 {
                    return Err(EINVAL);
                }
                let time = vm.arch().time();
                vgic.while_stopped(|| time.set_common_offset(Offset(offset.counter_offset)))?;
            }
            // That would be a GICv2, which the processors of a GICv3 need not have.
            uapi::RKVM_CREATE_IRQCHIP => return Err(ENODEV),
            uapi::RKVM_ARM_SET_DEVICE_ADDR => {
                argument.read::<uapi::kvm_arm_device_addr>()?;
                return Err(ENODEV);
            }
            _ => return vm_ioctl::serve(vm, cmd, argument),
        }
        Ok(0)
    }
}
