// SPDX-License-Identifier: GPL-2.0

//! The processors' VMX, from module load to unload.

use crate::{
    gsi_routing::MAX_ROUTES,
    host::{
        bindings as uapi,
        cpu::{self, PerCpu, PerCpuRegistration, PreemptOff},
        not_supported,
        page::KernelPage,
        symbols::Symbols,
        x86::{
            mitigations::{self, Mitigations},
            registers,
            virtualization::{self, EmergencyRegistration, Power, PowerRegistration},
        },
    },
    mmu::entry::{Access, EntryFormat as _, Leaf, Level, RootShape},
    types::{Gfn, Hpa, PAGE_SHIFT},
    uapi::UserAddress,
    vmx::{
        caps::VmxCaps,
        controls::Controls,
        ept::{AccessedDirty, EptEntry, MemoryType},
        vmcs,
        vpid::Vpids,
    },
    x86::{
        clock,
        cpuid::{self, xsave::XsaveLayout, CpuidEntry, LocalApic, Registers},
        guest_debug, interrupts, ioctl,
        msr::{self, speculation::Support, FeatureMsrs},
        regs::Xcr0,
        shared_msrs::HostMsrs,
        vm_settings, MAX_VCPUS, MAX_VCPU_ID,
    },
};
use core::sync::atomic::Ordering;
use kernel::{prelude::*, sync::Arc};

/// VMX on every CPU, and what does not change while it is.
pub struct Platform {
    /// What the processors can do.
    pub caps: VmxCaps,
    /// The controls that guests run with.
    pub controls: Controls,
    /// KVM_GET_SUPPORTED_CPUID.
    pub supported_cpuid: KVec<CpuidEntry>,
    /// Sizes and offsets of XSAVE components.
    pub xsave_layout: XsaveLayout,
    /// What guests may tell the processors about speculation.
    pub speculation: Support,
    /// What the processors' speculative execution asks for around guests.
    pub mitigations: Mitigations,
    /// Feature MSRs.
    pub feature_msrs: FeatureMsrs,
    /// The host's values of MSRs that guests share.
    pub host_msrs: HostMsrs,
    /// The host's XCR0; `None` without XSAVE.
    pub host_xcr0: Option<Xcr0>,
    /// The host's IA32_XSS.
    pub host_xss: u64,
    /// The MSR bitmap of guests, and that of guests in x2APIC mode whose local APICs the processors have; `None`
    /// where those are always in software.
    msr_bitmap: KernelPage,
    x2apic_msr_bitmap: Option<KernelPage>,
    /// Which VPIDs are in use.
    pub vpids: Arc<Vpids>,
    // In this order: the CPUs leave VMX operation before the functions that do it are let go.
    _emergency: EmergencyRegistration<VmxOperation>,
    _cpus: PerCpuRegistration<VmxOperation>,
    _power: PowerRegistration<VmxOperation>,
    _symbols: Symbols,
}

/// VMX operation of one CPU.
struct VmxOperation;

impl PerCpu for VmxOperation {
    fn online() -> Result {
        virtualization::enable_cpu()
    }

    fn offline() {
        virtualization::disable_cpu(|| vmcs::clear_here(&PreemptOff::new()));
    }
}

impl Power for VmxOperation {
    fn leave() {
        Self::offline();
    }

    fn enter() {
        if Self::online().is_err() {
            pr_err!("VMX cannot be enabled again\n");
        }
    }

    fn emergency() {
        vmcs::clear_here(&PreemptOff::new());
    }
}

impl Platform {
    /// Takes up VMX.
    ///
    /// `EOPNOTSUPP` where a processor lacks what guests need, `EBUSY` where another hypervisor uses VMX,
    /// `ENOENT` where the kernel lacks a function; the log says what.
    pub fn enable() -> Result<Arc<Self>> {
        if !virtualization::has_vmx() {
            pr_err!("this processor has no VMX, or firmware has turned it off\n");
            return Err(not_supported());
        }
        let caps = VmxCaps::read(|msr| registers::read_msr(msr).unwrap_or(0));
        let controls = Controls::negotiate(&caps).map_err(|missing| {
            let message = missing.message();
            pr_err!("guests cannot run here: {message}\n");
            not_supported()
        })?;
        let symbols = Symbols::find()?;
        // From here on kvm_intel cannot come.
        let power = PowerRegistration::new()?;
        if virtualization::has_rival() || registers::cr4() & CR4_VMXE != 0 {
            pr_err!("VMX is not free: unload the kernel's own KVM (modprobe -r kvm_intel) first\n");
            return Err(EBUSY);
        }
        let msr_bitmap = msr_bitmap_page(msr::bitmap::fill)?;
        let enable_apicv = *crate::module_parameters::enable_apicv.value() != 0;
        let x2apic_msr_bitmap = if enable_apicv && controls.has_virtual_x2apic() {
            Some(msr_bitmap_page(msr::bitmap::fill_virtual_x2apic)?)
        } else {
            None
        };
        let xsave_layout = XsaveLayout::read(host_cpuid);
        let host_xcr0 = registers::host_xcr0().map(Xcr0::new);
        let host = cpuid::Host {
            xcr0: host_xcr0.unwrap_or_default(),
            controls: controls.initial.secondary,
            local_apic: if controls.preemption_timer.is_some() {
                LocalApic::InKernel
            } else {
                LocalApic::Userspace
            },
        };
        let supported_cpuid = cpuid::supported(host_cpuid, &host, &xsave_layout)?;
        let feature_msrs = FeatureMsrs::new(
            registers::read_msr(msr::index::IA32_ARCH_CAPABILITIES).unwrap_or(0),
            registers::read_msr(msr::index::IA32_BIOS_SIGN_ID).unwrap_or(0),
        );
        let speculation = Support::new(|feature| cpuid::has(&supported_cpuid, feature));
        Ok(Arc::new(
            Self {
                caps,
                speculation,
                mitigations: Mitigations::new()?,
                controls,
                supported_cpuid,
                xsave_layout,
                feature_msrs,
                host_msrs: HostMsrs::read(),
                host_xcr0,
                host_xss: registers::read_msr(msr::index::IA32_XSS).unwrap_or(0),
                msr_bitmap,
                x2apic_msr_bitmap,
                vpids: Vpids::new()?,
                _cpus: PerCpuRegistration::new()?,
                _emergency: EmergencyRegistration::new()?,
                _power: power,
                _symbols: symbols,
            },
            GFP_KERNEL,
        )?)
    }

    /// The physical address of the MSR bitmap.
    pub fn msr_bitmap(&self) -> Hpa {
        self.msr_bitmap.hpa()
    }

    /// The physical address of the MSR bitmap for guests in x2APIC mode whose local APICs the processors have. `None`
    /// where the module keeps them in software.
    #[inline]
    pub fn x2apic_msr_bitmap(&self) -> Option<Hpa> {
        self.x2apic_msr_bitmap.as_ref().map(KernelPage::hpa)
    }

    /// Whether the processors mark EPT entries.
    pub fn accessed_dirty(&self) -> AccessedDirty {
        if self.caps.ept_vpid.has_accessed_dirty() {
            AccessedDirty::Tracked
        } else {
            AccessedDirty::Untracked
        }
    }

    /// How the memory of a VM of a machine type is mapped. `EINVAL` for any but type 0.
    pub fn memory_format(&self, machine_type: usize) -> Result<MemoryFormat> {
        if machine_type != 0 {
            return Err(EINVAL);
        }
        let ept = self.caps.ept_vpid;
        let largest_leaf = if ept.has_1g_pages() {
            Level::Pud
        } else if ept.has_2m_pages() {
            Level::Pmd
        } else {
            Level::Pte
        };
        Ok(MemoryFormat {
            largest_leaf,
            largest_executable_leaf: if mitigations::avoids_itlb_multihit() {
                Level::Pte
            } else {
                largest_leaf
            },
            limit: Gfn::new(1 << (physical_bits() - PAGE_SHIFT)),
        })
    }

    /// Serves an ioctl on the device.
    pub fn system_ioctl(&self, cmd: u32, argument: UserAddress) -> Result<isize> {
        match cmd {
            uapi::RKVM_GET_SUPPORTED_CPUID => {
                ioctl::get_supported_cpuid(&self.supported_cpuid, argument)
            }
            uapi::RKVM_GET_MSR_INDEX_LIST => ioctl::get_msr_list(msr::index::SAVED, argument),
            uapi::RKVM_GET_MSR_FEATURE_INDEX_LIST => {
                ioctl::get_msr_list(msr::index::FEATURES, argument)
            }
            uapi::RKVM_X86_GET_MCE_CAP_SUPPORTED => {
                argument.write(&msr::machine_check::SUPPORTED).map(|()| 0)
            }
            uapi::RKVM_HAS_DEVICE_ATTR => self.check_attribute(&argument.read()?).map(|_| 0),
            uapi::RKVM_GET_DEVICE_ATTR => {
                let attribute = argument.read()?;
                let value = self.check_attribute(&attribute)?;
                let target = UserAddress::new(attribute.addr as usize);
                target.write(&value).map(|()| 0)
            }
            uapi::RKVM_GET_MSRS => {
                ioctl::get_msrs(argument, |index| self.feature_msrs.read(index).ok())
            }
            _ => Err(ENOTTY),
        }
    }

    /// The components of XSAVE that guests can have; 0 where the host has no XSAVE.
    pub fn guest_xcr0(&self) -> u64 {
        self.host_xcr0
            .map_or(0, |xcr0| xcr0.raw() & Xcr0::SUPPORTED.raw())
    }

    /// The value of an attribute of the device (KVM_CAP_SYS_ATTRIBUTES): the components of XSAVE that guests can have
    /// is the only one. `ENXIO` for another one, `EINVAL` for flags.
    fn check_attribute(&self, attribute: &uapi::kvm_device_attr) -> Result<u64> {
        match (attribute.group, attribute.attr) {
            _ if attribute.flags != 0 => Err(EINVAL),
            (0, XCOMP_GUEST_SUPP) => Ok(self.guest_xcr0()),
            _ => Err(ENXIO),
        }
    }

    /// Whether interrupt controllers can be in the kernel: the local APICs' timers are the processors' preemption
    /// timers.
    pub fn has_local_apics(&self) -> bool {
        self.controls.preemption_timer.is_some()
    }

    /// KVM_CHECK_EXTENSION for what x86 has.
    pub fn check_extension(&self, extension: u32) -> isize {
        match extension {
            uapi::KVM_CAP_HLT
            | uapi::KVM_CAP_EXT_CPUID
            | uapi::KVM_CAP_USER_NMI
            | uapi::KVM_CAP_NOP_IO_DELAY
            | uapi::KVM_CAP_XSAVE
            | uapi::KVM_CAP_IOEVENTFD_NO_LENGTH
            | uapi::KVM_CAP_MEMORY_FAULT_INFO
            | uapi::KVM_CAP_DEBUGREGS
            | uapi::KVM_CAP_VCPU_EVENTS
            | uapi::KVM_CAP_CLOCKSOURCE
            | uapi::KVM_CAP_KVMCLOCK_CTRL
            | uapi::KVM_CAP_ENFORCE_PV_FEATURE_CPUID
            | uapi::KVM_CAP_GET_MSR_FEATURES
            | uapi::KVM_CAP_SREGS2
            | uapi::KVM_CAP_GET_TSC_KHZ
            | uapi::KVM_CAP_VCPU_ATTRIBUTES
            | uapi::KVM_CAP_SET_GUEST_DEBUG
            | uapi::KVM_CAP_X86_ROBUST_SINGLESTEP
            | uapi::KVM_CAP_SET_TSS_ADDR
            | uapi::KVM_CAP_SET_IDENTITY_MAP_ADDR
            | uapi::KVM_CAP_X86_TRIPLE_FAULT_EVENT
            | uapi::KVM_CAP_MSR_PLATFORM_INFO
            | uapi::KVM_CAP_MMU_SHADOW_CACHE_CONTROL
            | uapi::KVM_CAP_X86_USER_SPACE_MSR
            | uapi::KVM_CAP_X86_MSR_FILTER
            | uapi::KVM_CAP_PRE_FAULT_MEMORY
            | uapi::KVM_CAP_SYS_ATTRIBUTES
            | uapi::KVM_CAP_EXIT_ON_EMULATION_FAILURE
            | uapi::KVM_CAP_ENABLE_CAP
            | uapi::KVM_CAP_ENABLE_CAP_VM => 1,
            uapi::KVM_CAP_SET_GUEST_DEBUG2 => guest_debug::FLAGS as isize,
            uapi::KVM_CAP_XSAVE2 => ioctl::xsave::size(self) as isize,
            uapi::KVM_CAP_SYNC_REGS => ioctl::sync_regs::SETS as isize,
            uapi::KVM_CAP_MCE => msr::machine_check::BANKS as isize,
            uapi::KVM_CAP_X86_DISABLE_EXITS => vm_settings::DISABLED_EXITS as isize,
            uapi::KVM_CAP_ADJUST_CLOCK => clock::VALID_FLAGS as isize,
            uapi::KVM_CAP_IRQCHIP
            | uapi::KVM_CAP_IRQ_INJECT_STATUS
            | uapi::KVM_CAP_PIT2
            | uapi::KVM_CAP_PIT_STATE2
            | uapi::KVM_CAP_REINJECT_CONTROL
            | uapi::KVM_CAP_MP_STATE
            | uapi::KVM_CAP_SIGNAL_MSI
            | uapi::KVM_CAP_SPLIT_IRQCHIP
            | uapi::KVM_CAP_SET_BOOT_CPU_ID
            | uapi::KVM_CAP_TSC_DEADLINE_TIMER => isize::from(self.has_local_apics()),
            uapi::KVM_CAP_IRQ_ROUTING if self.has_local_apics() => MAX_ROUTES as isize,
            uapi::KVM_CAP_DISABLE_QUIRKS2 => vm_settings::QUIRKS as isize,
            uapi::KVM_CAP_X86_APIC_BUS_CYCLES_NS if self.has_local_apics() => {
                interrupts::BUS_CYCLE_NS as isize
            }
            uapi::KVM_CAP_X2APIC_API if self.has_local_apics() => interrupts::X2APIC_API as isize,
            uapi::KVM_CAP_XCRS => isize::from(self.host_xcr0.is_some()),
            uapi::KVM_CAP_NR_VCPUS => cpu::online().min(MAX_VCPUS) as isize,
            uapi::KVM_CAP_MAX_VCPUS => MAX_VCPUS as isize,
            uapi::KVM_CAP_MAX_VCPU_ID => MAX_VCPU_ID as isize,
            _ => 0,
        }
    }
}

const CR4_VMXE: u64 = 1 << 13;

/// KVM_X86_XCOMP_GUEST_SUPP: an attribute of the device.
const XCOMP_GUEST_SUPP: u64 = uapi::KVM_X86_XCOMP_GUEST_SUPP as u64;

/// A page with the MSR bitmap that `fill` makes of one that passes everything. `ENOMEM`.
pub fn msr_bitmap_page(fill: impl FnOnce(&mut [u8; msr::bitmap::SIZE])) -> Result<KernelPage> {
    let page = KernelPage::new()?;
    let mut bits = KBox::new([0; msr::bitmap::SIZE], GFP_KERNEL_ACCOUNT)?;
    fill(&mut bits);
    for (word, bytes) in page.words().iter().zip(bits.chunks_exact(size_of::<u32>())) {
        let bytes = bytes.try_into().unwrap_or_default();
        word.store(u32::from_ne_bytes(bytes), Ordering::Relaxed);
    }
    Ok(page)
}

const STRUCTURED_FEATURES: u32 = 7;
/// EBX of subleaf 0, the only one of which anything is offered.
const ENHANCED_REP_MOVSB: u32 = 1 << 9;

/// Whether REP MOVSB is the fast way to copy: firmware may have turned that off, which CPUID does not show.
fn has_fast_strings() -> bool {
    const FAST_STRINGS: u64 = 1 << 0;
    let misc_enable = registers::read_msr(msr::index::IA32_MISC_ENABLE);
    misc_enable.is_ok_and(|value| value & FAST_STRINGS != 0)
}

fn host_cpuid(leaf: u32, subleaf: u32) -> Registers {
    let result = registers::cpuid(leaf, subleaf);
    Registers {
        eax: result.eax,
        ebx: if leaf == STRUCTURED_FEATURES && !has_fast_strings() {
            result.ebx & !ENHANCED_REP_MOVSB
        } else {
            result.ebx
        },
        ecx: result.ecx,
        edx: result.edx,
    }
}

/// The width of a physical address that four EPT levels can map.
fn physical_bits() -> u32 {
    const ADDRESS_SIZES: u32 = 0x8000_0008;
    const EPT_BITS: u32 = 48;
    const SMALLEST: u32 = 36;
    (registers::cpuid(ADDRESS_SIZES, 0).eax & 0xff).clamp(SMALLEST, EPT_BITS)
}

/// How guest memory is mapped with EPT.
#[derive(Clone, Copy, Debug)]
pub struct MemoryFormat {
    largest_leaf: Level,
    largest_executable_leaf: Level,
    limit: Gfn,
}

impl MemoryFormat {
    /// The largest leaf that the processors know.
    pub fn largest_leaf(&self) -> Level {
        self.largest_leaf
    }

    /// The largest leaf that a guest may execute from.
    pub fn largest_executable_leaf(&self) -> Level {
        self.largest_executable_leaf
    }

    /// The first frame that guests cannot have.
    pub fn limit(&self) -> Gfn {
        self.limit
    }

    /// The error of a memory slot beyond: C KVM's here, where api.rst names none.
    pub fn beyond_limit(&self) -> Error {
        EINVAL
    }

    /// Tables of four levels.
    pub fn root(&self) -> RootShape {
        RootShape {
            level: EptEntry::ROOT,
            tables: 1,
        }
    }

    /// What a leaf that is made for an access may grant: everything, if it may be written.
    pub fn access(&self, _wanted: Access) -> Access {
        Access::ALL
    }

    /// Makes memory ready to be mapped: caches are coherent on x86.
    pub fn prepare(&self, _leaf: &Leaf<MemoryType>, _level: Level) {}

    /// The memory type of RAM.
    pub fn ordinary_memory(&self) -> MemoryType {
        MemoryType::WriteBack
    }
}
