// SPDX-License-Identifier: GPL-2.0

//! The registers of an ITS: its first frame of 64 KiB. The second one has the doorbell.
//!
//! Source: IHI 0069, section 12.18 "ITS register map", 12.19 "ITS register descriptions".

use super::{base::Content, command, Its, TYPER};
use crate::{
    arm64::vgic::gic::{
        distributor::PIDR2,
        table_base::{sanitise, Attributes, Half},
        Gic,
    },
    types::Gpa,
};
use kernel::prelude::*;

/// Bytes of both frames.
pub const FRAMES: u64 = 128 << 10;
/// Bytes of the first one.
pub const FRAME: u64 = 64 << 10;
/// The doorbell, GITS_TRANSLATER: where devices write the numbers of events.
pub const DOORBELL: u64 = FRAME + 0x40;

mod offset {
    pub(super) const CTLR: u32 = 0x000;
    pub(super) const IIDR: u32 = 0x004;
    pub(super) const TYPER: u32 = 0x008;
    pub(super) const CBASER: u32 = 0x080;
    pub(super) const CWRITER: u32 = 0x088;
    pub(super) const CREADR: u32 = 0x090;
    pub(super) const BASER: u32 = 0x100;
    pub(super) const BASER1: u32 = 0x108;
    pub(super) const BASER_END: u32 = 0x140;
    pub(super) const PIDR4: u32 = 0xffd0;
    pub(super) const PIDR0: u32 = 0xffe0;
    pub(super) const PIDR1: u32 = 0xffe4;
    pub(super) const PIDR2: u32 = 0xffe8;
    pub(super) const CIDR0: u32 = 0xfff0;
    pub(super) const CIDR1: u32 = 0xfff4;
    pub(super) const CIDR2: u32 = 0xfff8;
    pub(super) const CIDR3: u32 = 0xfffc;
    pub(super) const END: u32 = 0x1_0000;
}

const CTLR_ENABLED: u64 = 1 << 0;
const CTLR_QUIESCENT: u64 = 1 << 31;

/// The implementer and product of GITS_IIDR, with revision 0 of the layout of saved tables.
const IIDR: u64 = 0x4b << 24 | 0x43b;
const IIDR_REVISION: u64 = 0xf << 12;

const CBASER_VALID: u64 = 1 << 63;
const CBASER_ADDRESS: u64 = 0xf_ffff_ffff_f000;
const CBASER_PAGES: u64 = 0xff;
const CBASER_RESERVED: u64 = 1 << 62 | 1 << 58 | 1 << 57 | 1 << 56 | 1 << 52 | 0b11 << 8;
const QUEUE_PAGE: u64 = 4096;
/// Bits of GITS_CWRITER and GITS_CREADR.
const QUEUE_OFFSET: u64 = 0xf_ffe0;

/// What is to be done after a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// There may be commands to carry out.
    Commands,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Register {
    Control,
    Identity,
    Type,
    Queue,
    Write,
    Read,
    Base(Content),
    /// A GITS_BASER without a table, and what is reserved between the identification registers.
    Zero,
    /// An identification register.
    Constant(u64),
}

impl Register {
    fn at(offset: u32) -> Option<Self> {
        Some(match offset {
            offset::CTLR => Self::Control,
            offset::IIDR => Self::Identity,
            _ if offset & 0b11 != 0 => return None,
            offset::PIDR0 => Self::Constant(0x92),
            offset::PIDR1 => Self::Constant(0xb4),
            offset::PIDR2 => Self::Constant(u64::from(PIDR2)),
            offset::PIDR4 => Self::Constant(0x40),
            offset::CIDR0 => Self::Constant(0x0d),
            offset::CIDR1 => Self::Constant(0xf0),
            offset::CIDR2 => Self::Constant(0x05),
            offset::CIDR3 => Self::Constant(0xb1),
            offset::PIDR4..offset::END => Self::Zero,
            _ => match offset & !0b111 {
                offset::TYPER => Self::Type,
                offset::CBASER => Self::Queue,
                offset::CWRITER => Self::Write,
                offset::CREADR => Self::Read,
                offset::BASER => Self::Base(Content::Devices),
                offset::BASER1 => Self::Base(Content::Collections),
                offset::BASER..offset::BASER_END => Self::Zero,
                _ => return None,
            },
        })
    }

    fn is_long(offset: u32) -> bool {
        (offset::TYPER..offset::PIDR4).contains(&offset)
    }
}

/// Whether a VMM can access a register. `EINVAL` for an offset that is not aligned to it, `ENXIO` if there is none.
pub fn check(offset: u64) -> Result<u32> {
    let offset = u32::try_from(offset).map_err(|_| ENXIO)?;
    let alignment = if Register::is_long(offset) { 8 } else { 4 };
    if offset % alignment != 0 {
        return Err(EINVAL);
    }
    Register::at(offset).ok_or(ENXIO)?;
    Ok(offset)
}

impl Its {
    /// The guest reads a register. What is not there, or not so wide, reads 0.
    pub fn read(&self, offset: u32, bytes: u32) -> u64 {
        if !is_allowed(offset, bytes) {
            return 0;
        }
        let value = Register::at(offset).map_or(0, |register| self.get(register));
        if Register::is_long(offset) {
            Half::at(offset).part(value, bytes)
        } else {
            value
        }
    }

    /// The guest writes a register.
    pub fn write(&mut self, offset: u32, bytes: u32, value: u64, gic: &mut Gic) -> Effect {
        match Register::at(offset) {
            Some(register) if is_allowed(offset, bytes) => {
                let whole = if Register::is_long(offset) {
                    Half::at(offset).merge(self.get(register), bytes, value)
                } else {
                    value
                };
                self.set(register, whole, gic)
            }
            _ => Effect::None,
        }
    }

    /// The VMM reads a register as a whole. As [`check`] has it.
    pub fn get_whole(&self, offset: u64) -> Result<u64> {
        let register = Register::at(check(offset)?).ok_or(ENXIO)?;
        Ok(self.get(register))
    }

    /// The VMM writes a register as a whole. As [`check`] has it; `EINVAL` for a revision of the tables that is not there,
    /// or commands read past the end of the queue; `EBUSY` for GITS_CREADR while the ITS is on.
    pub fn set_whole(&mut self, offset: u64, value: u64, gic: &mut Gic) -> Result<Effect> {
        let register = Register::at(check(offset)?).ok_or(ENXIO)?;
        match register {
            Register::Identity if value & IIDR_REVISION != 0 => Err(EINVAL),
            Register::Read => {
                if self.enabled {
                    return Err(EBUSY);
                }
                let read = value & QUEUE_OFFSET;
                if read >= self.queue_bytes() {
                    return Err(EINVAL);
                }
                self.creadr = read;
                Ok(Effect::None)
            }
            register => Ok(self.set(register, value, gic)),
        }
    }

    fn get(&self, register: Register) -> u64 {
        match register {
            Register::Control => {
                let enabled = if self.enabled { CTLR_ENABLED } else { 0 };
                let quiescent = if self.creadr == self.cwriter {
                    CTLR_QUIESCENT
                } else {
                    0
                };
                enabled | quiescent
            }
            Register::Identity => IIDR,
            Register::Type => TYPER,
            Register::Queue => self.cbaser,
            Register::Write => self.cwriter,
            Register::Read => self.creadr,
            Register::Base(content) => self.base(content).raw(),
            Register::Zero => 0,
            Register::Constant(value) => value,
        }
    }

    fn set(&mut self, register: Register, value: u64, gic: &mut Gic) -> Effect {
        match register {
            Register::Control => {
                let ready = self.cbaser & CBASER_VALID != 0
                    && self.devices_base.is_valid()
                    && self.collections_base.is_valid();
                let enable = value & CTLR_ENABLED != 0;
                if enable && !self.enabled && !ready {
                    return Effect::None;
                }
                self.enabled = enable;
                Effect::Commands
            }
            // The tables cannot be changed while they are in use.
            Register::Queue if !self.enabled => {
                self.cbaser = sanitise(value, Attributes::ITS, CBASER_RESERVED);
                self.creadr = 0;
                self.cwriter = 0;
                Effect::None
            }
            Register::Write => {
                let written = value & QUEUE_OFFSET;
                if written < self.queue_bytes() {
                    self.cwriter = written;
                }
                Effect::Commands
            }
            Register::Base(content) if !self.enabled => {
                self.set_base(content, value, gic);
                Effect::None
            }
            _ => Effect::None,
        }
    }

    /// Writes a GITS_BASER. Without its table, what would be in that is forgotten.
    fn set_base(&mut self, content: Content, value: u64, gic: &mut Gic) {
        let base = match content {
            Content::Devices => &mut self.devices_base,
            Content::Collections => &mut self.collections_base,
        };
        base.set(value);
        if base.is_valid() {
            return;
        }
        match content {
            Content::Devices => self.forget_devices(gic),
            Content::Collections => self.forget_collections(),
        }
    }

    fn queue_bytes(&self) -> u64 {
        let pages = (self.cbaser & CBASER_PAGES).saturating_add(1);
        pages.saturating_mul(QUEUE_PAGE)
    }

    /// Where the next command is. `None` if there is none.
    pub fn next_command(&self) -> Option<Gpa> {
        if !self.enabled || self.creadr == self.cwriter {
            return None;
        }
        let queue = self.cbaser & CBASER_ADDRESS;
        Some(Gpa::new(queue.wrapping_add(self.creadr)))
    }

    /// The next command is done.
    pub fn skip_command(&mut self) {
        let next = self.creadr.saturating_add(command::BYTES.into());
        self.creadr = if next >= self.queue_bytes() { 0 } else { next };
    }
}

fn is_allowed(offset: u32, bytes: u32) -> bool {
    let width = if Register::is_long(offset) {
        matches!(bytes, 4 | 8)
    } else {
        bytes == 4
    };
    width && offset % bytes.max(1) == 0
}
