// SPDX-License-Identifier: GPL-2.0

//! What a VM's processors are to its guest: the VMM chooses until one has run; then it stays.

use kernel::{prelude::*, sync::Arc};

use super::{
    el1::Extension,
    features::Features,
    id_regs::{HostIds, IdRegs, Implementation, Stage},
    newer_features::Allowed,
    one_reg::FirmwareReg,
    smccc::{
        filter::{Action, Filter},
        Firmware,
    },
    sysreg::SysReg,
};

/// What does not change any more.
pub struct Fixed {
    /// What vCPUs have.
    pub features: Features,
    /// Identification registers.
    pub ids: IdRegs,
    /// What follows from them for what guests may use.
    pub allowed: Allowed,
    /// Services of the firmware.
    pub firmware: Firmware,
    /// Which calls the VMM serves.
    pub filter: Filter,
}

/// What the VMM has chosen so far.
pub struct Machine {
    /// Features and identification registers, from the first KVM_ARM_VCPU_INIT on.
    processors: Option<(Features, IdRegs)>,
    firmware: Firmware,
    filter: Filter,
    implementation: Implementation,
    fixed: Option<Arc<Fixed>>,
}

impl Machine {
    /// Nothing chosen.
    pub const fn new() -> Self {
        Self {
            processors: None,
            firmware: Firmware::new(),
            filter: Filter::new(),
            implementation: Implementation::Fixed,
            fixed: None,
        }
    }

    fn stage(&self) -> Stage {
        match self.fixed {
            Some(_) => Stage::Running,
            None => Stage::Setup,
        }
    }

    /// A vCPU is to have these features; `ids` makes the identification registers that go with them. `EINVAL` where
    /// another of the VM has others.
    pub fn choose_features(&mut self, features: Features, ids: impl FnOnce() -> IdRegs) -> Result {
        match &self.processors {
            Some((chosen, _)) if *chosen != features => Err(EINVAL),
            Some(_) => Ok(()),
            None => {
                self.processors = Some((features, ids()));
                Ok(())
            }
        }
    }

    /// KVM_GET_ONE_REG of an identification register. `ENOENT` for others, and before there are features.
    pub fn id(&self, register: SysReg) -> Result<u64> {
        let (_, ids) = self.processors.as_ref().ok_or(ENOENT)?;
        ids.get(register).ok_or(ENOENT)
    }

    /// Whether guests are told of a newer feature.
    pub fn has(&self, extension: Extension) -> bool {
        let processors = self.processors.as_ref();
        processors.is_some_and(|(_, ids)| ids.has(extension))
    }

    /// KVM_SET_ONE_REG of an identification register; errors are those of [`IdRegs::set`].
    pub fn set_id(&mut self, host: &HostIds, register: SysReg, value: u64) -> Result {
        let stage = self.stage();
        let (features, ids) = self.processors.as_mut().ok_or(ENOENT)?;
        ids.set(host, *features, self.implementation, stage, register, value)
    }

    /// KVM_GET_ONE_REG of a register of the firmware. `ENOENT` before there are features.
    pub fn firmware(&self, host: &HostIds, register: FirmwareReg) -> Result<u64> {
        let (features, _) = self.processors.as_ref().ok_or(ENOENT)?;
        let firmware = self.fixed.as_ref().map(|fixed| &fixed.firmware);
        let firmware = firmware.unwrap_or(&self.firmware);
        Ok(firmware.get(register, *features, host))
    }

    /// KVM_SET_ONE_REG of a register of the firmware; errors are those of [`Firmware::set`].
    pub fn set_firmware(&mut self, host: &HostIds, register: FirmwareReg, value: u64) -> Result {
        let stage = self.stage();
        let (features, _) = self.processors.as_ref().ok_or(ENOENT)?;
        if let (FirmwareReg::PsciVersion, Some(fixed)) = (register, &self.fixed) {
            return fixed.firmware.set_psci_version(*features, value);
        }
        self.firmware.set(register, *features, host, stage, value)
    }

    /// KVM_ARM_VM_SMCCC_FILTER; errors are those of [`Filter::add`].
    pub fn filter(&mut self, first: u32, count: u32, action: Action) -> Result {
        let stage = self.stage();
        self.filter.add(first, count, action, stage)
    }

    /// KVM_CAP_ARM_WRITABLE_IMP_ID_REGS. The caller sees to it that there are no vCPUs.
    pub fn free_implementation(&mut self) {
        self.implementation = Implementation::Writable;
    }

    /// A vCPU is about to run: what it does not change any more from here on. `ENOEXEC` before there are features,
    /// `ENOMEM`.
    pub fn fix(&mut self, gic: Gic) -> Result<Arc<Fixed>> {
        if let Some(fixed) = &self.fixed {
            return Ok(fixed.clone());
        }
        let (features, ids) = self.processors.as_mut().ok_or(ENOEXEC)?;
        if gic == Gic::Absent {
            ids.remove_gic();
        }
        let fixed = Arc::new(
            Fixed {
                features: *features,
                ids: ids.clone(),
                allowed: Allowed::new(ids),
                firmware: self.firmware.duplicate(),
                filter: core::mem::replace(&mut self.filter, Filter::new()),
            },
            GFP_KERNEL_ACCOUNT,
        )?;
        self.fixed = Some(fixed.clone());
        Ok(fixed)
    }
}

/// Whether a VM has an interrupt controller in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gic {
    /// It has a GICv3.
    V3,
    /// The VMM has one, if any.
    Absent,
}
