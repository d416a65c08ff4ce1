// SPDX-License-Identifier: GPL-2.0

//! For each identification register: what guests do not see of it, and what a VMM can change.

use super::{
    at,
    field::{Field, Order},
    name, nibbles, SysReg,
};

/// Where a register's value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nowhere: it reads as 0.
    Zero,
    /// The host's common value.
    Host,
    /// The host's common value, where AArch32 is there.
    Aarch32,
    /// The host's boot processor, or the VMM.
    Implementation,
}

/// What becomes of a register.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    pub(super) kind: Kind,
    /// Bits that read as 0 whatever the host has.
    pub(super) hidden: u64,
    /// More of them where a vCPU cannot sign pointers.
    pub(super) hidden_without_signing: u64,
    /// More of them where it has no SVE.
    pub(super) hidden_without_sve: u64,
    /// Bits that a VMM can change.
    pub(super) writable: u64,
    /// Fields that are not as most are.
    pub(super) exceptions: &'static [Field],
}

/// ID_AA64ISAR1_EL1.API and APA: signed addresses.
pub(super) const ISAR1_ADDRESS_KEYS: u64 = nibbles(&[8, 4]);
/// ID_AA64ISAR1_EL1.GPI and GPA: signed data.
pub(super) const ISAR1_GENERIC_KEYS: u64 = nibbles(&[28, 24]);
/// ID_AA64ISAR2_EL1.APA3.
pub(super) const ISAR2_ADDRESS_KEYS: u64 = nibbles(&[12]);
/// ID_AA64ISAR2_EL1.GPA3.
pub(super) const ISAR2_GENERIC_KEYS: u64 = nibbles(&[8]);

const ALL_BITS: u64 = u64::MAX;
/// Registers of AArch32 have 32 bits.
const LOWER_HALF: u64 = 0xffff_ffff;

impl Rule {
    const ZERO: Self = Self {
        kind: Kind::Zero,
        hidden: ALL_BITS,
        hidden_without_signing: 0,
        hidden_without_sve: 0,
        writable: 0,
        exceptions: &[],
    };

    const AARCH32: Self = Self {
        kind: Kind::Aarch32,
        hidden: 0,
        writable: LOWER_HALF,
        ..Self::ZERO
    };

    const fn host(hidden: u64, writable: u64) -> Self {
        Self {
            kind: Kind::Host,
            hidden,
            writable,
            ..Self::ZERO
        }
    }

    const fn implementation(writable: u64) -> Self {
        Self {
            kind: Kind::Implementation,
            hidden: 0,
            writable,
            ..Self::ZERO
        }
    }

    const fn hiding(self, hidden: u64) -> Self {
        Self { hidden, ..self }
    }

    const fn signing(self, hidden_without_signing: u64) -> Self {
        Self {
            hidden_without_signing,
            ..self
        }
    }

    const fn scalable(self, hidden_without_sve: u64) -> Self {
        Self {
            hidden_without_sve,
            ..self
        }
    }

    const fn except(self, exceptions: &'static [Field]) -> Self {
        Self { exceptions, ..self }
    }

    /// The rule of a register.
    pub(super) const fn of(register: SysReg) -> Self {
        match register {
            name::MIDR_EL1 => Self::implementation(LOWER_HALF),
            name::REVIDR_EL1 | name::AIDR_EL1 => Self::implementation(ALL_BITS),
            name::CTR_EL0 => Self::host(0, CTR_WRITABLE).except(&CTR),

            // No performance monitors.
            name::ID_DFR0_EL1 => Self::AARCH32.hiding(nibbles(&[at::AA32_DFR0_PERFMON])),
            name::ID_MMFR0_EL1 => Self::AARCH32.except(&AA32_MMFR0),
            // No CCIDX: CCSIDR_EL1 is of the form that a VMM can write.
            name::ID_MMFR4_EL1 => Self::AARCH32.hiding(nibbles(&[24])).except(&AA32_MMFR4),
            name::ID_PFR0_EL1
            | name::ID_PFR1_EL1
            | name::ID_PFR2_EL1
            | name::ID_MMFR1_EL1
            | name::ID_MMFR2_EL1
            | name::ID_MMFR3_EL1
            | name::ID_MMFR5_EL1
            | name::ID_ISAR0_EL1
            | name::ID_ISAR1_EL1
            | name::ID_ISAR2_EL1
            | name::ID_ISAR3_EL1
            | name::ID_ISAR4_EL1
            | name::ID_ISAR5_EL1
            | name::ID_ISAR6_EL1
            | name::MVFR0_EL1
            | name::MVFR1_EL1
            | name::MVFR2_EL1 => Self::AARCH32,

            // No activity monitors, MPAM. A guest without AdvSIMD or FP would be one without the registers.
            name::ID_AA64PFR0_EL1 => Self::host(
                nibbles(&[at::PFR0_AMU, at::PFR0_MPAM]),
                !nibbles(&[at::PFR0_AMU, at::PFR0_MPAM, at::PFR0_SVE, 20, 16]),
            )
            .scalable(nibbles(&[at::PFR0_SVE])),
            // No PFAR, MTEX, THE, GCS, MTE, NMI, RNDR_trap, SME; no later RAS than the first.
            name::ID_AA64PFR1_EL1 => Self::host(
                nibbles(&[60, 52, 48, 44, 40, 36, 28, 24, at::PFR1_MPAM_FRAC, 12, 8]),
                !nibbles(&[60, 52, 48, 44, 40, 36, 28, 24, 20, at::PFR1_MPAM_FRAC, 8]),
            ),
            // FPMR; nothing of GCIE and MTE is built.
            name::ID_AA64PFR2_EL1 => Self::host(!nibbles(&[32]), nibbles(&[32, 12, 8, 4])),
            name::ID_AA64ZFR0_EL1 => Self::host(0, !nibbles(&[60, 36, 28, 8])).scalable(ALL_BITS),
            // FP8's.
            name::ID_AA64FPFR0_EL1 => Self::host(0, FPFR0_WRITABLE).except(&FPFR0),
            // No performance monitors, SPE, BRBE. The breakpoints are the processor's.
            name::ID_AA64DFR0_EL1 => Self::host(
                nibbles(&[at::DFR0_PMU, 32, 52]),
                nibbles(&[36, 20, at::DFR0_PMU, at::DFR0_DEBUG]),
            )
            .except(&DFR0),
            name::ID_AA64DFR1_EL1 => Self::host(0, 0),

            name::ID_AA64ISAR0_EL1 => Self::host(0, !nibbles(&[24, 0])),
            // No LS64.
            name::ID_AA64ISAR1_EL1 => {
                let keys = ISAR1_ADDRESS_KEYS | ISAR1_GENERIC_KEYS;
                Self::host(nibbles(&[60]), !keys).signing(keys)
            }
            name::ID_AA64ISAR2_EL1 => {
                let keys = ISAR2_ADDRESS_KEYS | ISAR2_GENERIC_KEYS;
                Self::host(0, !keys).signing(keys)
            }
            // Those that need nothing of a hypervisor: FPRCVT, LSUI, LSFE, FAMINMAX.
            name::ID_AA64ISAR3_EL1 => {
                Self::host(!nibbles(&[28, 24, 16, 4]), nibbles(&[28, 24, 16, 4]))
            }

            name::ID_AA64MMFR0_EL1 => Self::host(0, !nibbles(&[52, 48, 4])).except(&MMFR0),
            name::ID_AA64MMFR1_EL1 => Self::host(0, !nibbles(&[28, 8, 4])).except(&MMFR1),
            // No nested virtualization; no CCIDX.
            name::ID_AA64MMFR2_EL1 => Self::host(
                nibbles(&[at::MMFR2_NV, 20]),
                !nibbles(&[56, 44, 40, 36, at::MMFR2_NV, 20]),
            ),
            // S1PIE, SCTLRX, TCRX; not S1POE, whose register of EL0 the kernel uses.
            name::ID_AA64MMFR3_EL1 => Self::host(!nibbles(&[8, 4, 0]), nibbles(&[16, 8, 4, 0])),
            name::ID_AA64MMFR4_EL1 => Self::host(0, nibbles(&[20])),

            _ => Self::ZERO,
        }
    }
}

/// DIC and IDC: which cache maintenance is not needed; the smallest lines; L1Ip.
const CTR_WRITABLE: u64 = 1 << 29 | 1 << 28 | 0xf << 16 | 0b11 << at::CTR_L1IP | 0xf;
const CTR: [Field; 3] = [
    bit(29, Order::Lower),
    bit(28, Order::Lower),
    Field {
        lowest: at::CTR_L1IP,
        width: 2,
        order: Order::Only(super::is::L1IP_VIPT),
    },
];

const FPFR0_WRITABLE: u64 = 0xfc00_8003;
const FPFR0: [Field; 9] = [
    bit(31, Order::Only(0)),
    bit(30, Order::Only(0)),
    bit(29, Order::Only(0)),
    bit(28, Order::Only(0)),
    bit(27, Order::Only(0)),
    bit(26, Order::Only(0)),
    bit(15, Order::Only(0)),
    bit(1, Order::Only(0)),
    bit(0, Order::Only(0)),
];

/// DoubleLock: all ones is none.
const DFR0: [Field; 1] = [Field::nibble(36, Order::LowerSigned)];

/// The granules: of stage 2, where 0 means "as stage 1", and of stage 1, where all ones is none.
const MMFR0: [Field; 5] = [
    Field::nibble(40, Order::Only(1)),
    Field::nibble(36, Order::Only(1)),
    Field::nibble(32, Order::Only(1)),
    Field::nibble(28, Order::LowerSigned),
    Field::nibble(24, Order::LowerSigned),
];

/// SpecSEI: speculation may cause SErrors.
const MMFR1: [Field; 1] = [Field::nibble(24, Order::Higher)];

/// Shareability domains, of which all ones is none.
const AA32_MMFR0: [Field; 2] = [
    Field::nibble(28, Order::LowerSigned),
    Field::nibble(8, Order::LowerSigned),
];

/// SpecSEI.
const AA32_MMFR4: [Field; 1] = [Field::nibble(0, Order::Higher)];

const fn bit(lowest: u32, order: Order) -> Field {
    Field {
        lowest,
        width: 1,
        order,
    }
}
