// SPDX-License-Identifier: GPL-2.0

//! rkvm: the Linux KVM userspace API, written anew in Rust.
//!
//! A VMM opens `/dev/rust_kvm` and drives three kinds of file: the device ([`system`]), a virtual
//! machine ([`vm`]) and a virtual CPU ([`vcpu`]). [`arch`] is the seam to what differs between
//! processors, [`mmu`] keeps guest physical memory mapped, and [`host`] holds every call into the
//! kernel. `docs/architecture.md` has the picture and the lock order.

#![deny(unsafe_code)]
#![deny(unsafe_op_in_unsafe_fn)]
#![allow(
    unreachable_pub,
    reason = "the host tests compile the pure files as public modules of another crate"
)]

use host::{
    device::{Minor, Registration},
    notifier::Drain,
};
use kernel::prelude::*;
use system::System;

mod arch;
mod bus;
mod coalesced;
mod device;
mod dirty_log;
mod gsi_routing;
mod halt;
mod halt_poll;
mod host;
mod io_bus;
mod ioeventfd;
mod irqfd;
mod memslot;
mod mmu;
mod request;
mod run_page;
mod shared_list;
mod single;
mod stats;
mod stats_file;
mod step_log;
mod system;
mod text;
mod types;
mod uapi;
mod vcpu;
mod vm;
mod vm_stats;

#[cfg(CONFIG_ARM64)]
mod arm64;
#[cfg(CONFIG_X86_64)]
mod vmx;
#[cfg(CONFIG_X86_64)]
mod x86;

module! {
    type: RustKvm,
    name: "rust_kvm",
    authors: ["The rkvm developers"],
    description: "KVM userspace API on VMX and VHE, in Rust",
    license: "GPL",
    params: {
        kvm_node: u8 {
            default: 0,
            description: "1: also register the device node kvm (minor 232), if it is free",
        },
        enable_apicv: u8 {
            default: 1,
            description: "0: keep local APICs in software where the processor could have them",
        },
        log_steps: u8 {
            default: 0,
            description: "1: log what VMs do, step by step",
        },
        halt_poll_ns: u32 {
            default: 200_000,
            description: "nanoseconds that a vCPU which waits looks for an interrupt before it sleeps, at the longest, on a CPU that has nothing else to do; 0: never",
        },
        vmid_bits: u8 {
            default: 0,
            description: "on arm64, the most bits of VMIDs to use, at least 2, to have them used up in tests; 0: as many as there are",
        },
        longest_stay: u32 {
            default: 0,
            description: "microseconds after which a guest with local APICs here is left at the latest, for emulators that do not leave it for an interrupt of the host while the guest's are off; 0: no limit",
        },
        flawed_apicv: u8 {
            default: 0,
            description: "1: for emulators that tell of another event when an exit cuts the delivery of a virtual interrupt short: works around it, and posts no interrupts",
        },
    },
}

/// The loaded module. Fields drop in the order they are written: first no new file can be opened,
/// then the processors are given back.
#[pin_data]
struct RustKvm {
    #[pin]
    device: Registration<System>,
    kvm_node: Option<Pin<KBox<Registration<System>>>>,
    _notifiers: Drain,
}

/// The minor number of the node `kvm` (KVM_MINOR).
const KVM_MINOR: u16 = 232;

impl kernel::InPlaceModule for RustKvm {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        pin_init::pin_init_scope(|| {
            let platform = arch::Platform::enable()?;
            let wants_node = *module_parameters::kvm_node.value() != 0;
            let kvm_node = if wants_node {
                let minor = Minor::Fixed(KVM_MINOR);
                let node = Registration::new(c"kvm", minor, platform.clone());
                Some(KBox::pin_init(node, GFP_KERNEL)?)
            } else {
                None
            };
            Ok(try_pin_init!(Self {
                device <- Registration::new(c"rust_kvm", Minor::Dynamic, platform),
                kvm_node,
                _notifiers: Drain,
            }))
        })
    }
}
