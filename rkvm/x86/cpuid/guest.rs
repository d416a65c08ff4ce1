// SPDX-License-Identifier: GPL-2.0

//! A vCPU's CPUID (KVM_SET_CPUID2, KVM_GET_CPUID2) and the CPUID instruction.

use crate::x86::cpuid::feature::{self, Feature};
use crate::x86::cpuid::xsave::XsaveLayout;
use crate::x86::cpuid::{CpuidEntry, Registers, MAX_ENTRIES};
use crate::x86::pv::features as pv;
use crate::x86::regs::{Cr4, Efer, PhysicalBits, RegisterLimits, Xcr0};
use kernel::prelude::*;

/// The registers that show in a vCPU's CPUID. Whoever changes one calls [`GuestCpuid::refresh`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Runtime {
    /// CR4, for OSXSAVE.
    pub cr4: Cr4,
    /// XCR0, for the sizes of XSAVE areas.
    pub xcr0: Xcr0,
    /// IA32_APIC_BASE, for APIC.
    pub apic_base: u64,
    /// IA32_MISC_ENABLE, for MWAIT; `None` where CPUID does not show it.
    pub misc_enable: Option<u64>,
}

/// IA32_MISC_ENABLE: MONITOR and MWAIT are there.
const MISC_ENABLE_MWAIT: u64 = 1 << 18;
/// IA32_APIC_BASE: the local APIC is enabled.
const APIC_BASE_ENABLE: u64 = 1 << 11;

/// What a vCPU may do, by its CPUID and this module's policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GuestFeatures {
    /// What its registers may hold.
    pub limits: RegisterLimits,
    /// Its paravirtual features.
    pub pv: pv::Features,
    flags: u32,
}

macro_rules! flags {
    ($($(#[$doc:meta])* $method:ident = $flag:ident, $bit:literal, $($feature:ident)|+;)*) => {
        impl GuestFeatures {
            $(const $flag: u32 = 1 << $bit;)*

            fn flags(has: impl Fn(Feature) -> bool) -> u32 {
                let mut flags = 0;
                $(if $(has(feature::$feature))||+ {
                    flags |= Self::$flag;
                })*
                flags
            }

            $($(#[$doc])* pub const fn $method(&self) -> bool {
                self.flags & Self::$flag != 0
            })*
        }
    };
}

flags! {
    /// IA32_TSC_AUX is the guest's to use.
    has_tsc_aux = TSC_AUX, 0, RDTSCP | RDPID;
    /// IA32_TSC_ADJUST is the guest's to use.
    has_tsc_adjust = TSC_ADJUST, 1, TSC_ADJUST;
    /// IA32_ARCH_CAPABILITIES exists.
    has_arch_capabilities = ARCH_CAPABILITIES, 2, ARCH_CAPABILITIES;
    /// IA32_XSS exists.
    has_xsaves = XSAVES, 3, XSAVES;
    /// The local APIC has an x2APIC mode.
    has_x2apic = X2APIC, 4, X2APIC;
    /// INVPCID exists.
    has_invpcid = INVPCID, 5, INVPCID;
    /// The local APIC's timer can work by the TSC.
    has_tsc_deadline = TSC_DEADLINE, 6, TSC_DEADLINE;
    /// IA32_SPEC_CTRL exists.
    has_spec_ctrl = SPEC_CTRL, 7, SPEC_CTRL | INTEL_STIBP | SPEC_CTRL_SSBD;
    /// IA32_PRED_CMD exists.
    has_pred_cmd = PRED_CMD, 8, SPEC_CTRL;
    /// IA32_FLUSH_CMD exists.
    has_flush_cmd = FLUSH_CMD, 9, FLUSH_L1D;
}

impl GuestFeatures {
    /// The bits of IA32_APIC_BASE that this processor reserves, besides those that all do.
    pub const fn apic_base_reserved(&self) -> u64 {
        const X2APIC_MODE: u64 = 1 << 10;
        let x2apic = match self.has_x2apic() {
            true => 0,
            false => X2APIC_MODE,
        };
        x2apic | self.limits.physical_bits.reserved()
    }
}

/// Where the first entry of a leaf is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position(u16);

impl Position {
    const NONE: Self = Self(u16::MAX);
}

/// First leaves of the ranges that are found without a search, and their lengths.
const BASIC: u32 = 0;
const BASIC_LEAVES: usize = 0x20;
const HYPERVISOR: u32 = 0x4000_0000;
const HYPERVISOR_LEAVES: usize = 2;
const EXTENDED: u32 = 0x8000_0000;
const EXTENDED_LEAVES: usize = 0x20;

/// A vCPU's CPUID entries in the VMM's order, with the positions of the common leaves.
pub struct GuestCpuid {
    entries: KVec<CpuidEntry>,
    basic: [Position; BASIC_LEAVES],
    hypervisor: [Position; HYPERVISOR_LEAVES],
    extended: [Position; EXTENDED_LEAVES],
}

impl Default for GuestCpuid {
    /// No leaf at all.
    fn default() -> Self {
        Self {
            entries: KVec::new(),
            basic: [Position::NONE; BASIC_LEAVES],
            hypervisor: [Position::NONE; HYPERVISOR_LEAVES],
            extended: [Position::NONE; EXTENDED_LEAVES],
        }
    }
}

impl GuestCpuid {
    /// Takes a VMM's entries.
    ///
    /// # Errors
    /// E2BIG for more than [`MAX_ENTRIES`]; EINVAL for a linear-address width that no paging mode
    /// has.
    pub fn new(entries: KVec<CpuidEntry>) -> Result<Self> {
        if entries.len() > MAX_ENTRIES {
            return Err(E2BIG);
        }
        let mut guest = Self {
            entries,
            ..Self::default()
        };
        guest.find_positions();
        match guest.linear_bits() {
            0 | 48 | 57 => Ok(guest),
            _ => Err(EINVAL),
        }
    }

    /// The entries as KVM_GET_CPUID2 returns them.
    pub fn entries(&self) -> &[CpuidEntry] {
        &self.entries
    }

    fn find_positions(&mut self) {
        for (position, entry) in self.entries.iter().enumerate() {
            let slot = match entry.function {
                function @ HYPERVISOR..EXTENDED => self
                    .hypervisor
                    .get_mut(function.wrapping_sub(HYPERVISOR) as usize),
                function @ EXTENDED.. => self
                    .extended
                    .get_mut(function.wrapping_sub(EXTENDED) as usize),
                function => self.basic.get_mut(function.wrapping_sub(BASIC) as usize),
            };
            if let Some(slot) = slot.filter(|slot| **slot == Position::NONE) {
                *slot = Position(position as u16);
            }
        }
    }

    /// The entries from which a search for a leaf has to start; empty where there is none.
    #[inline]
    fn candidates(&self, function: u32) -> &[CpuidEntry] {
        let position = match function {
            HYPERVISOR..EXTENDED => self
                .hypervisor
                .get(function.wrapping_sub(HYPERVISOR) as usize),
            EXTENDED.. => self.extended.get(function.wrapping_sub(EXTENDED) as usize),
            _ => self.basic.get(function as usize),
        };
        match position {
            Some(position) => self.entries.get(usize::from(position.0)..).unwrap_or(&[]),
            None => &self.entries,
        }
    }

    /// The first entry that answers CPUID with this leaf and subleaf.
    #[inline]
    pub fn find(&self, function: u32, index: u32) -> Option<&CpuidEntry> {
        self.candidates(function)
            .iter()
            .find(|entry| entry.answers(function, index))
    }

    fn find_mut(&mut self, function: u32, index: u32) -> Option<&mut CpuidEntry> {
        self.entries
            .iter_mut()
            .find(|entry| entry.answers(function, index))
    }

    /// CPUID as the guest executes it.
    #[inline]
    pub fn execute(&self, function: u32, index: u32) -> Registers {
        match self.find(function, index) {
            Some(entry) => entry.registers(),
            None => self.execute_unlisted(function, index),
        }
    }

    /// CPUID for a leaf that the VMM did not list: an Intel processor answers a leaf out of range
    /// with its highest basic leaf, and one within the range with zeros.
    #[cold]
    fn execute_unlisted(&self, function: u32, index: u32) -> Registers {
        let redirected = self.redirect(function);
        if let Some(leaf) = redirected {
            if let Some(entry) = self.find(leaf, index) {
                return entry.registers();
            }
        }
        match redirected.unwrap_or(function) {
            leaf @ (TOPOLOGY | TOPOLOGY_V2) => self.unlisted_topology(leaf, index),
            _ => Registers::default(),
        }
    }

    /// The highest basic leaf where `function` is out of range, which it is when it lies above the
    /// highest leaf of its class or its class does not exist. AMD processors answer zeros instead.
    fn redirect(&self, function: u32) -> Option<u32> {
        const HYPERVISOR_LAST: u32 = 0x4fff_ffff;
        const HYPERVISOR_CLASS: u32 = 0xffff_ff00;
        const CENTAUR: u32 = 0xc000_0000;
        let basic = self.find(BASIC, 0)?;
        if is_amd(basic) {
            return None;
        }
        let class = match function {
            HYPERVISOR..=HYPERVISOR_LAST => function & HYPERVISOR_CLASS,
            CENTAUR.. => CENTAUR,
            _ => function & EXTENDED,
        };
        let in_range = self
            .find(class, 0)
            .is_some_and(|entry| function <= entry.eax);
        (!in_range).then_some(basic.eax)
    }

    /// Topology leaves return the subleaf in CL and the x2APIC ID in EDX for every subleaf. Where
    /// subleaf 1 is listed, the leaf exists.
    fn unlisted_topology(&self, leaf: u32, index: u32) -> Registers {
        match self.find(leaf, 1) {
            Some(entry) => Registers {
                ecx: index & 0xff,
                edx: entry.edx,
                ..Registers::default()
            },
            None => Registers::default(),
        }
    }

    /// Brings the entries that follow registers up to date.
    pub fn refresh(&mut self, runtime: &Runtime, layout: &XsaveLayout) {
        if let Some(entry) = self.find_mut(feature::OSXSAVE.function, 0) {
            entry.ecx &= !feature::OSXSAVE.mask();
            entry.edx &= !feature::APIC.mask();
            if runtime.cr4.contains(Cr4::OSXSAVE) {
                entry.ecx |= feature::OSXSAVE.mask();
            }
            if let Some(misc_enable) = runtime.misc_enable {
                entry.ecx &= !feature::MWAIT.mask();
                if misc_enable & MISC_ENABLE_MWAIT != 0 {
                    entry.ecx |= feature::MWAIT.mask();
                }
            }
            if runtime.apic_base & APIC_BASE_ENABLE != 0 {
                entry.edx |= feature::APIC.mask();
            }
        }
        if let Some(entry) = self.find_mut(XSAVE, 0) {
            entry.ebx = layout.standard_size(runtime.xcr0);
        }
        if let Some(entry) = self.find_mut(XSAVE, 1) {
            if entry.eax & feature::COMPACTING != 0 {
                entry.ebx = layout.compacted_size(runtime.xcr0);
            }
        }
    }

    /// Whether `entries` are what is set already, leaving aside what [`GuestCpuid::refresh`]
    /// writes: a VMM may repeat KVM_SET_CPUID2 once the vCPU ran, but not change it.
    pub fn is_same(
        &self,
        entries: KVec<CpuidEntry>,
        runtime: &Runtime,
        layout: &XsaveLayout,
    ) -> Result<bool> {
        let mut other = Self::new(entries)?;
        other.refresh(runtime, layout);
        let (ours, theirs) = (self.entries(), other.entries());
        Ok(ours.len() == theirs.len()
            && ours.iter().zip(theirs).all(|(ours, theirs)| {
                let identity = |entry: &CpuidEntry| (entry.function, entry.index, entry.flags);
                identity(ours) == identity(theirs) && ours.registers() == theirs.registers()
            }))
    }

    /// Whether the guest sees MONITOR and MWAIT.
    pub fn has_mwait(&self) -> bool {
        let features = self.find(feature::MWAIT.function, feature::MWAIT.index);
        features.is_some_and(|entry| entry.ecx & feature::MWAIT.mask() != 0)
    }

    /// Family, model and stepping (leaf 1, EAX), if the VMM lists them.
    pub fn signature(&self) -> Option<u32> {
        Some(self.find(feature::OSXSAVE.function, 0)?.eax)
    }

    /// What the vCPU may do: the features that the VMM lists and `supported` has too; and all paravirtual ones,
    /// which [`pv::Features::new`] narrows.
    pub fn features(&self, supported: &[CpuidEntry]) -> GuestFeatures {
        let has = |feature: Feature| {
            let listed = self.find(feature.function, feature.index);
            let offered = supported
                .iter()
                .find(|entry| entry.answers(feature.function, feature.index));
            match (listed, offered) {
                (Some(listed), Some(offered)) => {
                    let register = feature.register;
                    listed.register(register) & offered.register(register) & feature.mask() != 0
                }
                _ => false,
            }
        };
        GuestFeatures {
            limits: RegisterLimits {
                cr4: allowed_cr4(has),
                efer: allowed_efer(has),
                xcr0: self.allowed_xcr0(supported),
                physical_bits: self.physical_bits(),
            },
            pv: pv::Features::default(),
            flags: GuestFeatures::flags(has),
        }
    }

    fn allowed_xcr0(&self, supported: &[CpuidEntry]) -> Xcr0 {
        let components = |entry: &CpuidEntry| u64::from(entry.edx) << 32 | u64::from(entry.eax);
        let listed = self.find(XSAVE, 0).map_or(0, components);
        let offered = supported
            .iter()
            .find(|entry| entry.answers(XSAVE, 0))
            .map_or(0, components);
        Xcr0::new(listed & offered)
    }

    fn address_sizes(&self) -> Option<u32> {
        const ADDRESS_SIZES: u32 = 0x8000_0008;
        let highest = self.find(EXTENDED, 0)?.eax;
        if highest < ADDRESS_SIZES {
            return None;
        }
        Some(self.find(ADDRESS_SIZES, 0)?.eax)
    }

    /// MAXPHYADDR.
    pub fn physical_bits(&self) -> PhysicalBits {
        match self.address_sizes() {
            Some(sizes) => PhysicalBits::new(sizes as u8),
            None => PhysicalBits::DEFAULT,
        }
    }

    fn linear_bits(&self) -> u8 {
        self.address_sizes().map_or(0, |sizes| (sizes >> 8) as u8)
    }
}

const TOPOLOGY: u32 = 0xb;
const TOPOLOGY_V2: u32 = 0x1f;
const XSAVE: u32 = 0xd;

/// Whether leaf 0 names AMD or Hygon.
fn is_amd(basic: &CpuidEntry) -> bool {
    let mut vendor = [0; 12];
    let words = [basic.ebx, basic.edx, basic.ecx];
    for (bytes, word) in vendor.chunks_exact_mut(4).zip(words) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    matches!(&vendor, b"AuthenticAMD" | b"AMDisbetter!" | b"HygonGenuine")
}

fn allowed_cr4(has: impl Fn(Feature) -> bool) -> Cr4 {
    let optional = [
        (feature::XSAVE, Cr4::OSXSAVE),
        (feature::SMEP, Cr4::SMEP),
        (feature::SMAP, Cr4::SMAP),
        (feature::FSGSBASE, Cr4::FSGSBASE),
        (feature::UMIP, Cr4::UMIP),
        (feature::PCID, Cr4::PCIDE),
    ];
    optional
        .into_iter()
        .filter(|(feature, _)| has(*feature))
        .fold(RegisterLimits::default().cr4, |cr4, (_, bit)| cr4.with(bit))
}

fn allowed_efer(has: impl Fn(Feature) -> bool) -> Efer {
    let optional = [
        (feature::LONG_MODE, Efer::LME.with(Efer::LMA)),
        (feature::EXECUTE_DISABLE, Efer::NXE),
    ];
    optional
        .into_iter()
        .filter(|(feature, _)| has(*feature))
        .fold(RegisterLimits::default().efer, |efer, (_, bits)| {
            efer.with(bits)
        })
}
