// SPDX-License-Identifier: GPL-2.0

//! The paravirtual features that CPUID leaf 0x40000001 announces (Documentation/virt/kvm/x86/cpuid.rst).

use crate::x86::cpuid::{CpuidEntry, LocalApic};

/// A bit of EAX.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feature(u32);

impl Feature {
    /// kvmclock by the MSRs 0x11 and 0x12.
    pub const CLOCKSOURCE: Self = Self(0);
    /// Ports need no delay after a write.
    pub const NOP_IO_DELAY: Self = Self(1);
    /// kvmclock by the MSRs 0x4b564d00 and 0x4b564d01.
    pub const CLOCKSOURCE2: Self = Self(3);
    /// MSR_KVM_STEAL_TIME.
    pub const STEAL_TIME: Self = Self(5);
    /// MSR_KVM_PV_EOI_EN.
    pub const PV_EOI: Self = Self(6);
    /// KVM_HC_KICK_CPU.
    pub const PV_UNHALT: Self = Self(7);
    /// A guest may leave the TLB flush of a preempted vCPU to its host.
    pub const PV_TLB_FLUSH: Self = Self(9);
    /// KVM_HC_SEND_IPI.
    pub const PV_SEND_IPI: Self = Self(11);
    /// MSR_KVM_POLL_CONTROL.
    pub const POLL_CONTROL: Self = Self(12);
    /// KVM_HC_SCHED_YIELD.
    pub const PV_SCHED_YIELD: Self = Self(13);
    /// The flags of the clock's structure mean something.
    pub const CLOCKSOURCE_STABLE: Self = Self(24);

    /// The bit.
    pub const fn mask(self) -> u32 {
        1 << self.0
    }
}

/// What works whoever has the local APICs.
const OFFERED: &[Feature] = &[
    Feature::CLOCKSOURCE,
    Feature::NOP_IO_DELAY,
    Feature::CLOCKSOURCE2,
    Feature::STEAL_TIME,
    Feature::PV_TLB_FLUSH,
    Feature::POLL_CONTROL,
    Feature::CLOCKSOURCE_STABLE,
];

/// What needs the local APICs in this module.
const OFFERED_WITH_LOCAL_APIC: &[Feature] =
    &[Feature::PV_EOI, Feature::PV_UNHALT, Feature::PV_SEND_IPI];

/// EAX of the leaf for KVM_GET_SUPPORTED_CPUID.
pub fn offered(local_apic: LocalApic) -> u32 {
    let conditional = match local_apic {
        LocalApic::InKernel => OFFERED_WITH_LOCAL_APIC,
        LocalApic::Userspace => &[],
    };
    OFFERED
        .iter()
        .chain(conditional)
        .fold(0, |eax, feature| eax | feature.mask())
}

/// Whether a vCPU keeps to what its CPUID announces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Enforcement {
    /// All features are there, announced or not.
    #[default]
    Off,
    /// KVM_CAP_ENFORCE_PV_FEATURE_CPUID: those that are not announced are not there.
    On,
}

/// The features that a vCPU has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    denied: u32,
}

impl Features {
    /// By the vCPU's CPUID.
    pub fn new(cpuid: &[CpuidEntry], enforcement: Enforcement) -> Self {
        let denied = match enforcement {
            Enforcement::Off => 0,
            Enforcement::On => !announced(cpuid),
        };
        Self { denied }
    }

    /// Whether the vCPU has a feature.
    pub const fn has(&self, feature: Feature) -> bool {
        self.denied & feature.mask() == 0
    }
}

/// EAX of the leaf behind the first one with KVM's signature, which need not be 0x40000000 where a VMM shows
/// several hypervisors.
fn announced(cpuid: &[CpuidEntry]) -> u32 {
    leaf(cpuid)
        .and_then(|leaf| cpuid.iter().find(|entry| entry.function == leaf))
        .map_or(0, |entry| entry.eax)
}

/// Takes a feature out of a vCPU's CPUID.
pub fn withdraw(cpuid: &mut [CpuidEntry], feature: Feature) {
    let Some(leaf) = leaf(cpuid) else {
        return;
    };
    if let Some(entry) = cpuid.iter_mut().find(|entry| entry.function == leaf) {
        entry.eax &= !feature.mask();
    }
}

/// The leaf with the features.
fn leaf(cpuid: &[CpuidEntry]) -> Option<u32> {
    const FIRST: u32 = 0x4000_0000;
    const LAST: u32 = 0x4000_ff00;
    const STEP: u32 = 0x100;
    let bases = cpuid
        .iter()
        .filter(|entry| (FIRST..=LAST).contains(&entry.function) && entry.function % STEP == 0)
        .filter(|entry| [entry.ebx, entry.ecx, entry.edx] == SIGNATURE)
        .map(|entry| entry.function);
    bases.min().map(|base| base | 1)
}

/// "KVMKVMKVM", in EBX, ECX and EDX.
pub const SIGNATURE: [u32; 3] = [
    u32::from_le_bytes(*b"KVMK"),
    u32::from_le_bytes(*b"VMKV"),
    u32::from_le_bytes(*b"M\0\0\0"),
];
