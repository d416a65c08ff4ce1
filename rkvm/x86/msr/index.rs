// SPDX-License-Identifier: GPL-2.0

//! MSR numbers (Intel SDM volume 4) and the lists that a VMM gets.

/// IA32_P5_MC_ADDR.
pub const IA32_P5_MC_ADDR: u32 = 0x0;
/// IA32_P5_MC_TYPE.
pub const IA32_P5_MC_TYPE: u32 = 0x1;
/// IA32_TIME_STAMP_COUNTER.
pub const IA32_TIME_STAMP_COUNTER: u32 = 0x10;
/// IA32_PLATFORM_ID.
pub const IA32_PLATFORM_ID: u32 = 0x17;
/// IA32_APIC_BASE.
pub const IA32_APIC_BASE: u32 = 0x1b;
/// MSR_EBL_CR_POWERON.
pub const MSR_EBL_CR_POWERON: u32 = 0x2a;
/// MSR_EBC_FREQUENCY_ID.
pub const MSR_EBC_FREQUENCY_ID: u32 = 0x2c;
/// IA32_FEATURE_CONTROL.
pub const IA32_FEATURE_CONTROL: u32 = 0x3a;
/// IA32_TSC_ADJUST.
pub const IA32_TSC_ADJUST: u32 = 0x3b;
/// IA32_SPEC_CTRL.
pub const IA32_SPEC_CTRL: u32 = 0x48;
/// IA32_PRED_CMD.
pub const IA32_PRED_CMD: u32 = 0x49;
/// IA32_BIOS_UPDT_TRIG.
pub const IA32_BIOS_UPDT_TRIG: u32 = 0x79;
/// IA32_BIOS_SIGN_ID, the microcode revision.
pub const IA32_BIOS_SIGN_ID: u32 = 0x8b;
/// IA32_PMC0 of the P6 family.
pub const P6_PERFCTR0: u32 = 0xc1;
/// IA32_PMC1 of the P6 family.
pub const P6_PERFCTR1: u32 = 0xc2;
/// MSR_FSB_FREQ.
pub const MSR_FSB_FREQ: u32 = 0xcd;
/// MSR_PLATFORM_INFO.
pub const MSR_PLATFORM_INFO: u32 = 0xce;
/// IA32_ARCH_CAPABILITIES.
pub const IA32_ARCH_CAPABILITIES: u32 = 0x10a;
/// IA32_FLUSH_CMD.
pub const IA32_FLUSH_CMD: u32 = 0x10b;
/// MSR_BBL_CR_CTL3.
pub const MSR_BBL_CR_CTL3: u32 = 0x11e;
/// MSR_MISC_FEATURES_ENABLES.
pub const MSR_MISC_FEATURES_ENABLES: u32 = 0x140;
/// IA32_SYSENTER_CS.
pub const IA32_SYSENTER_CS: u32 = 0x174;
/// IA32_SYSENTER_ESP.
pub const IA32_SYSENTER_ESP: u32 = 0x175;
/// IA32_SYSENTER_EIP.
pub const IA32_SYSENTER_EIP: u32 = 0x176;
/// IA32_MCG_CAP.
pub const IA32_MCG_CAP: u32 = 0x179;
/// IA32_MCG_STATUS.
pub const IA32_MCG_STATUS: u32 = 0x17a;
/// IA32_MCG_CTL.
pub const IA32_MCG_CTL: u32 = 0x17b;
/// IA32_PERFEVTSEL0 of the P6 family.
pub const P6_EVNTSEL0: u32 = 0x186;
/// IA32_PERFEVTSEL1 of the P6 family.
pub const P6_EVNTSEL1: u32 = 0x187;
/// IA32_PERF_STATUS.
pub const IA32_PERF_STATUS: u32 = 0x198;
/// IA32_PERF_CTL.
pub const IA32_PERF_CTL: u32 = 0x199;
/// IA32_MISC_ENABLE.
pub const IA32_MISC_ENABLE: u32 = 0x1a0;
/// IA32_DEBUGCTL.
pub const IA32_DEBUGCTL: u32 = 0x1d9;
/// Last branch, source.
pub const MSR_LASTBRANCH_FROM_IP: u32 = 0x1db;
/// Last branch, destination.
pub const MSR_LASTBRANCH_TO_IP: u32 = 0x1dc;
/// Last interrupt, source.
pub const MSR_LASTINT_FROM_IP: u32 = 0x1dd;
/// Last interrupt, destination.
pub const MSR_LASTINT_TO_IP: u32 = 0x1de;
/// MSR_POWER_CTL.
pub const MSR_POWER_CTL: u32 = 0x1fc;
/// IA32_PAT.
pub const IA32_PAT: u32 = 0x277;
/// MSR_RAPL_POWER_UNIT.
pub const MSR_RAPL_POWER_UNIT: u32 = 0x606;
/// MSR_PKG_ENERGY_STATUS.
pub const MSR_PKG_ENERGY_STATUS: u32 = 0x611;
/// MSR_DRAM_ENERGY_STATUS.
pub const MSR_DRAM_ENERGY_STATUS: u32 = 0x619;
/// MSR_PP0_ENERGY_STATUS.
pub const MSR_PP0_ENERGY_STATUS: u32 = 0x639;
/// MSR_PP1_ENERGY_STATUS.
pub const MSR_PP1_ENERGY_STATUS: u32 = 0x641;
/// IA32_TSC_DEADLINE.
pub const IA32_TSC_DEADLINE: u32 = 0x6e0;
/// IA32_XSS.
pub const IA32_XSS: u32 = 0xda0;
/// HWCR of AMD processors, which guests of them look at whatever the processor.
pub const MSR_K7_HWCR: u32 = 0xc001_0015;
/// IA32_EFER.
pub const IA32_EFER: u32 = 0xc000_0080;
/// IA32_STAR.
pub const IA32_STAR: u32 = 0xc000_0081;
/// IA32_LSTAR.
pub const IA32_LSTAR: u32 = 0xc000_0082;
/// IA32_CSTAR, which Intel processors store without using it.
pub const IA32_CSTAR: u32 = 0xc000_0083;
/// IA32_FMASK.
pub const IA32_FMASK: u32 = 0xc000_0084;
/// IA32_FS_BASE.
pub const IA32_FS_BASE: u32 = 0xc000_0100;
/// IA32_GS_BASE.
pub const IA32_GS_BASE: u32 = 0xc000_0101;
/// IA32_KERNEL_GS_BASE.
pub const IA32_KERNEL_GS_BASE: u32 = 0xc000_0102;
/// IA32_TSC_AUX.
pub const IA32_TSC_AUX: u32 = 0xc000_0103;

/// MSR_KVM_WALL_CLOCK.
pub const MSR_KVM_WALL_CLOCK: u32 = 0x11;
/// MSR_KVM_SYSTEM_TIME.
pub const MSR_KVM_SYSTEM_TIME: u32 = 0x12;
/// MSR_KVM_WALL_CLOCK_NEW.
pub const MSR_KVM_WALL_CLOCK_NEW: u32 = 0x4b56_4d00;
/// MSR_KVM_SYSTEM_TIME_NEW.
pub const MSR_KVM_SYSTEM_TIME_NEW: u32 = 0x4b56_4d01;
/// MSR_KVM_STEAL_TIME.
pub const MSR_KVM_STEAL_TIME: u32 = 0x4b56_4d03;
/// MSR_KVM_PV_EOI_EN.
pub const MSR_KVM_PV_EOI_EN: u32 = 0x4b56_4d04;
/// MSR_KVM_POLL_CONTROL.
pub const MSR_KVM_POLL_CONTROL: u32 = 0x4b56_4d05;

/// KVM_GET_MSR_INDEX_LIST: what a VMM saves and restores. KVM_GET_MSRS and KVM_SET_MSRS take each
/// of them whatever the vCPU's CPUID: one that the guest does not have reads as 0 and takes 0. The
/// MSRs that other ioctls carry, and the MTRRs and machine-check banks, whose number varies, are
/// left out as VMMs expect.
pub const SAVED: &[u32] = &[
    IA32_SYSENTER_CS,
    IA32_SYSENTER_ESP,
    IA32_SYSENTER_EIP,
    IA32_STAR,
    IA32_CSTAR,
    IA32_KERNEL_GS_BASE,
    IA32_FMASK,
    IA32_LSTAR,
    IA32_TIME_STAMP_COUNTER,
    IA32_PAT,
    IA32_FEATURE_CONTROL,
    IA32_TSC_AUX,
    IA32_DEBUGCTL,
    IA32_TSC_ADJUST,
    IA32_TSC_DEADLINE,
    IA32_SPEC_CTRL,
    IA32_ARCH_CAPABILITIES,
    IA32_MISC_ENABLE,
    IA32_MCG_STATUS,
    IA32_MCG_CTL,
    MSR_PLATFORM_INFO,
    MSR_MISC_FEATURES_ENABLES,
    MSR_POWER_CTL,
    IA32_BIOS_SIGN_ID,
    MSR_K7_HWCR,
    MSR_KVM_WALL_CLOCK,
    MSR_KVM_SYSTEM_TIME,
    MSR_KVM_WALL_CLOCK_NEW,
    MSR_KVM_SYSTEM_TIME_NEW,
    MSR_KVM_STEAL_TIME,
    MSR_KVM_PV_EOI_EN,
    MSR_KVM_POLL_CONTROL,
];

/// KVM_GET_MSR_FEATURE_INDEX_LIST: MSRs that tell what a vCPU can do.
pub const FEATURES: &[u32] = &[IA32_BIOS_SIGN_ID, IA32_ARCH_CAPABILITIES, MSR_PLATFORM_INFO];

/// Those that stay as they are once the vCPU has run: all but the microcode's revision, which can be updated.
pub const FIXED_BY_RUN: &[u32] = &[IA32_ARCH_CAPABILITIES, MSR_PLATFORM_INFO];

/// MSRs that guests probe without a check and whose function is absent: reads give 0.
/// IA32_TSC_DEADLINE is among them while no local APIC is emulated here.
pub const READS_AS_ZERO: &[u32] = &[
    IA32_P5_MC_ADDR,
    IA32_P5_MC_TYPE,
    IA32_PLATFORM_ID,
    MSR_EBL_CR_POWERON,
    P6_PERFCTR0,
    P6_PERFCTR1,
    P6_EVNTSEL0,
    P6_EVNTSEL1,
    IA32_PERF_CTL,
    IA32_DEBUGCTL,
    MSR_LASTBRANCH_FROM_IP,
    MSR_LASTBRANCH_TO_IP,
    MSR_LASTINT_FROM_IP,
    MSR_LASTINT_TO_IP,
    MSR_RAPL_POWER_UNIT,
    MSR_PKG_ENERGY_STATUS,
    MSR_DRAM_ENERGY_STATUS,
    MSR_PP0_ENERGY_STATUS,
    MSR_PP1_ENERGY_STATUS,
    IA32_TSC_DEADLINE,
];

/// MSRs whose writes do nothing and do not fault.
pub const IGNORES_WRITES: &[u32] = &[
    IA32_BIOS_UPDT_TRIG,
    IA32_BIOS_SIGN_ID,
    P6_PERFCTR0,
    P6_PERFCTR1,
    P6_EVNTSEL0,
    P6_EVNTSEL1,
    MSR_BBL_CR_CTL3,
    IA32_TSC_DEADLINE,
];

/// The bits of IA32_ARCH_CAPABILITIES that say what the processor is not prone to or what VERW
/// clears; those that announce further MSRs are withheld.
pub const ARCH_CAPABILITIES_OFFERED: u64 = {
    const RDCL_NO: u64 = 1 << 0;
    const RSBA: u64 = 1 << 2;
    const SKIP_L1DFL_VMENTRY: u64 = 1 << 3;
    const SSB_NO: u64 = 1 << 4;
    const MDS_NO: u64 = 1 << 5;
    const IF_PSCHANGE_MC_NO: u64 = 1 << 6;
    const TAA_NO: u64 = 1 << 8;
    const SBDR_SSDP_NO: u64 = 1 << 13;
    const FBSDP_NO: u64 = 1 << 14;
    const PSDP_NO: u64 = 1 << 15;
    const FB_CLEAR: u64 = 1 << 17;
    const RRSBA: u64 = 1 << 19;
    const BHI_NO: u64 = 1 << 20;
    const PBRSB_NO: u64 = 1 << 24;
    const GDS_NO: u64 = 1 << 26;
    const RFDS_NO: u64 = 1 << 27;
    const RFDS_CLEAR: u64 = 1 << 28;
    const ITS_NO: u64 = 1 << 62;
    RDCL_NO
        | RSBA
        | SKIP_L1DFL_VMENTRY
        | SSB_NO
        | MDS_NO
        | IF_PSCHANGE_MC_NO
        | TAA_NO
        | SBDR_SSDP_NO
        | FBSDP_NO
        | PSDP_NO
        | FB_CLEAR
        | RRSBA
        | BHI_NO
        | PBRSB_NO
        | GDS_NO
        | RFDS_NO
        | RFDS_CLEAR
        | ITS_NO
};
