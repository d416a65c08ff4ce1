// SPDX-License-Identifier: GPL-2.0
//! Snapshots: a directory with the state of VM, vCPUs and devices as JSON, and guest memory as it is.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{ensure, Context, Result};
use kvm_bindings::{
    kvm_clock_data, kvm_irqchip, kvm_pit_state2, KVM_IRQCHIP_IOAPIC, KVM_IRQCHIP_PIC_MASTER,
    KVM_IRQCHIP_PIC_SLAVE,
};
use kvm_ioctls::{Kvm, VcpuFd, VmFd};
use serde::{Deserialize, Serialize};
use vm_memory::GuestMemoryMmap;
use vm_superio::serial::SerialState;

use crate::device::cmos::CmosState;
use crate::device::power::PowerState;
use crate::machine::Devices;
use crate::memory;
use crate::sync::lock;
use crate::vcpu_state::VcpuState;
use crate::virtio::transport::TransportState;

const STATE_FILE: &str = "state.json";
const MEMORY_FILE: &str = "memory";
const IRQCHIPS: [u32; 3] = [
    KVM_IRQCHIP_PIC_MASTER,
    KVM_IRQCHIP_PIC_SLAVE,
    KVM_IRQCHIP_IOAPIC,
];

/// [`SerialState`] in a form that can be stored.
#[derive(Serialize, Deserialize)]
#[serde(remote = "SerialState")]
struct SerialStateFields {
    baud_divisor_low: u8,
    baud_divisor_high: u8,
    interrupt_enable: u8,
    interrupt_identification: u8,
    line_control: u8,
    line_status: u8,
    modem_control: u8,
    modem_status: u8,
    scratch: u8,
    in_buffer: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
pub struct Snapshot {
    irqchips: Vec<kvm_irqchip>,
    pit: kvm_pit_state2,
    clock: kvm_clock_data,
    vcpus: Vec<VcpuState>,
    #[serde(with = "SerialStateFields")]
    serial: SerialState,
    cmos: CmosState,
    power: PowerState,
    virtio: Vec<TransportState>,
}

impl Snapshot {
    /// Takes the state of a machine whose vCPUs are at rest.
    pub fn take(
        kvm: &Kvm,
        vm: &VmFd,
        vcpus: &[impl std::ops::Deref<Target = VcpuFd>],
        devices: &Devices,
    ) -> Result<Self> {
        // The vCPUs first: getting a vCPU's state may still move an interrupt to the vCPU.
        let vcpus = vcpus
            .iter()
            .map(|vcpu| VcpuState::get(kvm, vcpu))
            .collect::<Result<_>>()?;
        let mut irqchips = Vec::new();
        for chip_id in IRQCHIPS {
            let mut irqchip = kvm_irqchip {
                chip_id,
                ..Default::default()
            };
            vm.get_irqchip(&mut irqchip).context("KVM_GET_IRQCHIP")?;
            irqchips.push(irqchip);
        }
        Ok(Self {
            irqchips,
            pit: vm.get_pit2().context("KVM_GET_PIT2")?,
            clock: vm.get_clock().context("KVM_GET_CLOCK")?,
            vcpus,
            serial: lock(&devices.console).state(),
            cmos: lock(&devices.cmos).state.clone(),
            power: lock(&devices.power).state.clone(),
            virtio: devices
                .virtio
                .iter()
                .map(|device| lock(device).state())
                .collect(),
        })
    }

    /// Writes the snapshot, and memory, into a directory, which is made.
    pub fn store(&self, directory: &Path, memory: &GuestMemoryMmap) -> Result<()> {
        fs::create_dir_all(directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        let state = serde_json::to_vec(self)?;
        fs::write(directory.join(STATE_FILE), state).context("cannot write the snapshot")?;
        let mut file = File::create(directory.join(MEMORY_FILE))?;
        memory::save(memory, &mut file).context("cannot write guest memory")
    }

    /// Reads a snapshot, but not the memory.
    pub fn load(directory: &Path) -> Result<Self> {
        let path = directory.join(STATE_FILE);
        let state = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_slice(&state).with_context(|| format!("{} is damaged", path.display()))
    }

    pub fn serial(&self) -> SerialState {
        self.serial.clone()
    }

    /// Sets a new VM and its vCPUs to what the snapshot holds, and reads guest memory.
    pub fn restore_vm(
        &self,
        directory: &Path,
        vm: &VmFd,
        memory: &GuestMemoryMmap,
        vcpus: &[VcpuFd],
    ) -> Result<()> {
        let count = self.vcpus.len();
        ensure!(count == vcpus.len(), "the snapshot has {count} vCPUs");
        let path = directory.join(MEMORY_FILE);
        let mut file = File::open(&path).with_context(|| format!("no {}", path.display()))?;
        memory::load(memory, &mut file).context("the snapshot has less memory than the machine")?;
        let clock = kvm_clock_data {
            clock: self.clock.clock,
            ..Default::default()
        };
        vm.set_clock(&clock).context("KVM_SET_CLOCK")?;
        for irqchip in &self.irqchips {
            vm.set_irqchip(irqchip).context("KVM_SET_IRQCHIP")?;
        }
        vm.set_pit2(&self.pit).context("KVM_SET_PIT2")?;
        for (state, vcpu) in self.vcpus.iter().zip(vcpus) {
            state.set(vcpu)?;
        }
        Ok(())
    }

    /// Sets the devices, but not the console, which is made with its state. Devices come after the VM: an
    /// interrupt that was on its way to the guest's processors when the snapshot was taken is in neither
    /// state, and devices that have a reason raise theirs again.
    pub fn restore_devices(&self, devices: &Devices) -> Result<()> {
        let count = self.virtio.len();
        ensure!(
            count == devices.virtio.len(),
            "the snapshot has {count} virtio devices"
        );
        lock(&devices.cmos).state = self.cmos.clone();
        lock(&devices.power).state = self.power.clone();
        for (state, device) in self.virtio.iter().zip(&devices.virtio) {
            lock(device).restore(state)?;
        }
        Ok(())
    }
}
