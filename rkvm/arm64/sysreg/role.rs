// SPDX-License-Identifier: GPL-2.0

//! What a system register is in a vCPU: where its value is, and what a trapped access to it does.
//!
//! A register that is not here does not exist for guests, nor for VMMs.

use super::{name::*, SysReg};
use crate::arm64::{
    el1::{El1Reg, Extension},
    features::{Features, PointerAuthentication, ScalableVectors},
    timer::Which,
    vgic::gic::sgi::Register,
};

/// A register that is in memory alone: the processor's has the host's value, or none that matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// MPIDR_EL1: which of the VM's processors this is.
    Mpidr,
    /// ACTLR_EL1, which reads as the VMM wrote it.
    Actlr,
    /// CLIDR_EL1: the levels of cache.
    Clidr,
    /// CSSELR_EL1: the cache that CCSIDR_EL1 tells about.
    Csselr,
    /// OSLSR_EL1: the OS lock.
    OsLock,
    /// MDSCR_EL1: debugging by the guest itself.
    Mdscr,
    /// MDCCINT_EL1.
    Mdccint,
    /// DISR_EL1: an SError that an ESB instruction has deferred.
    Disr,
    /// DBGVCR32_EL2, which AArch32 at EL1 would have; so the next three.
    Dbgvcr32,
    /// DACR32_EL2.
    Dacr32,
    /// IFSR32_EL2.
    Ifsr32,
    /// FPEXC32_EL2.
    Fpexc32,
}

impl Kept {
    /// How many there are.
    pub const COUNT: usize = Self::Fpexc32 as usize + 1;
}

/// A kind of debug register, of which there are up to 16.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bank {
    /// DBGBVR: the address of a breakpoint.
    BreakpointValue,
    /// DBGBCR: its control.
    BreakpointControl,
    /// DBGWVR: the address of a watchpoint.
    WatchpointValue,
    /// DBGWCR: its control.
    WatchpointControl,
}

/// A register of a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerPart {
    /// CTL: on, masked, and whether its time has come.
    Control,
    /// CVAL: the counter's value at which its time comes.
    Compare,
    /// TVAL: how far away that is.
    Distance,
    /// CNT: the counter.
    Counter,
    /// CNTSS: the counter, read in the order of the program.
    OrderedCounter,
}

/// Which version of the RAS extension a register belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ras {
    /// The first.
    V1,
    /// 1.1.
    V1P1,
}

/// What a register is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// In the processor while the guest runs.
    El1(El1Reg),
    /// In memory alone.
    Kept(Kept),
    /// What the VM's processors are.
    Identification,
    /// A debug register: which, and its number.
    Debug(Bank, u8),
    /// ZCR_EL1: the vector length at EL1.
    VectorLength,
    /// FPMR: how instructions on numbers of 8 bits work.
    Fpmr,
    /// Of a timer.
    Timer(Which, TimerPart),
    /// CCSIDR_EL1: of the cache that CSSELR_EL1 selects.
    CacheSize,
    /// OSLAR_EL1: sets and clears the OS lock.
    OsLockAccess,
    /// Reads as 0; writes are ignored.
    Zero,
    /// So, where the guest has limited ordering regions; LORID_EL1 cannot be written.
    OrderingRegion,
    /// So, where the guest has the RAS extension: there are no error records.
    ErrorRecord(Ras),
    /// DC ISW, CSW and CISW: caches by set and way.
    SetWay,
    /// Of the GIC: sends interrupts.
    Sgi(Register),
    /// ICC_SRE_EL1: the GIC is accessed by system registers.
    GicEnable,
    /// ICC_DIR_EL1: deactivates an interrupt.
    GicDeactivate,
}

impl Role {
    /// The newer feature that the register belongs to: without it, it does not exist.
    pub const fn extension(self) -> Option<Extension> {
        match self {
            Self::El1(register) => register.extension(),
            Self::Fpmr => Some(Extension::Fpmr),
            _ => None,
        }
    }

    /// Whether KVM_GET_ONE_REG has the register for a vCPU with `features`, if it exists. SPSR_EL1, ELR_EL1 and SP_EL1 have ids of
    /// [`CoreReg`](crate::arm64::regs::CoreReg) instead.
    pub fn is_listed(self, features: Features) -> bool {
        match self {
            Self::El1(El1Reg::Spsr | El1Reg::Elr | El1Reg::Sp) => false,
            Self::El1(register) if register.is_key() => {
                features.pointer_authentication() == PointerAuthentication::Present
            }
            Self::Timer(_, part) => {
                !matches!(part, TimerPart::Distance | TimerPart::OrderedCounter)
            }
            Self::VectorLength => features.scalable_vectors() == ScalableVectors::Present,
            Self::El1(_) | Self::Fpmr | Self::Kept(_) | Self::Identification | Self::Debug(..) => {
                true
            }
            Self::CacheSize
            | Self::OsLockAccess
            | Self::Zero
            | Self::OrderingRegion
            | Self::ErrorRecord(_)
            | Self::SetWay
            | Self::Sgi(_)
            | Self::GicEnable
            | Self::GicDeactivate => false,
        }
    }
}

/// The role of a register; `None` for one that does not exist.
pub fn role(register: SysReg) -> Option<Role> {
    if let Some(debug) = debug_register(register) {
        return Some(debug);
    }
    if is_identification(register) {
        return Some(Role::Identification);
    }
    if let Some(el1) = El1Reg::of(register) {
        return Some(Role::El1(el1));
    }
    let other = OTHERS.binary_search_by_key(&register, |&(other, _)| other);
    let (_, role) = OTHERS.get(other.ok()?)?;
    Some(*role)
}

/// All registers with their roles, in no order.
pub fn all() -> impl Iterator<Item = (SysReg, Role)> {
    let debug = (0..16).flat_map(|crm| (4..8).map(move |op2| SysReg::new(2, 0, 0, crm, op2)));
    let ids = (1..8).flat_map(|crm| (0..8).map(move |op2| SysReg::new(3, 0, 0, crm, op2)));
    debug
        .chain(ids)
        .chain(IDENTIFICATION)
        .filter_map(|register| Some((register, role(register)?)))
        .chain(
            El1Reg::ALL
                .into_iter()
                .map(|el1| (el1.encoding(), Role::El1(el1))),
        )
        .chain(OTHERS)
}

/// Identification registers outside of the space of features.
const IDENTIFICATION: [SysReg; 4] = [MIDR_EL1, REVIDR_EL1, AIDR_EL1, CTR_EL0];

fn is_identification(register: SysReg) -> bool {
    let features = SysReg::new(3, 0, 0, 1, 0)..=SysReg::new(3, 0, 0, 7, 7);
    features.contains(&register) || IDENTIFICATION.contains(&register)
}

fn debug_register(register: SysReg) -> Option<Role> {
    if register.op0() != 2 || register.op1() != 0 || register.crn() != 0 {
        return None;
    }
    let bank = match register.op2() {
        4 => Bank::BreakpointValue,
        5 => Bank::BreakpointControl,
        6 => Bank::WatchpointValue,
        7 => Bank::WatchpointControl,
        _ => return None,
    };
    Some(Role::Debug(bank, register.crm() as u8))
}

/// The others, in ascending order.
const OTHERS: [(SysReg, Role); 64] = [
    (DC_ISW, Role::SetWay),
    (DC_CSW, Role::SetWay),
    (DC_CISW, Role::SetWay),
    (OSDTRRX_EL1, Role::Zero),
    (MDCCINT_EL1, Role::Kept(Kept::Mdccint)),
    (MDSCR_EL1, Role::Kept(Kept::Mdscr)),
    (OSDTRTX_EL1, Role::Zero),
    (OSECCR_EL1, Role::Zero),
    (MDRAR_EL1, Role::Zero),
    (OSLAR_EL1, Role::OsLockAccess),
    (OSLSR_EL1, Role::Kept(Kept::OsLock)),
    (OSDLR_EL1, Role::Zero),
    (DBGPRCR_EL1, Role::Zero),
    (DBGCLAIMSET_EL1, Role::Zero),
    (DBGCLAIMCLR_EL1, Role::Zero),
    (DBGAUTHSTATUS_EL1, Role::Zero),
    (MDCCSR_EL0, Role::Zero),
    (DBGDTR_EL0, Role::Zero),
    (DBGDTRTX_EL0, Role::Zero),
    (DBGVCR32_EL2, Role::Kept(Kept::Dbgvcr32)),
    (MPIDR_EL1, Role::Kept(Kept::Mpidr)),
    (ACTLR_EL1, Role::Kept(Kept::Actlr)),
    (ZCR_EL1, Role::VectorLength),
    (ERRIDR_EL1, Role::ErrorRecord(Ras::V1)),
    (ERRSELR_EL1, Role::ErrorRecord(Ras::V1)),
    (ERXFR_EL1, Role::ErrorRecord(Ras::V1)),
    (ERXCTLR_EL1, Role::ErrorRecord(Ras::V1)),
    (ERXSTATUS_EL1, Role::ErrorRecord(Ras::V1)),
    (ERXADDR_EL1, Role::ErrorRecord(Ras::V1)),
    (ERXPFGF_EL1, Role::ErrorRecord(Ras::V1P1)),
    (ERXPFGCTL_EL1, Role::ErrorRecord(Ras::V1P1)),
    (ERXPFGCDN_EL1, Role::ErrorRecord(Ras::V1P1)),
    (ERXMISC0_EL1, Role::ErrorRecord(Ras::V1)),
    (ERXMISC1_EL1, Role::ErrorRecord(Ras::V1)),
    (ERXMISC2_EL1, Role::ErrorRecord(Ras::V1P1)),
    (ERXMISC3_EL1, Role::ErrorRecord(Ras::V1P1)),
    (LORSA_EL1, Role::OrderingRegion),
    (LOREA_EL1, Role::OrderingRegion),
    (LORN_EL1, Role::OrderingRegion),
    (LORC_EL1, Role::OrderingRegion),
    (LORID_EL1, Role::OrderingRegion),
    (DISR_EL1, Role::Kept(Kept::Disr)),
    (ICC_DIR_EL1, Role::GicDeactivate),
    (ICC_SGI1R_EL1, Role::Sgi(Register::Sgi1)),
    (ICC_ASGI1R_EL1, Role::Sgi(Register::Sgi0)),
    (ICC_SGI0R_EL1, Role::Sgi(Register::Sgi0)),
    (ICC_SRE_EL1, Role::GicEnable),
    (CCSIDR_EL1, Role::CacheSize),
    (CLIDR_EL1, Role::Kept(Kept::Clidr)),
    (CSSELR_EL1, Role::Kept(Kept::Csselr)),
    (FPMR, Role::Fpmr),
    (CNTPCT_EL0, Role::Timer(Which::Physical, TimerPart::Counter)),
    (CNTVCT_EL0, Role::Timer(Which::Virtual, TimerPart::Counter)),
    (
        CNTPCTSS_EL0,
        Role::Timer(Which::Physical, TimerPart::OrderedCounter),
    ),
    (
        CNTVCTSS_EL0,
        Role::Timer(Which::Virtual, TimerPart::OrderedCounter),
    ),
    (
        CNTP_TVAL_EL0,
        Role::Timer(Which::Physical, TimerPart::Distance),
    ),
    (
        CNTP_CTL_EL0,
        Role::Timer(Which::Physical, TimerPart::Control),
    ),
    (
        CNTP_CVAL_EL0,
        Role::Timer(Which::Physical, TimerPart::Compare),
    ),
    (
        CNTV_TVAL_EL0,
        Role::Timer(Which::Virtual, TimerPart::Distance),
    ),
    (
        CNTV_CTL_EL0,
        Role::Timer(Which::Virtual, TimerPart::Control),
    ),
    (
        CNTV_CVAL_EL0,
        Role::Timer(Which::Virtual, TimerPart::Compare),
    ),
    (DACR32_EL2, Role::Kept(Kept::Dacr32)),
    (IFSR32_EL2, Role::Kept(Kept::Ifsr32)),
    (FPEXC32_EL2, Role::Kept(Kept::Fpexc32)),
];
