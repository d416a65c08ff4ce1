// SPDX-License-Identifier: GPL-2.0

//! The CPUID features that guests may have, and when (Intel SDM volume 2, CPUID; volume 1,
//! chapter 21).
//!
//! Left out on purpose: what VMX does not virtualize here (VMX, SGX, TDX, PT, PMU, MONITOR,
//! WAITPKG, LA57), what needs state to be switched that this module does not switch (PKU, CET,
//! AMX, MPX), and TSX, whose mitigations need an MSR of their own.

#![allow(
    dead_code,
    reason = "every feature has a name, whether or not code asks for it"
)]

use crate::vmx::controls::SecondaryControls;
use crate::x86::regs::Xcr0;

/// A register that CPUID returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Register {
    /// EAX.
    Eax,
    /// EBX.
    Ebx,
    /// ECX.
    Ecx,
    /// EDX.
    Edx,
}

/// A feature bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feature {
    /// Leaf.
    pub function: u32,
    /// Subleaf; 0 for leaves without.
    pub index: u32,
    /// Register.
    pub register: Register,
    /// Bit number.
    pub bit: u32,
}

impl Feature {
    /// The bit as a mask.
    pub const fn mask(self) -> u32 {
        1u32.wrapping_shl(self.bit)
    }

    /// Whether the feature is a bit of this register.
    pub fn is_in(self, function: u32, index: u32, register: Register) -> bool {
        self.function == function && self.index == index && self.register == register
    }
}

/// When a guest may have a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The processor has it.
    Native,
    /// Always: this module provides it.
    Emulated,
    /// The processor has it and guests run with the VMX control that enables it.
    Control(SecondaryControls),
    /// The processor has it and guests may enable its state components.
    State(Xcr0),
    /// Local APICs are in the kernel.
    InKernelApic,
}

const X87: Condition = Condition::State(Xcr0::X87);
const AVX_STATE: Condition = Condition::State(Xcr0::AVX);
const AVX512_STATE: Condition = Condition::State(Xcr0::AVX512);
const NATIVE: Condition = Condition::Native;
const EMULATED: Condition = Condition::Emulated;
const RDTSCP_CONTROL: Condition = Condition::Control(SecondaryControls::ENABLE_RDTSCP);
const INVPCID_CONTROL: Condition = Condition::Control(SecondaryControls::ENABLE_INVPCID);
const XSAVES_CONTROL: Condition = Condition::Control(SecondaryControls::ENABLE_XSAVES);
const IN_KERNEL_APIC: Condition = Condition::InKernelApic;

macro_rules! features {
    ($($function:literal . $index:literal $register:ident {
        $($name:ident = $bit:literal, $condition:ident;)*
    })*) => {
        $($(
            #[doc = concat!("`", stringify!($name), "`.")]
            pub const $name: Feature = Feature {
                function: $function,
                index: $index,
                register: Register::$register,
                bit: $bit,
            };
        )*)*

        /// Every feature that guests may have.
        pub const OFFERED: &[(Feature, Condition)] = &[$($(($name, $condition),)*)*];
    };
}

features! {
    0x1 . 0 Ecx {
        SSE3 = 0, NATIVE;
        PCLMULQDQ = 1, NATIVE;
        SSSE3 = 9, NATIVE;
        FMA = 12, AVX_STATE;
        CMPXCHG16B = 13, NATIVE;
        PCID = 17, NATIVE;
        SSE4_1 = 19, NATIVE;
        SSE4_2 = 20, NATIVE;
        X2APIC = 21, IN_KERNEL_APIC;
        MOVBE = 22, NATIVE;
        POPCNT = 23, NATIVE;
        TSC_DEADLINE = 24, IN_KERNEL_APIC;
        AESNI = 25, NATIVE;
        XSAVE = 26, X87;
        AVX = 28, AVX_STATE;
        F16C = 29, AVX_STATE;
        RDRAND = 30, NATIVE;
        HYPERVISOR = 31, EMULATED;
    }
    0x1 . 0 Edx {
        FPU = 0, NATIVE;
        VME = 1, NATIVE;
        DE = 2, NATIVE;
        PSE = 3, NATIVE;
        TSC = 4, NATIVE;
        MSR = 5, NATIVE;
        PAE = 6, NATIVE;
        MCE = 7, NATIVE;
        CMPXCHG8B = 8, NATIVE;
        APIC = 9, NATIVE;
        SEP = 11, NATIVE;
        MTRR = 12, NATIVE;
        PGE = 13, NATIVE;
        MCA = 14, NATIVE;
        CMOV = 15, NATIVE;
        PAT = 16, NATIVE;
        PSE36 = 17, NATIVE;
        CLFSH = 19, NATIVE;
        MMX = 23, NATIVE;
        FXSR = 24, NATIVE;
        SSE = 25, NATIVE;
        SSE2 = 26, NATIVE;
        SELF_SNOOP = 27, NATIVE;
    }
    0x7 . 0 Ebx {
        FSGSBASE = 0, NATIVE;
        TSC_ADJUST = 1, EMULATED;
        BMI1 = 3, NATIVE;
        AVX2 = 5, AVX_STATE;
        FDP_EXCEPTION_ONLY = 6, NATIVE;
        SMEP = 7, NATIVE;
        BMI2 = 8, NATIVE;
        ERMS = 9, NATIVE;
        INVPCID = 10, INVPCID_CONTROL;
        ZERO_FCS_FDS = 13, NATIVE;
        AVX512F = 16, AVX512_STATE;
        AVX512DQ = 17, AVX512_STATE;
        RDSEED = 18, NATIVE;
        ADX = 19, NATIVE;
        SMAP = 20, NATIVE;
        AVX512_IFMA = 21, AVX512_STATE;
        CLFLUSHOPT = 23, NATIVE;
        CLWB = 24, NATIVE;
        AVX512PF = 26, AVX512_STATE;
        AVX512ER = 27, AVX512_STATE;
        AVX512CD = 28, AVX512_STATE;
        SHA = 29, NATIVE;
        AVX512BW = 30, AVX512_STATE;
        AVX512VL = 31, AVX512_STATE;
    }
    0x7 . 0 Ecx {
        AVX512_VBMI = 1, AVX512_STATE;
        UMIP = 2, NATIVE;
        AVX512_VBMI2 = 6, AVX512_STATE;
        GFNI = 8, NATIVE;
        VAES = 9, AVX_STATE;
        VPCLMULQDQ = 10, AVX_STATE;
        AVX512_VNNI = 11, AVX512_STATE;
        AVX512_BITALG = 12, AVX512_STATE;
        AVX512_VPOPCNTDQ = 14, AVX512_STATE;
        RDPID = 22, RDTSCP_CONTROL;
        CLDEMOTE = 25, NATIVE;
        MOVDIRI = 27, NATIVE;
        MOVDIR64B = 28, NATIVE;
    }
    0x7 . 0 Edx {
        AVX512_4VNNIW = 2, AVX512_STATE;
        AVX512_4FMAPS = 3, AVX512_STATE;
        FAST_SHORT_REP_MOV = 4, NATIVE;
        AVX512_VP2INTERSECT = 8, AVX512_STATE;
        MD_CLEAR = 10, NATIVE;
        SERIALIZE = 14, NATIVE;
        AVX512_FP16 = 23, AVX512_STATE;
        SPEC_CTRL = 26, NATIVE;
        INTEL_STIBP = 27, NATIVE;
        FLUSH_L1D = 28, NATIVE;
        ARCH_CAPABILITIES = 29, NATIVE;
        SPEC_CTRL_SSBD = 31, NATIVE;
    }
    0x7 . 1 Eax {
        SHA512 = 0, AVX_STATE;
        SM3 = 1, AVX_STATE;
        SM4 = 2, AVX_STATE;
        AVX_VNNI = 4, AVX_STATE;
        AVX512_BF16 = 5, AVX512_STATE;
        CMPCCXADD = 7, NATIVE;
        FAST_ZERO_REP_MOV = 10, NATIVE;
        FAST_SHORT_REP_STOS = 11, NATIVE;
        FAST_SHORT_REP_CMPS = 12, NATIVE;
        AVX_IFMA = 23, AVX_STATE;
    }
    0x7 . 1 Edx {
        AVX_VNNI_INT8 = 4, AVX_STATE;
        AVX_NE_CONVERT = 5, AVX_STATE;
        AVX_VNNI_INT16 = 10, AVX_STATE;
        PREFETCHI = 14, NATIVE;
    }
    0xd . 1 Eax {
        XSAVEOPT = 0, X87;
        XSAVEC = 1, X87;
        XGETBV_ECX1 = 2, X87;
        XSAVES = 3, XSAVES_CONTROL;
    }
    0x8000_0001 . 0 Ecx {
        LAHF64 = 0, NATIVE;
        LZCNT = 5, NATIVE;
        PREFETCHW = 8, NATIVE;
    }
    0x8000_0001 . 0 Edx {
        SYSCALL = 11, NATIVE;
        EXECUTE_DISABLE = 20, NATIVE;
        PAGES_1G = 26, NATIVE;
        RDTSCP = 27, RDTSCP_CONTROL;
        LONG_MODE = 29, NATIVE;
    }
    0x8000_0007 . 0 Edx {
        INVARIANT_TSC = 8, NATIVE;
    }
}

/// Follows CR4.OSXSAVE; never in the list of what guests may have.
pub const OSXSAVE: Feature = Feature {
    function: 1,
    index: 0,
    register: Register::Ecx,
    bit: 27,
};

/// MONITOR and MWAIT; guests are offered none, but a VMM may list them.
pub const MWAIT: Feature = Feature {
    function: 1,
    index: 0,
    register: Register::Ecx,
    bit: 3,
};

/// The instructions of CPUID.0DH.1:EAX that write the compacted format.
pub const COMPACTING: u32 = XSAVEC.mask() | XSAVES.mask();
