// SPDX-License-Identifier: GPL-2.0

//! Memory-type range registers: checked and stored. The memory of a guest is write-back whatever
//! they say, as EPT sets it (Intel SDM volume 3, section 13.11).

use crate::x86::msr::Refusal;
use crate::x86::regs::PhysicalBits;

const IA32_MTRRCAP: u32 = 0xfe;
const IA32_MTRR_PHYSBASE0: u32 = 0x200;
const VARIABLE_RANGES: usize = 8;
const VARIABLE_MSRS: usize = 2 * VARIABLE_RANGES;
const IA32_MTRR_PHYSMASK_LAST: u32 = IA32_MTRR_PHYSBASE0 + VARIABLE_MSRS as u32 - 1;
const IA32_MTRR_FIX64K_00000: u32 = 0x250;
const IA32_MTRR_FIX16K_80000: u32 = 0x258;
const IA32_MTRR_FIX16K_A0000: u32 = 0x259;
const IA32_MTRR_FIX4K_C0000: u32 = 0x268;
const IA32_MTRR_FIX4K_F8000: u32 = 0x26f;
const FIXED_MSRS: usize = 11;
const FIX4K_FIRST: usize = 3;
const IA32_MTRR_DEF_TYPE: u32 = 0x2ff;

/// Eight variable ranges, fixed ranges, and write-combining.
const CAPABILITIES: u64 = VARIABLE_RANGES as u64 | 1 << 8 | 1 << 10;

/// Whether an MSR belongs here.
pub const fn is_mtrr(msr: u32) -> bool {
    matches!(
        msr,
        IA32_MTRRCAP
            | IA32_MTRR_PHYSBASE0..=IA32_MTRR_PHYSMASK_LAST
            | IA32_MTRR_FIX64K_00000
            | IA32_MTRR_FIX16K_80000
            | IA32_MTRR_FIX16K_A0000
            | IA32_MTRR_FIX4K_C0000..=IA32_MTRR_FIX4K_F8000
            | IA32_MTRR_DEF_TYPE
    )
}

/// The MTRRs of a vCPU.
#[derive(Debug)]
pub struct Mtrrs {
    /// Base and mask of each range in turn.
    variable: [u64; VARIABLE_MSRS],
    fixed: [u64; FIXED_MSRS],
    default_type: u64,
}

/// The place of an MSR's value.
enum Slot {
    Variable(usize),
    Fixed(usize),
    DefaultType,
}

impl Slot {
    fn of(msr: u32) -> Option<Self> {
        let offset = |first: u32| msr.wrapping_sub(first) as usize;
        Some(match msr {
            IA32_MTRR_PHYSBASE0..=IA32_MTRR_PHYSMASK_LAST => {
                Self::Variable(offset(IA32_MTRR_PHYSBASE0))
            }
            IA32_MTRR_FIX64K_00000 => Self::Fixed(0),
            IA32_MTRR_FIX16K_80000 => Self::Fixed(1),
            IA32_MTRR_FIX16K_A0000 => Self::Fixed(2),
            IA32_MTRR_FIX4K_C0000..=IA32_MTRR_FIX4K_F8000 => {
                Self::Fixed(offset(IA32_MTRR_FIX4K_C0000).wrapping_add(FIX4K_FIRST))
            }
            IA32_MTRR_DEF_TYPE => Self::DefaultType,
            _ => return None,
        })
    }

    fn allows(&self, value: u64, physical_bits: PhysicalBits) -> bool {
        const DEFAULT_TYPE_RESERVED: u64 = !0xcff;
        const BASE_RESERVED: u64 = 0xf00;
        const MASK_RESERVED: u64 = 0x7ff;
        match self {
            Self::DefaultType => value & DEFAULT_TYPE_RESERVED == 0 && is_type(value as u8),
            Self::Fixed(_) => value.to_le_bytes().into_iter().all(is_type),
            Self::Variable(offset) if offset % 2 == 0 => {
                value & (BASE_RESERVED | physical_bits.reserved()) == 0 && is_type(value as u8)
            }
            Self::Variable(_) => value & (MASK_RESERVED | physical_bits.reserved()) == 0,
        }
    }
}

/// Whether a memory type is one that MTRRs know: UC, WC, WT, WP or WB.
const fn is_type(memory_type: u8) -> bool {
    matches!(memory_type, 0 | 1 | 4 | 5 | 6)
}

impl Mtrrs {
    /// All disabled.
    pub const fn reset() -> Self {
        Self {
            variable: [0; VARIABLE_MSRS],
            fixed: [0; FIXED_MSRS],
            default_type: 0,
        }
    }

    /// Reads one of the MSRs of [`is_mtrr`].
    ///
    /// # Errors
    /// [`Refusal::Unsupported`] for any other.
    pub fn read(&self, msr: u32) -> Result<u64, Refusal> {
        if msr == IA32_MTRRCAP {
            return Ok(CAPABILITIES);
        }
        let value = match Slot::of(msr) {
            Some(Slot::Variable(offset)) => self.variable.get(offset).copied(),
            Some(Slot::Fixed(offset)) => self.fixed.get(offset).copied(),
            Some(Slot::DefaultType) => Some(self.default_type),
            None => None,
        };
        value.ok_or(Refusal::Unsupported)
    }

    /// Writes one of the MSRs of [`is_mtrr`].
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for IA32_MTRRCAP, a reserved bit or a reserved memory type.
    pub fn write(
        &mut self,
        msr: u32,
        value: u64,
        physical_bits: PhysicalBits,
    ) -> Result<(), Refusal> {
        let slot = Slot::of(msr)
            .filter(|slot| slot.allows(value, physical_bits))
            .ok_or(Refusal::Invalid)?;
        let stored = match slot {
            Slot::Variable(offset) => self.variable.get_mut(offset),
            Slot::Fixed(offset) => self.fixed.get_mut(offset),
            Slot::DefaultType => Some(&mut self.default_type),
        };
        *stored.ok_or(Refusal::Unsupported)? = value;
        Ok(())
    }
}
