// SPDX-License-Identifier: GPL-2.0

//! The system registers that a guest has at EL1 and EL0 for itself: they are in the processor while it runs.
//!
//! One table says all about them. With VHE the kernel's own accesses to registers of EL1 go to those of EL2, so that
//! it reaches the guest's by other names, mostly with op1 5 in place of 0 (Arm ARM, DDI 0487, D8.11.4
//! "Register aliasing").

use crate::arm64::sysreg::{name, SysReg};

/// Calls a macro with the table: a name, its documentation, the encoding that the guest uses, and the name by which
/// the kernel reaches the guest's register. The second part is registers of newer features, with the feature; the third
/// is keys of pointer authentication. Not every processor has them. The first key is not among them, since the
/// world switch itself exchanges it.
macro_rules! with_el1_registers {
    ($callback:ident) => {
        $callback! {{
            /// SCTLR_EL1: MMU, caches, alignment.
            Sctlr = (3, 0, 1, 0, 0), "S3_5_C1_C0_0";
            /// CPACR_EL1: use of the floating point unit.
            Cpacr = (3, 0, 1, 0, 2), "S3_5_C1_C0_2";
            /// TTBR0_EL1.
            Ttbr0 = (3, 0, 2, 0, 0), "S3_5_C2_C0_0";
            /// TTBR1_EL1.
            Ttbr1 = (3, 0, 2, 0, 1), "S3_5_C2_C0_1";
            /// TCR_EL1.
            Tcr = (3, 0, 2, 0, 2), "S3_5_C2_C0_2";
            /// SPSR_EL1.
            Spsr = (3, 0, 4, 0, 0), "S3_5_C4_C0_0";
            /// ELR_EL1.
            Elr = (3, 0, 4, 0, 1), "S3_5_C4_C0_1";
            /// AFSR0_EL1.
            Afsr0 = (3, 0, 5, 1, 0), "S3_5_C5_C1_0";
            /// AFSR1_EL1.
            Afsr1 = (3, 0, 5, 1, 1), "S3_5_C5_C1_1";
            /// ESR_EL1.
            Esr = (3, 0, 5, 2, 0), "S3_5_C5_C2_0";
            /// FAR_EL1.
            Far = (3, 0, 6, 0, 0), "S3_5_C6_C0_0";
            /// PAR_EL1.
            Par = (3, 0, 7, 4, 0), "S3_0_C7_C4_0";
            /// MAIR_EL1.
            Mair = (3, 0, 10, 2, 0), "S3_5_C10_C2_0";
            /// AMAIR_EL1.
            Amair = (3, 0, 10, 3, 0), "S3_5_C10_C3_0";
            /// VBAR_EL1.
            Vbar = (3, 0, 12, 0, 0), "S3_5_C12_C0_0";
            /// CONTEXTIDR_EL1.
            Contextidr = (3, 0, 13, 0, 1), "S3_5_C13_C0_1";
            /// TPIDR_EL1.
            TpidrEl1 = (3, 0, 13, 0, 4), "S3_0_C13_C0_4";
            /// CNTKCTL_EL1: timers at EL0.
            Cntkctl = (3, 0, 14, 1, 0), "S3_5_C14_C1_0";
            /// SP_EL1.
            Sp = (3, 4, 4, 1, 0), "S3_4_C4_C1_0";
            /// TPIDR_EL0.
            TpidrEl0 = (3, 3, 13, 0, 2), "S3_3_C13_C0_2";
            /// TPIDRRO_EL0.
            TpidrroEl0 = (3, 3, 13, 0, 3), "S3_3_C13_C0_3";
        } {
            /// SCTLR2_EL1.
            Sctlr2 = (3, 0, 1, 0, 3), "S3_5_C1_C0_3", Extension::Sctlr2;
            /// TCR2_EL1.
            Tcr2 = (3, 0, 2, 0, 3), "S3_5_C2_C0_3", Extension::Tcr2;
            /// PIRE0_EL1: what permissions of EL0 mean.
            Pire0 = (3, 0, 10, 2, 2), "S3_5_C10_C2_2", Extension::Indirection;
            /// PIR_EL1: what permissions of EL1 mean.
            Pir = (3, 0, 10, 2, 3), "S3_5_C10_C2_3", Extension::Indirection;
        } {
            /// APIBKeyLo_EL1.
            ApibLo = (3, 0, 2, 1, 2), "S3_0_C2_C1_2";
            /// APIBKeyHi_EL1.
            ApibHi = (3, 0, 2, 1, 3), "S3_0_C2_C1_3";
            /// APDAKeyLo_EL1.
            ApdaLo = (3, 0, 2, 2, 0), "S3_0_C2_C2_0";
            /// APDAKeyHi_EL1.
            ApdaHi = (3, 0, 2, 2, 1), "S3_0_C2_C2_1";
            /// APDBKeyLo_EL1.
            ApdbLo = (3, 0, 2, 2, 2), "S3_0_C2_C2_2";
            /// APDBKeyHi_EL1.
            ApdbHi = (3, 0, 2, 2, 3), "S3_0_C2_C2_3";
            /// APGAKeyLo_EL1.
            ApgaLo = (3, 0, 2, 3, 0), "S3_0_C2_C3_0";
            /// APGAKeyHi_EL1.
            ApgaHi = (3, 0, 2, 3, 1), "S3_0_C2_C3_1";
        }}
    };
}

macro_rules! define {
    (
        { $($(#[$doc:meta])* $name:ident = ($op0:literal, $op1:literal, $crn:literal, $crm:literal, $op2:literal), $asm:literal;)* }
        { $($(#[$new_doc:meta])* $new:ident = ($new_op0:literal, $new_op1:literal, $new_crn:literal, $new_crm:literal, $new_op2:literal), $new_asm:literal, $extension:expr;)* }
        { $($(#[$key_doc:meta])* $key:ident = ($key_op0:literal, $key_op1:literal, $key_crn:literal, $key_crm:literal, $key_op2:literal), $key_asm:literal;)* }
    ) => {
        /// One of the registers.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum El1Reg {
            $($(#[$doc])* $name,)*
            $($(#[$new_doc])* $new,)*
            $($(#[$key_doc])* $key,)*
            /// APIAKeyLo_EL1.
            ApiaLo,
            /// APIAKeyHi_EL1.
            ApiaHi,
        }

        impl El1Reg {
            /// All of them.
            pub const ALL: [Self; COUNT] = [$(Self::$name,)* $(Self::$new,)* $(Self::$key,)* Self::ApiaLo, Self::ApiaHi];

            /// How the guest names it.
            pub const fn encoding(self) -> SysReg {
                match self {
                    $(Self::$name => SysReg::new($op0, $op1, $crn, $crm, $op2),)*
                    $(Self::$new => SysReg::new($new_op0, $new_op1, $new_crn, $new_crm, $new_op2),)*
                    $(Self::$key => SysReg::new($key_op0, $key_op1, $key_crn, $key_crm, $key_op2),)*
                    Self::ApiaLo => SysReg::new(3, 0, 2, 1, 0),
                    Self::ApiaHi => SysReg::new(3, 0, 2, 1, 1),
                }
            }

            /// The one that the guest names so.
            pub fn of(register: SysReg) -> Option<Self> {
                // A compiler makes a search of these comparisons.
                $(if register == const { Self::$name.encoding() } {
                    return Some(Self::$name);
                })*
                $(if register == const { Self::$new.encoding() } {
                    return Some(Self::$new);
                })*
                $(if register == const { Self::$key.encoding() } {
                    return Some(Self::$key);
                })*
                if register == const { Self::ApiaLo.encoding() } {
                    return Some(Self::ApiaLo);
                }
                (register == const { Self::ApiaHi.encoding() }).then_some(Self::ApiaHi)
            }

            /// The newer feature that it belongs to; `None` for all others.
            pub const fn extension(self) -> Option<Extension> {
                match self {
                    $(Self::$new => Some($extension),)*
                    _ => None,
                }
            }
        }
    };
}

/// A newer feature that has registers of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extension {
    /// FEAT_SCTLR2.
    Sctlr2,
    /// FEAT_TCR2.
    Tcr2,
    /// FEAT_S1PIE: permission indirection at stage 1.
    Indirection,
    /// FEAT_FPMR, whose register is among those of the floating point unit.
    Fpmr,
}

impl Extension {
    /// All.
    pub const ALL: [Self; 4] = [Self::Sctlr2, Self::Tcr2, Self::Indirection, Self::Fpmr];

    /// The field of 4 bits that tells of it: the identification register, and the lowest bit.
    pub const fn field(self) -> (SysReg, u32) {
        match self {
            Self::Sctlr2 => (name::ID_AA64MMFR3_EL1, 4),
            Self::Tcr2 => (name::ID_AA64MMFR3_EL1, 0),
            Self::Indirection => (name::ID_AA64MMFR3_EL1, 8),
            Self::Fpmr => (name::ID_AA64PFR2_EL1, 32),
        }
    }
}

/// Some of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extensions(u8);

impl Extensions {
    /// None.
    pub const NONE: Self = Self(0);

    /// With one more.
    pub const fn with(self, extension: Extension) -> Self {
        Self(self.0 | 1 << extension as u8)
    }

    /// Whether one is among them.
    pub const fn has(self, extension: Extension) -> bool {
        self.0 & 1 << extension as u8 != 0
    }
}

impl El1Reg {
    /// Whether it is half a key of pointer authentication.
    pub const fn is_key(self) -> bool {
        self as usize >= Self::ApibLo as usize
    }
}

/// How many there are.
const COUNT: usize = El1Reg::ApiaHi as usize + 1;

with_el1_registers!(define);
#[allow(
    unused_imports,
    reason = "the host tests do without the processor's registers"
)]
pub(crate) use with_el1_registers;

/// Where the registers are: in memory or in the processor.
pub trait El1Access {
    /// Reads a register.
    fn get(&self, register: El1Reg) -> u64;
    /// Writes a register.
    fn set(&mut self, register: El1Reg, value: u64);
}

/// SCTLR_EL1 after a reset: the bits that Armv8.0 has as 1, and CP15BEN.
const SCTLR_RESET: u64 = 0x00c5_0078;

/// The registers in memory.
#[derive(Clone, Debug)]
pub struct El1Regs([u64; COUNT]);

impl El1Regs {
    /// After a reset: 0 where the architecture leaves a value open, as VMMs know it.
    pub const RESET: Self = {
        let mut values = [0; COUNT];
        values[El1Reg::Sctlr as usize] = SCTLR_RESET;
        Self(values)
    };
}

impl El1Regs {
    /// The key that the world switch exchanges.
    pub fn first_key(&mut self) -> Option<&mut [u64; 2]> {
        self.0.last_chunk_mut()
    }
}

impl El1Access for El1Regs {
    fn get(&self, register: El1Reg) -> u64 {
        self.0.get(register as usize).copied().unwrap_or(0)
    }

    fn set(&mut self, register: El1Reg, value: u64) {
        if let Some(slot) = self.0.get_mut(register as usize) {
            *slot = value;
        }
    }
}
