// SPDX-License-Identifier: GPL-2.0

//! What the processors can do for guests, from load to unload.

use crate::{
    arm64::{
        debug_registers::Counts,
        features::{Features, PointerAuthentication, ScalableVectors},
        guest_debug,
        id_regs::{HostIds, IdRegs},
        newer_features::NewerFeatures,
        registers::{AidrEl1, MidrEl1, RevidrEl1},
        running_timers::PhysicalPpis,
        stage2::{Attributes, MemoryType, Shareability},
        sve::VectorLengths,
        sysreg::name,
        traps::hcr,
        vgic::{self, gic::cpu_interface},
        vmid::Vmids,
        vtcr::{
            root_shape, AccessFlag, GuestCaches, InstructionCaches, LargeAddresses, Stage2Caps,
            NARROW_BITS,
        },
        MAX_VCPUS, MAX_VCPU_ID,
    },
    gsi_routing::MAX_ROUTES,
    host::{
        arm64::{
            caches::{self, DataLine},
            features,
            guest_irqs::GuestIrqs,
            neon, speculation, world_switch,
        },
        bindings as uapi, cpu, not_supported,
    },
    mmu::entry::{Access, EntryFormat as _, Leaf, Level, RootShape},
    types::{Gfn, Pfn, PAGE_SHIFT},
    uapi::UserAddress,
};
use kernel::{
    prelude::*,
    sync::{Arc, SetOnce},
};

/// Processor support.
#[pin_data]
pub struct Platform {
    /// What guests can see of the processors.
    pub host: HostIds,
    /// What stage 2 can do.
    pub stage2: Stage2Caps,
    /// The tags of guests' translations.
    #[pin]
    pub vmids: Vmids,
    /// The virtual CPU interface.
    pub gic: cpu_interface::Features,
    /// The physical interrupts of guests' timers.
    pub timers: PhysicalPpis,
    /// Vector lengths that guests can have.
    pub vectors: VectorLengths,
    /// What keeps newer features from guests.
    pub newer: NewerFeatures,
    /// Identification registers for the features that the first VM has had, which mostly all have.
    usual_ids: SetOnce<(Features, IdRegs)>,
    /// How guests read CTR_EL0.
    pub cache_type: CacheType,
    data_line: DataLine,
    /// How they write registers that control translation.
    controls: TranslationControls,
    _irqs: GuestIrqs,
}

/// Whether guests can read the processors' CTR_EL0 without a trap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheType {
    /// They can, and all processors have the same.
    Shown,
    /// It traps with the other registers of caches.
    Trapped,
}

/// Whether guests can write SCTLR_EL1, TCR_EL1, TTBR0_EL1 and others without a trap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TranslationControls {
    /// They can, once their caches are on.
    Free,
    /// They never can, since the processor's errata forbid it.
    Trapped,
}

/// ID_AA64MMFR0_EL1.TGRAN4_2, and its value for "no granule of 4 KiB at stage 2".
const TGRAN4_2_SHIFT: u32 = 40;
const NO_TGRAN4_2: u8 = 1;

/// CTR_EL0.DIC: instruction caches need no invalidation.
const CTR_DIC: u64 = 1 << 29;

/// A field of 4 bits.
fn field(register: u64, shift: u32) -> u8 {
    (register >> shift & 0xf) as u8
}

impl Stage2Caps {
    fn read() -> Self {
        let mmfr0 = features::sanitised(name::ID_AA64MMFR0_EL1);
        let mmfr1 = features::sanitised(name::ID_AA64MMFR1_EL1);
        Self {
            pa_range: field(mmfr0, 0),
            // TGRAN4_2, which mostly refers to TGRAN4.
            large_addresses: match (field(mmfr0, TGRAN4_2_SHIFT), field(mmfr0, 28)) {
                (3, _) | (0, 1) => LargeAddresses::Present,
                _ => LargeAddresses::Absent,
            },
            vmid_bits: if field(mmfr1, 4) == 2 { 16 } else { 8 },
            access_flag: if field(mmfr1, 0) >= 1 && features::sets_access_flags() {
                AccessFlag::Hardware
            } else {
                AccessFlag::Software
            },
            cacheability: if field(features::sanitised(name::ID_AA64MMFR2_EL1), 40) >= 1 {
                GuestCaches::Forced
            } else {
                GuestCaches::Chosen
            },
            instructions: if features::sanitised(name::CTR_EL0) & CTR_DIC != 0 {
                InstructionCaches::Coherent
            } else {
                InstructionCaches::Maintained
            },
        }
    }
}

/// Bits of VMIDs to use.
fn vmid_bits(stage2: Stage2Caps) -> u32 {
    /// One of the host, and more than one of guests.
    const LEAST: u32 = 2;
    match *crate::module_parameters::vmid_bits.value() {
        0 => stage2.vmid_bits,
        wanted => u32::from(wanted).clamp(LEAST, stage2.vmid_bits),
    }
}

/// The identification registers that the host's processors have in common, and of the make of this one.
fn host_ids() -> HostIds {
    let read = |register| match register {
        name::MIDR_EL1 => MidrEl1::read(),
        name::REVIDR_EL1 => RevidrEl1::read(),
        name::AIDR_EL1 => AidrEl1::read(),
        _ => features::sanitised(register),
    };
    HostIds::new(read, speculation::host())
}

impl Platform {
    /// Looks whether guests can run. `EOPNOTSUPP` where they cannot, `EBUSY` beside the kernel's own KVM; the log
    /// says why.
    pub fn enable() -> Result<Arc<Self>> {
        if !features::is_kernel_at_el2() {
            pr_err!("guests cannot run here: the kernel is not at EL2, which needs VHE\n");
            return Err(not_supported());
        }
        if features::has_rival() {
            pr_err!("the kernel's own KVM is active: boot with kvm-arm.mode=none\n");
            return Err(EBUSY);
        }
        if field(features::sanitised(name::ID_AA64PFR0_EL1), 24) == 0 {
            pr_err!("guests cannot run here: the processors have no GICv3 interface\n");
            return Err(not_supported());
        }
        if field(features::sanitised(name::ID_AA64MMFR0_EL1), TGRAN4_2_SHIFT) == NO_TGRAN4_2 {
            pr_err!("guests cannot run here: the processors' stage 2 has no granule of 4 KiB\n");
            return Err(not_supported());
        }
        if features::has_memory_above(NARROW_BITS) {
            pr_err!("guests cannot run here: memory has addresses of more than 48 bits\n");
            return Err(not_supported());
        }
        let stage2 = Stage2Caps::read();
        let vectors = neon::vector_lengths()?;
        let irqs = GuestIrqs::request()?;
        let (gic, timers) = (vgic::host::features(), irqs.timers());
        Arc::pin_init(
            pin_init!(Self {
                host: host_ids(),
                stage2,
                vmids <- Vmids::new(vmid_bits(*stage2)),
                gic,
                timers,
                vectors,
                newer: NewerFeatures::read(),
                usual_ids: SetOnce::new(),
                data_line: DataLine::new(features::sanitised(name::CTR_EL0)),
                cache_type: if features::is_cache_type_shown() {
                    CacheType::Shown
                } else {
                    CacheType::Trapped
                },
                controls: if world_switch::translation_controls_trap() {
                    TranslationControls::Trapped
                } else {
                    TranslationControls::Free
                },
                _irqs: irqs,
            }),
            GFP_KERNEL,
        )
    }

    /// The identification registers of a new VM whose vCPUs have `features`.
    pub fn ids(&self, features: Features) -> IdRegs {
        match self.usual_ids.as_ref() {
            Some((usual, ids)) if *usual == features => ids.clone(),
            usual => {
                let ids = IdRegs::new(&self.host, features);
                if usual.is_none() {
                    self.usual_ids.populate((features, ids.clone()));
                }
                ids
            }
        }
    }

    /// How the memory of a VM of a machine type is mapped. `EINVAL` for a width of addresses that is not there.
    pub fn memory_format(&self, machine_type: usize) -> Result<MemoryFormat> {
        let ipa_bits = self.stage2.ipa_bits(machine_type)?;
        let root = root_shape(ipa_bits);
        Ok(MemoryFormat {
            ipa_bits,
            root,
            vtcr: self.stage2.vtcr(ipa_bits, root),
            cacheability: self.stage2.cacheability,
            instructions: self.stage2.instructions,
            data_line: self.data_line,
            controls: self.controls,
        })
    }

    /// What vCPUs can have.
    pub fn features(&self) -> Features {
        let vectors = match self.vectors.longest() {
            Some(_) => ScalableVectors::Present,
            None => ScalableVectors::Absent,
        };
        Features::available(self.host.pointer_authentication(), vectors)
    }

    /// How many breakpoints and watchpoints there are.
    pub fn debug_counts(&self) -> Counts {
        Counts::new(self.host.get(name::ID_AA64DFR0_EL1))
    }

    /// Serves an ioctl on the device: there is none of arm64's own.
    pub fn system_ioctl(&self, _cmd: u32, _argument: UserAddress) -> Result<isize> {
        Err(ENOTTY)
    }

    /// KVM_CHECK_EXTENSION for what arm64 has.
    pub fn check_extension(&self, extension: u32) -> isize {
        match extension {
            uapi::KVM_CAP_COUNTER_OFFSET | uapi::KVM_CAP_IRQCHIP | uapi::KVM_CAP_SIGNAL_MSI => 1,
            uapi::KVM_CAP_IRQ_ROUTING => MAX_ROUTES as isize,
            uapi::KVM_CAP_ONE_REG
            | uapi::KVM_CAP_ARM_PSCI
            | uapi::KVM_CAP_ARM_PSCI_0_2
            | uapi::KVM_CAP_MP_STATE
            | uapi::KVM_CAP_ENABLE_CAP_VM
            | uapi::KVM_CAP_VCPU_EVENTS
            | uapi::KVM_CAP_VCPU_ATTRIBUTES
            | uapi::KVM_CAP_ARM_INJECT_EXT_DABT
            | uapi::KVM_CAP_ARM_IRQ_LINE_LAYOUT_2
            | uapi::KVM_CAP_ARM_NISV_TO_USER
            | uapi::KVM_CAP_ARM_SET_DEVICE_ADDR
            | uapi::KVM_CAP_ARM_USER_IRQ
            | uapi::KVM_CAP_SYSTEM_EVENT_DATA
            | uapi::KVM_CAP_ARM_SYSTEM_SUSPEND
            | uapi::KVM_CAP_ARM_WRITABLE_IMP_ID_REGS
            | uapi::KVM_CAP_STEAL_TIME
            | uapi::KVM_CAP_PTP_KVM => 1,
            uapi::KVM_CAP_SET_GUEST_DEBUG => 1,
            uapi::KVM_CAP_SET_GUEST_DEBUG2 => guest_debug::FLAGS as isize,
            uapi::KVM_CAP_GUEST_DEBUG_HW_BPS => self.debug_counts().breakpoints.into(),
            uapi::KVM_CAP_GUEST_DEBUG_HW_WPS => self.debug_counts().watchpoints.into(),
            uapi::KVM_CAP_ARM_INJECT_SERROR_ESR => self.host.has_ras().into(),
            uapi::KVM_CAP_ARM_PTRAUTH_ADDRESS | uapi::KVM_CAP_ARM_PTRAUTH_GENERIC => {
                match self.host.pointer_authentication() {
                    PointerAuthentication::Present => 1,
                    PointerAuthentication::Absent => 0,
                }
            }
            uapi::KVM_CAP_ARM_SVE => self.vectors.longest().is_some().into(),
            uapi::KVM_CAP_ARM_SUPPORTED_REG_MASK_RANGES => 1 << uapi::KVM_ARM_FEATURE_ID_RANGE,
            uapi::KVM_CAP_ARM_VM_IPA_SIZE => self.stage2.pa_bits() as isize,
            uapi::KVM_CAP_NR_VCPUS => cpu::online().min(MAX_VCPUS) as isize,
            uapi::KVM_CAP_MAX_VCPUS => MAX_VCPUS as isize,
            uapi::KVM_CAP_MAX_VCPU_ID => MAX_VCPU_ID as isize,
            _ => 0,
        }
    }
}

/// How a guest's memory is mapped with stage-2 tables.
#[derive(Clone, Copy, Debug)]
pub struct MemoryFormat {
    ipa_bits: u32,
    root: RootShape,
    vtcr: u64,
    cacheability: GuestCaches,
    instructions: InstructionCaches,
    data_line: DataLine,
    controls: TranslationControls,
}

impl MemoryFormat {
    /// Bits of a guest physical address.
    pub fn ipa_bits(&self) -> u32 {
        self.ipa_bits
    }

    /// VTCR_EL2.
    pub fn vtcr(&self) -> u64 {
        self.vtcr
    }

    /// What the root is made of.
    pub fn root(&self) -> RootShape {
        self.root
    }

    /// The largest leaf: every processor has all sizes of the granule.
    pub fn largest_leaf(&self) -> Level {
        super::EntryFormat::MAX_LEAF.min(self.root.level)
    }

    /// The largest leaf that a guest may execute from.
    pub fn largest_executable_leaf(&self) -> Level {
        self.largest_leaf()
    }

    /// The first frame that guests cannot have.
    pub fn limit(&self) -> Gfn {
        Gfn::new(1 << (self.ipa_bits - PAGE_SHIFT))
    }

    /// The error of a memory slot beyond: C KVM's here, where api.rst names none.
    pub fn beyond_limit(&self) -> Error {
        EFAULT
    }

    /// What a leaf that is made for an access may grant. Where instruction caches have to be maintained, an instruction
    /// fetch shows when.
    pub fn access(&self, wanted: Access) -> Access {
        match self.instructions {
            InstructionCaches::Coherent => Access::ALL,
            InstructionCaches::Maintained if wanted.contains(Access::EXECUTE) => Access::ALL,
            InstructionCaches::Maintained => Access::ALL.without(Access::EXECUTE),
        }
    }

    /// Makes memory ready to be mapped: what the host has written is where the guest will look for it.
    pub fn prepare(&self, leaf: &Leaf<Attributes>, level: Level) {
        let (hpa, bytes) = (leaf.frame.base(), level.pages() << PAGE_SHIFT);
        if self.cacheability == GuestCaches::Chosen {
            caches::clean_to_memory(hpa, bytes, self.data_line);
        }
        let executable = leaf.access.contains(Access::EXECUTE);
        if executable && self.instructions == InstructionCaches::Maintained {
            caches::sync_instructions(hpa, bytes);
        }
    }

    /// Takes memory that is mapped out of the caches: the guest turns its own off or on.
    pub fn clean(&self, frame: Pfn, pages: u64) {
        caches::clean_to_memory(frame.base(), pages << PAGE_SHIFT, self.data_line);
    }

    /// Whether it matters that a guest has its caches on.
    pub fn guest_caches(&self) -> GuestCaches {
        self.cacheability
    }

    /// Whether a guest with its caches on still has to be watched.
    pub fn translation_controls(&self) -> TranslationControls {
        self.controls
    }

    /// What leaves say of RAM. Where SH is part of the address VTCR_EL2 says who shares it.
    pub fn ordinary_memory(&self) -> Attributes {
        Attributes {
            memory_type: match self.cacheability {
                GuestCaches::Forced => MemoryType::FORCED_WRITE_BACK,
                GuestCaches::Chosen => MemoryType::WRITE_BACK,
            },
            shareability: if self.ipa_bits > NARROW_BITS {
                Shareability::NonShareable
            } else {
                Shareability::Inner
            },
        }
    }

    /// HCR_EL2 of a vCPU after a reset. A guest whose caches are its own is watched until it turns them on.
    pub fn hcr(&self) -> u64 {
        let caches = match self.cacheability {
            GuestCaches::Forced => hcr::FWB,
            GuestCaches::Chosen => hcr::TVM,
        };
        let controls = match self.controls {
            TranslationControls::Free => 0,
            TranslationControls::Trapped => hcr::TVM,
        };
        hcr::GUEST | caches | controls
    }
}
