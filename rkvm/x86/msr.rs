// SPDX-License-Identifier: GPL-2.0

//! MSRs: which exist for a vCPU, what they may hold, and where their values live (Intel SDM
//! volume 4 and the sections of volume 3 named below).
//!
//! Values that the processor works with are reached through [`Backing`]; all others are stored in
//! [`Msrs`]. Two parties access MSRs: the guest, for whom a refused access is #GP(0), and the
//! VMM, for whom it ends KVM_GET_MSRS or KVM_SET_MSRS.

pub mod bitmap;
pub mod filter;
pub mod index;
pub mod machine_check;
pub mod mtrr;
pub mod speculation;

use crate::x86::cpuid::guest::GuestFeatures;
use crate::x86::msr::index::*;
use crate::x86::msr::machine_check::MachineCheck;
use crate::x86::msr::mtrr::Mtrrs;
use crate::x86::msr::speculation::{Command, Support};
use crate::x86::pv::msrs::{self as pv, PvMsrs};
use crate::x86::regs::is_canonical;
use crate::x86::regs::rules::PagingState;

/// Who accesses an MSR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initiator {
    /// The guest, by RDMSR or WRMSR.
    Guest,
    /// The VMM, by KVM_GET_MSRS or KVM_SET_MSRS.
    Vmm,
}

/// Why an access is refused. Both are #GP(0) to a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The MSR does not exist for this vCPU, or not for this initiator.
    Unsupported,
    /// The value, or writing at all, is not allowed.
    Invalid,
    /// The VMM's filter denies it.
    Filtered,
}

/// Registers that the processor holds while the vCPU runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Register {
    /// IA32_FS_BASE.
    FsBase,
    /// IA32_GS_BASE.
    GsBase,
    /// IA32_KERNEL_GS_BASE.
    KernelGsBase,
    /// IA32_SYSENTER_CS.
    SysenterCs,
    /// IA32_SYSENTER_ESP.
    SysenterEsp,
    /// IA32_SYSENTER_EIP.
    SysenterEip,
    /// IA32_STAR.
    Star,
    /// IA32_LSTAR.
    Lstar,
    /// IA32_FMASK.
    Fmask,
    /// IA32_TSC_AUX.
    TscAux,
    /// IA32_PAT.
    Pat,
    /// IA32_EFER.
    Efer,
}

/// The vCPU's registers outside of [`Msrs`].
pub trait Backing {
    /// Reads a register.
    fn get(&self, register: Register) -> u64;

    /// Writes a register; the value has been checked.
    fn set(&mut self, register: Register, value: u64);

    /// The registers that decide the paging mode.
    fn paging(&self) -> PagingState;

    /// The guest's TSC at this moment.
    fn tsc(&self) -> u64;

    /// Makes the guest's TSC read `value`, as a VMM asks; it may be aligned with that of the VM's
    /// other vCPUs.
    fn set_tsc(&mut self, value: u64);

    /// Adds to the guest's TSC, modulo 2^64.
    fn shift_tsc(&mut self, delta: u64);

    /// The address of the wall clock's structure, which is the VM's.
    fn wall_clock(&self) -> u64;

    /// Sets the address of the wall clock's structure.
    fn set_wall_clock(&mut self, address: u64);

    /// What the processor has for IA32_SPEC_CTRL and the commands.
    fn speculation(&self) -> Support;

    /// Carries out a command, if the processor has it.
    fn command(&mut self, command: Command);
}

/// The value of IA32_PAT after power-up (SDM volume 3, section 13.12.4).
pub const PAT_RESET: u64 = 0x0007_0406_0007_0406;

const APIC_BASE_RESET: u64 = 0xfee0_0000;
const APIC_BASE_BSP: u64 = 1 << 8;
const APIC_BASE_X2APIC: u64 = 1 << 10;
const APIC_BASE_ENABLE: u64 = 1 << 11;
/// Bits 7:0 and 9.
const APIC_BASE_RESERVED: u64 = 0x2ff;

const MISC_ENABLE_EMON: u64 = 1 << 7;
const MISC_ENABLE_BTS_UNAVAILABLE: u64 = 1 << 11;
const MISC_ENABLE_PEBS_UNAVAILABLE: u64 = 1 << 12;
const MISC_ENABLE_READ_ONLY: u64 = MISC_ENABLE_BTS_UNAVAILABLE | MISC_ENABLE_PEBS_UNAVAILABLE;

const PLATFORM_INFO_CPUID_FAULTING: u64 = 1 << 31;
const FEATURES_ENABLES_CPUID_FAULT: u64 = 1 << 0;

const FEATURE_CONTROL_LOCK: u64 = 1 << 0;

const DEBUGCTL_LBR: u64 = 1 << 0;
const DEBUGCTL_BTF: u64 = 1 << 1;

/// Workarounds for errata, which firmware sets and which have no effect here: TlbCacheDis, FFDis and IgnneEm (AMD's
/// processor programming references, "Hardware Configuration").
const HWCR_IGNORED: u64 = 1 << 3 | 1 << 6 | 1 << 8;
/// McStatusWrEn and TscFreqSel: guests complain where the latter is clear.
const HWCR_STORED: u64 = 1 << 18 | 1 << 24;

/// A microcode revision, bits 63:32, that no guest takes for an outdated one.
const MICROCODE_RESET: u64 = 1 << 32;

/// Values that MSRs without a function here read as, chosen so that guests which divide by them
/// or size things from them go on.
const FSB_FREQ_133_MHZ: u64 = 3;
const EBC_FREQUENCY_RATIO_1: u64 = 1 << 24;
const PERF_STATUS_VALUE: u64 = 1000 | 4 << 40;
const L2_CONTROL_VALUE: u64 = 0xbe70_2111;

/// Which vCPU of a VM starts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The bootstrap processor.
    Bootstrap,
    /// An application processor.
    Application,
}

/// What the features MSRs of the host are, reduced to what guests may see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FeatureMsrs {
    /// IA32_ARCH_CAPABILITIES.
    pub arch_capabilities: u64,
    /// IA32_BIOS_SIGN_ID.
    pub microcode: u64,
}

impl FeatureMsrs {
    /// From the host's IA32_ARCH_CAPABILITIES (0 where it has none) and IA32_BIOS_SIGN_ID.
    pub const fn new(arch_capabilities: u64, microcode: u64) -> Self {
        Self {
            arch_capabilities: arch_capabilities & index::ARCH_CAPABILITIES_OFFERED,
            microcode,
        }
    }

    /// KVM_GET_MSRS on the device.
    ///
    /// # Errors
    /// [`Refusal::Unsupported`] for what is not in [`index::FEATURES`].
    pub const fn read(&self, msr: u32) -> Result<u64, Refusal> {
        match msr {
            IA32_ARCH_CAPABILITIES => Ok(self.arch_capabilities),
            IA32_BIOS_SIGN_ID => Ok(self.microcode),
            MSR_PLATFORM_INFO => Ok(PLATFORM_INFO_CPUID_FAULTING),
            _ => Err(Refusal::Unsupported),
        }
    }
}

/// The MSRs of a vCPU whose values are only stored.
#[derive(Debug)]
pub struct Msrs {
    apic_base: u64,
    cstar: u64,
    misc_enable: u64,
    tsc_adjust: u64,
    arch_capabilities: u64,
    microcode: u64,
    platform_info: u64,
    features_enables: u64,
    feature_control: u64,
    power_control: u64,
    hwcr: u64,
    spec_ctrl: u64,
    mtrrs: Mtrrs,
    machine_check: MachineCheck,
    /// The paravirtual interface.
    pub pv: PvMsrs,
}

impl Msrs {
    /// The values after power-up.
    pub const fn new(role: Role, features: &FeatureMsrs) -> Self {
        let bsp = match role {
            Role::Bootstrap => APIC_BASE_BSP,
            Role::Application => 0,
        };
        Self {
            apic_base: APIC_BASE_RESET | APIC_BASE_ENABLE | bsp,
            cstar: 0,
            misc_enable: MISC_ENABLE_READ_ONLY,
            tsc_adjust: 0,
            arch_capabilities: features.arch_capabilities,
            microcode: MICROCODE_RESET,
            platform_info: PLATFORM_INFO_CPUID_FAULTING,
            features_enables: 0,
            feature_control: 0,
            power_control: 0,
            hwcr: 0,
            spec_ctrl: 0,
            mtrrs: Mtrrs::reset(),
            machine_check: MachineCheck::reset(),
            pv: PvMsrs::reset(),
        }
    }

    /// IA32_APIC_BASE.
    pub const fn apic_base(&self) -> u64 {
        self.apic_base
    }

    /// IA32_MISC_ENABLE.
    pub const fn misc_enable(&self) -> u64 {
        self.misc_enable
    }

    /// IA32_SPEC_CTRL.
    pub const fn spec_ctrl(&self) -> u64 {
        self.spec_ctrl
    }

    /// The machine-check registers.
    pub fn machine_check(&mut self) -> &mut MachineCheck {
        &mut self.machine_check
    }

    /// Whether CPUID faults outside of CPL 0, as the guest may ask for.
    pub const fn has_cpuid_faulting(&self) -> bool {
        self.features_enables & FEATURES_ENABLES_CPUID_FAULT != 0
    }

    /// RDMSR, or one entry of KVM_GET_MSRS.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn read(
        &self,
        msr: u32,
        initiator: Initiator,
        features: &GuestFeatures,
        backing: &impl Backing,
    ) -> Result<u64, Refusal> {
        let by_vmm = initiator == Initiator::Vmm;
        let value = match msr {
            IA32_FS_BASE => backing.get(Register::FsBase),
            IA32_GS_BASE => backing.get(Register::GsBase),
            IA32_KERNEL_GS_BASE => backing.get(Register::KernelGsBase),
            IA32_SYSENTER_CS => backing.get(Register::SysenterCs),
            IA32_SYSENTER_ESP => backing.get(Register::SysenterEsp),
            IA32_SYSENTER_EIP => backing.get(Register::SysenterEip),
            IA32_STAR => backing.get(Register::Star),
            IA32_LSTAR => backing.get(Register::Lstar),
            IA32_FMASK => backing.get(Register::Fmask),
            IA32_PAT => backing.get(Register::Pat),
            IA32_EFER => backing.get(Register::Efer),
            IA32_TSC_AUX if by_vmm || features.has_tsc_aux() => backing.get(Register::TscAux),
            IA32_TIME_STAMP_COUNTER => backing.tsc(),
            IA32_CSTAR => self.cstar,
            IA32_APIC_BASE => self.apic_base,
            IA32_MISC_ENABLE => self.misc_enable,
            IA32_TSC_ADJUST => self.tsc_adjust,
            IA32_ARCH_CAPABILITIES if features.has_arch_capabilities() => self.arch_capabilities,
            IA32_ARCH_CAPABILITIES if by_vmm => 0,
            IA32_SPEC_CTRL if by_vmm || features.has_spec_ctrl() => self.spec_ctrl,
            IA32_BIOS_SIGN_ID => self.microcode,
            MSR_PLATFORM_INFO => self.platform_info,
            MSR_MISC_FEATURES_ENABLES => self.features_enables,
            IA32_FEATURE_CONTROL => self.feature_control,
            MSR_POWER_CTL => self.power_control,
            MSR_K7_HWCR => self.hwcr,
            IA32_XSS if by_vmm || features.has_xsaves() => 0,
            MSR_FSB_FREQ => FSB_FREQ_133_MHZ,
            MSR_EBC_FREQUENCY_ID => EBC_FREQUENCY_RATIO_1,
            IA32_PERF_STATUS => PERF_STATUS_VALUE,
            MSR_BBL_CR_CTL3 => L2_CONTROL_VALUE,
            _ if mtrr::is_mtrr(msr) => self.mtrrs.read(msr)?,
            _ if machine_check::is_machine_check(msr) => self.machine_check.read(msr, initiator)?,
            _ if pv::is_pv(msr) => self.pv.read(msr, &features.pv, backing)?,
            _ if index::READS_AS_ZERO.contains(&msr) => 0,
            _ => return Err(Refusal::Unsupported),
        };
        Ok(value)
    }

    /// WRMSR, or one entry of KVM_SET_MSRS.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn write(
        &mut self,
        msr: u32,
        value: u64,
        initiator: Initiator,
        features: &GuestFeatures,
        backing: &mut impl Backing,
    ) -> Result<(), Refusal> {
        let by_vmm = initiator == Initiator::Vmm;
        match msr {
            IA32_FS_BASE => set_address(backing, Register::FsBase, value)?,
            IA32_GS_BASE => set_address(backing, Register::GsBase, value)?,
            IA32_KERNEL_GS_BASE => set_address(backing, Register::KernelGsBase, value)?,
            IA32_LSTAR => set_address(backing, Register::Lstar, value)?,
            IA32_SYSENTER_ESP => set_address(backing, Register::SysenterEsp, value)?,
            IA32_SYSENTER_EIP => set_address(backing, Register::SysenterEip, value)?,
            IA32_SYSENTER_CS => backing.set(Register::SysenterCs, value & u64::from(u32::MAX)),
            IA32_STAR => backing.set(Register::Star, value),
            IA32_FMASK => {
                require(value >> 32 == 0)?;
                backing.set(Register::Fmask, value);
            }
            IA32_CSTAR => {
                require(is_canonical(value))?;
                self.cstar = value;
            }
            IA32_TSC_AUX if by_vmm || features.has_tsc_aux() => {
                require(value >> 32 == 0)?;
                backing.set(Register::TscAux, value);
            }
            IA32_PAT => {
                require(is_valid_pat(value))?;
                backing.set(Register::Pat, value);
            }
            IA32_EFER => self.write_efer(value, initiator, features, backing)?,
            IA32_TIME_STAMP_COUNTER => self.write_tsc(value, initiator, backing),
            IA32_TSC_ADJUST => self.write_tsc_adjust(value, initiator, features, backing),
            IA32_APIC_BASE => self.write_apic_base(value, initiator, features)?,
            IA32_MISC_ENABLE => self.write_misc_enable(value, initiator)?,
            IA32_DEBUGCTL => require(value & !(DEBUGCTL_LBR | DEBUGCTL_BTF) == 0)?,
            IA32_ARCH_CAPABILITIES if by_vmm && features.has_arch_capabilities() => {
                self.arch_capabilities = value;
            }
            IA32_ARCH_CAPABILITIES if by_vmm => require(value == 0)?,
            IA32_SPEC_CTRL if by_vmm || features.has_spec_ctrl() => {
                require(value & !backing.speculation().spec_ctrl() == 0)?;
                self.spec_ctrl = value;
            }
            IA32_PRED_CMD if by_vmm || features.has_pred_cmd() => {
                execute(value, Command::PredictorBarrier, backing)?;
            }
            IA32_FLUSH_CMD if by_vmm || features.has_flush_cmd() => {
                execute(value, Command::FlushL1d, backing)?;
            }
            IA32_BIOS_SIGN_ID if by_vmm => self.microcode = value,
            MSR_PLATFORM_INFO => {
                require(by_vmm)?;
                self.platform_info = value;
            }
            MSR_MISC_FEATURES_ENABLES => self.write_features_enables(value)?,
            IA32_FEATURE_CONTROL => {
                let locked = self.feature_control & FEATURE_CONTROL_LOCK != 0;
                require(value & !FEATURE_CONTROL_LOCK == 0 && (by_vmm || !locked))?;
                self.feature_control = value;
            }
            MSR_POWER_CTL => self.power_control = value,
            // There are no branch records; a VMM can restore what it has read.
            MSR_LASTBRANCH_FROM_IP
            | MSR_LASTBRANCH_TO_IP
            | MSR_LASTINT_FROM_IP
            | MSR_LASTINT_TO_IP
                if by_vmm =>
            {
                require(value == 0)?;
            }
            MSR_K7_HWCR => {
                let value = value & !HWCR_IGNORED;
                require(value & !HWCR_STORED == 0)?;
                self.hwcr = value;
            }
            IA32_XSS if features.has_xsaves() => require(value == 0)?,
            IA32_XSS if by_vmm => require(value == 0)?,
            _ if mtrr::is_mtrr(msr) => {
                let physical_bits = features.limits.physical_bits;
                self.mtrrs.write(msr, value, physical_bits)?;
            }
            _ if machine_check::is_machine_check(msr) => {
                self.machine_check.write(msr, value, initiator)?;
            }
            _ if pv::is_pv(msr) => self.pv.write(msr, value, &features.pv, backing)?,
            _ if index::IGNORES_WRITES.contains(&msr) => (),
            _ => return Err(Refusal::Unsupported),
        }
        Ok(())
    }

    fn write_efer(
        &self,
        value: u64,
        initiator: Initiator,
        features: &GuestFeatures,
        backing: &mut impl Backing,
    ) -> Result<(), Refusal> {
        let paging = backing.paging();
        let efer = match initiator {
            Initiator::Guest => paging.write_efer(value, &features.limits),
            Initiator::Vmm => paging.set_efer(value),
        };
        backing.set(Register::Efer, efer.map_err(|_| Refusal::Invalid)?.raw());
        Ok(())
    }

    /// A guest that sets its TSC changes IA32_TSC_ADJUST by as much (SDM volume 3, section 19.17.3).
    fn write_tsc(&mut self, value: u64, initiator: Initiator, backing: &mut impl Backing) {
        match initiator {
            Initiator::Vmm => backing.set_tsc(value),
            Initiator::Guest => {
                let delta = value.wrapping_sub(backing.tsc());
                backing.shift_tsc(delta);
                self.tsc_adjust = self.tsc_adjust.wrapping_add(delta);
            }
        }
    }

    /// A guest's write moves its TSC; a VMM's restores a value whose effect it restores itself.
    /// Without the feature a write does nothing.
    fn write_tsc_adjust(
        &mut self,
        value: u64,
        initiator: Initiator,
        features: &GuestFeatures,
        backing: &mut impl Backing,
    ) {
        if !features.has_tsc_adjust() {
            return;
        }
        if initiator == Initiator::Guest {
            backing.shift_tsc(value.wrapping_sub(self.tsc_adjust));
        }
        self.tsc_adjust = value;
    }

    /// The APIC's modes and the ways between them: SDM volume 3, section 12.12.5.
    fn write_apic_base(
        &mut self,
        value: u64,
        initiator: Initiator,
        features: &GuestFeatures,
    ) -> Result<(), Refusal> {
        const MODE: u64 = APIC_BASE_ENABLE | APIC_BASE_X2APIC;
        let reserved = APIC_BASE_RESERVED | features.apic_base_reserved();
        let (old, new) = (self.apic_base & MODE, value & MODE);
        let legal = match (old, new) {
            (_, APIC_BASE_X2APIC) => false,
            (MODE, APIC_BASE_ENABLE) | (0, MODE) => initiator == Initiator::Vmm,
            _ => true,
        };
        require(value & reserved == 0 && legal)?;
        self.apic_base = value;
        Ok(())
    }

    fn write_misc_enable(&mut self, value: u64, initiator: Initiator) -> Result<(), Refusal> {
        self.misc_enable = match initiator {
            Initiator::Vmm => value,
            Initiator::Guest => {
                require((value ^ self.misc_enable) & MISC_ENABLE_READ_ONLY == 0)?;
                value & !MISC_ENABLE_EMON | self.misc_enable & MISC_ENABLE_EMON
            }
        };
        Ok(())
    }

    fn write_features_enables(&mut self, value: u64) -> Result<(), Refusal> {
        let faulting = value & FEATURES_ENABLES_CPUID_FAULT != 0;
        let available = self.platform_info & PLATFORM_INFO_CPUID_FAULTING != 0;
        require(value & !FEATURES_ENABLES_CPUID_FAULT == 0 && (available || !faulting))?;
        self.features_enables = value;
        Ok(())
    }

    /// KVM_SET_SREGS: checks and stores IA32_APIC_BASE.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for reserved bits and for x2APIC mode with the APIC disabled.
    pub fn set_apic_base(&mut self, value: u64, features: &GuestFeatures) -> Result<(), Refusal> {
        self.write_apic_base(value, Initiator::Vmm, features)
    }
}

fn require(condition: bool) -> Result<(), Refusal> {
    condition.then_some(()).ok_or(Refusal::Invalid)
}

/// A write to IA32_PRED_CMD or IA32_FLUSH_CMD.
fn execute(value: u64, command: Command, backing: &mut impl Backing) -> Result<(), Refusal> {
    require(value & !Command::EXECUTE == 0 && backing.speculation().has(command))?;
    if value & Command::EXECUTE != 0 {
        backing.command(command);
    }
    Ok(())
}

fn set_address(backing: &mut impl Backing, register: Register, value: u64) -> Result<(), Refusal> {
    require(is_canonical(value))?;
    backing.set(register, value);
    Ok(())
}

/// Whether each byte of IA32_PAT is a memory type: UC, WC, WT, WP, WB or UC-.
const fn is_valid_pat(value: u64) -> bool {
    const RESERVED: u64 = 0xf8f8_f8f8_f8f8_f8f8;
    const BIT_1: u64 = 0x0202_0202_0202_0202;
    const BIT_2: u64 = BIT_1 << 1;
    // Types 2 and 3 are reserved: bit 1 set and bit 2 clear.
    value & RESERVED == 0 && (value & BIT_1) << 1 & !(value & BIT_2) == 0
}
