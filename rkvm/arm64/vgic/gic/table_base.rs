// SPDX-License-Identifier: GPL-2.0

//! Registers with the address of a table in guest memory: GICR_PROPBASER, GICR_PENDBASER, GITS_CBASER, GITS_BASER.
//!
//! Source: IHI 0069, section 12.11, GICR_PROPBASER; section 12.19, GITS_BASER<n>.

/// Where a register has the attributes of the memory.
#[derive(Clone, Copy, Debug)]
pub struct Attributes {
    /// The lowest bit of the inner cacheability.
    pub inner: u32,
    /// The lowest bit of the outer cacheability.
    pub outer: u32,
}

impl Attributes {
    /// GICR_PROPBASER and GICR_PENDBASER.
    pub const REDISTRIBUTOR: Self = Self {
        inner: 7,
        outer: 56,
    };
    /// GITS_CBASER and GITS_BASER.
    pub const ITS: Self = Self {
        inner: 59,
        outer: 53,
    };
}

const SHAREABILITY: u32 = 10;
const INNER_SHAREABLE: u64 = 1;
const OUTER_SHAREABLE: u64 = 2;

const DEVICE: u64 = 0;
const NON_CACHEABLE: u64 = 1;
const READ_ALLOCATE_WRITE_BACK: u64 = 3;
/// In the outer field: as the inner one.
const SAME_AS_INNER: u64 = 0;

fn field(value: u64, shift: u32, mask: u64) -> u64 {
    value >> shift & mask
}

fn with_field(value: u64, shift: u32, mask: u64, field: u64) -> u64 {
    value & !(mask << shift) | field << shift
}

/// A register's value as it is kept: the module accesses the memory as all of the host's, cached and inner shareable,
/// and says so. Fields that are reserved are 0.
pub fn sanitise(value: u64, attributes: Attributes, reserved: u64) -> u64 {
    let Attributes { inner, outer } = attributes;
    let mut result = value;
    if field(result, SHAREABILITY, 0b11) == OUTER_SHAREABLE {
        result = with_field(result, SHAREABILITY, 0b11, INNER_SHAREABLE);
    }
    if matches!(field(result, inner, 0b111), DEVICE | NON_CACHEABLE) {
        result = with_field(result, inner, 0b111, READ_ALLOCATE_WRITE_BACK);
    }
    if !matches!(field(result, outer, 0b111), SAME_AS_INNER | NON_CACHEABLE) {
        result = with_field(result, outer, 0b111, SAME_AS_INNER);
    }
    result & !reserved
}

/// Which half of a 64-bit register a 32-bit access is to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// Bits 31 to 0.
    Low,
    /// Bits 63 to 32.
    High,
}

impl Half {
    /// Of the access at this offset.
    pub const fn at(offset: u32) -> Self {
        if offset & 0b100 == 0 {
            Self::Low
        } else {
            Self::High
        }
    }

    /// The register with the bytes of an access replaced: all 8, or those of this half.
    pub fn merge(self, old: u64, bytes: u32, value: u64) -> u64 {
        const LOW: u64 = 0xffff_ffff;
        match (self, bytes) {
            (_, 8) => value,
            (Self::Low, _) => old & !LOW | value & LOW,
            (Self::High, _) => old & LOW | value << 32,
        }
    }

    /// What an access of the register reads.
    pub fn part(self, value: u64, bytes: u32) -> u64 {
        match (self, bytes) {
            (_, 8) => value,
            (Self::Low, _) => value & 0xffff_ffff,
            (Self::High, _) => value >> 32,
        }
    }
}
