// SPDX-License-Identifier: GPL-2.0

//! Segment selectors and descriptors (Intel SDM volume 3, sections 3.4.2, 3.4.5 and 8.2.2).

use super::{Fault, Memory, Switch, Table};
use crate::x86::{
    paging::Mode,
    regs::segment::{Segment, SegmentRegister},
};

/// Bits of the type of a code or data segment.
pub(super) const CODE: u8 = 1 << 3;
pub(super) const CONFORMING: u8 = 1 << 2;
/// Writable for data, readable for code.
pub(super) const WRITABLE_OR_READABLE: u8 = 1 << 1;
pub(super) const ACCESSED: u8 = 1;

/// The type of an available 16-bit TSS, and the bits that it can have besides.
pub(super) const TSS: u8 = 1;
pub(super) const BUSY: u8 = 1 << 1;
/// 32-bit.
pub(super) const WIDE: u8 = 1 << 3;
/// The type of an LDT.
pub(super) const LDT: u8 = 2;

/// Bytes of a descriptor.
const SIZE: usize = 8;
/// The byte with the type, S, DPL and P.
const ACCESS_BYTE: u32 = 5;

/// A segment selector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Selector(pub(super) u16);

impl Selector {
    const RPL: u16 = 0b11;
    const LOCAL: u16 = 1 << 2;

    /// Requested privilege level.
    pub(super) const fn rpl(self) -> u8 {
        (self.0 & Self::RPL) as u8
    }

    /// What an error code shows of it.
    pub(super) const fn without_rpl(self) -> u16 {
        self.0 & !Self::RPL
    }

    /// Whether it selects nothing.
    pub(super) const fn is_null(self) -> bool {
        self.without_rpl() == 0
    }

    /// Whether it selects from the LDT.
    pub(super) const fn is_local(self) -> bool {
        self.0 & Self::LOCAL != 0
    }

    /// The offset of its descriptor in the table.
    const fn offset(self) -> u32 {
        (self.0 & !(Self::RPL | Self::LOCAL)) as u32
    }
}

/// A descriptor and where it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Descriptor {
    linear: u32,
    /// What it makes of a segment register.
    pub(super) segment: Segment,
}

impl Descriptor {
    fn new(linear: u32, selector: Selector, raw: u64) -> Self {
        const PAGE_GRANULE: u32 = 0xfff;
        let field = |shift: u32, bits: u32| (raw >> shift) as u32 & ((1 << bits) - 1);
        let bit = |shift| field(shift, 1) as u8;
        let granules = field(0, 16) | field(48, 4) << 16;
        let g = bit(55);
        let segment = Segment {
            base: u64::from(field(16, 24) | field(56, 8) << 24),
            limit: if g != 0 {
                granules << 12 | PAGE_GRANULE
            } else {
                granules
            },
            selector: selector.0,
            kind: field(40, 4) as u8,
            s: bit(44),
            dpl: field(45, 2) as u8,
            present: bit(47),
            avl: bit(52),
            // There is no 64-bit code outside of IA-32e mode.
            l: 0,
            db: bit(54),
            g,
            unusable: 0,
            padding: 0,
        };
        Self { linear, segment }
    }

    /// Its base.
    pub(super) const fn base(&self) -> u32 {
        self.segment.base as u32
    }

    /// The same with another type.
    pub(super) const fn with_kind(mut self, kind: u8) -> Self {
        self.segment.kind = kind;
        self
    }

    /// Writes the type to the table.
    pub(super) fn write_kind<M: Memory>(&self, memory: &mut M) -> Result<(), M::Error> {
        let segment = &self.segment;
        let access = segment.present << 7 | segment.dpl << 5 | segment.s << 4 | segment.kind;
        let linear = self.linear.wrapping_add(ACCESS_BYTE);
        memory.write(linear, &[access], Mode::Implicit)
    }
}

impl<M: Memory> Switch<'_, M> {
    /// The descriptor in the GDT; `None` for a selector that is null, of the LDT or beyond the limit.
    pub(super) fn read_global(
        &mut self,
        selector: Selector,
    ) -> Result<Option<Descriptor>, Fault<M::Error>> {
        if selector.is_local() {
            return Ok(None);
        }
        self.read(self.state.gdt, selector)
    }

    /// The descriptor in the table that the selector names; `None` for a selector that is null or beyond
    /// the limit.
    pub(super) fn read_descriptor(
        &mut self,
        selector: Selector,
    ) -> Result<Option<Descriptor>, Fault<M::Error>> {
        if !selector.is_local() {
            return self.read_global(selector);
        }
        let ldt = self.state.segment(SegmentRegister::Ldtr);
        if ldt.unusable != 0 {
            return Ok(None);
        }
        let table = Table {
            base: ldt.base as u32,
            limit: ldt.limit,
        };
        self.read(table, selector)
    }

    fn read(
        &mut self,
        table: Table,
        selector: Selector,
    ) -> Result<Option<Descriptor>, Fault<M::Error>> {
        let offset = selector.offset();
        let last = offset.wrapping_add(SIZE as u32 - 1);
        if selector.is_null() || last > table.limit {
            return Ok(None);
        }
        let linear = table.base.wrapping_add(offset);
        let mut raw = [0; SIZE];
        self.memory.read(linear, &mut raw)?;
        Ok(Some(Descriptor::new(
            linear,
            selector,
            u64::from_le_bytes(raw),
        )))
    }
}
