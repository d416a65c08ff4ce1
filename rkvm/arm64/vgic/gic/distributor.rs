// SPDX-License-Identifier: GPL-2.0

//! The distributor's registers: a frame of 64 KiB for all vCPUs.
//!
//! Source: IHI 0069, section 12.8 "Distributor register map" and 12.9 "Distributor register descriptions".

use super::{
    access::{Accessor, Bank, Field, Place},
    intid::{Intid, IrqRef, LPI_BITS, PRIVATE},
    Gic, Revision,
};
use kernel::prelude::*;

/// Bytes of the frame.
pub const FRAME: u64 = 64 << 10;

mod offset {
    pub(super) const CTLR: u32 = 0x0000;
    pub(super) const TYPER: u32 = 0x0004;
    pub(super) const IIDR: u32 = 0x0008;
    pub(super) const TYPER2: u32 = 0x000c;
    pub(super) const STATUSR: u32 = 0x0010;
    pub(super) const IROUTER: u32 = 0x6000;
    pub(super) const IROUTER_END: u32 = 0x8000;
    pub(super) const ID: u32 = 0xffd0;
    pub(super) const PIDR2: u32 = 0xffe8;
    pub(super) const END: u32 = 0x1_0000;
}

/// GICD_CTLR.EnableGrp1, as a guest with one security state sees it.
const CTLR_ENABLE_GROUP1: u32 = 1 << 1;
/// GICD_CTLR.ARE: affinity routing is on.
const CTLR_ARE: u32 = 1 << 4;
/// GICD_CTLR.DS: there is one security state.
const CTLR_DS: u32 = 1 << 6;

/// GICD_TYPER.LPIS.
const TYPER_LPIS: u32 = 1 << 17;
const TYPER_ID_BITS_SHIFT: u32 = 19;
/// log2 of the number after the last SPI, for GICD_TYPER.IDbits.
const SPI_ID_BITS: u32 = 10;

/// GICD_IIDR and GICR_IIDR: the implementer and product that C KVM's VMMs expect.
pub(super) const IIDR: u32 = 0x4b << 24 | 0x43b;
const IIDR_REVISION_SHIFT: u32 = 12;
const IIDR_REVISION: u32 = 0xf << IIDR_REVISION_SHIFT;

/// GICD_PIDR2, GICR_PIDR2, GITS_PIDR2: version 3 of the architecture.
pub const PIDR2: u32 = 0x3b;

/// An affinity has three levels here.
const AFFINITY: u32 = 0xff_ffff;

/// What is at an offset of the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Register {
    Control,
    Type,
    Identity,
    /// TYPER2, STATUSR, and identification registers that are 0.
    Zero,
    Version,
    Fields(Place),
    /// The word of an IROUTER at this byte of it.
    Router(Intid, u32),
}

impl Register {
    fn at(offset: u32) -> Option<Self> {
        Some(match offset & !0b11 {
            offset::CTLR => Self::Control,
            offset::TYPER => Self::Type,
            offset::IIDR => Self::Identity,
            offset::TYPER2 | offset::STATUSR => Self::Zero,
            offset::IROUTER..offset::IROUTER_END => {
                let number = (offset & !0b111).wrapping_sub(offset::IROUTER) / 8;
                Self::Router(Intid::new(number), offset & 0b100)
            }
            offset::PIDR2 => Self::Version,
            offset::ID..offset::END => Self::Zero,
            // Byte accesses are to single priorities.
            _ => Self::Fields(Place::at(offset)?),
        })
    }

    /// Whether the register can be accessed so; other accesses read 0 and write nothing.
    fn allows(self, offset: u32, bytes: u32) -> bool {
        let width = match self {
            Self::Fields(place) if place.field == Field::Priority => matches!(bytes, 1 | 4),
            Self::Router(..) => matches!(bytes, 4 | 8),
            _ => bytes == 4,
        };
        width && offset % bytes.max(1) == 0
    }
}

/// Whether a read tells what list registers have, so that they are to be taken back before.
pub fn tells_state(offset: u32) -> bool {
    matches!(Register::at(offset), Some(Register::Fields(place)) if place.field.is_state())
}

impl Gic {
    /// The guest reads the distributor. What is not there, or not so wide, reads 0.
    pub fn distributor_read(&self, offset: u32, bytes: u32) -> u64 {
        match Register::at(offset) {
            // The upper half of an IROUTER is the fourth level of affinity, which is 0.
            Some(register) if register.allows(offset, bytes) => {
                self.read_register(register, bytes, Accessor::Guest).into()
            }
            _ => 0,
        }
    }

    /// The guest writes to the distributor.
    pub fn distributor_write(&mut self, offset: u32, bytes: u32, value: u64) {
        if let Some(register) = Register::at(offset) {
            if register.allows(offset, bytes) {
                self.write_register(register, bytes, Accessor::Guest, value as u32);
            }
        }
    }

    /// Whether a VMM can access a word of a distributor for `irqs` interrupts.
    pub fn has_distributor_word(offset: u32, irqs: u32) -> bool {
        if offset % 4 != 0 {
            return false;
        }
        match Register::at(offset) {
            Some(Register::Fields(Place { first, .. }) | Register::Router(first, _)) => {
                first.raw() < irqs
            }
            register => register.is_some(),
        }
    }

    /// The VMM reads a word of the distributor: 0 where there is none, as C KVM has it.
    pub fn distributor_get(&self, offset: u32) -> u32 {
        match Register::at(offset) {
            Some(register) if offset % 4 == 0 => self.read_register(register, 4, Accessor::Vmm),
            _ => 0,
        }
    }

    /// The VMM writes a word of the distributor; nothing where there is none. `EINVAL` for a GICD_IIDR of another
    /// implementation, `EBUSY` for a GICD_TYPER2 that is not the one read.
    pub fn distributor_set(&mut self, offset: u32, value: u32) -> Result {
        if offset == offset::TYPER2 {
            return if value == 0 { Ok(()) } else { Err(EBUSY) };
        }
        match Register::at(offset) {
            Some(Register::Identity) => self.revision = revision_of(value)?,
            Some(register) if offset % 4 == 0 => {
                self.write_register(register, 4, Accessor::Vmm, value);
            }
            _ => (),
        }
        Ok(())
    }

    /// GICD_IIDR.
    pub fn identity(revision: Revision) -> u32 {
        IIDR | revision.field() << IIDR_REVISION_SHIFT
    }

    fn read_register(&self, register: Register, bytes: u32, accessor: Accessor) -> u32 {
        match register {
            Register::Control => {
                let enable = if self.forwarding {
                    CTLR_ENABLE_GROUP1
                } else {
                    0
                };
                enable | CTLR_ARE | CTLR_DS
            }
            Register::Type => {
                let lines = (self.irqs / PRIVATE).wrapping_sub(1);
                let (bits, lpis) = if self.has_its {
                    (LPI_BITS, TYPER_LPIS)
                } else {
                    (SPI_ID_BITS, 0)
                };
                lines | bits.wrapping_sub(1) << TYPER_ID_BITS_SHIFT | lpis
            }
            Register::Identity => Self::identity(self.revision),
            Register::Version => PIDR2,
            Register::Zero => 0,
            Register::Fields(place) => self.read_fields(Bank::Shared, place, bytes, accessor),
            Register::Router(intid, 0) if !intid.is_private() => {
                self.irq(IrqRef::shared(intid)).map_or(0, |irq| irq.router)
            }
            Register::Router(..) => 0,
        }
    }

    fn write_register(&mut self, register: Register, bytes: u32, accessor: Accessor, value: u32) {
        match register {
            Register::Control => {
                let forwarding = value & CTLR_ENABLE_GROUP1 != 0;
                if self.forwarding != forwarding {
                    self.forwarding = forwarding;
                    self.leave_news_for_all();
                }
            }
            Register::Fields(place) => {
                self.write_fields(Bank::Shared, place, bytes, accessor, value);
            }
            Register::Router(intid, 0) if !intid.is_private() => {
                let router = value & AFFINITY;
                let target = self.find_affinity(router);
                self.change(IrqRef::shared(intid), |irq| {
                    irq.router = router;
                    irq.target = target;
                });
            }
            _ => (),
        }
    }
}

/// What a VMM restores as GICD_IIDR. `EINVAL` for another implementation or an unknown revision.
pub fn revision_of(iidr: u32) -> Result<Revision> {
    if (iidr ^ IIDR) & !IIDR_REVISION != 0 {
        return Err(EINVAL);
    }
    Revision::from_field((iidr & IIDR_REVISION) >> IIDR_REVISION_SHIFT).ok_or(EINVAL)
}

/// The offset of GICD_IIDR, which a VMM may write before the GIC is initialised.
pub const IDENTITY_OFFSET: u32 = offset::IIDR;
/// Likewise of GICD_TYPER2.
pub const TYPE2_OFFSET: u32 = offset::TYPER2;
