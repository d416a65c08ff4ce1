// SPDX-License-Identifier: GPL-2.0

//! The VMX capability MSRs, read once and decoded (Intel SDM volume 3, appendix A).

#![allow(
    dead_code,
    reason = "the capabilities are listed as the manual has them"
)]

/// IA32_VMX_BASIC.
pub const IA32_VMX_BASIC: u32 = 0x480;
/// IA32_VMX_PINBASED_CTLS.
pub const IA32_VMX_PINBASED_CTLS: u32 = 0x481;
/// IA32_VMX_PROCBASED_CTLS.
pub const IA32_VMX_PROCBASED_CTLS: u32 = 0x482;
/// IA32_VMX_EXIT_CTLS.
pub const IA32_VMX_EXIT_CTLS: u32 = 0x483;
/// IA32_VMX_ENTRY_CTLS.
pub const IA32_VMX_ENTRY_CTLS: u32 = 0x484;
/// IA32_VMX_MISC.
pub const IA32_VMX_MISC: u32 = 0x485;
/// IA32_VMX_CR0_FIXED0.
pub const IA32_VMX_CR0_FIXED0: u32 = 0x486;
/// IA32_VMX_CR0_FIXED1.
pub const IA32_VMX_CR0_FIXED1: u32 = 0x487;
/// IA32_VMX_CR4_FIXED0.
pub const IA32_VMX_CR4_FIXED0: u32 = 0x488;
/// IA32_VMX_CR4_FIXED1.
pub const IA32_VMX_CR4_FIXED1: u32 = 0x489;
/// IA32_VMX_PROCBASED_CTLS2.
pub const IA32_VMX_PROCBASED_CTLS2: u32 = 0x48b;
/// IA32_VMX_EPT_VPID_CAP.
pub const IA32_VMX_EPT_VPID_CAP: u32 = 0x48c;
/// IA32_VMX_TRUE_PINBASED_CTLS.
pub const IA32_VMX_TRUE_PINBASED_CTLS: u32 = 0x48d;
/// IA32_VMX_TRUE_PROCBASED_CTLS.
pub const IA32_VMX_TRUE_PROCBASED_CTLS: u32 = 0x48e;
/// IA32_VMX_TRUE_EXIT_CTLS.
pub const IA32_VMX_TRUE_EXIT_CTLS: u32 = 0x48f;
/// IA32_VMX_TRUE_ENTRY_CTLS.
pub const IA32_VMX_TRUE_ENTRY_CTLS: u32 = 0x490;
/// IA32_VMX_VMFUNC.
pub const IA32_VMX_VMFUNC: u32 = 0x491;

const SECONDARY_CONTROLS: u32 = 1 << 31;
const SECONDARY_EPT: u32 = 1 << 1;
const SECONDARY_VPID: u32 = 1 << 5;
const SECONDARY_VMFUNC: u32 = 1 << 13;

/// The settings that one 32-bit control field allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AllowedSettings {
    must_be_one: u32,
    may_be_one: u32,
}

impl AllowedSettings {
    /// Decodes a capability MSR: the low half holds the bits that must be 1, the high half the
    /// bits that may be 1.
    pub const fn from_msr(value: u64) -> Self {
        Self {
            must_be_one: value as u32,
            may_be_one: (value >> 32) as u32,
        }
    }

    /// The bits that VM entry demands to be 1.
    pub const fn must_be_one(self) -> u32 {
        self.must_be_one
    }

    /// The bits that may be 1.
    pub const fn may_be_one(self) -> u32 {
        self.may_be_one
    }

    /// Whether every bit of `bits` may be 1.
    pub const fn allows_one(self, bits: u32) -> bool {
        self.may_be_one & bits == bits
    }

    /// Whether every bit of `bits` may be 0.
    pub const fn allows_zero(self, bits: u32) -> bool {
        self.must_be_one & bits == 0
    }
}

/// IA32_VMX_BASIC (SDM appendix A.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Basic(u64);

impl Basic {
    const REVISION: u64 = 0x7fff_ffff;
    const ADDRESS_WIDTH_32: u64 = 1 << 48;
    const MEMORY_TYPE_SHIFT: u32 = 50;
    const MEMORY_TYPE_WRITE_BACK: u64 = 6;
    const INS_OUTS_INFORMATION: u64 = 1 << 54;
    const TRUE_CONTROLS: u64 = 1 << 55;

    /// Wraps the MSR's value.
    pub const fn new(raw: u64) -> Self {
        Self(raw)
    }

    /// The revision identifier that the first word of a VMCS region must hold.
    pub const fn revision(self) -> u32 {
        (self.0 & Self::REVISION) as u32
    }

    /// The size of a VMXON or VMCS region in bytes, at most 4096.
    pub const fn region_size(self) -> u32 {
        (self.0 >> 32) as u32 & 0x1fff
    }

    /// Whether VMX structures must lie below 4 GiB.
    pub const fn is_limited_to_32_bit_addresses(self) -> bool {
        self.0 & Self::ADDRESS_WIDTH_32 != 0
    }

    /// Whether the processor accesses the VMCS as write-back memory.
    pub const fn is_write_back(self) -> bool {
        (self.0 >> Self::MEMORY_TYPE_SHIFT) & 0xf == Self::MEMORY_TYPE_WRITE_BACK
    }

    /// Whether exits due to INS and OUTS fill the instruction-information field.
    pub const fn has_ins_outs_information(self) -> bool {
        self.0 & Self::INS_OUTS_INFORMATION != 0
    }

    /// Whether the TRUE capability MSRs exist.
    pub const fn has_true_controls(self) -> bool {
        self.0 & Self::TRUE_CONTROLS != 0
    }
}

/// IA32_VMX_MISC (SDM appendix A.6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Misc(u64);

impl Misc {
    const ACTIVITY_HLT: u64 = 1 << 6;
    const ACTIVITY_SHUTDOWN: u64 = 1 << 7;
    const ACTIVITY_WAIT_FOR_SIPI: u64 = 1 << 8;
    const ZERO_LENGTH_INJECTION: u64 = 1 << 30;

    /// Wraps the MSR's value.
    pub const fn new(raw: u64) -> Self {
        Self(raw)
    }

    /// The preemption timer counts down by one when this bit of the TSC changes: one of its ticks
    /// is `1 << shift` TSC ticks.
    pub const fn preemption_timer_shift(self) -> u32 {
        self.0 as u32 & 0x1f
    }

    /// Whether a guest can be entered in the HLT activity state.
    pub const fn has_activity_hlt(self) -> bool {
        self.0 & Self::ACTIVITY_HLT != 0
    }

    /// Whether a guest can be entered in the shutdown activity state.
    pub const fn has_activity_shutdown(self) -> bool {
        self.0 & Self::ACTIVITY_SHUTDOWN != 0
    }

    /// Whether a guest can be entered in the wait-for-SIPI activity state.
    pub const fn has_activity_wait_for_sipi(self) -> bool {
        self.0 & Self::ACTIVITY_WAIT_FOR_SIPI != 0
    }

    /// Number of CR3-target values.
    pub const fn cr3_targets(self) -> u32 {
        (self.0 >> 16) as u32 & 0x1ff
    }

    /// Recommended maximum number of entries in an MSR load or store area.
    pub const fn msr_list_limit(self) -> u32 {
        (((self.0 >> 25) as u32 & 7) + 1) * 512
    }

    /// Whether a software event can be injected with an instruction length of 0.
    pub const fn has_zero_length_injection(self) -> bool {
        self.0 & Self::ZERO_LENGTH_INJECTION != 0
    }
}

/// IA32_VMX_EPT_VPID_CAP (SDM appendix A.10).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EptVpid(u64);

macro_rules! ept_vpid_bits {
    ($($(#[$doc:meta])* $name:ident = $bit:literal;)*) => {
        impl EptVpid {
            $($(#[$doc])* pub const fn $name(self) -> bool {
                self.0 & (1 << $bit) != 0
            })*
        }
    };
}

ept_vpid_bits! {
    /// Whether EPT entries may allow execution alone.
    has_execute_only = 0;
    /// Whether EPT walks of 4 levels exist.
    has_walk_4 = 6;
    /// Whether EPT walks of 5 levels exist.
    has_walk_5 = 7;
    /// Whether EPT structures may be uncacheable.
    has_memory_type_uncacheable = 8;
    /// Whether EPT structures may be write-back.
    has_memory_type_write_back = 14;
    /// Whether EPT maps 2 MiB pages.
    has_2m_pages = 16;
    /// Whether EPT maps 1 GiB pages.
    has_1g_pages = 17;
    /// Whether INVEPT exists.
    has_invept = 20;
    /// Whether EPT has accessed and dirty flags.
    has_accessed_dirty = 21;
    /// Whether EPT violations report the guest's own paging permissions.
    has_advanced_exit_information = 22;
    /// Whether INVEPT can invalidate one EPTP.
    has_invept_single_context = 25;
    /// Whether INVEPT can invalidate everything.
    has_invept_all_contexts = 26;
    /// Whether INVVPID exists.
    has_invvpid = 32;
    /// Whether INVVPID can invalidate one linear address.
    has_invvpid_address = 40;
    /// Whether INVVPID can invalidate one VPID.
    has_invvpid_single_context = 41;
    /// Whether INVVPID can invalidate all VPIDs.
    has_invvpid_all_contexts = 42;
    /// Whether INVVPID can invalidate one VPID but for its global translations.
    has_invvpid_retaining_globals = 43;
}

impl EptVpid {
    /// Wraps the MSR's value.
    pub const fn new(raw: u64) -> Self {
        Self(raw)
    }

    /// The MSR's value.
    pub const fn raw(self) -> u64 {
        self.0
    }
}

/// The bits of a control register that VMX operation fixes (SDM appendices A.7 and A.8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FixedBits {
    must_be_one: u64,
    may_be_one: u64,
}

impl FixedBits {
    /// Decodes the FIXED0 and FIXED1 MSRs: a bit set in FIXED0 must be 1, a bit clear in FIXED1
    /// must be 0.
    pub const fn new(fixed0: u64, fixed1: u64) -> Self {
        Self {
            must_be_one: fixed0,
            may_be_one: fixed1,
        }
    }

    /// The bits that must be 1.
    pub const fn must_be_one(self) -> u64 {
        self.must_be_one
    }

    /// The bits that may be 1.
    pub const fn may_be_one(self) -> u64 {
        self.may_be_one
    }
}

/// What one processor's VMX can do. Equal on every processor that a VM may run on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VmxCaps {
    /// VMCS format.
    pub basic: Basic,
    /// Pin-based controls.
    pub pin: AllowedSettings,
    /// Primary processor-based controls.
    pub primary: AllowedSettings,
    /// Secondary processor-based controls; none where the processor has no such field.
    pub secondary: AllowedSettings,
    /// VM-exit controls.
    pub exit: AllowedSettings,
    /// VM-entry controls.
    pub entry: AllowedSettings,
    /// Miscellaneous data.
    pub misc: Misc,
    /// EPT and VPID; none where the processor has neither.
    pub ept_vpid: EptVpid,
    /// Fixed bits of CR0. Unrestricted guests may clear PE and PG all the same.
    pub cr0: FixedBits,
    /// Fixed bits of CR4.
    pub cr4: FixedBits,
    /// VM functions, one bit each; none where VMFUNC does not exist.
    pub vm_functions: u64,
}

impl VmxCaps {
    /// Reads the capability MSRs by `read_msr`, which is asked for those only that the processor
    /// has. The processor must support VMX (CPUID.1:ECX.VMX).
    pub fn read(mut read_msr: impl FnMut(u32) -> u64) -> Self {
        let basic = Basic::new(read_msr(IA32_VMX_BASIC));
        let mut controls = |plain, precise| {
            let msr = if basic.has_true_controls() {
                precise
            } else {
                plain
            };
            AllowedSettings::from_msr(read_msr(msr))
        };
        let pin = controls(IA32_VMX_PINBASED_CTLS, IA32_VMX_TRUE_PINBASED_CTLS);
        let primary = controls(IA32_VMX_PROCBASED_CTLS, IA32_VMX_TRUE_PROCBASED_CTLS);
        let exit = controls(IA32_VMX_EXIT_CTLS, IA32_VMX_TRUE_EXIT_CTLS);
        let entry = controls(IA32_VMX_ENTRY_CTLS, IA32_VMX_TRUE_ENTRY_CTLS);
        let secondary = if primary.allows_one(SECONDARY_CONTROLS) {
            AllowedSettings::from_msr(read_msr(IA32_VMX_PROCBASED_CTLS2))
        } else {
            AllowedSettings::default()
        };
        let ept_vpid = if secondary.may_be_one() & (SECONDARY_EPT | SECONDARY_VPID) != 0 {
            EptVpid::new(read_msr(IA32_VMX_EPT_VPID_CAP))
        } else {
            EptVpid::default()
        };
        let vm_functions = if secondary.allows_one(SECONDARY_VMFUNC) {
            read_msr(IA32_VMX_VMFUNC)
        } else {
            0
        };
        Self {
            basic,
            pin,
            primary,
            secondary,
            exit,
            entry,
            misc: Misc::new(read_msr(IA32_VMX_MISC)),
            ept_vpid,
            cr0: FixedBits::new(read_msr(IA32_VMX_CR0_FIXED0), read_msr(IA32_VMX_CR0_FIXED1)),
            cr4: FixedBits::new(read_msr(IA32_VMX_CR4_FIXED0), read_msr(IA32_VMX_CR4_FIXED1)),
            vm_functions,
        }
    }
}
