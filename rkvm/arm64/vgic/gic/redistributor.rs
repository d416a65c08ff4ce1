// SPDX-License-Identifier: GPL-2.0

//! A redistributor's registers: two frames of 64 KiB for each vCPU.
//!
//! Source: IHI 0069, section 12.10 "Redistributor register map" and 12.11 "Redistributor register descriptions".

use super::{
    access::{Accessor, Bank, Field, Place},
    distributor,
    intid::{Intid, VcpuIndex},
    table_base::{sanitise, Attributes, Half},
    Gic, Revision,
};

/// Bytes of one frame.
pub const FRAME: u64 = 64 << 10;
/// Bytes of both.
pub const FRAMES: u64 = 2 * FRAME;

mod offset {
    pub(super) const CTLR: u32 = 0x00;
    pub(super) const IIDR: u32 = 0x04;
    pub(super) const TYPER: u32 = 0x08;
    pub(super) const TYPER_HIGH: u32 = 0x0c;
    pub(super) const STATUSR: u32 = 0x10;
    pub(super) const WAKER: u32 = 0x14;
    pub(super) const PROPBASER: u32 = 0x70;
    pub(super) const PROPBASER_HIGH: u32 = 0x74;
    pub(super) const PENDBASER: u32 = 0x78;
    pub(super) const PENDBASER_HIGH: u32 = 0x7c;
    pub(super) const INVLPIR: u32 = 0xa0;
    pub(super) const INVLPIR_HIGH: u32 = 0xa4;
    pub(super) const INVALLR: u32 = 0xb0;
    pub(super) const INVALLR_HIGH: u32 = 0xb4;
    pub(super) const SYNCR: u32 = 0xc0;
    pub(super) const ID: u32 = 0xffd0;
    pub(super) const PIDR2: u32 = 0xffe8;
    pub(super) const SGI_FRAME: u32 = 0x1_0000;
    /// After the fields of 32 interrupts.
    pub(super) const NSACR: u32 = SGI_FRAME + 0xe00;
}

/// GICR_CTLR.EnableLPIs.
const CTLR_ENABLE_LPIS: u32 = 1 << 0;
/// GICR_CTLR.CES and IR: LPIs can be disabled again; GICR_INVLPIR and GICR_INVALLR are there.
const CTLR_CES_IR: u32 = 0b11 << 1;

/// GICR_TYPER.PLPIS: LPIs are there.
const TYPER_PLPIS: u64 = 1 << 0;
const TYPER_LAST: u64 = 1 << 4;
const TYPER_NUMBER_SHIFT: u32 = 8;
const TYPER_NUMBER: u64 = 0xffff;
const TYPER_AFFINITY_SHIFT: u32 = 32;

const PENDBASER_PTZ: u64 = 1 << 62;

/// Whether more redistributors follow the one that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// Others follow directly.
    Middle,
    /// It is the last of its row.
    Last,
}

/// What is to be done with guest memory after a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// LPIs are on now: the vCPU's pending table is to be read.
    ReadPending,
    /// The property of one LPI is to be read again.
    ReadProperty(Intid),
    /// So are those of all LPIs of the vCPU.
    ReadProperties,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Register {
    Control,
    Identity,
    Type(Half),
    Zero,
    PropertyBase(Half),
    PendingBase(Half),
    InvalidateOne(Half),
    InvalidateAll(Half),
    Version,
    Fields(Place),
}

impl Register {
    fn at(offset: u32) -> Option<Self> {
        Some(match offset & !0b11 {
            offset::CTLR => Self::Control,
            offset::IIDR => Self::Identity,
            offset::TYPER => Self::Type(Half::Low),
            offset::TYPER_HIGH => Self::Type(Half::High),
            offset::PROPBASER => Self::PropertyBase(Half::Low),
            offset::PROPBASER_HIGH => Self::PropertyBase(Half::High),
            offset::PENDBASER => Self::PendingBase(Half::Low),
            offset::PENDBASER_HIGH => Self::PendingBase(Half::High),
            offset::INVLPIR => Self::InvalidateOne(Half::Low),
            offset::INVLPIR_HIGH => Self::InvalidateOne(Half::High),
            offset::INVALLR => Self::InvalidateAll(Half::Low),
            offset::INVALLR_HIGH => Self::InvalidateAll(Half::High),
            offset::PIDR2 => Self::Version,
            offset::STATUSR | offset::WAKER | offset::SYNCR | offset::NSACR => Self::Zero,
            offset::ID..offset::SGI_FRAME => Self::Zero,
            offset::SGI_FRAME.. => {
                let place = Place::at(offset.wrapping_sub(offset::SGI_FRAME))?;
                if !place.first.is_private() || place.field == Field::Zero && !is_modifier(offset) {
                    return None;
                }
                Self::Fields(place)
            }
            _ => return None,
        })
    }

    fn is_long(self) -> bool {
        matches!(
            self,
            Self::Type(_)
                | Self::PropertyBase(_)
                | Self::PendingBase(_)
                | Self::InvalidateOne(_)
                | Self::InvalidateAll(_)
        )
    }

    fn allows(self, offset: u32, bytes: u32) -> bool {
        let width = match self {
            Self::Fields(place) if place.field == Field::Priority => matches!(bytes, 1 | 4),
            register if register.is_long() => matches!(bytes, 4 | 8),
            _ => bytes == 4,
        };
        width && offset % bytes.max(1) == 0
    }
}

/// GICR_IGRPMODR0.
fn is_modifier(offset: u32) -> bool {
    offset & !0b11 == offset::SGI_FRAME + 0xd00
}

/// Whether a read tells what list registers have, so that they are to be taken back before.
pub fn tells_state(offset: u32) -> bool {
    matches!(Register::at(offset), Some(Register::Fields(place)) if place.field.is_state())
}

const PROPBASER_RESERVED: u64 = 0x1f << 59 | 0xf << 52 | 0b11 << 5;
const PENDBASER_RESERVED: u64 = 1 << 63 | 0b111 << 59 | 0xf << 52 | 0xf << 12 | 0x7f;

impl Gic {
    /// The guest reads a vCPU's redistributor. What is not there, or not so wide, reads 0.
    pub fn redistributor_read(
        &self,
        vcpu: VcpuIndex,
        position: Position,
        offset: u32,
        bytes: u32,
    ) -> u64 {
        match Register::at(offset) {
            Some(register) if register.allows(offset, bytes) => {
                self.read_redistributor(vcpu, position, register, bytes, Accessor::Guest)
            }
            _ => 0,
        }
    }

    /// The guest writes to a vCPU's redistributor.
    pub fn redistributor_write(
        &mut self,
        vcpu: VcpuIndex,
        offset: u32,
        bytes: u32,
        value: u64,
    ) -> Effect {
        match Register::at(offset) {
            Some(register) if register.allows(offset, bytes) => {
                self.write_redistributor(vcpu, register, bytes, Accessor::Guest, value)
            }
            _ => Effect::None,
        }
    }

    /// Whether a VMM can access a word of a redistributor.
    pub fn has_redistributor_word(offset: u32) -> bool {
        offset % 4 == 0 && Register::at(offset).is_some()
    }

    /// The VMM reads a word of a redistributor: 0 where there is none, as C KVM has it.
    pub fn redistributor_get(&self, vcpu: VcpuIndex, position: Position, offset: u32) -> u32 {
        match Register::at(offset) {
            Some(register) if offset % 4 == 0 => {
                self.read_redistributor(vcpu, position, register, 4, Accessor::Vmm) as u32
            }
            _ => 0,
        }
    }

    /// The VMM writes a word of a redistributor; nothing where there is none.
    pub fn redistributor_set(&mut self, vcpu: VcpuIndex, offset: u32, value: u32) -> Effect {
        match Register::at(offset) {
            Some(register) if offset % 4 == 0 => {
                self.write_redistributor(vcpu, register, 4, Accessor::Vmm, value.into())
            }
            _ => Effect::None,
        }
    }

    fn read_redistributor(
        &self,
        vcpu: VcpuIndex,
        position: Position,
        register: Register,
        bytes: u32,
        accessor: Accessor,
    ) -> u64 {
        let Some(cpu) = self.cpus.get(vcpu.get()) else {
            return 0;
        };
        match register {
            Register::Control => {
                let enabled = if cpu.lpis.enabled {
                    CTLR_ENABLE_LPIS
                } else {
                    0
                };
                let changeable = if self.revision >= Revision::Three {
                    CTLR_CES_IR
                } else {
                    0
                };
                (enabled | changeable).into()
            }
            Register::Identity => distributor::IIDR.into(),
            Register::Type(half) => {
                let mut value = u64::from(cpu.affinity) << TYPER_AFFINITY_SHIFT
                    | (u64::from(cpu.id) & TYPER_NUMBER) << TYPER_NUMBER_SHIFT;
                if self.has_its {
                    value |= TYPER_PLPIS;
                }
                if position == Position::Last {
                    value |= TYPER_LAST;
                }
                half.part(value, bytes)
            }
            Register::PropertyBase(half) => half.part(self.propbaser, bytes),
            Register::PendingBase(half) => half.part(cpu.lpis.pendbaser & !PENDBASER_PTZ, bytes),
            Register::InvalidateOne(_) | Register::InvalidateAll(_) | Register::Zero => 0,
            Register::Version => distributor::PIDR2.into(),
            Register::Fields(place) => {
                let fields = self.read_fields(Bank::Private(vcpu), place, bytes, accessor);
                fields.into()
            }
        }
    }

    fn write_redistributor(
        &mut self,
        vcpu: VcpuIndex,
        register: Register,
        bytes: u32,
        accessor: Accessor,
        value: u64,
    ) -> Effect {
        let has_its = self.has_its;
        let Some(cpu) = self.cpus.get_mut(vcpu.get()) else {
            return Effect::None;
        };
        let enabled = cpu.lpis.enabled;
        match register {
            Register::Control if has_its => {
                let enable = value as u32 & CTLR_ENABLE_LPIS != 0;
                if enable && !enabled {
                    cpu.lpis.enabled = true;
                    return Effect::ReadPending;
                }
                if enabled && !enable {
                    self.disable_lpis(vcpu);
                }
            }
            // The tables cannot be changed while they are in use.
            Register::PropertyBase(half) if !enabled => {
                let value = half.merge(self.propbaser, bytes, value);
                self.propbaser = sanitise(value, Attributes::REDISTRIBUTOR, PROPBASER_RESERVED);
            }
            Register::PendingBase(half) if !enabled => {
                let value = half.merge(cpu.lpis.pendbaser, bytes, value);
                cpu.lpis.pendbaser = sanitise(value, Attributes::REDISTRIBUTOR, PENDBASER_RESERVED);
            }
            Register::InvalidateOne(Half::Low) if enabled => {
                return Effect::ReadProperty(Intid::new(value as u32));
            }
            Register::InvalidateAll(Half::Low) if enabled => return Effect::ReadProperties,
            Register::Fields(place) => {
                self.write_fields(Bank::Private(vcpu), place, bytes, accessor, value as u32);
            }
            _ => (),
        }
        Effect::None
    }
}
