// SPDX-License-Identifier: GPL-2.0
//! Snapshots: a directory with the state of VM, vCPUs and devices as JSON, and guest memory as it is.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{ensure, Context, Result};
use kvm_ioctls::{VcpuFd, VmFd};
use serde::{Deserialize, Serialize};
use vm_memory::GuestMemoryMmap;
use vm_superio::serial::SerialState;

use crate::arch::platform::PlatformState;
use crate::arch::state::VmState;
use crate::arch::vm::Chips;
use crate::machine::Devices;
use crate::memory;
use crate::sync::lock;
use crate::virtio::transport::TransportState;

const STATE_FILE: &str = "state.json";
const MEMORY_FILE: &str = "memory";

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
    vm: VmState,
    #[serde(with = "SerialStateFields")]
    serial: SerialState,
    platform: PlatformState,
    virtio: Vec<TransportState>,
}

impl Snapshot {
    /// Takes the state of devices that are at rest, and that of their VM.
    pub fn take(vm: VmState, devices: &Devices) -> Self {
        Self {
            vm,
            serial: lock(&devices.console).state(),
            platform: devices.platform.state(),
            virtio: devices
                .virtio
                .iter()
                .map(|device| lock(device).state())
                .collect(),
        }
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

    /// Reads guest memory, and sets a new VM and its vCPUs to what the snapshot holds.
    pub fn restore_vm(
        &self,
        directory: &Path,
        vm: &VmFd,
        chips: &Chips,
        memory: &GuestMemoryMmap,
        vcpus: &[VcpuFd],
    ) -> Result<()> {
        let path = directory.join(MEMORY_FILE);
        let mut file = File::open(&path).with_context(|| format!("no {}", path.display()))?;
        memory::load(memory, &mut file).context("the snapshot has less memory than the machine")?;
        self.vm.set(vm, chips, vcpus)
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
        devices.platform.restore(&self.platform);
        for (state, device) in self.virtio.iter().zip(&devices.virtio) {
            lock(device).restore(state)?;
        }
        Ok(())
    }
}
