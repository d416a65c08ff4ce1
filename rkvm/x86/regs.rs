// SPDX-License-Identifier: GPL-2.0

//! The x86 system registers: control registers, EFER, RFLAGS, XCR0 and the debug registers, and
//! which of their bits a vCPU may use (Intel SDM volume 3, sections 2.2 to 2.6 and 19.2).

#![allow(dead_code, reason = "the list of bits is the architecture's")]

pub mod reset;
pub mod rules;
pub mod segment;

macro_rules! register {
    ($(
        $(#[$type_doc:meta])*
        $type:ident {
            $($(#[$doc:meta])* $name:ident = $bit:literal;)*
        }
    )*) => {$(
        $(#[$type_doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[repr(transparent)]
        pub struct $type(u64);

        impl $type {
            $($(#[$doc])* pub const $name: Self = Self(1 << $bit);)*

            /// Wraps a raw value, valid or not.
            #[inline(always)]
            pub const fn new(raw: u64) -> Self {
                Self(raw)
            }

            /// The raw value.
            #[inline(always)]
            pub const fn raw(self) -> u64 {
                self.0
            }

            /// Whether every bit of `bits` is set.
            #[inline(always)]
            pub const fn contains(self, bits: Self) -> bool {
                self.0 & bits.0 == bits.0
            }

            /// Whether any bit of `bits` is set.
            #[inline(always)]
            pub const fn intersects(self, bits: Self) -> bool {
                self.0 & bits.0 != 0
            }

            /// This value with the bits of `bits` set.
            #[inline(always)]
            pub const fn with(self, bits: Self) -> Self {
                Self(self.0 | bits.0)
            }

            /// This value with the bits of `bits` clear.
            #[inline(always)]
            pub const fn without(self, bits: Self) -> Self {
                Self(self.0 & !bits.0)
            }

            /// The bits that differ between two values.
            #[inline(always)]
            pub const fn changed(self, other: Self) -> Self {
                Self(self.0 ^ other.0)
            }
        }
    )*};
}

register! {
    /// CR0.
    Cr0 {
        /// Protection enable.
        PE = 0;
        /// Monitor coprocessor.
        MP = 1;
        /// Emulation.
        EM = 2;
        /// Task switched.
        TS = 3;
        /// Extension type, always 1.
        ET = 4;
        /// Numeric error.
        NE = 5;
        /// Write protect.
        WP = 16;
        /// Alignment mask.
        AM = 18;
        /// Not write-through.
        NW = 29;
        /// Cache disable.
        CD = 30;
        /// Paging.
        PG = 31;
    }

    /// CR4.
    Cr4 {
        /// Virtual-8086 mode extensions.
        VME = 0;
        /// Protected-mode virtual interrupts.
        PVI = 1;
        /// Time stamp disable.
        TSD = 2;
        /// Debugging extensions.
        DE = 3;
        /// Page size extensions.
        PSE = 4;
        /// Physical address extension.
        PAE = 5;
        /// Machine-check enable.
        MCE = 6;
        /// Page global enable.
        PGE = 7;
        /// Performance-monitoring counter enable.
        PCE = 8;
        /// OS support of FXSAVE and FXRSTOR.
        OSFXSR = 9;
        /// OS support of unmasked SIMD exceptions.
        OSXMMEXCPT = 10;
        /// User-mode instruction prevention.
        UMIP = 11;
        /// 57-bit linear addresses.
        LA57 = 12;
        /// VMX enable.
        VMXE = 13;
        /// FSGSBASE enable.
        FSGSBASE = 16;
        /// PCID enable.
        PCIDE = 17;
        /// XSAVE and processor extended states enable.
        OSXSAVE = 18;
        /// Supervisor-mode execution prevention.
        SMEP = 20;
        /// Supervisor-mode access prevention.
        SMAP = 21;
    }

    /// IA32_EFER.
    Efer {
        /// SYSCALL enable.
        SCE = 0;
        /// IA-32e mode enable.
        LME = 8;
        /// IA-32e mode active; follows LME and CR0.PG.
        LMA = 10;
        /// Execute-disable enable.
        NXE = 11;
    }

    /// RFLAGS.
    Rflags {
        /// Carry.
        CF = 0;
        /// Always 1.
        FIXED = 1;
        /// Parity.
        PF = 2;
        /// Auxiliary carry.
        AF = 4;
        /// Zero.
        ZF = 6;
        /// Sign.
        SF = 7;
        /// Trap.
        TF = 8;
        /// Interrupt enable.
        IF = 9;
        /// Direction.
        DF = 10;
        /// Overflow.
        OF = 11;
        /// Nested task.
        NT = 14;
        /// Resume.
        RF = 16;
        /// Virtual-8086 mode.
        VM = 17;
        /// Alignment check.
        AC = 18;
        /// Virtual interrupt.
        VIF = 19;
        /// Virtual interrupt pending.
        VIP = 20;
        /// CPUID available.
        ID = 21;
    }

    /// XCR0, the state components that XSAVE manages.
    Xcr0 {
        /// x87, always 1.
        X87 = 0;
        /// SSE.
        SSE = 1;
        /// AVX (upper halves of YMM).
        AVX = 2;
        /// AVX-512 opmask registers.
        OPMASK = 5;
        /// AVX-512 upper halves of ZMM0 to ZMM15.
        ZMM_HI256 = 6;
        /// AVX-512 ZMM16 to ZMM31.
        HI16_ZMM = 7;
    }

    /// DR6, debug status.
    Dr6 {
        /// Debug-register access detected.
        BD = 13;
        /// Single step.
        BS = 14;
        /// Task switch.
        BT = 15;
    }

    /// DR7, debug control.
    Dr7 {
        /// General detect enable.
        GD = 13;
    }
}

impl Cr0 {
    /// The bits that exist; software's writes to the others are ignored.
    pub const DEFINED: Self = Self::PE
        .with(Self::MP)
        .with(Self::EM)
        .with(Self::TS)
        .with(Self::ET)
        .with(Self::NE)
        .with(Self::WP)
        .with(Self::AM)
        .with(Self::NW)
        .with(Self::CD)
        .with(Self::PG);
    /// Bits whose change reloads the PDPTEs under PAE paging.
    const PDPTE_RELOADING: Self = Self::PG.with(Self::CD).with(Self::NW);
    /// Bits that LMSW loads.
    const MACHINE_STATUS: Self = Self::PE.with(Self::MP).with(Self::EM).with(Self::TS);
    /// Bits that a guest can own: nothing outside the guest depends on them.
    pub const OWNABLE: Self = Self::TS.with(Self::WP);
}

impl Cr4 {
    /// Bits that need no CPUID feature which a VMM might withhold.
    const ALWAYS: Self = Self::VME
        .with(Self::PVI)
        .with(Self::TSD)
        .with(Self::DE)
        .with(Self::PSE)
        .with(Self::PAE)
        .with(Self::MCE)
        .with(Self::PGE)
        .with(Self::PCE)
        .with(Self::OSFXSR)
        .with(Self::OSXMMEXCPT);
    /// Bits whose change reloads the PDPTEs under PAE paging.
    const PDPTE_RELOADING: Self = Self::PAE.with(Self::PGE).with(Self::PSE).with(Self::SMEP);
    /// Bits that a guest can own where its CPUID allows them: nothing outside it depends on them.
    pub const OWNABLE: Self = Self::PVI
        .with(Self::TSD)
        .with(Self::DE)
        .with(Self::PGE)
        .with(Self::PCE)
        .with(Self::OSFXSR)
        .with(Self::OSXMMEXCPT)
        .with(Self::FSGSBASE);
}

impl Efer {
    /// The bits that this module virtualizes.
    pub const SUPPORTED: Self = Self::SCE.with(Self::LME).with(Self::LMA).with(Self::NXE);
}

impl Xcr0 {
    /// The AVX-512 components, which only go together.
    pub const AVX512: Self = Self::OPMASK.with(Self::ZMM_HI256).with(Self::HI16_ZMM);
    /// The components that this module virtualizes.
    pub const SUPPORTED: Self = Self::X87.with(Self::SSE).with(Self::AVX).with(Self::AVX512);
}

/// The number of low bits that a physical address may use (MAXPHYADDR).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PhysicalBits(u8);

impl PhysicalBits {
    /// The most that paging structures have room for.
    const MAX: u8 = 52;
    /// What a processor without CPUID leaf 0x80000008 has.
    pub const DEFAULT: Self = Self(36);

    /// The width given by CPUID.80000008H:EAX\[7:0\], brought into the range that exists.
    pub const fn new(bits: u8) -> Self {
        Self(if bits > Self::MAX { Self::MAX } else { bits })
    }

    /// The number of bits.
    pub const fn get(self) -> u8 {
        self.0
    }

    /// The address bits that must be 0, up to bit 63.
    pub const fn reserved(self) -> u64 {
        u64::MAX.wrapping_shl(self.0 as u32)
    }
}

/// What a vCPU's CPUID lets its registers hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegisterLimits {
    /// CR4 bits that may be 1.
    pub cr4: Cr4,
    /// EFER bits that may be 1.
    pub efer: Efer,
    /// XCR0 bits that may be 1 besides x87, which always is.
    pub xcr0: Xcr0,
    /// Physical-address width.
    pub physical_bits: PhysicalBits,
}

impl Default for RegisterLimits {
    /// The limits of a vCPU without CPUID.
    fn default() -> Self {
        Self {
            cr4: Cr4::ALWAYS,
            efer: Efer::SCE,
            xcr0: Xcr0::new(0),
            physical_bits: PhysicalBits::DEFAULT,
        }
    }
}

/// Number of bits of a linear address: guests are not offered LA57.
const LINEAR_BITS: u32 = 48;

/// Whether bits 63 to 47 of a linear address are all equal.
#[inline]
pub const fn is_canonical(address: u64) -> bool {
    let unused = u64::BITS - LINEAR_BITS;
    ((address << unused) as i64 >> unused) as u64 == address
}
