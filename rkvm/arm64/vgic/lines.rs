// SPDX-License-Identifier: GPL-2.0

//! Lines and messages from outside of the guest: KVM_IRQ_LINE, irqfds, KVM_SIGNAL_MSI, GSI routing.
//!
//! Source: Linux Documentation/virt/kvm/api.rst, 4.25 KVM_IRQ_LINE, 4.52 KVM_SET_GSI_ROUTING, 4.70 KVM_SIGNAL_MSI.

use super::{
    gic::{
        intid::{Intid, IrqRef, Kind},
        irq::Level,
    },
    Vgic,
};
use crate::{
    arm64::{
        routing::{Route, Routes},
        traps::hcr,
    },
    gsi_routing::Message,
    host::bindings as uapi,
    irqfd::{IrqSink, Resamplers},
    uapi::UserAddress,
};
use kernel::prelude::*;

/// The `irq` of KVM_IRQ_LINE.
#[derive(Clone, Copy, Debug)]
struct Line(u32);

impl Line {
    fn kind(self) -> u32 {
        self.0 >> uapi::KVM_ARM_IRQ_TYPE_SHIFT & uapi::KVM_ARM_IRQ_TYPE_MASK
    }

    fn vcpu_id(self) -> u32 {
        let low = self.0 >> uapi::KVM_ARM_IRQ_VCPU_SHIFT & uapi::KVM_ARM_IRQ_VCPU_MASK;
        let high = self.0 >> uapi::KVM_ARM_IRQ_VCPU2_SHIFT & uapi::KVM_ARM_IRQ_VCPU2_MASK;
        low | high << 8
    }

    fn intid(self) -> Intid {
        Intid::new(self.0 >> uapi::KVM_ARM_IRQ_NUM_SHIFT & uapi::KVM_ARM_IRQ_NUM_MASK)
    }
}

impl Vgic {
    /// KVM_IRQ_LINE. `ENXIO` for interrupts of a GIC without one in the kernel, and for lines of a vCPU itself with one;
    /// `EBUSY` if the GIC is not initialised; `EINVAL` for an interrupt or a vCPU that does not exist.
    pub fn irq_line(&self, argument: UserAddress) -> Result {
        let line = Line(argument.read()?);
        let level: u32 = argument.offset(size_of::<u32>()).read()?;
        let level = Level::from_high(level != 0);
        let is_created = self.is_created();
        match line.kind() {
            uapi::KVM_ARM_IRQ_TYPE_CPU if !is_created => self.set_vcpu_line(line, level),
            uapi::KVM_ARM_IRQ_TYPE_CPU => Err(ENXIO),
            uapi::KVM_ARM_IRQ_TYPE_PPI | uapi::KVM_ARM_IRQ_TYPE_SPI if !is_created => Err(ENXIO),
            uapi::KVM_ARM_IRQ_TYPE_PPI => {
                let raise = self.with_gic(|gic| {
                    let vcpu = gic.find_id(line.vcpu_id()).ok_or(EINVAL)?;
                    if line.intid().kind() != Kind::Ppi {
                        return Err(EINVAL);
                    }
                    gic.set_line(IrqRef::private(vcpu, line.intid()), level)
                });
                raise.unwrap_or(Err(EBUSY))
            }
            uapi::KVM_ARM_IRQ_TYPE_SPI => self.set_spi(line.intid(), level),
            _ => Err(EINVAL),
        }
    }

    /// IRQ or FIQ of a vCPU. `EINVAL` for another line, or without such a vCPU.
    fn set_vcpu_line(&self, line: Line, level: Level) -> Result {
        let bit = match line.intid().raw() {
            uapi::KVM_ARM_IRQ_CPU_IRQ => hcr::VI,
            uapi::KVM_ARM_IRQ_CPU_FIQ => hcr::VF,
            _ => return Err(EINVAL),
        };
        let setup = self.setup.lock();
        let mut vcpus = setup.vcpus.iter();
        let target = vcpus.find(|target| target.id == line.vcpu_id());
        target.ok_or(EINVAL)?.set_line(bit, level);
        Ok(())
    }

    /// `EBUSY` if the GIC is not initialised, `EINVAL` if there is no such SPI.
    fn set_spi(&self, intid: Intid, level: Level) -> Result {
        let set = self.with_gic(|gic| {
            if intid.kind() != Kind::Spi {
                return Err(EINVAL);
            }
            gic.set_line(IrqRef::shared(intid), level)
        });
        set.unwrap_or(Err(EBUSY))
    }

    /// KVM_SIGNAL_MSI: 1 if an LPI has become pending, 0 if the guest blocks it. `EINVAL` without a GIC in the
    /// kernel and for flags, `ENODEV` without an
    /// ITS.
    pub fn signal_msi(&self, argument: UserAddress) -> Result<isize> {
        let msi: uapi::kvm_msi = argument.read()?;
        if !self.is_created() || msi.flags & !uapi::KVM_MSI_VALID_DEVID != 0 {
            return Err(EINVAL);
        }
        self.send_message(&Message {
            address: u64::from(msi.address_hi) << 32 | u64::from(msi.address_lo),
            data: msi.data,
            device: (msi.flags & uapi::KVM_MSI_VALID_DEVID != 0).then_some(msi.devid),
        })
    }

    /// KVM_SET_GSI_ROUTING. A GIC that is initialised later begins with its own table. Errors are those of
    /// [`UserAddress::read_routing`] and [`Routes::from_entries`].
    pub fn set_routing(&self, argument: UserAddress) -> Result {
        let routes = Routes::from_entries(&argument.read_routing()?)?;
        let old = core::mem::replace(&mut *self.routes.lock(), routes);
        drop(old);
        Ok(())
    }

    fn set_gsi(&self, gsi: u32, level: Level) {
        let route = self.routes.lock().find(gsi);
        match route {
            Route::None => (),
            // An SPI that the GIC does not have is like a pin that is not connected.
            Route::Spi(intid) => drop(self.set_spi(intid, level)),
            Route::Message(message) => {
                if level == Level::High {
                    let _ = self.send_message(&message);
                }
            }
        }
    }
}

impl IrqSink for Vgic {
    fn pulse(&self, gsi: u32) {
        let route = self.routes.lock().find(gsi);
        if let Route::Spi(intid) = route {
            let _ = self.with_gic(|gic| gic.pulse(IrqRef::shared(intid)));
        } else {
            self.set_gsi(gsi, Level::High);
        }
    }

    fn assert_resample(&self, gsi: u32) {
        self.set_gsi(gsi, Level::High);
    }

    fn deassert_resample(&self, gsi: u32) {
        self.set_gsi(gsi, Level::Low);
    }

    fn resamplers(&self) -> &Resamplers {
        &self.resamplers
    }
}
