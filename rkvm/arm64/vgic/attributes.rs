// SPDX-License-Identifier: GPL-2.0

//! The attributes of the GIC's device: what the VMM sets up, saves and restores.
//!
//! Source: Linux Documentation/virt/kvm/devices/arm-vgic-v3.rst.

use super::{
    gic::{
        self,
        cpu_interface::Name,
        distributor,
        intid::{Intid, Kind, VcpuIndex, PRIVATE},
        redistributor::{Effect, Position},
        Gic,
    },
    host,
    layout::RegionRequest,
    mmio::Memory,
    Claim, Setup, Vgic,
};
use crate::{
    device::{Attribute, Request},
    host::bindings as uapi,
};
use kernel::prelude::*;

/// VGIC_LEVEL_INFO_LINE_LEVEL.
const LINE_LEVEL: u64 = 0;

/// The fields of an attribute's number: a vCPU's affinity, and something of it.
#[derive(Clone, Copy, Debug)]
struct Number(u64);

impl Number {
    /// Aff2, Aff1, Aff0. `None` with a fourth level.
    fn affinity(self) -> Option<u32> {
        let affinity = (self.0 >> uapi::KVM_DEV_ARM_VGIC_V3_MPIDR_SHIFT) as u32;
        (affinity >> 24 == 0).then_some(affinity)
    }

    fn offset(self) -> u32 {
        self.0 as u32
    }

    fn sysreg(self) -> u16 {
        self.0 as u16
    }

    /// KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO: what is asked, and of which interrupts.
    fn level_info(self) -> (u64, u32) {
        let intid = self.0 as u32 & uapi::KVM_DEV_ARM_VGIC_LINE_LEVEL_INTID_MASK;
        let info = (self.0 & u64::from(uapi::KVM_DEV_ARM_VGIC_LINE_LEVEL_INFO_MASK))
            >> uapi::KVM_DEV_ARM_VGIC_LINE_LEVEL_INFO_SHIFT;
        (info, intid)
    }
}

impl Vgic {
    /// Serves an attribute ioctl on the GIC's device. `ENXIO` for an attribute that there is none of.
    pub fn attribute(
        &self,
        request: Request,
        attribute: &Attribute,
        memory: &mut dyn Memory,
    ) -> Result {
        match attribute.group {
            uapi::KVM_DEV_ARM_VGIC_GRP_ADDR => self.address(request, attribute),
            uapi::KVM_DEV_ARM_VGIC_GRP_NR_IRQS => self.irqs(request, attribute),
            uapi::KVM_DEV_ARM_VGIC_GRP_CTRL => self.control(request, attribute, memory),
            uapi::KVM_DEV_ARM_VGIC_GRP_MAINT_IRQ => self.maintenance(request, attribute),
            uapi::KVM_DEV_ARM_VGIC_GRP_DIST_REGS
            | uapi::KVM_DEV_ARM_VGIC_GRP_REDIST_REGS
            | uapi::KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS
            | uapi::KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO => self.registers(request, attribute, memory),
            _ => Err(ENXIO),
        }
    }

    /// KVM_DEV_ARM_VGIC_GRP_ADDR.
    fn address(&self, request: Request, attribute: &Attribute) -> Result {
        let number = u32::try_from(attribute.number).map_err(|_| ENXIO)?;
        let known = matches!(
            number,
            uapi::KVM_VGIC_V3_ADDR_TYPE_DIST
                | uapi::KVM_VGIC_V3_ADDR_TYPE_REDIST
                | uapi::KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION
        );
        if !known {
            return Err(ENXIO);
        }
        let value = attribute.value;
        let mut setup = self.setup.lock();
        let Setup { layout, vcpus, .. } = &mut *setup;
        let vcpus = vcpus.len();
        match (request, number) {
            (Request::Has, _) => Ok(()),
            (Request::Set, uapi::KVM_VGIC_V3_ADDR_TYPE_DIST) => {
                layout.set_distributor(value.read()?)
            }
            (Request::Set, uapi::KVM_VGIC_V3_ADDR_TYPE_REDIST) => {
                layout.set_redistributor(value.read()?, vcpus)
            }
            (Request::Set, _) => layout.add_region(RegionRequest::from_raw(value.read()?)),
            (Request::Get, uapi::KVM_VGIC_V3_ADDR_TYPE_DIST) => value.write(&layout.distributor()),
            (Request::Get, uapi::KVM_VGIC_V3_ADDR_TYPE_REDIST) => {
                value.write(&layout.redistributor())
            }
            (Request::Get, _) => {
                let region = RegionRequest::from_raw(value.read()?);
                value.write(&layout.region(region)?)
            }
        }
    }

    /// KVM_DEV_ARM_VGIC_GRP_NR_IRQS: of all interrupts but LPIs. `EINVAL` for a number out of range, `EBUSY` for a second
    /// one.
    fn irqs(&self, request: Request, attribute: &Attribute) -> Result {
        let value = attribute.value;
        match request {
            Request::Has => Ok(()),
            Request::Get => {
                let irqs = self.setup.lock().irqs;
                value.write(&irqs.unwrap_or(PRIVATE))
            }
            Request::Set => {
                let irqs: u32 = value.read()?;
                if !(gic::IRQS_MIN..=gic::IRQS_MAX).contains(&irqs) || irqs % PRIVATE != 0 {
                    return Err(EINVAL);
                }
                let mut setup = self.setup.lock();
                if setup.irqs.is_some() {
                    return Err(EBUSY);
                }
                setup.irqs = Some(irqs);
                Ok(())
            }
        }
    }

    /// KVM_DEV_ARM_VGIC_GRP_CTRL. If tables are to be saved, `EBUSY` while a vCPU runs, `ENXIO` before the GIC is
    /// initialised.
    fn control(&self, request: Request, attribute: &Attribute, memory: &mut dyn Memory) -> Result {
        let number = u32::try_from(attribute.number).map_err(|_| ENXIO)?;
        match (request, number) {
            (
                Request::Has,
                uapi::KVM_DEV_ARM_VGIC_CTRL_INIT | uapi::KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES,
            ) => Ok(()),
            (Request::Set, uapi::KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES) => {
                let setup = self.setup.lock();
                if !self.is_initialised() {
                    return Err(ENXIO);
                }
                let _all = Claim::of(&setup.vcpus)?;
                self.save_pending_tables(memory)
            }
            (Request::Set, uapi::KVM_DEV_ARM_VGIC_CTRL_INIT) => self.initialise(),
            _ => Err(ENXIO),
        }
    }

    /// KVM_DEV_ARM_VGIC_GRP_MAINT_IRQ: the PPI of the guest's own virtual GIC, which is kept and not used. `EINVAL` for
    /// one that is no PPI, `EBUSY` once the GIC is initialised.
    fn maintenance(&self, request: Request, attribute: &Attribute) -> Result {
        let value = attribute.value;
        match request {
            Request::Has => Ok(()),
            Request::Get => {
                let number = self.setup.lock().maintenance;
                value.write(&number)
            }
            Request::Set => {
                let number: u32 = value.read()?;
                let mut setup = self.setup.lock();
                if self.is_initialised() {
                    return Err(EBUSY);
                }
                if Intid::new(number).kind() != Kind::Ppi {
                    return Err(EINVAL);
                }
                setup.maintenance = number;
                Ok(())
            }
        }
    }

    /// Registers, which are accessed while no vCPU runs. `EINVAL` for a vCPU that does not exist, `EBUSY` if one runs or
    /// the GIC is not initialised, `ENOENT` for a register of the CPU interface that does not exist.
    fn registers(
        &self,
        request: Request,
        attribute: &Attribute,
        memory: &mut dyn Memory,
    ) -> Result {
        let number = Number(attribute.number);
        let setup = self.setup.lock();
        let wanted = match attribute.group {
            // The distributor is the same for all.
            uapi::KVM_DEV_ARM_VGIC_GRP_DIST_REGS => setup.vcpus.first(),
            _ => setup
                .vcpus
                .iter()
                .find(|target| number.affinity() == Some(target.affinity())),
        };
        if request == Request::Has {
            let irqs = setup.irqs.unwrap_or(PRIVATE);
            return has_register(attribute.group, number, wanted.is_some(), irqs);
        }
        let target = wanted.ok_or(EINVAL)?;
        let _all = Claim::of(&setup.vcpus)?;
        let Some(vcpu) = self.index_of(target) else {
            drop(_all);
            return self.identity(request, attribute, setup);
        };
        let access = Access {
            vgic: self,
            vcpu,
            position: setup.layout.position(vcpu, setup.vcpus.len()),
            number,
            request,
        };
        match attribute.group {
            uapi::KVM_DEV_ARM_VGIC_GRP_DIST_REGS => access.distributor(attribute),
            uapi::KVM_DEV_ARM_VGIC_GRP_REDIST_REGS => access.redistributor(attribute, memory),
            uapi::KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS => access.cpu_interface(attribute),
            _ => access.lines(attribute),
        }
    }

    /// GICD_IIDR and GICD_TYPER2, which alone can be accessed before the GIC is initialised.
    fn identity(
        &self,
        request: Request,
        attribute: &Attribute,
        mut setup: impl core::ops::DerefMut<Target = Setup>,
    ) -> Result {
        let offset = Number(attribute.number).offset();
        if attribute.group != uapi::KVM_DEV_ARM_VGIC_GRP_DIST_REGS {
            return Err(EBUSY);
        }
        let value = attribute.value;
        match (offset, request) {
            (distributor::IDENTITY_OFFSET, Request::Set) => {
                setup.revision = distributor::revision_of(value.read()?)?;
                Ok(())
            }
            (distributor::IDENTITY_OFFSET, _) => value.write(&Gic::identity(setup.revision)),
            (distributor::TYPE2_OFFSET, Request::Set) => match value.read::<u32>()? {
                0 => Ok(()),
                _ => Err(EINVAL),
            },
            (distributor::TYPE2_OFFSET, _) => value.write(&0u32),
            _ => Err(EBUSY),
        }
    }
}

/// KVM_HAS_DEVICE_ATTR of a register of a GIC with `irqs` interrupts.
fn has_register(group: u32, number: Number, vcpu_exists: bool, irqs: u32) -> Result {
    if group == uapi::KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO {
        let (info, _) = number.level_info();
        return if info == LINE_LEVEL {
            Ok(())
        } else {
            Err(ENXIO)
        };
    }
    if !vcpu_exists {
        return Err(EINVAL);
    }
    let exists = match group {
        uapi::KVM_DEV_ARM_VGIC_GRP_DIST_REGS => Gic::has_distributor_word(number.offset(), irqs),
        uapi::KVM_DEV_ARM_VGIC_GRP_REDIST_REGS => Gic::has_redistributor_word(number.offset()),
        _ => Name::from_encoding(number.sysreg()).is_some(),
    };
    if exists {
        Ok(())
    } else {
        Err(ENXIO)
    }
}

/// An access to registers of a vCPU.
struct Access<'a> {
    vgic: &'a Vgic,
    vcpu: VcpuIndex,
    position: Position,
    number: Number,
    request: Request,
}

impl Access<'_> {
    fn with_gic<T>(&self, act: impl FnOnce(&mut Gic) -> Result<T>) -> Result<T> {
        self.vgic.with_gic(act).unwrap_or(Err(EBUSY))
    }

    fn distributor(&self, attribute: &Attribute) -> Result {
        let (value, offset) = (attribute.value, self.number.offset());
        if self.request == Request::Set {
            let word = value.read()?;
            self.with_gic(|gic| gic.distributor_set(offset, word))
        } else {
            value.write(&self.with_gic(|gic| Ok(gic.distributor_get(offset)))?)
        }
    }

    fn redistributor(&self, attribute: &Attribute, memory: &mut dyn Memory) -> Result {
        let (value, offset, vcpu) = (attribute.value, self.number.offset(), self.vcpu);
        if self.request == Request::Set {
            let word = value.read()?;
            let effect = self.with_gic(|gic| Ok(gic.redistributor_set(vcpu, offset, word)))?;
            if effect != Effect::None {
                self.vgic.finish(vcpu, effect, memory);
            }
            return Ok(());
        }
        let position = self.position;
        let word = self.with_gic(|gic| Ok(gic.redistributor_get(vcpu, position, offset)))?;
        value.write(&word)
    }

    fn cpu_interface(&self, attribute: &Attribute) -> Result {
        let name = Name::from_encoding(self.number.sysreg()).ok_or(ENOENT)?;
        let (value, vcpu) = (attribute.value, self.vcpu);
        let features = host::features();
        if self.request == Request::Set {
            let register = value.read()?;
            self.with_gic(|gic| {
                let interface = gic.interface_mut(vcpu).ok_or(EINVAL)?;
                interface.set(features, name, register)
            })
        } else {
            let register = self.with_gic(|gic| {
                let interface = gic.interface_mut(vcpu).ok_or(EINVAL)?;
                interface.get(features, name)
            })?;
            value.write(&register)
        }
    }

    /// KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO. `EINVAL` for other information, or a number that is no multiple of 32.
    fn lines(&self, attribute: &Attribute) -> Result {
        let (info, first) = self.number.level_info();
        if info != LINE_LEVEL || first % u32::BITS != 0 {
            return Err(EINVAL);
        }
        let (value, vcpu) = (attribute.value, self.vcpu);
        if self.request == Request::Set {
            let levels = value.read()?;
            self.with_gic(|gic| {
                gic.set_line_levels(vcpu, first, levels);
                Ok(())
            })
        } else {
            value.write(&self.with_gic(|gic| Ok(gic.line_levels(vcpu, first)))?)
        }
    }
}
