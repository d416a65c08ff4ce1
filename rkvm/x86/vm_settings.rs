// SPDX-License-Identifier: GPL-2.0

//! What a VMM chooses for a whole VM before it makes vCPUs.

use crate::{
    host::{
        bindings::{
            KVM_MSR_EXIT_REASON_FILTER, KVM_MSR_EXIT_REASON_INVAL, KVM_MSR_EXIT_REASON_UNKNOWN,
            KVM_X86_DISABLE_EXITS_HLT, KVM_X86_DISABLE_EXITS_PAUSE, KVM_X86_QUIRK_LINT0_REENABLED,
            KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT, KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS,
        },
        x86::tsc_frequency,
    },
    vmx::controls::{ControlSet, PrimaryControls, SecondaryControls},
    x86::{lapic::Lint0Reset, msr::Refusal, tsc, MAX_VCPU_ID},
};
use core::sync::atomic::{AtomicU32, Ordering};
use kernel::prelude::*;

/// KVM_CAP_X86_DISABLE_EXITS: the exits that a VMM can do without. MWAIT always exits: guests have none.
pub const DISABLED_EXITS: u32 = KVM_X86_DISABLE_EXITS_HLT | KVM_X86_DISABLE_EXITS_PAUSE;

/// Something that a VM has or has not, and that its VMM may change at any time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// KVM_GET_VCPU_EVENTS and KVM_SET_VCPU_EVENTS tell of triple faults (KVM_CAP_X86_TRIPLE_FAULT_EVENT).
    TripleFaultEvent,
    /// The guest cannot read MSR_PLATFORM_INFO (KVM_CAP_MSR_PLATFORM_INFO turned off).
    HiddenPlatformInfo,
    /// The VMM sees instructions that cannot be emulated, whoever executes them (KVM_CAP_EXIT_ON_EMULATION_FAILURE).
    ExitOnEmulationFailure,
}

/// What C KVM does otherwise than the manuals say, for guests or VMMs of old (KVM_CAP_DISABLE_QUIRKS2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quirk {
    /// A reset leaves LINT0 of the bootstrap processor's local APIC open.
    Lint0Reenabled = KVM_X86_QUIRK_LINT0_REENABLED as isize,
    /// IA32_MISC_ENABLE does not show in the MWAIT bit of CPUID.
    MiscEnableNoMwait = KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT as isize,
    /// MONITOR and MWAIT do nothing where CPUID has none.
    MwaitNeverFaults = KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS as isize,
}

/// The quirks that a VMM can do without.
pub const QUIRKS: u32 =
    Quirk::Lint0Reenabled as u32 | Quirk::MiscEnableNoMwait as u32 | Quirk::MwaitNeverFaults as u32;

impl Switch {
    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// The choices. But for [`Switch`]es they change only while there are no vCPUs, and each vCPU looks once, so that any order will do.
pub struct VmSettings {
    disabled_exits: AtomicU32,
    /// One more than the largest vCPU id; 0 as long as the VMM has not said.
    vcpu_id_limit: AtomicU32,
    tsc_khz: AtomicU32,
    /// KVM_MSR_EXIT_REASON_: refused accesses that the VMM sees.
    msr_exits: AtomicU32,
    switches: AtomicU32,
    /// [`Quirk`]s that the VMM does without.
    disabled_quirks: AtomicU32,
}

impl VmSettings {
    /// Those of a new VM.
    pub fn new() -> Self {
        Self {
            disabled_exits: AtomicU32::new(0),
            vcpu_id_limit: AtomicU32::new(0),
            tsc_khz: AtomicU32::new(tsc_frequency::khz()),
            msr_exits: AtomicU32::new(0),
            switches: AtomicU32::new(0),
            disabled_quirks: AtomicU32::new(0),
        }
    }

    /// Whether a switch is on. All are off at first.
    pub fn is_on(&self, switch: Switch) -> bool {
        self.switches.load(Ordering::Relaxed) & switch.bit() != 0
    }

    /// Turns a switch on.
    pub fn turn_on(&self, switch: Switch) {
        self.switches.fetch_or(switch.bit(), Ordering::Relaxed);
    }

    /// Turns a switch off.
    pub fn turn_off(&self, switch: Switch) {
        self.switches.fetch_and(!switch.bit(), Ordering::Relaxed);
    }

    /// KVM_CAP_X86_DISABLE_EXITS. What was disabled stays so. `EINVAL` for exits other than [`DISABLED_EXITS`].
    pub fn disable_exits(&self, exits: u64) -> Result {
        let exits = u32::try_from(exits).map_err(|_| EINVAL)?;
        if exits & !DISABLED_EXITS != 0 {
            return Err(EINVAL);
        }
        self.disabled_exits.fetch_or(exits, Ordering::Relaxed);
        Ok(())
    }

    /// KVM_CAP_DISABLE_QUIRKS2. `EINVAL` for a quirk that there is not.
    pub fn disable_quirks(&self, quirks: u64) -> Result {
        let quirks = u32::try_from(quirks).map_err(|_| EINVAL)?;
        if quirks & !QUIRKS != 0 {
            return Err(EINVAL);
        }
        self.disabled_quirks.fetch_or(quirks, Ordering::Relaxed);
        Ok(())
    }

    /// Whether the VMM has left a quirk on.
    pub fn has_quirk(&self, quirk: Quirk) -> bool {
        self.disabled_quirks.load(Ordering::Relaxed) & quirk as u32 == 0
    }

    /// What a reset makes of LINT0 of the bootstrap processor.
    pub fn lint0(&self) -> Lint0Reset {
        if self.has_quirk(Quirk::Lint0Reenabled) {
            Lint0Reset::ExtInt
        } else {
            Lint0Reset::Masked
        }
    }

    /// KVM_CAP_X86_USER_SPACE_MSR: the reasons for which refused MSR accesses are the VMM's. `EINVAL` for others
    /// than there are.
    pub fn set_msr_exits(&self, reasons: u64) -> Result {
        const ALL: u32 =
            KVM_MSR_EXIT_REASON_UNKNOWN | KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_FILTER;
        let reasons = u32::try_from(reasons).map_err(|_| EINVAL)?;
        if reasons & !ALL != 0 {
            return Err(EINVAL);
        }
        self.msr_exits.store(reasons, Ordering::Relaxed);
        Ok(())
    }

    /// Why an MSR access of the guest's is refused, KVM_MSR_EXIT_REASON_, if the VMM wants to see it.
    pub fn msr_exit_reason(&self, refusal: Refusal) -> Option<u32> {
        let reason = match refusal {
            Refusal::Unsupported => KVM_MSR_EXIT_REASON_UNKNOWN,
            Refusal::Invalid => KVM_MSR_EXIT_REASON_INVAL,
            Refusal::Filtered => KVM_MSR_EXIT_REASON_FILTER,
        };
        (self.msr_exits.load(Ordering::Relaxed) & reason != 0).then_some(reason)
    }

    /// The controls that vCPUs run with, made from those that they would have.
    pub fn apply(&self, mut controls: ControlSet) -> ControlSet {
        let exits = self.disabled_exits.load(Ordering::Relaxed);
        if exits & KVM_X86_DISABLE_EXITS_HLT != 0 {
            controls.primary = controls.primary.without(PrimaryControls::HLT_EXITING);
        }
        if exits & KVM_X86_DISABLE_EXITS_PAUSE != 0 {
            controls.secondary = controls
                .secondary
                .without(SecondaryControls::PAUSE_LOOP_EXITING);
        }
        controls
    }

    /// KVM_CAP_MAX_VCPU_ID. `EINVAL` for more than [`MAX_VCPU_ID`], for less than the vCPU that is to start the guest has,
    /// and for another limit than was set before.
    pub fn limit_vcpu_ids(&self, limit: u64, bootstrap: u32) -> Result {
        let limit = u32::try_from(limit).map_err(|_| EINVAL)?;
        let before = self.vcpu_id_limit.load(Ordering::Relaxed);
        if limit > MAX_VCPU_ID || limit < bootstrap || before != 0 && before != limit {
            return Err(EINVAL);
        }
        self.vcpu_id_limit.store(limit, Ordering::Relaxed);
        Ok(())
    }

    /// SET_BOOT_CPU_ID. `EINVAL` for an id that no vCPU can have, as far as C KVM sees that.
    pub fn check_bootstrap_id(&self, id: u32) -> Result {
        match self.vcpu_id_limit.load(Ordering::Relaxed) {
            0 if id > MAX_VCPU_ID => Err(EINVAL),
            limit if limit != 0 && id > limit => Err(EINVAL),
            _ => Ok(()),
        }
    }

    /// `EINVAL` for an id that the VMM has ruled out.
    pub fn check_vcpu_id(&self, id: u32) -> Result {
        match self.vcpu_id_limit.load(Ordering::Relaxed) {
            limit if limit != 0 && id >= limit => Err(EINVAL),
            _ => Ok(()),
        }
    }

    /// The TSC frequency of new vCPUs, in kHz.
    pub fn tsc_khz(&self) -> u32 {
        self.tsc_khz.load(Ordering::Relaxed)
    }

    /// Sets the TSC frequency of new vCPUs; see [`check_tsc_khz`].
    pub fn set_tsc_khz(&self, khz: u32) -> Result {
        self.tsc_khz.store(check_tsc_khz(khz)?, Ordering::Relaxed);
        Ok(())
    }
}

/// KVM_SET_TSC_KHZ: the frequency that a guest has when its VMM asks for `khz`, or for the host's by 0. Guests have
/// the host's TSC: `EINVAL` for a frequency that is not close to the host's.
pub fn check_tsc_khz(khz: u32) -> Result<u32> {
    let host = tsc_frequency::khz();
    match khz {
        0 => Ok(host),
        khz if tsc::is_same_frequency(khz, host) => Ok(khz),
        _ => Err(EINVAL),
    }
}
