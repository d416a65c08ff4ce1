// SPDX-License-Identifier: GPL-2.0

//! CPUID: what a VMM may offer its guests (KVM_GET_SUPPORTED_CPUID) and the types that the rest
//! shares (Intel SDM volume 2, CPUID).
//!
//! The policy is a list of features that this module can virtualize ([`feature`]); everything
//! else is withheld, so that a processor newer than the list shows guests nothing unknown.

pub mod feature;
pub mod guest;
pub mod xsave;

use crate::vmx::controls::SecondaryControls;
use crate::x86::cpuid::feature::{Condition, Register};
use crate::x86::cpuid::xsave::XsaveLayout;
use crate::x86::pv::features as pv;
use crate::x86::regs::Xcr0;
use kernel::prelude::*;

/// The most entries that KVM_SET_CPUID2 takes and KVM_GET_SUPPORTED_CPUID gives.
pub const MAX_ENTRIES: usize = 256;

/// What CPUID returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Registers {
    /// EAX.
    pub eax: u32,
    /// EBX.
    pub ebx: u32,
    /// ECX.
    pub ecx: u32,
    /// EDX.
    pub edx: u32,
}

/// A leaf or subleaf with the layout of `struct kvm_cpuid_entry2`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct CpuidEntry {
    /// Leaf: EAX before CPUID.
    pub function: u32,
    /// Subleaf: ECX before CPUID, where [`CpuidEntry::SIGNIFICANT_INDEX`] is set.
    pub index: u32,
    /// KVM_CPUID_FLAG_*.
    pub flags: u32,
    /// EAX.
    pub eax: u32,
    /// EBX.
    pub ebx: u32,
    /// ECX.
    pub ecx: u32,
    /// EDX.
    pub edx: u32,
    /// Padding of the UAPI.
    pub padding: [u32; 3],
}

impl CpuidEntry {
    /// KVM_CPUID_FLAG_SIGNIFCANT_INDEX: the entry is for one subleaf.
    pub const SIGNIFICANT_INDEX: u32 = 1 << 0;

    /// Whether the entry answers CPUID with this leaf and subleaf.
    #[inline]
    pub const fn answers(&self, function: u32, index: u32) -> bool {
        self.function == function
            && (self.flags & Self::SIGNIFICANT_INDEX == 0 || self.index == index)
    }

    /// The entry's registers.
    #[inline]
    pub const fn registers(&self) -> Registers {
        Registers {
            eax: self.eax,
            ebx: self.ebx,
            ecx: self.ecx,
            edx: self.edx,
        }
    }

    const fn register(&self, register: Register) -> u32 {
        match register {
            Register::Eax => self.eax,
            Register::Ebx => self.ebx,
            Register::Ecx => self.ecx,
            Register::Edx => self.edx,
        }
    }
}

/// Where the guest's local APIC is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalApic {
    /// In the VMM, reached by MMIO: no x2APIC and no TSC-deadline timer, whose MSRs a VMM does not
    /// see.
    Userspace,
    /// In this module.
    InKernel,
}

/// What decides the policy besides the processor's own CPUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host {
    /// State components that the host kernel has enabled (its XCR0).
    pub xcr0: Xcr0,
    /// Secondary controls that guests run with.
    pub controls: SecondaryControls,
    /// Where local APICs are.
    pub local_apic: LocalApic,
}

impl Host {
    /// The state components that guests may enable.
    fn guest_xcr0(&self, has_xsave: Native) -> Xcr0 {
        match has_xsave {
            Native::Present => Xcr0::new(self.xcr0.raw() & Xcr0::SUPPORTED.raw()),
            Native::Absent => Xcr0::default(),
        }
    }

    fn meets(&self, condition: Condition, xcr0: Xcr0, native: Native) -> bool {
        let present = native == Native::Present;
        match condition {
            Condition::Native => present,
            Condition::Emulated => true,
            Condition::Control(control) => present && self.controls.contains(control),
            Condition::State(components) => present && xcr0.contains(components),
            Condition::InKernelApic => self.local_apic == LocalApic::InKernel,
        }
    }
}

/// Whether the processor has a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Native {
    Present,
    Absent,
}

mod leaf {
    pub(super) const VENDOR: u32 = 0;
    pub(super) const VERSION: u32 = 1;
    pub(super) const CACHE_DESCRIPTORS: u32 = 2;
    pub(super) const CACHE_PARAMETERS: u32 = 4;
    pub(super) const THERMAL: u32 = 6;
    pub(super) const FEATURES: u32 = 7;
    pub(super) const TOPOLOGY: u32 = 0xb;
    pub(super) const XSAVE: u32 = 0xd;
    pub(super) const HYPERVISOR: u32 = 0x4000_0000;
    pub(super) const KVM_FEATURES: u32 = 0x4000_0001;
    pub(super) const EXTENDED: u32 = 0x8000_0000;
    pub(super) const EXTENDED_VERSION: u32 = 0x8000_0001;
    pub(super) const BRAND_FIRST: u32 = 0x8000_0002;
    pub(super) const BRAND_LAST: u32 = 0x8000_0004;
    pub(super) const CACHE_L2: u32 = 0x8000_0006;
    pub(super) const POWER: u32 = 0x8000_0007;
    pub(super) const ADDRESS_SIZES: u32 = 0x8000_0008;
}

/// The list of leaves that a VMM may give its guests on a processor whose CPUID is `cpuid` (leaf
/// and subleaf to registers) under `host`. Everything is read on the calling CPU.
///
/// # Errors
/// ENOMEM; E2BIG should there be more than [`MAX_ENTRIES`].
pub fn supported(
    cpuid: impl Fn(u32, u32) -> Registers,
    host: &Host,
    layout: &XsaveLayout,
) -> Result<KVec<CpuidEntry>> {
    let has_xsave = native(&cpuid, feature::XSAVE);
    let mut list = List {
        entries: KVec::with_capacity(INITIAL_CAPACITY, GFP_KERNEL)?,
        xcr0: host.guest_xcr0(has_xsave),
        cpuid,
        host,
        layout,
    };
    let highest = list.host_registers(leaf::VENDOR, 0).eax;
    for function in leaf::VENDOR..=highest.min(leaf::XSAVE) {
        list.basic(function)?;
    }
    list.hypervisor()?;
    let highest = list.host_registers(leaf::EXTENDED, 0).eax;
    for function in leaf::EXTENDED..=highest.clamp(leaf::EXTENDED, leaf::ADDRESS_SIZES) {
        list.extended(function)?;
    }
    Ok(list.entries)
}

/// Room for what most processors need.
const INITIAL_CAPACITY: usize = 40;

/// Whether a list has a feature.
pub fn has(entries: &[CpuidEntry], feature: feature::Feature) -> bool {
    entries.iter().any(|entry| {
        let value = match feature.register {
            Register::Eax => entry.eax,
            Register::Ebx => entry.ebx,
            Register::Ecx => entry.ecx,
            Register::Edx => entry.edx,
        };
        entry.function == feature.function
            && entry.index == feature.index
            && value & feature.mask() != 0
    })
}

fn native(cpuid: impl Fn(u32, u32) -> Registers, feature: feature::Feature) -> Native {
    let Registers { eax, ebx, ecx, edx } = cpuid(feature.function, feature.index);
    let value = match feature.register {
        Register::Eax => eax,
        Register::Ebx => ebx,
        Register::Ecx => ecx,
        Register::Edx => edx,
    };
    if value & feature.mask() != 0 {
        Native::Present
    } else {
        Native::Absent
    }
}

/// The list while it is built.
struct List<'a, F> {
    entries: KVec<CpuidEntry>,
    xcr0: Xcr0,
    cpuid: F,
    host: &'a Host,
    layout: &'a XsaveLayout,
}

impl<F: Fn(u32, u32) -> Registers> List<'_, F> {
    fn host_registers(&self, function: u32, index: u32) -> Registers {
        (self.cpuid)(function, index)
    }

    fn push(&mut self, function: u32, registers: Registers) -> Result {
        self.push_entry(CpuidEntry {
            function,
            eax: registers.eax,
            ebx: registers.ebx,
            ecx: registers.ecx,
            edx: registers.edx,
            ..CpuidEntry::default()
        })
    }

    fn push_subleaf(&mut self, function: u32, index: u32, registers: Registers) -> Result {
        self.push_entry(CpuidEntry {
            function,
            index,
            flags: CpuidEntry::SIGNIFICANT_INDEX,
            eax: registers.eax,
            ebx: registers.ebx,
            ecx: registers.ecx,
            edx: registers.edx,
            ..CpuidEntry::default()
        })
    }

    fn push_entry(&mut self, entry: CpuidEntry) -> Result {
        if self.entries.len() >= MAX_ENTRIES {
            return Err(E2BIG);
        }
        Ok(self.entries.push(entry, GFP_KERNEL)?)
    }

    /// One register of a leaf, reduced to the features that guests may have.
    fn offered(&self, function: u32, index: u32, register: Register) -> u32 {
        let registers = self.host_registers(function, index);
        feature::OFFERED
            .iter()
            .filter(|(feature, _)| feature.is_in(function, index, register))
            .filter(|(feature, condition)| {
                let native = native(|_, _| registers, *feature);
                self.host.meets(*condition, self.xcr0, native)
            })
            .fold(0, |value, (feature, _)| value | feature.mask())
    }

    fn basic(&mut self, function: u32) -> Result {
        let host = self.host_registers(function, 0);
        match function {
            leaf::VENDOR => self.push(
                function,
                Registers {
                    eax: host.eax.min(leaf::XSAVE),
                    ..host
                },
            ),
            leaf::VERSION => {
                /// CLFLUSH line size; the other bytes are about one CPU of the host.
                const CLFLUSH_SIZE: u32 = 0xff00;
                let registers = Registers {
                    eax: host.eax,
                    ebx: host.ebx & CLFLUSH_SIZE,
                    ecx: self.offered(function, 0, Register::Ecx),
                    edx: self.offered(function, 0, Register::Edx),
                };
                self.push(function, registers)
            }
            leaf::CACHE_DESCRIPTORS => self.push(function, host),
            leaf::CACHE_PARAMETERS => self.caches(),
            leaf::THERMAL => {
                /// The APIC timer runs at a constant rate in every power state.
                const ALWAYS_RUNNING_APIC_TIMER: u32 = 1 << 2;
                let registers = Registers {
                    eax: ALWAYS_RUNNING_APIC_TIMER,
                    ..Registers::default()
                };
                self.push(function, registers)
            }
            leaf::FEATURES => self.features(),
            leaf::TOPOLOGY => self.push_subleaf(function, 0, Registers::default()),
            leaf::XSAVE => self.xsave(),
            _ => self.push(function, Registers::default()),
        }
    }

    /// Cache parameters, a subleaf each, closed by one of type 0.
    fn caches(&mut self) -> Result {
        const TYPE: u32 = 0x1f;
        /// More than any processor has; the host's answer is not to be trusted with a loop.
        const MOST: u32 = 16;
        for index in 0..MOST {
            let host = self.host_registers(leaf::CACHE_PARAMETERS, index);
            self.push_subleaf(leaf::CACHE_PARAMETERS, index, host)?;
            if host.eax & TYPE == 0 {
                break;
            }
        }
        Ok(())
    }

    fn features(&mut self) -> Result {
        /// Highest subleaf with features that guests may have.
        const HIGHEST: u32 = 1;
        let highest = self.host_registers(leaf::FEATURES, 0).eax.min(HIGHEST);
        for index in 0..=highest {
            let eax = match index {
                0 => highest,
                _ => self.offered(leaf::FEATURES, index, Register::Eax),
            };
            let registers = Registers {
                eax,
                ebx: self.offered(leaf::FEATURES, index, Register::Ebx),
                ecx: self.offered(leaf::FEATURES, index, Register::Ecx),
                edx: self.offered(leaf::FEATURES, index, Register::Edx),
            };
            self.push_subleaf(leaf::FEATURES, index, registers)?;
        }
        Ok(())
    }

    /// XSAVE: the components, their sizes, and the instructions.
    fn xsave(&mut self) -> Result {
        const FIRST_COMPONENT: u32 = 2;
        let (xcr0, layout) = (self.xcr0, self.layout);
        if xcr0 == Xcr0::default() {
            return self.push_subleaf(leaf::XSAVE, 0, Registers::default());
        }
        let size = layout.standard_size(xcr0);
        let components = Registers {
            eax: xcr0.raw() as u32,
            ebx: size,
            ecx: size,
            edx: (xcr0.raw() >> 32) as u32,
        };
        self.push_subleaf(leaf::XSAVE, 0, components)?;
        let eax = self.offered(leaf::XSAVE, 1, Register::Eax);
        let instructions = Registers {
            eax,
            ebx: match eax & feature::COMPACTING {
                0 => 0,
                _ => layout.compacted_size(xcr0),
            },
            ..Registers::default()
        };
        self.push_subleaf(leaf::XSAVE, 1, instructions)?;
        for index in FIRST_COMPONENT..u64::BITS {
            if xcr0.raw() & (1 << index) != 0 {
                let host = self.host_registers(leaf::XSAVE, index);
                self.push_subleaf(leaf::XSAVE, index, Registers { edx: 0, ..host })?;
            }
        }
        Ok(())
    }

    fn hypervisor(&mut self) -> Result {
        let [ebx, ecx, edx] = pv::SIGNATURE;
        let signature = Registers {
            eax: leaf::KVM_FEATURES,
            ebx,
            ecx,
            edx,
        };
        self.push(leaf::HYPERVISOR, signature)?;
        let features = Registers {
            eax: pv::offered(self.host.local_apic),
            ..Registers::default()
        };
        self.push(leaf::KVM_FEATURES, features)
    }

    fn extended(&mut self, function: u32) -> Result {
        let host = self.host_registers(function, 0);
        let registers = match function {
            leaf::EXTENDED => Registers {
                eax: host.eax.clamp(leaf::EXTENDED, leaf::ADDRESS_SIZES),
                ..host
            },
            leaf::EXTENDED_VERSION => Registers {
                eax: host.eax,
                ebx: 0,
                ecx: self.offered(function, 0, Register::Ecx),
                edx: self.offered(function, 0, Register::Edx),
            },
            leaf::BRAND_FIRST..=leaf::BRAND_LAST => host,
            leaf::CACHE_L2 => Registers {
                ecx: host.ecx,
                ..Registers::default()
            },
            leaf::POWER => Registers {
                edx: self.offered(function, 0, Register::Edx),
                ..Registers::default()
            },
            leaf::ADDRESS_SIZES => Registers {
                eax: address_sizes(host.eax),
                ..Registers::default()
            },
            _ => Registers::default(),
        };
        self.push(function, registers)
    }
}

/// CPUID.80000008H:EAX for guests: the processor's physical width in bits 7:0, the linear width in
/// bits 15:8 (48, since LA57 is not offered), and in bits 23:16 the width that 4-level EPT can
/// map.
const fn address_sizes(host: u32) -> u32 {
    const LINEAR: u32 = 48;
    const MAPPABLE: u32 = 48;
    let physical = host & 0xff;
    let mappable = if physical < MAPPABLE {
        physical
    } else {
        MAPPABLE
    };
    physical | LINEAR << 8 | mappable << 16
}
