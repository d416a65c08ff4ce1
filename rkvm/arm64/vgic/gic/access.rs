// SPDX-License-Identifier: GPL-2.0

//! Registers that have a field for each interrupt. They are at the same offsets in the distributor, for SPIs,
//! and in the second frame of a redistributor, for the interrupts of its processor.
//!
//! Source: IHI 0069, section 12.8 "Distributor register map", 12.10 "Redistributor register map".

use super::{
    intid::{Intid, IrqRef, Kind, VcpuIndex, PRIVATE},
    irq::{Group, Irq, Level, Priority, Trigger},
    Gic,
};

/// Who accesses a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accessor {
    /// The guest.
    Guest,
    /// The VMM, which saves and restores: ISPENDR is the latch alone, ICPENDR nothing.
    Vmm,
}

/// A field that each interrupt has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// IGROUPR.
    Group,
    /// ISENABLER.
    SetEnable,
    /// ICENABLER.
    ClearEnable,
    /// ISPENDR.
    SetPending,
    /// ICPENDR.
    ClearPending,
    /// ISACTIVER.
    SetActive,
    /// ICACTIVER.
    ClearActive,
    /// IPRIORITYR.
    Priority,
    /// ICFGR.
    Config,
    /// ITARGETSR, IGRPMODR, NSACR: 0, as affinity routing is on and there is one security state.
    Zero,
}

impl Field {
    /// Bits for each interrupt.
    pub const fn bits(self) -> u32 {
        match self {
            Self::Priority => 8,
            Self::Config => 2,
            _ => 1,
        }
    }

    /// The bits of a value that change something: where a 1 sets or clears, zeros do nothing, but that a VMM restores
    /// ISPENDR as a whole.
    const fn effective(self, accessor: Accessor, value: u32) -> u32 {
        match (self, accessor) {
            (Self::SetPending, Accessor::Vmm) => u32::MAX,
            (
                Self::SetEnable
                | Self::ClearEnable
                | Self::SetPending
                | Self::ClearPending
                | Self::SetActive
                | Self::ClearActive,
                _,
            ) => value,
            (Self::Zero, _) => 0,
            (Self::Group | Self::Priority | Self::Config, _) => u32::MAX,
        }
    }

    /// Whether list registers have it.
    pub const fn is_state(self) -> bool {
        matches!(
            self,
            Self::SetPending | Self::ClearPending | Self::SetActive | Self::ClearActive
        )
    }
}

/// Where fields are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The field.
    pub field: Field,
    /// The interrupt whose field is at the offset.
    pub first: Intid,
}

impl Place {
    /// The register at an offset, which may be any.
    pub const fn at(offset: u32) -> Option<Self> {
        let (field, start) = match offset {
            0x080..0x100 => (Field::Group, 0x080),
            0x100..0x180 => (Field::SetEnable, 0x100),
            0x180..0x200 => (Field::ClearEnable, 0x180),
            0x200..0x280 => (Field::SetPending, 0x200),
            0x280..0x300 => (Field::ClearPending, 0x280),
            0x300..0x380 => (Field::SetActive, 0x300),
            0x380..0x400 => (Field::ClearActive, 0x380),
            0x400..0x800 => (Field::Priority, 0x400),
            0x800..0xc00 => (Field::Zero, 0x800),
            0xc00..0xd00 => (Field::Config, 0xc00),
            0xd00..0xd80 => (Field::Zero, 0xd00),
            0xe00..0xf00 => (Field::Zero, 0xe00),
            _ => return None,
        };
        let first = (offset - start) * 8 / field.bits();
        Some(Self {
            field,
            first: Intid::new(first),
        })
    }
}

/// Whose interrupts a frame has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bank {
    /// The distributor's: SPIs.
    Shared,
    /// A redistributor's: SGIs and PPIs of a vCPU.
    Private(VcpuIndex),
}

impl Bank {
    /// The interrupt that has this number here.
    fn irq(self, number: u32) -> Option<IrqRef> {
        let intid = Intid::new(number);
        match self {
            Self::Shared if number >= PRIVATE && intid.kind() == Kind::Spi => {
                Some(IrqRef::shared(intid))
            }
            Self::Private(vcpu) if intid.is_private() => Some(IrqRef::private(vcpu, intid)),
            _ => None,
        }
    }
}

/// The interrupts whose fields are in the `bytes` bytes from `place` on, each with the shift of its field.
fn fields(bank: Bank, place: Place, bytes: u32) -> impl Iterator<Item = (IrqRef, u32)> {
    let bits = place.field.bits();
    (0..bytes.saturating_mul(8) / bits).filter_map(move |number| {
        let at = bank.irq(place.first.raw().checked_add(number)?)?;
        Some((at, number.saturating_mul(bits)))
    })
}

/// A mask of so many bits.
const fn low_bits(count: u32) -> u32 {
    match 1u32.checked_shl(count) {
        Some(bit) => bit.wrapping_sub(1),
        None => u32::MAX,
    }
}

fn read_field(irq: &Irq, field: Field, accessor: Accessor) -> u32 {
    let bit = match field {
        Field::Group => irq.group == Group::One,
        Field::SetEnable | Field::ClearEnable => irq.enabled,
        Field::SetPending | Field::ClearPending => match (field, accessor) {
            (Field::ClearPending, Accessor::Vmm) => false,
            (_, Accessor::Vmm) => irq.latch || irq.loaded_latch,
            (_, Accessor::Guest) => irq.is_pending() || irq.loaded_latch,
        },
        Field::SetActive | Field::ClearActive => irq.is_active(),
        Field::Priority => return irq.priority.raw().into(),
        Field::Config => {
            return if irq.trigger == Trigger::Edge {
                0b10
            } else {
                0
            }
        }
        Field::Zero => false,
    };
    bit.into()
}

fn write_field(irq: &mut Irq, intid: Intid, field: Field, accessor: Accessor, value: u32) {
    let set = value & 1 != 0;
    match field {
        Field::Group => irq.group = if set { Group::One } else { Group::Zero },
        Field::SetEnable => irq.enabled |= set,
        Field::ClearEnable => irq.enabled &= !set,
        Field::SetPending => match accessor {
            Accessor::Guest => irq.latch |= set,
            Accessor::Vmm if set => irq.latch = true,
            Accessor::Vmm => irq.clear_latch(),
        },
        Field::ClearPending => {
            if accessor == Accessor::Guest && set {
                irq.clear_latch();
            }
        }
        Field::SetActive | Field::ClearActive => {
            if set {
                irq.set_active(field == Field::SetActive);
            }
        }
        Field::Priority => irq.priority = Priority::new(value as u8),
        // SGIs are edges, and the devices behind PPIs have levels.
        Field::Config if intid.kind() == Kind::Spi => {
            irq.trigger = if value & 0b10 != 0 {
                Trigger::Edge
            } else {
                Trigger::Level
            };
        }
        Field::Config | Field::Zero => (),
    }
}

impl Gic {
    /// Reads fields of interrupts; at most 4 bytes.
    pub(super) fn read_fields(
        &self,
        bank: Bank,
        place: Place,
        bytes: u32,
        accessor: Accessor,
    ) -> u32 {
        fields(bank, place, bytes.min(4)).fold(0, |value, (at, shift)| {
            let field = self
                .irq(at)
                .map_or(0, |irq| read_field(irq, place.field, accessor));
            value | field << shift
        })
    }

    /// Writes fields of interrupts; at most 4 bytes.
    pub(super) fn write_fields(
        &mut self,
        bank: Bank,
        place: Place,
        bytes: u32,
        accessor: Accessor,
        value: u32,
    ) {
        let bits = place.field.bits();
        let width = bytes.min(4).saturating_mul(8);
        let mut left = place.field.effective(accessor, value) & low_bits(width);
        while left != 0 {
            let shift = left.trailing_zeros() / bits * bits;
            left &= !low_bits(shift.saturating_add(bits));
            let field = value >> shift;
            let number = place.first.raw().saturating_add(shift / bits);
            let Some(at) = bank.irq(number) else {
                continue;
            };
            let Some(irq) = self.irq_mut(at) else {
                continue;
            };
            let matters = |irq: &Irq| {
                let state = (irq.is_pending(), irq.active, irq.amendment);
                (irq.enabled, irq.priority, irq.group, state)
            };
            let before = matters(irq);
            write_field(irq, at.intid(), place.field, accessor, field);
            if before != matters(irq) {
                self.changed(at);
            }
        }
    }

    /// The lines of the 32 interrupts from `first` on, as a vCPU sees them: a bit each. Those of edges are low.
    pub fn line_levels(&self, vcpu: VcpuIndex, first: u32) -> u32 {
        (0..u32::BITS).fold(0, |levels, bit| {
            let high = line_of(vcpu, first, bit)
                .and_then(|at| self.irq(at))
                .is_some_and(|irq| irq.line && irq.trigger == Trigger::Level);
            levels | u32::from(high) << bit
        })
    }

    /// Sets the lines of 32 interrupts, as a VMM restores them: no edge comes of it.
    pub fn set_line_levels(&mut self, vcpu: VcpuIndex, first: u32, levels: u32) {
        for bit in 0..u32::BITS {
            let Some(at) = line_of(vcpu, first, bit) else {
                continue;
            };
            if let Some(irq) = self.irq_mut(at) {
                irq.line = Level::from_high(levels >> bit & 1 != 0) == Level::High;
                self.changed(at);
            }
        }
    }
}

/// An interrupt with a line.
fn line_of(vcpu: VcpuIndex, first: u32, bit: u32) -> Option<IrqRef> {
    let intid = Intid::new(first.checked_add(bit)?);
    matches!(intid.kind(), Kind::Ppi | Kind::Spi).then(|| IrqRef::of(vcpu, intid))
}
