// SPDX-License-Identifier: GPL-2.0

//! What a VMM has chosen about a VM's interrupt controllers, before or while it runs.

use crate::x86::{
    lapic::{Config, DirectedEoi, IdFormat, Lint0Reset},
    message::{Broadcast, Message, MsiFormat},
    msr::Role,
};
use core::sync::atomic::{AtomicU32, AtomicU8, Ordering};
use kernel::prelude::*;

/// Where the interrupt controllers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// With the VMM.
    Userspace,
    /// The local APICs are in the kernel, the I/O APIC and the 8259s with the VMM (KVM_CAP_SPLIT_IRQCHIP).
    Split,
    /// All are in the kernel (KVM_CREATE_IRQCHIP).
    Full,
}

/// The choices. A kind is chosen before there are vCPUs, and for good.
pub struct Settings {
    kind: AtomicU8,
    /// Pins of the VMM's I/O APIC, with [`Kind::Split`].
    split_pins: AtomicU32,
    /// The vCPU that starts the guest.
    bootstrap: AtomicU32,
    /// KVM_X2APIC_API_*.
    x2apic_api: AtomicU32,
    /// A cycle of the bus that the local APICs' timers count.
    bus_cycle_ns: AtomicU32,
}

/// The flags of KVM_CAP_X2APIC_API that there are.
pub const X2APIC_API: u32 = USE_32BIT_IDS
    | DISABLE_BROADCAST_QUIRK
    | ENABLE_SUPPRESS_EOI_BROADCAST
    | DISABLE_SUPPRESS_EOI_BROADCAST;
/// Local APIC ids in KVM_GET_LAPIC and in MSIs have 32 bits (KVM_X2APIC_API_USE_32BIT_IDS).
const USE_32BIT_IDS: u32 = 1 << 0;
/// 0xff is no broadcast to APICs in x2APIC mode (KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK).
const DISABLE_BROADCAST_QUIRK: u32 = 1 << 1;
/// Guests can keep EOIs from the VMM's I/O APIC, and do (KVM_X2APIC_ENABLE_SUPPRESS_EOI_BROADCAST).
const ENABLE_SUPPRESS_EOI_BROADCAST: u32 = 1 << 2;
/// They cannot, and are told so (KVM_X2APIC_DISABLE_SUPPRESS_EOI_BROADCAST).
const DISABLE_SUPPRESS_EOI_BROADCAST: u32 = 1 << 3;

/// [`Settings::bus_cycle_ns`] unless the VMM says otherwise: 1 GHz.
pub const BUS_CYCLE_NS: u32 = 1;

impl Settings {
    /// Everything is the VMM's, and vCPU 0 starts.
    pub const fn new() -> Self {
        Self {
            kind: AtomicU8::new(Kind::Userspace as u8),
            split_pins: AtomicU32::new(0),
            bootstrap: AtomicU32::new(0),
            x2apic_api: AtomicU32::new(0),
            bus_cycle_ns: AtomicU32::new(BUS_CYCLE_NS),
        }
    }

    /// Where the interrupt controllers are.
    #[inline]
    pub fn kind(&self) -> Kind {
        match self.kind.load(Ordering::Acquire) {
            kind if kind == Kind::Full as u8 => Kind::Full,
            kind if kind == Kind::Split as u8 => Kind::Split,
            _ => Kind::Userspace,
        }
    }

    /// Chooses a kind; what belongs to it is there already.
    pub fn choose(&self, kind: Kind) {
        self.kind.store(kind as u8, Ordering::Release);
    }

    /// The pins of the VMM's I/O APIC.
    pub fn split_pins(&self) -> u32 {
        self.split_pins.load(Ordering::Relaxed)
    }

    /// Sets them.
    pub fn set_split_pins(&self, pins: u32) {
        self.split_pins.store(pins, Ordering::Relaxed);
    }

    /// Chooses the vCPU that starts.
    pub fn set_bootstrap(&self, id: u32) {
        self.bootstrap.store(id, Ordering::Relaxed);
    }

    /// The vCPU that starts.
    pub fn bootstrap(&self) -> u32 {
        self.bootstrap.load(Ordering::Relaxed)
    }

    /// What a vCPU is to the others.
    pub fn role(&self, id: u32) -> Role {
        if id == self.bootstrap() {
            Role::Bootstrap
        } else {
            Role::Application
        }
    }

    /// KVM_CAP_X2APIC_API. `EINVAL` for flags that there are not, for both about EOIs at once, and for letting
    /// guests suppress them where the VMM does not have the I/O APIC.
    pub fn set_x2apic_api(&self, flags: u64) -> Result {
        const BOTH: u32 = ENABLE_SUPPRESS_EOI_BROADCAST | DISABLE_SUPPRESS_EOI_BROADCAST;
        let flags = u32::try_from(flags).map_err(|_| EINVAL)?;
        let enables = flags & ENABLE_SUPPRESS_EOI_BROADCAST != 0;
        if flags & !X2APIC_API != 0 || flags & BOTH == BOTH || enables && self.kind() != Kind::Split
        {
            return Err(EINVAL);
        }
        // The last word about EOIs counts.
        let kept = if flags & BOTH != 0 { !BOTH } else { u32::MAX };
        let old = self.x2apic_api.load(Ordering::Relaxed);
        self.x2apic_api.store(old & kept | flags, Ordering::Relaxed);
        Ok(())
    }

    /// KVM_CAP_X86_APIC_BUS_CYCLES_NS: nanoseconds of a cycle of the bus that the local APICs' timers count.
    pub fn bus_cycle_ns(&self) -> u32 {
        self.bus_cycle_ns.load(Ordering::Relaxed)
    }

    /// Sets them, before there are vCPUs. `EINVAL` for none and for so many that the longest time would not fit in 64 bits;
    /// `ENXIO` where the VMM has the local APICs.
    pub fn set_bus_cycle_ns(&self, ns: u64) -> Result {
        const LONGEST: u64 = u32::MAX as u64 * 128;
        if ns == 0 || LONGEST.checked_mul(ns).is_none() {
            return Err(EINVAL);
        }
        if self.kind() == Kind::Userspace {
            return Err(ENXIO);
        }
        self.bus_cycle_ns
            .store(u32::try_from(ns).map_err(|_| EINVAL)?, Ordering::Relaxed);
        Ok(())
    }

    fn has_api(&self, flag: u32) -> bool {
        self.x2apic_api.load(Ordering::Relaxed) & flag != 0
    }

    /// How a local APIC's id is saved.
    pub fn id_format(&self) -> IdFormat {
        if self.has_api(USE_32BIT_IDS) {
            IdFormat::X2apic
        } else {
            IdFormat::Xapic
        }
    }

    /// Where MSIs have their destination.
    pub fn msi_format(&self) -> MsiFormat {
        if self.has_api(USE_32BIT_IDS) {
            MsiFormat::Extended
        } else {
            MsiFormat::Compatible
        }
    }

    /// Which destination means everyone.
    pub fn broadcast(&self) -> Broadcast {
        if self.has_api(DISABLE_BROADCAST_QUIRK) {
            Broadcast::Strict
        } else {
            Broadcast::Quirk
        }
    }

    /// An MSI.
    pub fn msi(&self, address: u64, data: u32) -> Message {
        Message::from_msi(address, data, self.msi_format(), self.broadcast())
    }

    /// What the local APIC of vCPU `id` is.
    pub fn lapic(&self, id: u32, tsc_deadline: bool, lint0: Lint0Reset) -> Config {
        Config {
            role: self.role(id),
            lint0,
            directed_eoi: match self.kind() {
                _ if self.has_api(DISABLE_SUPPRESS_EOI_BROADCAST) => DirectedEoi::Absent,
                Kind::Split if self.has_api(ENABLE_SUPPRESS_EOI_BROADCAST) => DirectedEoi::Offered,
                Kind::Split => DirectedEoi::Ignored,
                Kind::Full | Kind::Userspace => DirectedEoi::Absent,
            },
            tsc_deadline,
            cmci: false,
            bus_cycle_ns: self.bus_cycle_ns(),
        }
    }
}
