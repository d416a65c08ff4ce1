// SPDX-License-Identifier: GPL-2.0
//! The machine: a VM, its memory, its devices and its vCPUs.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use anyhow::{ensure, Context, Result};
use kvm_bindings::KVM_CAP_BINARY_STATS_FD;
use kvm_ioctls::{Kvm, VmFd};
use vm_memory::GuestMemoryMmap;
use vm_superio::serial::SerialState;
use vmm_sys_util::eventfd::{EventFd, EFD_NONBLOCK};

use crate::arch::platform::Platform;
use crate::arch::state::VmState;
use crate::arch::vm::{self, Chips};
use crate::arch::{boot, layout};
use crate::bus::Buses;
use crate::console::{Console, Output, Watch};
use crate::counters::Counters;
use crate::end::{End, Ending};
use crate::event_loop;
use crate::memory::{self, PAGE};
use crate::options::{Options, Serial, Virtio};
use crate::payload::Payload;
use crate::snapshot::Snapshot;
use crate::stats::Stats;
use crate::sync::{lock, shared};
use crate::vcpu::{Surroundings, Vcpu};
use crate::virtio::block::Block;
use crate::virtio::net::Net;
use crate::virtio::transport::Transport;
use crate::virtio::VirtioDevice;

/// The devices that have state of their own.
pub struct Devices {
    pub console: Arc<Mutex<Console>>,
    pub platform: Platform,
    pub virtio: Vec<Arc<Mutex<Transport>>>,
}

/// Fields go in this order: the vCPUs' threads end before what they use.
pub struct Machine {
    vcpus: Vec<Vcpu>,
    devices: Devices,
    surroundings: Arc<Surroundings>,
    chips: Chips,
    vm: VmFd,
    memory: GuestMemoryMmap,
    kvm: Kvm,
    /// Readable when a snapshot is to be taken.
    save: EventFd,
    /// Readable when a signal has come that is for the event loop.
    signals: File,
}

impl Machine {
    /// Builds the machine, with everything at rest.
    pub fn new(options: &Options, stats: Arc<Stats>) -> Result<Self> {
        // Before there are other threads, so that none of them gets the signals.
        let signals = event_loop::signals()?;
        let kvm = open(&options.kvm)?;
        let (vm, descriptors, chips) = vm::create(&kvm, options.cpus)?;
        let memory = memory::allocate(options.memory)?;
        memory::register(&vm, &memory)?;

        let snapshot = match &options.incoming {
            Some(directory) => {
                let snapshot = Snapshot::load(directory)?;
                snapshot.restore_vm(directory, &vm, &chips, &memory, &descriptors)?;
                Some(snapshot)
            }
            None => {
                let payload = Payload {
                    kernel: options.kernel.as_deref().context("nothing to boot")?,
                    initrd: options.initrd.as_deref(),
                    cmdline: &options.append,
                    virtio_devices: options.virtio.len(),
                };
                boot::load(&kvm, &memory, &descriptors, &payload)?;
                None
            }
        };

        if options.stats.is_some() && kvm.check_extension_raw(KVM_CAP_BINARY_STATS_FD.into()) > 0 {
            let counters: Result<_> = descriptors.iter().map(Counters::of).collect();
            stats.add_kernel(counters?);
        }

        let ending = Ending::new()?;
        let save = EventFd::new(EFD_NONBLOCK)?;
        let output = output(options, &stats, &save)?;
        let serial = snapshot
            .as_ref()
            .map_or_else(SerialState::default, Snapshot::serial);
        let (devices, buses) = devices(options, &vm, &memory, &ending, output, &serial)?;
        if let Some(snapshot) = &snapshot {
            snapshot.restore_devices(&devices)?;
        }

        let surroundings = Arc::new(Surroundings {
            buses,
            stats,
            ending,
        });
        let vcpus = (0..)
            .zip(descriptors)
            .map(|(id, descriptor)| Vcpu::new(descriptor, id, surroundings.clone()))
            .collect::<Result<_>>()?;
        Ok(Self {
            vcpus,
            devices,
            surroundings,
            chips,
            vm,
            memory,
            kvm,
            save,
            signals,
        })
    }

    /// Runs the machine until it ends.
    pub fn run(&self, options: &Options) -> Result<End> {
        if options.serial == Serial::Stdio {
            lock(&self.devices.console).attach_input()?;
        }
        let mut events = event_loop::EventLoop::new(&self.devices, &self.surroundings.ending)?;
        events.wait_for(&self.save, &self.signals)?;
        for vcpu in &self.vcpus {
            vcpu.run();
        }
        loop {
            if events.turn()?.save {
                if let Some(target) = &options.snapshot {
                    self.save(&target.directory)?;
                    self.surroundings.ending.tell(End::Saved);
                }
            }
            if let Some(end) = self.surroundings.ending.get() {
                return Ok(end);
            }
        }
    }

    /// Pauses the machine and writes a snapshot of it. Devices are at rest too: the event loop is here.
    fn save(&self, directory: &Path) -> Result<()> {
        for vcpu in &self.vcpus {
            vcpu.pause();
        }
        let vcpus: Vec<_> = self.vcpus.iter().map(Vcpu::at_rest).collect();
        let state = VmState::get(&self.kvm, &self.vm, &self.chips, &vcpus)?;
        Snapshot::take(state, &self.devices).store(directory, &self.memory)
    }
}

fn open(device: &Path) -> Result<Kvm> {
    let name = device.display();
    let path = std::ffi::CString::new(device.as_os_str().as_encoded_bytes())?;
    let kvm = Kvm::new_with_path(path).with_context(|| format!("cannot open {name}"))?;
    for (capability, its_name) in vm::NEEDED {
        ensure!(kvm.check_extension(capability), "{name} has no {its_name}");
    }
    Ok(kvm)
}

/// Where the console's output goes, and what is looked for in it.
fn output(options: &Options, stats: &Arc<Stats>, save: &EventFd) -> Result<Output> {
    let sink: Box<dyn Write + Send> = match &options.serial {
        Serial::Stdio => Box::new(io::stdout()),
        Serial::Null => Box::new(io::sink()),
        Serial::File(path) => Box::new(
            File::create(path).with_context(|| format!("cannot create {}", path.display()))?,
        ),
    };
    let mut watches = Vec::new();
    if let Some(Some(text)) = &options.stats {
        let (stats, name) = (stats.clone(), text.clone());
        watches.push(Watch {
            text: text.clone(),
            action: Box::new(move || eprintln!("\nminivmm: to {name:?}: {}", stats.now())),
        });
    }
    if let Some(text) = options
        .snapshot
        .as_ref()
        .and_then(|snapshot| snapshot.at.clone())
    {
        let save = save.try_clone()?;
        // The counter is far from full.
        watches.push(Watch {
            text,
            action: Box::new(move || drop(save.write(1))),
        });
    }
    Ok(Output::new(sink, watches))
}

/// Makes the devices, and the buses that lead to them.
fn devices(
    options: &Options,
    vm: &VmFd,
    memory: &GuestMemoryMmap,
    ending: &Ending,
    output: Output,
    serial: &SerialState,
) -> Result<(Devices, Buses)> {
    let interrupt = EventFd::new(EFD_NONBLOCK)?;
    vm.register_irqfd(&interrupt, layout::SERIAL_GSI)
        .context("KVM_IRQFD")?;
    let console = shared(Console::new(serial, interrupt, output, ending.clone())?);
    let mut buses = Buses::default();
    let platform = Platform::new(&console, ending, &mut buses);
    let mut virtio = Vec::new();
    for (index, description) in (0..).zip(&options.virtio) {
        let device: Box<dyn VirtioDevice> = match description {
            Virtio::Block { file, access } => Box::new(Block::new(file, *access)?),
            Virtio::Net { interface, mac } => Box::new(Net::new(interface, *mac)?),
        };
        let address = layout::VIRTIO_START + u64::from(index) * PAGE;
        let gsi = layout::VIRTIO_GSI + index;
        let transport = shared(Transport::new(device, memory.clone(), vm, address, gsi)?);
        buses.mmio.insert(address, PAGE, transport.clone());
        virtio.push(transport);
    }
    Ok((
        Devices {
            console,
            platform,
            virtio,
        },
        buses,
    ))
}
