// SPDX-License-Identifier: GPL-2.0

//! Calls of a guest by HVC or SMC: which services there are, and who serves them.
//!
//! KVM stands in for a guest's firmware. What it offers of optional services is the VMM's choice, in
//! registers of bits (KVM_REG_ARM_STD_BMAP and others); a [`filter`] can pass functions to the VMM.
//!
//! Source: Arm, "SMC Calling Convention" (DEN0028), 2.5 "Function Identifiers" and 7 "Arm Architecture Calls";
//! Linux, Documentation/virt/kvm/arm/fw-pseudo-registers.rst and hypercalls.rst.

pub mod filter;

use core::sync::atomic::{AtomicU32, Ordering};
use kernel::prelude::*;

use super::{
    features::Features,
    id_regs::{HostIds, Stage},
    one_reg::FirmwareReg,
    psci,
    speculation::{Protection, WORKAROUND_1, WORKAROUND_2, WORKAROUND_3},
    timer::Which,
    trng,
};
/// What a guest passes: W0 names the function, X1 to X3 are its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// The function.
    pub function: u32,
    /// X1 to X3.
    pub arguments: [u64; 3],
}

/// X0 to X3 after a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Results(pub [u64; 4]);

impl Results {
    /// X0 alone; the others are 0.
    pub const fn one(value: u64) -> Self {
        Self([value, 0, 0, 0])
    }

    /// No such function, or no such feature.
    pub const NOT_SUPPORTED: Self = Self::one(NOT_SUPPORTED);
}

/// The function, or the feature, is there.
pub const SUCCESS: u64 = 0;
/// NOT_SUPPORTED, -1.
pub const NOT_SUPPORTED: u64 = -1i64 as u64;
/// What SMCCC_ARCH_WORKAROUND_1 and 3 say on a processor that needs neither.
const UNAFFECTED: u64 = 1;
/// NOT_REQUIRED, -2: what SMCCC_ARCH_WORKAROUND_2 says there.
const NOT_REQUIRED: u64 = -2i64 as u64;

/// Version 1.1 of the convention.
const VERSION_1_1: u64 = 0x1_0001;

/// Function identifiers.
mod function {
    pub(super) const VERSION: u32 = 0x8000_0000;
    pub(super) const ARCH_FEATURES: u32 = 0x8000_0001;
    pub(super) const STOLEN_TIME_FEATURES: u32 = 0xc500_0020;
    pub(super) const STOLEN_TIME: u32 = 0xc500_0021;
    pub(super) const VENDOR_UID: u32 = 0x8600_ff01;
    pub(super) const VENDOR_FEATURES: u32 = 0x8600_0000;
    pub(super) const VENDOR_PTP: u32 = 0x8600_0001;
}

/// The identity of KVM's own services: 28b46fb6-2ec5-11e9-a9ca-4b564d003a74, in the order of its bytes.
const VENDOR_UID: Results = Results([0xb66f_b428, 0xe911_c52e, 0x564b_caa9, 0x743a_004d]);

/// Who serves a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// It is served: these are the results.
    Done(Results),
    /// [`psci`].
    Psci,
    /// [`trng`], by the host's random numbers.
    Random(trng::Request),
    /// PV_TIME_FEATURES: whether there is a structure of stolen time for this vCPU.
    StolenTimeFeatures,
    /// PV_TIME_ST: where it is.
    StolenTime,
    /// The host's time, and a timer's counter at that time.
    Time(Which),
}

/// Bits of the registers of services.
mod service {
    pub(super) const TRNG: u64 = 1 << 0;
    pub(super) const STOLEN_TIME: u64 = 1 << 0;
    pub(super) const VENDOR_FEATURES: u64 = 1 << 0;
    pub(super) const VENDOR_PTP: u64 = 1 << 1;
    /// The second register of vendor services tells a guest which processors it may come to; the VMM has to say
    /// them, so that they are off until it does.
    pub(super) const VENDOR_2_ALL: u64 = 0b11;
}

/// How much the processor does by itself against a fault of speculation, as a VMM can ask and promise. Lower
/// values promise less.
mod workaround {
    pub(super) const NOT_AVAILABLE: u64 = 0;
    pub(super) const AVAILABLE: u64 = 1;
    pub(super) const NOT_REQUIRED: u64 = 2;
    /// Of SMCCC_ARCH_WORKAROUND_2.
    pub(super) const SSB_UNKNOWN: u64 = 1;
    pub(super) const SSB_AVAILABLE: u64 = 2;
    pub(super) const SSB_NOT_REQUIRED: u64 = 3;
    pub(super) const SSB_ENABLED: u64 = 1 << 4;
    /// The part of a value that is the level.
    pub(super) const LEVEL: u64 = 0xf;
}

/// The firmware of a VM: what its VMM has chosen.
#[derive(Debug)]
pub struct Firmware {
    /// Of PSCI, which a VMM may change while the VM runs.
    version: AtomicU32,
    standard: u64,
    standard_hypervisor: u64,
    vendor: u64,
    vendor_2: u64,
}

impl Firmware {
    /// All that is served here.
    pub const fn new() -> Self {
        Self {
            version: AtomicU32::new(psci::Version::LATEST.raw() as u32),
            standard: service::TRNG,
            standard_hypervisor: service::STOLEN_TIME,
            vendor: service::VENDOR_FEATURES | service::VENDOR_PTP,
            vendor_2: 0,
        }
    }

    /// A second one, as this is now.
    pub fn duplicate(&self) -> Self {
        Self {
            version: AtomicU32::new(self.version.load(Ordering::Relaxed)),
            ..*self
        }
    }

    /// The version of PSCI that a guest whose vCPUs have `features` sees.
    pub fn psci_version(&self, features: Features) -> psci::Version {
        if features.has_psci_0_2() {
            let version = self.version.load(Ordering::Relaxed);
            psci::Version::from_raw(version.into()).unwrap_or(psci::Version::LATEST)
        } else {
            psci::Version::V0_1
        }
    }

    /// KVM_REG_ARM_PSCI_VERSION. `EINVAL` for a version that there is not, or that does not go with `features`.
    pub fn set_psci_version(&self, features: Features, value: u64) -> Result {
        let version = psci::Version::from_raw(value).ok_or(EINVAL)?;
        if (version == psci::Version::V0_1) == features.has_psci_0_2() {
            return Err(EINVAL);
        }
        self.version.store(version.raw() as u32, Ordering::Relaxed);
        Ok(())
    }

    /// KVM_GET_ONE_REG of a register of the firmware.
    pub fn get(&self, register: FirmwareReg, features: Features, host: &HostIds) -> u64 {
        match register {
            FirmwareReg::PsciVersion => self.psci_version(features).raw(),
            FirmwareReg::Workaround1 => level(host.speculation().targets),
            FirmwareReg::Workaround2 => match host.speculation().stores {
                Protection::NotNeeded => workaround::SSB_NOT_REQUIRED,
                Protection::Active | Protection::Missing => workaround::NOT_AVAILABLE,
            },
            FirmwareReg::Workaround3 => level(host.speculation().history),
            FirmwareReg::Standard => self.standard,
            FirmwareReg::StandardHypervisor => self.standard_hypervisor,
            FirmwareReg::Vendor => self.vendor,
            FirmwareReg::Vendor2 => self.vendor_2,
        }
    }

    /// KVM_SET_ONE_REG of a register of the firmware. `EINVAL` for a service that is not served here, a protection that
    /// the processor does not have, or a version of PSCI that does not go with `features`; `EBUSY` for other
    /// services once a vCPU has run.
    pub fn set(
        &mut self,
        register: FirmwareReg,
        features: Features,
        host: &HostIds,
        stage: Stage,
        value: u64,
    ) -> Result {
        let available = self.get(register, features, host);
        let (kept, all) = match register {
            FirmwareReg::PsciVersion => return self.set_psci_version(features, value),
            FirmwareReg::Workaround1 | FirmwareReg::Workaround3 => {
                return if value <= available {
                    Ok(())
                } else {
                    Err(EINVAL)
                };
            }
            FirmwareReg::Workaround2 => return check_store_bypass(value, available),
            FirmwareReg::Standard => (&mut self.standard, service::TRNG),
            FirmwareReg::StandardHypervisor => {
                (&mut self.standard_hypervisor, service::STOLEN_TIME)
            }
            FirmwareReg::Vendor => (
                &mut self.vendor,
                service::VENDOR_FEATURES | service::VENDOR_PTP,
            ),
            FirmwareReg::Vendor2 => (&mut self.vendor_2, service::VENDOR_2_ALL),
        };
        if value & !all != 0 {
            return Err(EINVAL);
        }
        if stage == Stage::Running && *kept != value {
            return Err(EBUSY);
        }
        *kept = value;
        Ok(())
    }

    /// Who serves a call of a guest on a host of `host`.
    pub fn route(&self, call: Call, host: &HostIds) -> Service {
        match call.function {
            function::VERSION => Service::Done(Results::one(VERSION_1_1)),
            // The exit has done it.
            WORKAROUND_1 | WORKAROUND_2 | WORKAROUND_3 => Service::Done(Results::one(SUCCESS)),
            function::ARCH_FEATURES => Service::Done(Results::one(self.feature(call, host))),
            function::STOLEN_TIME_FEATURES if self.has_stolen_time() => Service::StolenTimeFeatures,
            function::STOLEN_TIME if self.has_stolen_time() => Service::StolenTime,
            function::VENDOR_UID if self.vendor & service::VENDOR_FEATURES != 0 => {
                Service::Done(VENDOR_UID)
            }
            function::VENDOR_FEATURES if self.vendor & service::VENDOR_FEATURES != 0 => {
                Service::Done(Results([self.vendor, 0, self.vendor_2, 0]))
            }
            function::VENDOR_PTP if self.vendor & service::VENDOR_PTP != 0 => {
                match call.arguments[0] as u32 {
                    0 => Service::Time(Which::Virtual),
                    1 => Service::Time(Which::Physical),
                    _ => Service::Done(Results::NOT_SUPPORTED),
                }
            }
            _ if psci::is_function(call.function) => Service::Psci,
            _ if self.standard & service::TRNG != 0 => match trng::request(call) {
                Some(request) => Service::Random(request),
                None => Service::Done(Results::NOT_SUPPORTED),
            },
            _ => Service::Done(Results::NOT_SUPPORTED),
        }
    }

    fn has_stolen_time(&self) -> bool {
        self.standard_hypervisor & service::STOLEN_TIME != 0
    }

    /// SMCCC_ARCH_FEATURES.
    fn feature(&self, call: Call, host: &HostIds) -> u64 {
        match call.arguments[0] as u32 {
            WORKAROUND_1 => answer(host.speculation().targets),
            WORKAROUND_2 if host.speculation().stores == Protection::NotNeeded => NOT_REQUIRED,
            WORKAROUND_3 => answer(host.speculation().history),
            function::STOLEN_TIME_FEATURES if self.has_stolen_time() => SUCCESS,
            _ => NOT_SUPPORTED,
        }
    }
}

/// How a VMM sees a protection.
const fn level(protection: Protection) -> u64 {
    match protection {
        Protection::NotNeeded => workaround::NOT_REQUIRED,
        Protection::Active => workaround::AVAILABLE,
        Protection::Missing => workaround::NOT_AVAILABLE,
    }
}

/// How SMCCC_ARCH_FEATURES answers for it.
const fn answer(protection: Protection) -> u64 {
    match protection {
        Protection::NotNeeded => UNAFFECTED,
        Protection::Active => SUCCESS,
        Protection::Missing => NOT_SUPPORTED,
    }
}

/// KVM_REG_ARM_SMCCC_ARCH_WORKAROUND_2: values that mean the same to a guest are one.
fn check_store_bypass(value: u64, available: u64) -> Result {
    let level = value & workaround::LEVEL;
    let enabled = value & workaround::SSB_ENABLED != 0;
    if value & !(workaround::LEVEL | workaround::SSB_ENABLED) != 0
        || enabled && level != workaround::SSB_AVAILABLE
    {
        return Err(EINVAL);
    }
    let wanted = match level {
        workaround::NOT_AVAILABLE | workaround::SSB_UNKNOWN => workaround::NOT_AVAILABLE,
        workaround::SSB_AVAILABLE | workaround::SSB_NOT_REQUIRED => workaround::SSB_NOT_REQUIRED,
        _ => return Err(EINVAL),
    };
    if wanted <= available {
        Ok(())
    } else {
        Err(EINVAL)
    }
}
