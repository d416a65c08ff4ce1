// SPDX-License-Identifier: GPL-2.0

//! Identification registers: what a guest sees of the processor, and what of it a VMM can take away.
//!
//! A VM starts with what all processors of the host have in common, without what is not built here. Until
//! a vCPU has run, a VMM can lower fields of it, so that guests can move to lesser processors.
//!
//! Source: Arm ARM (DDI 0487), D24.2 "General system control registers"; Linux,
//! Documentation/virt/kvm/api.rst, "KVM_ARM_GET_REG_WRITABLE_MASKS".

pub mod field;
mod rule;

use kernel::prelude::*;

use super::{
    el1::Extension,
    features::{Features, PointerAuthentication, ScalableVectors},
    regs::pstate::Aarch32,
    speculation::{Protection, Speculation},
    sysreg::{name, SysReg},
};
use field::{limited, nibble, nibbles, value};
use rule::{Kind, Rule};

/// Registers in the space of op0 3, op1 0, CRn 0, CRm 1 to 7.
const FEATURE_REGISTERS: usize = 7 * 8;
/// The others: CTR_EL0, MIDR_EL1, REVIDR_EL1, AIDR_EL1.
const OTHERS: [SysReg; 4] = [
    name::CTR_EL0,
    name::MIDR_EL1,
    name::REVIDR_EL1,
    name::AIDR_EL1,
];
/// All registers here.
const COUNT: usize = FEATURE_REGISTERS + OTHERS.len();

/// Where a register's value is kept; `None` for one that is not an identification register of a VM.
fn index(register: SysReg) -> Option<usize> {
    let is_feature =
        register >= SysReg::new(3, 0, 0, 1, 0) && register < SysReg::new(3, 0, 1, 0, 0);
    if is_feature {
        return Some(usize::from((register.crm() - 1) * 8 + register.op2()));
    }
    let other = OTHERS.iter().position(|&other| other == register)?;
    Some(FEATURE_REGISTERS + other)
}

/// The register at a place.
fn register_at(index: usize) -> SysReg {
    match index.checked_sub(FEATURE_REGISTERS) {
        Some(other) => OTHERS.get(other).copied().unwrap_or(name::AIDR_EL1),
        None => SysReg::new(3, 0, 0, 1 + index as u16 / 8, index as u16),
    }
}

/// Lowest bits of fields that are spoken of here.
mod at {
    pub(super) const PFR0_EL0: u32 = 0;
    pub(super) const PFR0_EL1: u32 = 4;
    pub(super) const PFR0_GIC: u32 = 24;
    pub(super) const PFR0_RAS: u32 = 28;
    pub(super) const PFR0_SVE: u32 = 32;
    pub(super) const PFR0_MPAM: u32 = 40;
    pub(super) const PFR0_AMU: u32 = 44;
    pub(super) const PFR0_CSV2: u32 = 56;
    pub(super) const PFR0_CSV3: u32 = 60;
    pub(super) const PFR1_MPAM_FRAC: u32 = 16;
    pub(super) const DFR0_DEBUG: u32 = 0;
    pub(super) const DFR0_PMU: u32 = 8;
    pub(super) const ISAR2_ATS1A: u32 = 60;
    pub(super) const MMFR2_NV: u32 = 24;
    pub(super) const AA32_DFR0_DEBUG: u32 = 0;
    pub(super) const AA32_DFR0_PERFMON: u32 = 24;
    pub(super) const AA32_PFR1_GIC: u32 = 28;
    pub(super) const CTR_L1IP: u32 = 14;
}

/// Values of fields.
mod is {
    /// EL0 with AArch32.
    pub(super) const EL0_AARCH32: u64 = 2;
    /// A GIC CPU interface of version 3 or 4.
    pub(super) const GIC_V3: u64 = 1;
    /// Branch predictors, or faulting loads, keep to their context.
    pub(super) const CSV_SAFE: u64 = 1;
    /// The debug architecture of Armv8.0, the least there is, and of Armv8.8, the most that is built.
    pub(super) const DEBUG_V8: u64 = 6;
    pub(super) const DEBUG_V8P8: u64 = 10;
    /// Performance monitors of the vendor's own kind.
    pub(super) const PMU_IMPLEMENTATION_DEFINED: u64 = 0xf;
    /// PMUv3 of AArch32.
    pub(super) const PERFMON_PMUV3: u64 = 3;
    /// L1Ip: a virtually indexed instruction cache. Lower values are reserved.
    pub(super) const L1IP_VIPT: u64 = 2;
}

/// What the host's processors have in common.
#[derive(Clone, Debug)]
pub struct HostIds {
    values: [u64; COUNT],
    speculation: Speculation,
}

impl HostIds {
    /// Takes the host's values. `read` is asked for those registers only that the kernel keeps a common value
    /// of, and for MIDR_EL1, REVIDR_EL1 and AIDR_EL1.
    pub fn new(mut read: impl FnMut(SysReg) -> u64, speculation: Speculation) -> Self {
        let mut values = [0; COUNT];
        for (index, value) in values.iter_mut().enumerate() {
            let register = register_at(index);
            if Rule::of(register).kind != Kind::Zero {
                *value = read(register);
            }
        }
        Self {
            values,
            speculation,
        }
    }

    /// A register's common value; 0 for one that is not kept.
    pub fn get(&self, register: SysReg) -> u64 {
        let value = index(register).and_then(|index| self.values.get(index));
        value.copied().unwrap_or(0)
    }

    /// Whether guests can use AArch32 at EL0.
    pub fn aarch32(&self) -> Aarch32 {
        if value(self.get(name::ID_AA64PFR0_EL1), at::PFR0_EL0) >= is::EL0_AARCH32 {
            Aarch32::AtEl0
        } else {
            Aarch32::Absent
        }
    }

    /// Whether guests can sign pointers: addresses and generic data, by one algorithm each.
    pub fn pointer_authentication(&self) -> PointerAuthentication {
        let (isar1, isar2) = (
            self.get(name::ID_AA64ISAR1_EL1),
            self.get(name::ID_AA64ISAR2_EL1),
        );
        let address =
            isar1 & rule::ISAR1_ADDRESS_KEYS != 0 || isar2 & rule::ISAR2_ADDRESS_KEYS != 0;
        let generic =
            isar1 & rule::ISAR1_GENERIC_KEYS != 0 || isar2 & rule::ISAR2_GENERIC_KEYS != 0;
        if address && generic {
            PointerAuthentication::Present
        } else {
            PointerAuthentication::Absent
        }
    }

    /// Whether processors have the RAS extension: SErrors can have a syndrome.
    pub fn has_ras(&self) -> bool {
        value(self.get(name::ID_AA64PFR0_EL1), at::PFR0_RAS) != 0
    }

    /// Whether translations can be asked for whatever they allow: FEAT_ATS1A.
    pub fn translates_any_access(&self) -> bool {
        value(self.get(name::ID_AA64ISAR2_EL1), at::ISAR2_ATS1A) != 0
    }

    /// What is known of weaknesses in speculation.
    pub fn speculation(&self) -> &Speculation {
        &self.speculation
    }

    /// What a guest sees of a register if its VMM takes nothing away: the most that it can have.
    fn limit(&self, register: SysReg, features: Features) -> u64 {
        let rule = Rule::of(register);
        if rule.kind == Kind::Aarch32 && self.aarch32() == Aarch32::Absent {
            return 0;
        }
        let mut shown = self.get(register) & !rule.hidden;
        if features.pointer_authentication() == PointerAuthentication::Absent {
            shown &= !rule.hidden_without_signing;
        }
        if features.scalable_vectors() == ScalableVectors::Absent {
            shown &= !rule.hidden_without_sve;
        }
        match register {
            name::ID_AA64PFR0_EL1 => {
                // Guests need not know more than that they are safe.
                shown = limited(shown, at::PFR0_CSV2, is::CSV_SAFE);
                if self.speculation.targets == Protection::NotNeeded {
                    shown = shown & !nibble(at::PFR0_CSV2) | is::CSV_SAFE << at::PFR0_CSV2;
                }
                shown = limited(shown, at::PFR0_CSV3, is::CSV_SAFE);
                shown & !nibble(at::PFR0_GIC) | is::GIC_V3 << at::PFR0_GIC
            }
            name::ID_AA64DFR0_EL1 => limited(shown, at::DFR0_DEBUG, is::DEBUG_V8P8),
            name::ID_DFR0_EL1 => limited(shown, at::AA32_DFR0_DEBUG, is::DEBUG_V8P8),
            _ => shown,
        }
    }
}

/// Whether a vCPU of the VM has run: from then on its registers are what they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// None has.
    Setup,
    /// One has.
    Running,
}

/// Whether a VMM can give a VM another MIDR_EL1, REVIDR_EL1 and AIDR_EL1
/// (KVM_CAP_ARM_WRITABLE_IMP_ID_REGS).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Implementation {
    /// They are the host's.
    Fixed,
    /// The VMM's choice.
    Writable,
}

/// The identification registers of a VM.
#[derive(Clone, Debug)]
pub struct IdRegs {
    values: [u64; COUNT],
}

impl IdRegs {
    /// Those of a new VM whose vCPUs have `features`.
    pub fn new(host: &HostIds, features: Features) -> Self {
        let mut values = [0; COUNT];
        for (index, value) in values.iter_mut().enumerate() {
            *value = host.limit(register_at(index), features);
        }
        Self { values }
    }

    /// A register's value; `None` for one that is not an identification register of a VM.
    pub fn get(&self, register: SysReg) -> Option<u64> {
        self.values.get(index(register)?).copied()
    }

    /// KVM_SET_ONE_REG. `ENOENT` for a register that is not one of these; `EINVAL` for a value that promises more
    /// than there is, or takes away what cannot be; `EBUSY` for another value once a vCPU has run. Writes to
    /// registers of AArch32 are ignored where there is no AArch32.
    pub fn set(
        &mut self,
        host: &HostIds,
        features: Features,
        implementation: Implementation,
        stage: Stage,
        register: SysReg,
        wanted: u64,
    ) -> Result {
        let kept = index(register)
            .and_then(|index| self.values.get_mut(index))
            .ok_or(ENOENT)?;
        let rule = Rule::of(register);
        let wanted = match rule.kind {
            Kind::Aarch32 if host.aarch32() == Aarch32::Absent => return Ok(()),
            _ => amended(register, wanted, host)?,
        };
        if *kept == wanted {
            return Ok(());
        }
        if rule.kind == Kind::Implementation && implementation == Implementation::Fixed {
            return Err(EINVAL);
        }
        if stage == Stage::Running {
            return Err(EBUSY);
        }
        let allowed = match rule.kind {
            Kind::Implementation => wanted & !rule.writable == 0,
            _ => {
                let limit = host.limit(register, features);
                field::allows(wanted, limit, rule.writable, rule.exceptions)
            }
        };
        if !allowed {
            return Err(EINVAL);
        }
        *kept = wanted;
        Ok(())
    }

    /// Takes the GIC's CPU interface away: for a VM that runs without an interrupt controller in the kernel.
    pub fn remove_gic(&mut self) {
        let fields = [
            (name::ID_AA64PFR0_EL1, at::PFR0_GIC),
            (name::ID_PFR1_EL1, at::AA32_PFR1_GIC),
        ];
        for (register, lowest) in fields {
            if let Some(value) = index(register).and_then(|index| self.values.get_mut(index)) {
                *value &= !nibble(lowest);
            }
        }
    }

    /// Whether guests are told of a newer feature.
    pub fn has(&self, extension: Extension) -> bool {
        let (register, lowest) = extension.field();
        self.field(register, lowest) != 0
    }

    /// The value of a field of 4 bits by its lowest bit; 0 in a register that is not one of these.
    pub fn field(&self, register: SysReg, lowest: u32) -> u64 {
        self.get(register)
            .map_or(0, |register| value(register, lowest))
    }
}

/// What a VMM means by the value that it writes: earlier KVMs have shown values that guests cannot have, and take
/// them back. `EINVAL` for values that no processor has.
fn amended(register: SysReg, wanted: u64, host: &HostIds) -> Result<u64> {
    // A field that was shown as the host has it, and means nothing to guests.
    let forgotten = |lowest: u32| match (wanted ^ host.get(register)) & nibble(lowest) {
        0 => wanted & !nibble(lowest),
        _ => wanted,
    };
    match register {
        name::ID_AA64PFR0_EL1 => {
            if value(wanted, at::PFR0_EL0) == 0 || value(wanted, at::PFR0_EL1) == 0 {
                return Err(EINVAL);
            }
            Ok(forgotten(at::PFR0_MPAM))
        }
        name::ID_AA64PFR1_EL1 => Ok(forgotten(at::PFR1_MPAM_FRAC)),
        name::ID_AA64MMFR2_EL1 => Ok(forgotten(at::MMFR2_NV)),
        name::ID_AA64DFR0_EL1 => {
            if value(wanted, at::DFR0_DEBUG) < is::DEBUG_V8 {
                return Err(EINVAL);
            }
            Ok(without_own_pmu(wanted, at::DFR0_PMU))
        }
        name::ID_DFR0_EL1 => {
            let amended = without_own_pmu(wanted, at::AA32_DFR0_PERFMON);
            let monitors = value(amended, at::AA32_DFR0_PERFMON);
            let no_pmuv3 = monitors != 0 && monitors < is::PERFMON_PMUV3;
            if no_pmuv3 || value(wanted, at::AA32_DFR0_DEBUG) < is::DEBUG_V8 {
                return Err(EINVAL);
            }
            Ok(amended)
        }
        name::CTR_EL0 if wanted >> at::CTR_L1IP & 3 < is::L1IP_VIPT => Err(EINVAL),
        _ => Ok(wanted),
    }
}

/// The register without a PMU of the vendor's own kind in the field at `lowest`.
const fn without_own_pmu(register: u64, lowest: u32) -> u64 {
    if value(register, lowest) == is::PMU_IMPLEMENTATION_DEFINED {
        register & !nibble(lowest)
    } else {
        register
    }
}

/// Entries of KVM_ARM_GET_REG_WRITABLE_MASKS: op1 0, 1 and 3, each with CRm 0 to 7 and op2 0 to 7.
pub const MASKS: usize = 3 * 8 * 8;

/// Which bits of the identification registers a VMM can change.
pub fn writable_masks(aarch32: Aarch32) -> [u64; MASKS] {
    let mut masks = [0; MASKS];
    for (place, mask) in masks.iter_mut().enumerate() {
        let op1 = [0, 1, 3][place / 64 % 3];
        let register = SysReg::new(3, op1, 0, (place / 8 % 8) as u16, place as u16);
        *mask = if register == name::CLIDR_EL1 {
            CLIDR_WRITABLE
        } else if index(register).is_some() {
            let rule = Rule::of(register);
            match (rule.kind, aarch32) {
                (Kind::Aarch32, Aarch32::Absent) => 0,
                _ => rule.writable,
            }
        } else {
            0
        };
    }
    masks
}

/// The defined bits of CLIDR_EL1.
pub const CLIDR_WRITABLE: u64 = (1 << 47) - 1;
