// SPDX-License-Identifier: GPL-2.0
//! The machine: a VM, its memory, its devices and its vCPUs.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use anyhow::{ensure, Context, Result};
use kvm_bindings::{kvm_pit_config, KVM_CAP_BINARY_STATS_FD, KVM_PIT_SPEAKER_DUMMY};
use kvm_ioctls::{Cap, Kvm, VcpuFd, VmFd};
use vm_memory::GuestMemoryMmap;
use vm_superio::serial::SerialState;
use vmm_sys_util::eventfd::{EventFd, EFD_NONBLOCK};

use crate::boot::{self, acpi, registers, Payload};
use crate::bus::{Bus, Device};
use crate::counters::Counters;
use crate::cpuid;
use crate::device::cmos::Cmos;
use crate::device::console::{Console, Output, Watch};
use crate::device::i8042::I8042;
use crate::device::power::Power;
use crate::end::{End, Ending};
use crate::event_loop;
use crate::layout;
use crate::memory;
use crate::options::{Options, Serial, Virtio};
use crate::snapshot::Snapshot;
use crate::stats::Stats;
use crate::sync::lock;
use crate::vcpu::{Surroundings, Vcpu};
use crate::virtio::block::Block;
use crate::virtio::net::Net;
use crate::virtio::transport::Transport;
use crate::virtio::VirtioDevice;

/// Without these the machine cannot be built.
const NEEDED: [(Cap, &str); 5] = [
    (Cap::UserMemory, "KVM_CAP_USER_MEMORY"),
    (Cap::Irqchip, "KVM_CAP_IRQCHIP"),
    (Cap::Pit2, "KVM_CAP_PIT2"),
    (Cap::Irqfd, "KVM_CAP_IRQFD"),
    (Cap::Ioeventfd, "KVM_CAP_IOEVENTFD"),
];

/// The devices that have state of their own.
pub struct Devices {
    pub console: Arc<Mutex<Console>>,
    pub cmos: Arc<Mutex<Cmos>>,
    pub power: Arc<Mutex<Power>>,
    pub virtio: Vec<Arc<Mutex<Transport>>>,
}

/// Fields go in this order: the vCPUs' threads end before what they use.
pub struct Machine {
    vcpus: Vec<Vcpu>,
    devices: Devices,
    surroundings: Arc<Surroundings>,
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
        let vm = create_vm(&kvm)?;
        let memory = memory::allocate(options.memory)?;
        memory::register(&vm, &memory)?;

        let descriptors: Vec<VcpuFd> = (0..options.cpus)
            .map(|id| vm.create_vcpu(id.into()).context("KVM_CREATE_VCPU"))
            .collect::<Result<_>>()?;
        let snapshot = match &options.incoming {
            Some(directory) => {
                let snapshot = Snapshot::load(directory)?;
                snapshot.restore_vm(directory, &vm, &memory, &descriptors)?;
                Some(snapshot)
            }
            None => {
                prepare_boot(options, &kvm, &memory, &descriptors)?;
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
        let (devices, ports, mmio) = devices(options, &vm, &memory, &ending, output, &serial)?;
        if let Some(snapshot) = &snapshot {
            snapshot.restore_devices(&devices)?;
        }

        let surroundings = Arc::new(Surroundings {
            ports,
            mmio,
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
        Snapshot::take(&self.kvm, &self.vm, &vcpus, &self.devices)?.store(directory, &self.memory)
    }
}

fn open(device: &Path) -> Result<Kvm> {
    let name = device.display();
    let path = std::ffi::CString::new(device.as_os_str().as_encoded_bytes())?;
    let kvm = Kvm::new_with_path(path).with_context(|| format!("cannot open {name}"))?;
    for (capability, its_name) in NEEDED {
        ensure!(kvm.check_extension(capability), "{name} has no {its_name}");
    }
    Ok(kvm)
}

/// A VM with the interrupt controllers and the timer that are in the kernel.
fn create_vm(kvm: &Kvm) -> Result<VmFd> {
    let vm = kvm.create_vm().context("KVM_CREATE_VM")?;
    vm.set_identity_map_address(layout::IDENTITY_MAP)
        .context("KVM_SET_IDENTITY_MAP_ADDR")?;
    vm.set_tss_address(layout::TSS)
        .context("KVM_SET_TSS_ADDR")?;
    vm.create_irq_chip().context("KVM_CREATE_IRQCHIP")?;
    let pit = kvm_pit_config {
        flags: KVM_PIT_SPEAKER_DUMMY,
        ..Default::default()
    };
    vm.create_pit2(pit).context("KVM_CREATE_PIT2")?;
    Ok(vm)
}

/// Memory and vCPUs as the kernel is to find them.
fn prepare_boot(
    options: &Options,
    kvm: &Kvm,
    memory: &GuestMemoryMmap,
    vcpus: &[VcpuFd],
) -> Result<()> {
    let payload = Payload {
        kernel: options.kernel.as_deref().context("nothing to boot")?,
        initrd: options.initrd.as_deref(),
        cmdline: &options.append,
    };
    let entry = boot::load(memory, &payload)?;
    acpi::write(memory, options.cpus, options.virtio.len())?;
    let entries = cpuid::supported(kvm)?;
    for (id, vcpu) in (0..).zip(vcpus) {
        let entries = cpuid::of_vcpu(&entries, id, options.cpus)?;
        vcpu.set_cpuid2(&entries).context("KVM_SET_CPUID2")?;
        registers::set_common(vcpu)?;
    }
    // The others wait for the first to start them.
    registers::set_entry(&vcpus[0], memory, entry)
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

/// Makes the devices; also the buses of ports and of memory that lead to them.
fn devices(
    options: &Options,
    vm: &VmFd,
    memory: &GuestMemoryMmap,
    ending: &Ending,
    output: Output,
    serial: &SerialState,
) -> Result<(Devices, Bus, Bus)> {
    let interrupt = EventFd::new(EFD_NONBLOCK)?;
    vm.register_irqfd(&interrupt, layout::COM1_GSI)
        .context("KVM_IRQFD")?;
    let console = shared(Console::new(serial, interrupt, output, ending.clone())?);
    let cmos = shared(Cmos::new());
    let power = shared(Power::new(ending.clone()));
    let i8042 = shared(I8042::new(ending.clone()));
    let mut ports = Bus::default();
    let mut at = |port: u16, size, device| ports.insert(port.into(), size, device);
    at(
        layout::COM1,
        Console::SIZE,
        console.clone() as Arc<Mutex<dyn Device>>,
    );
    at(layout::CMOS, Cmos::SIZE, cmos.clone());
    at(layout::PM1A_EVENT, Power::SIZE, power.clone());
    at(layout::I8042, I8042::SIZE, i8042);

    let mut mmio = Bus::default();
    let mut virtio = Vec::new();
    for (index, description) in (0..).zip(&options.virtio) {
        let device: Box<dyn VirtioDevice> = match description {
            Virtio::Block { file, access } => Box::new(Block::new(file, *access)?),
            Virtio::Net { interface, mac } => Box::new(Net::new(interface, *mac)?),
        };
        let address = layout::VIRTIO_START + u64::from(index) * layout::PAGE;
        let gsi = layout::VIRTIO_GSI + index;
        let transport = shared(Transport::new(device, memory.clone(), vm, address, gsi)?);
        mmio.insert(address, layout::PAGE, transport.clone());
        virtio.push(transport);
    }
    Ok((
        Devices {
            console,
            cmos,
            power,
            virtio,
        },
        ports,
        mmio,
    ))
}

fn shared<T>(device: T) -> Arc<Mutex<T>> {
    Arc::new(Mutex::new(device))
}
