// SPDX-License-Identifier: GPL-2.0

//! VMCS fields by name, each carrying the width it is read and written with.
//!
//! An encoding says all about a field (Intel SDM volume 3, section 26.11.2 and appendix B): bits
//! 14:13 give the width, bits 11:10 the kind, bits 9:1 the index and bit 0 the access type (the
//! upper half of a 64-bit field, which a 64-bit host never needs).

#![allow(dead_code, reason = "the list of fields is the architecture's")]

use crate::x86::regs::segment::SegmentRegister;
use core::marker::PhantomData;

/// A value that a VMCS field can hold. VMREAD and VMWRITE always move 64 bits; narrower fields
/// read as zero-extended and ignore the upper bits when written.
pub trait FieldValue: Copy + Eq {
    /// Takes the value from what VMREAD returned.
    fn from_vmread(raw: u64) -> Self;
    /// The operand of VMWRITE.
    fn into_vmwrite(self) -> u64;
}

impl FieldValue for u16 {
    #[inline(always)]
    fn from_vmread(raw: u64) -> Self {
        raw as u16
    }

    #[inline(always)]
    fn into_vmwrite(self) -> u64 {
        u64::from(self)
    }
}

impl FieldValue for u32 {
    #[inline(always)]
    fn from_vmread(raw: u64) -> Self {
        raw as u32
    }

    #[inline(always)]
    fn into_vmwrite(self) -> u64 {
        u64::from(self)
    }
}

impl FieldValue for u64 {
    #[inline(always)]
    fn from_vmread(raw: u64) -> Self {
        raw
    }

    #[inline(always)]
    fn into_vmwrite(self) -> u64 {
        self
    }
}

/// A VMCS field whose values are of type `T`: `u16`, `u32`, or `u64` for both the 64-bit and the
/// natural-width fields (64 bits on the hosts that this module runs on).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<T> {
    encoding: Encoding,
    value: PhantomData<T>,
}

impl<T: FieldValue> Field<T> {
    const fn new(encoding: u32) -> Self {
        Self {
            encoding: Encoding::new(encoding),
            value: PhantomData,
        }
    }

    /// The operand of VMREAD and VMWRITE.
    #[inline(always)]
    pub const fn encoding(self) -> Encoding {
        self.encoding
    }
}

/// A field encoding, known here or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(transparent)]
pub struct Encoding(u32);

/// The width of a field, bits 14:13 of its encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// 16 bits.
    Word,
    /// 64 bits on every processor.
    Quad,
    /// 32 bits.
    Long,
    /// 64 bits where the processor supports Intel 64, else 32.
    Natural,
}

/// What a field is for, bits 11:10 of its encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Controls execution, VM exits or VM entries.
    Control,
    /// Says what happened at the last VM exit; read-only on many processors.
    ExitInformation,
    /// Guest state, loaded on entry and saved on exit.
    GuestState,
    /// Host state, loaded on exit.
    HostState,
}

impl Encoding {
    /// Bits 31:15 and 12 are reserved and zero in every architectural encoding.
    const RESERVED: u32 = !0x6fff;
    const ACCESS_TYPE_HIGH: u32 = 1 << 0;

    /// Wraps any encoding, also one that the processor may not know.
    pub const fn new(raw: u32) -> Self {
        Self(raw)
    }

    /// The raw encoding.
    #[inline(always)]
    pub const fn raw(self) -> u32 {
        self.0
    }

    /// The width of the field.
    pub const fn width(self) -> Width {
        match (self.0 >> 13) & 3 {
            0 => Width::Word,
            1 => Width::Quad,
            2 => Width::Long,
            _ => Width::Natural,
        }
    }

    /// The kind of the field.
    pub const fn kind(self) -> Kind {
        match (self.0 >> 10) & 3 {
            0 => Kind::Control,
            1 => Kind::ExitInformation,
            2 => Kind::GuestState,
            _ => Kind::HostState,
        }
    }

    /// Whether the encoding names a whole field (not an upper half) and has no reserved bit set.
    pub const fn is_full(self) -> bool {
        self.0 & (Self::RESERVED | Self::ACCESS_TYPE_HIGH) == 0
    }
}

macro_rules! fields {
    ($($(#[$doc:meta])* $name:ident: $value:ty = $encoding:literal;)*) => {
        $($(#[$doc])* pub const $name: Field<$value> = Field::new($encoding);)*

        /// Every field named in this file, with its name, for dumps of a VMCS.
        pub const ALL: &[(&str, Encoding)] = &[$((stringify!($name), $name.encoding())),*];
    };
}

fields! {
    /// Virtual-processor identifier (VPID), never 0 where VPIDs are enabled.
    VPID: u16 = 0x0000;
    /// Vector whose arrival starts posted-interrupt processing.
    POSTED_INTERRUPT_NOTIFICATION_VECTOR: u16 = 0x0002;

    /// Guest ES selector.
    GUEST_ES_SELECTOR: u16 = 0x0800;
    /// Guest CS selector.
    GUEST_CS_SELECTOR: u16 = 0x0802;
    /// Guest SS selector.
    GUEST_SS_SELECTOR: u16 = 0x0804;
    /// Guest DS selector.
    GUEST_DS_SELECTOR: u16 = 0x0806;
    /// Guest FS selector.
    GUEST_FS_SELECTOR: u16 = 0x0808;
    /// Guest GS selector.
    GUEST_GS_SELECTOR: u16 = 0x080a;
    /// Guest LDTR selector.
    GUEST_LDTR_SELECTOR: u16 = 0x080c;
    /// Guest TR selector.
    GUEST_TR_SELECTOR: u16 = 0x080e;
    /// Virtual interrupts requested and in service, for virtual-interrupt delivery.
    GUEST_INTERRUPT_STATUS: u16 = 0x0810;
    /// Next entry of the page-modification log, counting down.
    PML_INDEX: u16 = 0x0812;

    /// Host ES selector.
    HOST_ES_SELECTOR: u16 = 0x0c00;
    /// Host CS selector.
    HOST_CS_SELECTOR: u16 = 0x0c02;
    /// Host SS selector.
    HOST_SS_SELECTOR: u16 = 0x0c04;
    /// Host DS selector.
    HOST_DS_SELECTOR: u16 = 0x0c06;
    /// Host FS selector.
    HOST_FS_SELECTOR: u16 = 0x0c08;
    /// Host GS selector.
    HOST_GS_SELECTOR: u16 = 0x0c0a;
    /// Host TR selector.
    HOST_TR_SELECTOR: u16 = 0x0c0c;

    /// Physical address of the bitmap of I/O ports 0 to 0x7fff.
    IO_BITMAP_A: u64 = 0x2000;
    /// Physical address of the bitmap of I/O ports 0x8000 to 0xffff.
    IO_BITMAP_B: u64 = 0x2002;
    /// Physical address of the MSR bitmap (4 KiB).
    MSR_BITMAP: u64 = 0x2004;
    /// Physical address of the area that VM exits store MSRs to.
    EXIT_MSR_STORE_ADDRESS: u64 = 0x2006;
    /// Physical address of the area that VM exits load MSRs from.
    EXIT_MSR_LOAD_ADDRESS: u64 = 0x2008;
    /// Physical address of the area that VM entries load MSRs from.
    ENTRY_MSR_LOAD_ADDRESS: u64 = 0x200a;
    /// Physical address of the page-modification log (4 KiB).
    PML_ADDRESS: u64 = 0x200e;
    /// Added to the (scaled) TSC that the guest reads.
    TSC_OFFSET: u64 = 0x2010;
    /// Physical address of the virtual-APIC page.
    VIRTUAL_APIC_ADDRESS: u64 = 0x2012;
    /// Physical address of the APIC-access page.
    APIC_ACCESS_ADDRESS: u64 = 0x2014;
    /// Physical address of the posted-interrupt descriptor (64 bytes).
    POSTED_INTERRUPT_DESCRIPTOR_ADDRESS: u64 = 0x2016;
    /// VM functions that the guest may call.
    VM_FUNCTION_CONTROLS: u64 = 0x2018;
    /// EPT pointer.
    EPT_POINTER: u64 = 0x201a;
    /// Vectors 0 to 63 whose EOI exits.
    EOI_EXIT_BITMAP_0: u64 = 0x201c;
    /// Vectors 64 to 127 whose EOI exits.
    EOI_EXIT_BITMAP_1: u64 = 0x201e;
    /// Vectors 128 to 191 whose EOI exits.
    EOI_EXIT_BITMAP_2: u64 = 0x2020;
    /// Vectors 192 to 255 whose EOI exits.
    EOI_EXIT_BITMAP_3: u64 = 0x2022;
    /// State components whose XSAVES or XRSTORS exits.
    XSS_EXITING_BITMAP: u64 = 0x202c;
    /// ENCLS leaves that exit.
    ENCLS_EXITING_BITMAP: u64 = 0x202e;
    /// Guest TSC ticks per host TSC tick, 16.48 fixed point.
    TSC_MULTIPLIER: u64 = 0x2032;
    /// Tertiary processor-based VM-execution controls.
    TERTIARY_CONTROLS: u64 = 0x2034;

    /// Guest physical address of an EPT violation or misconfiguration.
    GUEST_PHYSICAL_ADDRESS: u64 = 0x2400;

    /// All ones where there is no shadow VMCS.
    VMCS_LINK_POINTER: u64 = 0x2800;
    /// Guest IA32_DEBUGCTL.
    GUEST_DEBUGCTL: u64 = 0x2802;
    /// Guest IA32_PAT.
    GUEST_PAT: u64 = 0x2804;
    /// Guest IA32_EFER.
    GUEST_EFER: u64 = 0x2806;
    /// Guest IA32_PERF_GLOBAL_CTRL.
    GUEST_PERF_GLOBAL_CTRL: u64 = 0x2808;
    /// Guest PDPTE 0, for PAE paging under EPT.
    GUEST_PDPTE0: u64 = 0x280a;
    /// Guest PDPTE 1.
    GUEST_PDPTE1: u64 = 0x280c;
    /// Guest PDPTE 2.
    GUEST_PDPTE2: u64 = 0x280e;
    /// Guest PDPTE 3.
    GUEST_PDPTE3: u64 = 0x2810;

    /// Host IA32_PAT.
    HOST_PAT: u64 = 0x2c00;
    /// Host IA32_EFER.
    HOST_EFER: u64 = 0x2c02;
    /// Host IA32_PERF_GLOBAL_CTRL.
    HOST_PERF_GLOBAL_CTRL: u64 = 0x2c04;

    /// Pin-based VM-execution controls.
    PIN_BASED_CONTROLS: u32 = 0x4000;
    /// Primary processor-based VM-execution controls.
    PRIMARY_CONTROLS: u32 = 0x4002;
    /// Exception vectors that exit, one bit each.
    EXCEPTION_BITMAP: u32 = 0x4004;
    /// Page-fault error-code bits that are compared.
    PAGE_FAULT_ERROR_CODE_MASK: u32 = 0x4006;
    /// What the compared bits must be for bit 14 of the exception bitmap to mean "exit".
    PAGE_FAULT_ERROR_CODE_MATCH: u32 = 0x4008;
    /// Number of CR3 values that load without an exit.
    CR3_TARGET_COUNT: u32 = 0x400a;
    /// Primary VM-exit controls.
    EXIT_CONTROLS: u32 = 0x400c;
    /// Number of MSRs that VM exits store.
    EXIT_MSR_STORE_COUNT: u32 = 0x400e;
    /// Number of MSRs that VM exits load.
    EXIT_MSR_LOAD_COUNT: u32 = 0x4010;
    /// VM-entry controls.
    ENTRY_CONTROLS: u32 = 0x4012;
    /// Number of MSRs that VM entries load.
    ENTRY_MSR_LOAD_COUNT: u32 = 0x4014;
    /// Event to inject: vector, type, error code and valid bits.
    ENTRY_INTERRUPTION_INFO: u32 = 0x4016;
    /// Error code of the injected exception.
    ENTRY_EXCEPTION_ERROR_CODE: u32 = 0x4018;
    /// Instruction length of an injected software event, in bytes.
    ENTRY_INSTRUCTION_LENGTH: u32 = 0x401a;
    /// Virtual TPR below which an exit occurs.
    TPR_THRESHOLD: u32 = 0x401c;
    /// Secondary processor-based VM-execution controls.
    SECONDARY_CONTROLS: u32 = 0x401e;
    /// Largest gap in TSC ticks between two PAUSEs of one loop.
    PLE_GAP: u32 = 0x4020;
    /// Time in TSC ticks that a PAUSE loop may take.
    PLE_WINDOW: u32 = 0x4022;

    /// Why the last VMX instruction failed.
    VM_INSTRUCTION_ERROR: u32 = 0x4400;
    /// Exit reason.
    EXIT_REASON: u32 = 0x4402;
    /// Event that caused the exit.
    EXIT_INTERRUPTION_INFO: u32 = 0x4404;
    /// Error code of the exception that caused the exit.
    EXIT_INTERRUPTION_ERROR_CODE: u32 = 0x4406;
    /// Event whose delivery the exit interrupted.
    IDT_VECTORING_INFO: u32 = 0x4408;
    /// Error code of the event whose delivery the exit interrupted.
    IDT_VECTORING_ERROR_CODE: u32 = 0x440a;
    /// Length in bytes of the instruction that exited.
    EXIT_INSTRUCTION_LENGTH: u32 = 0x440c;
    /// Operands of the instruction that exited.
    EXIT_INSTRUCTION_INFO: u32 = 0x440e;

    /// Guest ES limit in bytes.
    GUEST_ES_LIMIT: u32 = 0x4800;
    /// Guest CS limit in bytes.
    GUEST_CS_LIMIT: u32 = 0x4802;
    /// Guest SS limit in bytes.
    GUEST_SS_LIMIT: u32 = 0x4804;
    /// Guest DS limit in bytes.
    GUEST_DS_LIMIT: u32 = 0x4806;
    /// Guest FS limit in bytes.
    GUEST_FS_LIMIT: u32 = 0x4808;
    /// Guest GS limit in bytes.
    GUEST_GS_LIMIT: u32 = 0x480a;
    /// Guest LDTR limit in bytes.
    GUEST_LDTR_LIMIT: u32 = 0x480c;
    /// Guest TR limit in bytes.
    GUEST_TR_LIMIT: u32 = 0x480e;
    /// Guest GDTR limit in bytes.
    GUEST_GDTR_LIMIT: u32 = 0x4810;
    /// Guest IDTR limit in bytes.
    GUEST_IDTR_LIMIT: u32 = 0x4812;
    /// Guest ES access rights.
    GUEST_ES_ACCESS_RIGHTS: u32 = 0x4814;
    /// Guest CS access rights.
    GUEST_CS_ACCESS_RIGHTS: u32 = 0x4816;
    /// Guest SS access rights; the DPL is the CPL.
    GUEST_SS_ACCESS_RIGHTS: u32 = 0x4818;
    /// Guest DS access rights.
    GUEST_DS_ACCESS_RIGHTS: u32 = 0x481a;
    /// Guest FS access rights.
    GUEST_FS_ACCESS_RIGHTS: u32 = 0x481c;
    /// Guest GS access rights.
    GUEST_GS_ACCESS_RIGHTS: u32 = 0x481e;
    /// Guest LDTR access rights.
    GUEST_LDTR_ACCESS_RIGHTS: u32 = 0x4820;
    /// Guest TR access rights.
    GUEST_TR_ACCESS_RIGHTS: u32 = 0x4822;
    /// Blocking by STI, MOV SS, SMI and NMI.
    GUEST_INTERRUPTIBILITY: u32 = 0x4824;
    /// Active, HLT, shutdown or wait-for-SIPI.
    GUEST_ACTIVITY_STATE: u32 = 0x4826;
    /// Guest IA32_SYSENTER_CS.
    GUEST_SYSENTER_CS: u32 = 0x482a;
    /// Preemption timer: ticks left, each 2^N TSC ticks.
    PREEMPTION_TIMER_VALUE: u32 = 0x482e;

    /// Host IA32_SYSENTER_CS.
    HOST_SYSENTER_CS: u32 = 0x4c00;

    /// CR0 bits that the guest does not own.
    CR0_GUEST_HOST_MASK: u64 = 0x6000;
    /// CR4 bits that the guest does not own.
    CR4_GUEST_HOST_MASK: u64 = 0x6002;
    /// What the guest reads for the CR0 bits that it does not own.
    CR0_READ_SHADOW: u64 = 0x6004;
    /// What the guest reads for the CR4 bits that it does not own.
    CR4_READ_SHADOW: u64 = 0x6006;

    /// Details of the exit; the layout depends on the reason.
    EXIT_QUALIFICATION: u64 = 0x6400;
    /// RCX of the I/O instruction that exited (SMM only).
    IO_RCX: u64 = 0x6402;
    /// RSI of the I/O instruction that exited (SMM only).
    IO_RSI: u64 = 0x6404;
    /// RDI of the I/O instruction that exited (SMM only).
    IO_RDI: u64 = 0x6406;
    /// RIP of the I/O instruction that exited (SMM only).
    IO_RIP: u64 = 0x6408;
    /// Linear address of the access that exited.
    GUEST_LINEAR_ADDRESS: u64 = 0x640a;

    /// Guest CR0.
    GUEST_CR0: u64 = 0x6800;
    /// Guest CR3.
    GUEST_CR3: u64 = 0x6802;
    /// Guest CR4.
    GUEST_CR4: u64 = 0x6804;
    /// Guest ES base.
    GUEST_ES_BASE: u64 = 0x6806;
    /// Guest CS base.
    GUEST_CS_BASE: u64 = 0x6808;
    /// Guest SS base.
    GUEST_SS_BASE: u64 = 0x680a;
    /// Guest DS base.
    GUEST_DS_BASE: u64 = 0x680c;
    /// Guest FS base, also IA32_FS_BASE.
    GUEST_FS_BASE: u64 = 0x680e;
    /// Guest GS base, also IA32_GS_BASE.
    GUEST_GS_BASE: u64 = 0x6810;
    /// Guest LDTR base.
    GUEST_LDTR_BASE: u64 = 0x6812;
    /// Guest TR base.
    GUEST_TR_BASE: u64 = 0x6814;
    /// Guest GDTR base.
    GUEST_GDTR_BASE: u64 = 0x6816;
    /// Guest IDTR base.
    GUEST_IDTR_BASE: u64 = 0x6818;
    /// Guest DR7.
    GUEST_DR7: u64 = 0x681a;
    /// Guest RSP.
    GUEST_RSP: u64 = 0x681c;
    /// Guest RIP.
    GUEST_RIP: u64 = 0x681e;
    /// Guest RFLAGS.
    GUEST_RFLAGS: u64 = 0x6820;
    /// Debug exceptions not yet delivered.
    GUEST_PENDING_DEBUG_EXCEPTIONS: u64 = 0x6822;
    /// Guest IA32_SYSENTER_ESP.
    GUEST_SYSENTER_ESP: u64 = 0x6824;
    /// Guest IA32_SYSENTER_EIP.
    GUEST_SYSENTER_EIP: u64 = 0x6826;

    /// Host CR0.
    HOST_CR0: u64 = 0x6c00;
    /// Host CR3.
    HOST_CR3: u64 = 0x6c02;
    /// Host CR4.
    HOST_CR4: u64 = 0x6c04;
    /// Host FS base.
    HOST_FS_BASE: u64 = 0x6c06;
    /// Host GS base.
    HOST_GS_BASE: u64 = 0x6c08;
    /// Host TR base.
    HOST_TR_BASE: u64 = 0x6c0a;
    /// Host GDTR base.
    HOST_GDTR_BASE: u64 = 0x6c0c;
    /// Host IDTR base.
    HOST_IDTR_BASE: u64 = 0x6c0e;
    /// Host IA32_SYSENTER_ESP.
    HOST_SYSENTER_ESP: u64 = 0x6c10;
    /// Host IA32_SYSENTER_EIP.
    HOST_SYSENTER_EIP: u64 = 0x6c12;
    /// Host RSP.
    HOST_RSP: u64 = 0x6c14;
    /// Host RIP.
    HOST_RIP: u64 = 0x6c16;
}

/// The four VMCS fields of one guest segment register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentFields {
    /// Selector.
    pub selector: Field<u16>,
    /// Base, a linear address.
    pub base: Field<u64>,
    /// Limit in bytes, granularity already applied.
    pub limit: Field<u32>,
    /// Access rights.
    pub access_rights: Field<u32>,
}

macro_rules! segments {
    ($($name:ident: $selector:ident $base:ident $limit:ident $access_rights:ident;)*) => {
        impl SegmentFields {
            $(
                #[doc = concat!("The fields of ", stringify!($name), ".")]
                pub const $name: Self = Self {
                    selector: $selector,
                    base: $base,
                    limit: $limit,
                    access_rights: $access_rights,
                };
            )*
        }
    };
}

segments! {
    ES: GUEST_ES_SELECTOR GUEST_ES_BASE GUEST_ES_LIMIT GUEST_ES_ACCESS_RIGHTS;
    CS: GUEST_CS_SELECTOR GUEST_CS_BASE GUEST_CS_LIMIT GUEST_CS_ACCESS_RIGHTS;
    SS: GUEST_SS_SELECTOR GUEST_SS_BASE GUEST_SS_LIMIT GUEST_SS_ACCESS_RIGHTS;
    DS: GUEST_DS_SELECTOR GUEST_DS_BASE GUEST_DS_LIMIT GUEST_DS_ACCESS_RIGHTS;
    FS: GUEST_FS_SELECTOR GUEST_FS_BASE GUEST_FS_LIMIT GUEST_FS_ACCESS_RIGHTS;
    GS: GUEST_GS_SELECTOR GUEST_GS_BASE GUEST_GS_LIMIT GUEST_GS_ACCESS_RIGHTS;
    LDTR: GUEST_LDTR_SELECTOR GUEST_LDTR_BASE GUEST_LDTR_LIMIT GUEST_LDTR_ACCESS_RIGHTS;
    TR: GUEST_TR_SELECTOR GUEST_TR_BASE GUEST_TR_LIMIT GUEST_TR_ACCESS_RIGHTS;
}

impl SegmentFields {
    /// The fields of a segment register.
    pub const fn of(register: SegmentRegister) -> Self {
        match register {
            SegmentRegister::Es => Self::ES,
            SegmentRegister::Cs => Self::CS,
            SegmentRegister::Ss => Self::SS,
            SegmentRegister::Ds => Self::DS,
            SegmentRegister::Fs => Self::FS,
            SegmentRegister::Gs => Self::GS,
            SegmentRegister::Ldtr => Self::LDTR,
            SegmentRegister::Tr => Self::TR,
        }
    }
}
