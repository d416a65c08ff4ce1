// SPDX-License-Identifier: GPL-2.0

//! VMX controls: their bits, which of them this module uses, and how they are negotiated against
//! what a processor has (Intel SDM volume 3, sections 26.6 to 26.8, bits in tables 26-5 to 26-17).
//!
//! I/O exits unconditionally, so that no VM needs the 8 KiB of I/O bitmaps; what the MSR bitmap
//! lets through is [`crate::x86::msr`]'s decision. WBINVD exits where it can, since the guest's
//! memory is coherent and flushing the host's caches is not for a guest to ask. Interrupts are not
//! acknowledged on exit: the host takes them through its own IDT once it enables them. Virtual NMIs
//! are required, since every processor with unrestricted guests has them.

#![allow(dead_code, reason = "the list of controls is the architecture's")]

use crate::vmx::caps::{AllowedSettings, VmxCaps};

/// What this module wants of a control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Want {
    /// Always 1; without it the module cannot run.
    Required,
    /// 1 where the processor has it.
    Optional,
    /// 0 at first and set while needed; without it the module cannot run.
    Dynamic,
    /// 0 at first; a user asks [`Controls::settable`] before setting it.
    Available,
    /// Always 0; a processor that forces it to 1 is refused.
    Refused,
}

/// Something that the module needs and the processor does not give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing(&'static str);

impl Missing {
    /// What is missing, as a clause for the log: "no VMX control \"enable EPT\"".
    pub const fn message(self) -> &'static str {
        self.0
    }
}

/// One line of the policy.
struct Rule {
    bit: u32,
    want: Want,
    lacking: &'static str,
    forced: &'static str,
}

/// Applies `rules` to what the processor allows; returns the first value and the bits that may be
/// set.
fn negotiate(rules: &[Rule], allowed: AllowedSettings) -> Result<(u32, u32), Missing> {
    let mut value = allowed.must_be_one();
    for rule in rules {
        let present = allowed.allows_one(rule.bit);
        match rule.want {
            Want::Required | Want::Dynamic if !present => return Err(Missing(rule.lacking)),
            Want::Dynamic | Want::Available | Want::Refused if !allowed.allows_zero(rule.bit) => {
                return Err(Missing(rule.forced));
            }
            Want::Required | Want::Optional if present => value |= rule.bit,
            _ => (),
        }
    }
    Ok((value, allowed.may_be_one()))
}

macro_rules! controls {
    ($(
        $(#[$type_doc:meta])*
        $type:ident {
            $($(#[$doc:meta])* $name:ident = $bit:literal, $words:literal, $want:ident;)*
        }
    )*) => {$(
        $(#[$type_doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[repr(transparent)]
        pub struct $type(u32);

        impl $type {
            $(
                #[doc = concat!("\"", $words, "\".")]
                $(#[$doc])*
                pub const $name: Self = Self(1 << $bit);
            )*

            const RULES: &'static [Rule] = &[$(Rule {
                bit: 1 << $bit,
                want: Want::$want,
                lacking: concat!("no VMX control \"", $words, "\""),
                forced: concat!("VMX control \"", $words, "\" cannot be turned off"),
            }),*];

            /// The value of the control field.
            #[inline(always)]
            pub const fn raw(self) -> u32 {
                self.0
            }

            /// Whether every control in `other` is set.
            #[inline(always)]
            pub const fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// These controls with those of `other` set.
            #[inline(always)]
            pub const fn with(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }

            /// These controls with those of `other` clear.
            #[inline(always)]
            pub const fn without(self, other: Self) -> Self {
                Self(self.0 & !other.0)
            }
        }
    )*};
}

controls! {
    /// Pin-based VM-execution controls.
    PinControls {
        EXTERNAL_INTERRUPT_EXITING = 0, "external-interrupt exiting", Required;
        NMI_EXITING = 3, "NMI exiting", Required;
        VIRTUAL_NMIS = 5, "virtual NMIs", Required;
        /// Set only while the timer runs; see [`Controls::preemption_timer`].
        ACTIVATE_PREEMPTION_TIMER = 6, "activate VMX-preemption timer", Available;
        PROCESS_POSTED_INTERRUPTS = 7, "process posted interrupts", Available;
    }

    /// Primary processor-based VM-execution controls.
    PrimaryControls {
        INTERRUPT_WINDOW_EXITING = 2, "interrupt-window exiting", Dynamic;
        USE_TSC_OFFSETTING = 3, "use TSC offsetting", Required;
        HLT_EXITING = 7, "HLT exiting", Required;
        INVLPG_EXITING = 9, "INVLPG exiting", Refused;
        MWAIT_EXITING = 10, "MWAIT exiting", Required;
        RDPMC_EXITING = 11, "RDPMC exiting", Required;
        RDTSC_EXITING = 12, "RDTSC exiting", Refused;
        CR3_LOAD_EXITING = 15, "CR3-load exiting", Refused;
        CR3_STORE_EXITING = 16, "CR3-store exiting", Refused;
        ACTIVATE_TERTIARY_CONTROLS = 17, "activate tertiary controls", Available;
        /// CR8 is the VMM's while it emulates the local APIC.
        CR8_LOAD_EXITING = 19, "CR8-load exiting", Required;
        CR8_STORE_EXITING = 20, "CR8-store exiting", Required;
        USE_TPR_SHADOW = 21, "use TPR shadow", Available;
        NMI_WINDOW_EXITING = 22, "NMI-window exiting", Dynamic;
        /// Cleared while the guest's debug registers are loaded.
        MOV_DR_EXITING = 23, "MOV-DR exiting", Required;
        UNCONDITIONAL_IO_EXITING = 24, "unconditional I/O exiting", Required;
        USE_IO_BITMAPS = 25, "use I/O bitmaps", Refused;
        MONITOR_TRAP_FLAG = 27, "monitor trap flag", Available;
        USE_MSR_BITMAPS = 28, "use MSR bitmaps", Required;
        MONITOR_EXITING = 29, "MONITOR exiting", Required;
        PAUSE_EXITING = 30, "PAUSE exiting", Refused;
        ACTIVATE_SECONDARY_CONTROLS = 31, "activate secondary controls", Required;
    }

    /// Secondary processor-based VM-execution controls.
    SecondaryControls {
        VIRTUALIZE_APIC_ACCESSES = 0, "virtualize APIC accesses", Available;
        ENABLE_EPT = 1, "enable EPT", Required;
        DESCRIPTOR_TABLE_EXITING = 2, "descriptor-table exiting", Available;
        ENABLE_RDTSCP = 3, "enable RDTSCP", Optional;
        VIRTUALIZE_X2APIC_MODE = 4, "virtualize x2APIC mode", Available;
        ENABLE_VPID = 5, "enable VPID", Optional;
        WBINVD_EXITING = 6, "WBINVD exiting", Optional;
        UNRESTRICTED_GUEST = 7, "unrestricted guest", Required;
        APIC_REGISTER_VIRTUALIZATION = 8, "APIC-register virtualization", Available;
        VIRTUAL_INTERRUPT_DELIVERY = 9, "virtual-interrupt delivery", Available;
        PAUSE_LOOP_EXITING = 10, "PAUSE-loop exiting", Optional;
        RDRAND_EXITING = 11, "RDRAND exiting", Refused;
        ENABLE_INVPCID = 12, "enable INVPCID", Optional;
        ENABLE_VM_FUNCTIONS = 13, "enable VM functions", Available;
        VMCS_SHADOWING = 14, "VMCS shadowing", Available;
        /// With every bit of the ENCLS-exiting bitmap set: guests have no SGX.
        ENABLE_ENCLS_EXITING = 15, "enable ENCLS exiting", Optional;
        RDSEED_EXITING = 16, "RDSEED exiting", Refused;
        ENABLE_PML = 17, "enable PML", Available;
        EPT_VIOLATION_VE = 18, "EPT-violation #VE", Available;
        CONCEAL_VMX_FROM_PT = 19, "conceal VMX from PT", Available;
        /// With it the guest's XSAVES acts by IA32_XSS, which must then be the guest's.
        ENABLE_XSAVES = 20, "enable XSAVES/XRSTORS", Optional;
        MODE_BASED_EXECUTE_CONTROL = 22, "mode-based execute control for EPT", Available;
        USE_TSC_SCALING = 25, "use TSC scaling", Available;
        ENABLE_USER_WAIT_AND_PAUSE = 26, "enable user wait and pause", Available;
    }

    /// Primary VM-exit controls.
    ExitControls {
        SAVE_DEBUG_CONTROLS = 2, "save debug controls", Required;
        HOST_ADDRESS_SPACE_SIZE = 9, "host address-space size", Required;
        LOAD_PERF_GLOBAL_CTRL = 12, "load IA32_PERF_GLOBAL_CTRL on exit", Available;
        /// Set only where posted interrupts demand it.
        ACKNOWLEDGE_INTERRUPT = 15, "acknowledge interrupt on exit", Available;
        SAVE_PAT = 18, "save IA32_PAT", Required;
        LOAD_PAT = 19, "load IA32_PAT on exit", Required;
        SAVE_EFER = 20, "save IA32_EFER", Required;
        LOAD_EFER = 21, "load IA32_EFER on exit", Required;
        /// Allowed only while the preemption timer is activated.
        SAVE_PREEMPTION_TIMER = 22, "save VMX-preemption timer value", Available;
    }

    /// VM-entry controls.
    EntryControls {
        LOAD_DEBUG_CONTROLS = 2, "load debug controls", Required;
        /// Follows the guest's EFER.LMA.
        IA32E_MODE_GUEST = 9, "IA-32e mode guest", Dynamic;
        ENTRY_TO_SMM = 10, "entry to SMM", Refused;
        DEACTIVATE_DUAL_MONITOR = 11, "deactivate dual-monitor treatment", Refused;
        LOAD_PERF_GLOBAL_CTRL = 13, "load IA32_PERF_GLOBAL_CTRL on entry", Available;
        LOAD_PAT = 14, "load IA32_PAT on entry", Required;
        LOAD_EFER = 15, "load IA32_EFER on entry", Required;
    }
}

impl PrimaryControls {
    /// CR8 is the VMM's, or the software's local APIC's.
    pub const CR8_EXITING: Self = Self::CR8_LOAD_EXITING.with(Self::CR8_STORE_EXITING);
}

impl SecondaryControls {
    /// The processor works on a local APIC in x2APIC mode by itself (SDM volume 3, section 31.5). They all need
    /// [`PrimaryControls::USE_TPR_SHADOW`].
    pub const VIRTUAL_X2APIC: Self = Self::VIRTUALIZE_X2APIC_MODE
        .with(Self::APIC_REGISTER_VIRTUALIZATION)
        .with(Self::VIRTUAL_INTERRUPT_DELIVERY);
}

/// One value for each control field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ControlSet {
    /// Pin-based.
    pub pin: PinControls,
    /// Primary processor-based.
    pub primary: PrimaryControls,
    /// Secondary processor-based.
    pub secondary: SecondaryControls,
    /// VM-exit.
    pub exit: ExitControls,
    /// VM-entry.
    pub entry: EntryControls,
}

impl ControlSet {
    /// Posted interrupts, which take [`Self::with_virtual_x2apic`] besides.
    const POSTED_INTERRUPTS: Self = Self {
        pin: PinControls::PROCESS_POSTED_INTERRUPTS,
        primary: PrimaryControls(0),
        secondary: SecondaryControls(0),
        exit: ExitControls::ACKNOWLEDGE_INTERRUPT,
        entry: EntryControls(0),
    };

    /// These controls with posted interrupts.
    pub fn with_posted_interrupts(mut self) -> Self {
        self.pin = self.pin.with(Self::POSTED_INTERRUPTS.pin);
        self.exit = self.exit.with(Self::POSTED_INTERRUPTS.exit);
        self
    }

    /// These controls with the local APIC left to the processor.
    pub fn with_virtual_x2apic(mut self) -> Self {
        self.primary = self
            .primary
            .without(PrimaryControls::CR8_EXITING)
            .with(PrimaryControls::USE_TPR_SHADOW);
        self.secondary = self.secondary.with(SecondaryControls::VIRTUAL_X2APIC);
        self
    }

    /// These controls with the local APIC in software.
    pub fn without_virtual_x2apic(mut self) -> Self {
        self.primary = self
            .primary
            .without(PrimaryControls::USE_TPR_SHADOW)
            .with(PrimaryControls::CR8_EXITING);
        self.secondary = self.secondary.without(SecondaryControls::VIRTUAL_X2APIC);
        self.pin = self.pin.without(Self::POSTED_INTERRUPTS.pin);
        self.exit = self.exit.without(Self::POSTED_INTERRUPTS.exit);
        self
    }
}

/// How the VMX-preemption timer can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PreemptionTimer {
    /// One tick of the timer is `1 << shift` TSC ticks.
    pub shift: u32,
    /// Whether an exit can save the ticks left.
    pub saving: Saving,
}

/// What an exit does with the preemption timer's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saving {
    /// It can be saved by [`ExitControls::SAVE_PREEMPTION_TIMER`].
    Possible,
    /// It is lost.
    Impossible,
}

/// The controls that this module runs guests with on some processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Controls {
    /// What a new VMCS starts with.
    pub initial: ControlSet,
    /// Every control that the processor lets be 1.
    pub settable: ControlSet,
    /// The preemption timer, where there is one.
    pub preemption_timer: Option<PreemptionTimer>,
}

impl Controls {
    /// Whether the processor can have a local APIC in x2APIC mode.
    pub fn has_virtual_x2apic(&self) -> bool {
        let ControlSet {
            primary, secondary, ..
        } = self.settable;
        primary.contains(PrimaryControls::USE_TPR_SHADOW)
            && secondary.contains(SecondaryControls::VIRTUAL_X2APIC)
    }

    /// Whether the processor takes posted interrupts, too.
    pub fn has_posted_interrupts(&self) -> bool {
        let ControlSet { pin, exit, .. } = ControlSet::POSTED_INTERRUPTS;
        self.settable.pin.contains(pin) && self.settable.exit.contains(exit)
    }

    /// Chooses the controls for a processor with `caps`.
    ///
    /// # Errors
    /// The first thing found missing, among them what EPT itself must have: 4-level walks,
    /// write-back tables, INVEPT; and, with VPIDs, INVVPID.
    pub fn negotiate(caps: &VmxCaps) -> Result<Self, Missing> {
        let (primary, may_primary) = negotiate(PrimaryControls::RULES, caps.primary)?;
        let (secondary, may_secondary) = negotiate(SecondaryControls::RULES, caps.secondary)?;
        let (pin, may_pin) = negotiate(PinControls::RULES, caps.pin)?;
        let (exit, may_exit) = negotiate(ExitControls::RULES, caps.exit)?;
        let (entry, may_entry) = negotiate(EntryControls::RULES, caps.entry)?;
        let mut initial = ControlSet {
            pin: PinControls(pin),
            primary: PrimaryControls(primary),
            secondary: SecondaryControls(secondary),
            exit: ExitControls(exit),
            entry: EntryControls(entry),
        };
        let mut settable = ControlSet {
            pin: PinControls(may_pin),
            primary: PrimaryControls(may_primary),
            secondary: SecondaryControls(may_secondary),
            exit: ExitControls(may_exit),
            entry: EntryControls(may_entry),
        };
        check_memory(caps)?;
        if !has_usable_vpid(caps) {
            initial.secondary = initial.secondary.without(SecondaryControls::ENABLE_VPID);
            settable.secondary = settable.secondary.without(SecondaryControls::ENABLE_VPID);
        }
        Ok(Self {
            initial,
            settable,
            preemption_timer: preemption_timer(settable, caps),
        })
    }
}

/// Checks what the memory of VMX structures and of guests needs.
fn check_memory(caps: &VmxCaps) -> Result<(), Missing> {
    let ept = caps.ept_vpid;
    let needs = [
        (caps.basic.is_write_back(), "no write-back VMCS"),
        (
            !caps.basic.is_limited_to_32_bit_addresses(),
            "VMCS addresses are limited to 32 bits",
        ),
        (ept.has_walk_4(), "no EPT with 4 levels"),
        (ept.has_memory_type_write_back(), "no write-back EPT"),
        (ept.has_invept(), "no INVEPT"),
        (
            ept.has_invept_single_context() || ept.has_invept_all_contexts(),
            "no usable type of INVEPT",
        ),
    ];
    match needs.iter().find(|(met, _)| !met) {
        Some((_, what)) => Err(Missing(what)),
        None => Ok(()),
    }
}

/// Whether a VPID can be flushed when it is handed to another vCPU.
fn has_usable_vpid(caps: &VmxCaps) -> bool {
    let vpid = caps.ept_vpid;
    vpid.has_invvpid() && (vpid.has_invvpid_single_context() || vpid.has_invvpid_all_contexts())
}

fn preemption_timer(settable: ControlSet, caps: &VmxCaps) -> Option<PreemptionTimer> {
    let timer = PinControls::ACTIVATE_PREEMPTION_TIMER;
    settable.pin.contains(timer).then(|| PreemptionTimer {
        shift: caps.misc.preemption_timer_shift(),
        saving: if settable.exit.contains(ExitControls::SAVE_PREEMPTION_TIMER) {
            Saving::Possible
        } else {
            Saving::Impossible
        },
    })
}
