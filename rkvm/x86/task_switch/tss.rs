// SPDX-License-Identifier: GPL-2.0

//! The two formats of a task-state segment (Intel SDM volume 3, sections 8.2.1 and 8.6).
//!
//! Both hold the registers in slots of one size and in the same order: EIP, EFLAGS, the general registers,
//! the segment registers and LDTR. The 16-bit one has no FS and GS.

use super::{descriptor::WIDE, Memory, State};
use crate::x86::{
    paging::Mode,
    regs::{
        segment::{Segment, SegmentRegister},
        Rflags,
    },
};

/// Slots of registers in the longer format.
const SLOTS: usize = 17;
/// EIP, EFLAGS and eight general registers come before the segment registers.
const SLOTS_BEFORE_SEGMENTS: usize = 10;
/// Bytes of a TSS without I/O bitmap.
const SIZE_16: usize = 44;
const SIZE_32: usize = 104;
/// CR3 in the 32-bit format.
const CR3: usize = 28;
/// The word with the debug trap flag in the 32-bit format.
const TRAP: usize = 100;
const TRAP_FLAG: u32 = 1;

/// The format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    /// 16-bit, of the 80286.
    Bits16,
    /// 32-bit.
    Bits32,
}

impl Width {
    /// The format of a TSS.
    pub(super) const fn of(tss: &Segment) -> Self {
        if tss.kind & WIDE != 0 {
            Self::Bits32
        } else {
            Self::Bits16
        }
    }

    /// The least limit that a TSS must have.
    pub(super) const fn least_limit(self) -> u32 {
        self.size() as u32 - 1
    }

    /// Bytes of a slot, and of what is pushed.
    pub(super) const fn slot(self) -> usize {
        match self {
            Self::Bits16 => 2,
            Self::Bits32 => 4,
        }
    }

    const fn size(self) -> usize {
        match self {
            Self::Bits16 => SIZE_16,
            Self::Bits32 => SIZE_32,
        }
    }

    /// The offset of the first slot.
    const fn first(self) -> usize {
        match self {
            Self::Bits16 => 14,
            Self::Bits32 => 32,
        }
    }

    /// How many segment registers there are.
    const fn segments(self) -> usize {
        match self {
            Self::Bits16 => 4,
            Self::Bits32 => 6,
        }
    }
}

/// What a TSS holds of a task.
#[derive(Clone, Copy, Debug)]
pub(super) struct Image {
    /// EIP.
    pub(super) eip: u32,
    /// EFLAGS.
    pub(super) eflags: u32,
    /// EAX to EDI.
    pub(super) gprs: [u32; 8],
    /// ES, CS, SS, DS, FS, GS.
    selectors: [u16; 6],
    /// LDTR.
    pub(super) ldtr: u16,
    /// CR3, where the format has it.
    pub(super) cr3: Option<u32>,
    trap: u32,
}

impl Image {
    /// What is saved of a task, which goes on at `eip` with `eflags`.
    pub(super) fn of(state: &State, eip: u32, eflags: Rflags) -> Self {
        let [es, cs, ss, ds, fs, gs, ldtr, _] = state.segments.map(|segment| segment.selector);
        Self {
            eip,
            eflags: eflags.raw() as u32,
            gprs: state.gprs,
            selectors: [es, cs, ss, ds, fs, gs],
            ldtr,
            cr3: None,
            trap: 0,
        }
    }

    /// Reads the TSS at `base`.
    pub(super) fn read<M: Memory>(
        memory: &mut M,
        base: u32,
        width: Width,
    ) -> Result<Self, M::Error> {
        let mut bytes = [0; SIZE_32];
        let (used, _) = bytes.split_at_mut(width.size());
        memory.read(base, used)?;

        let slot = |index: usize| field(&bytes, width.first() + index * width.slot(), width.slot());
        let mut gprs = [0; 8];
        for (index, gpr) in gprs.iter_mut().enumerate() {
            *gpr = slot(2 + index);
        }
        let mut selectors = [0; 6];
        for (index, selector) in selectors.iter_mut().take(width.segments()).enumerate() {
            *selector = slot(SLOTS_BEFORE_SEGMENTS + index) as u16;
        }
        let (cr3, trap) = match width {
            Width::Bits16 => (None, 0),
            Width::Bits32 => (Some(field(&bytes, CR3, 4)), field(&bytes, TRAP, 4)),
        };
        Ok(Self {
            eip: slot(0),
            eflags: slot(1),
            gprs,
            selectors,
            ldtr: slot(SLOTS_BEFORE_SEGMENTS + width.segments()) as u16,
            cr3,
            trap,
        })
    }

    /// Writes the registers, but for LDTR and CR3, which a switch does not save, to the TSS at `base`.
    pub(super) fn save<M: Memory>(
        &self,
        memory: &mut M,
        base: u32,
        width: Width,
    ) -> Result<(), M::Error> {
        let mut bytes = [0; SLOTS * 4];
        let selectors = self.selectors.iter().map(|selector| u32::from(*selector));
        let values = [self.eip, self.eflags]
            .into_iter()
            .chain(self.gprs)
            .chain(selectors.take(width.segments()));
        let mut length = 0;
        for (slot, value) in bytes.chunks_exact_mut(width.slot()).zip(values) {
            for (byte, value) in slot.iter_mut().zip(value.to_le_bytes()) {
                *byte = value;
            }
            length += width.slot();
        }
        let (used, _) = bytes.split_at(length);
        memory.write(
            base.wrapping_add(width.first() as u32),
            used,
            Mode::Implicit,
        )
    }

    /// Whether the task starts with a debug trap.
    pub(super) const fn traps(&self) -> bool {
        self.trap & TRAP_FLAG != 0
    }

    /// CS.
    pub(super) const fn cs(&self) -> u16 {
        self.selectors[1]
    }

    /// SS.
    pub(super) const fn ss(&self) -> u16 {
        self.selectors[2]
    }

    /// The segment registers and their selectors.
    pub(super) fn segments(&self) -> impl Iterator<Item = (SegmentRegister, u16)> {
        SegmentRegister::ALL.into_iter().zip(self.selectors)
    }

    /// Those of [`Image::segments`] that are neither CS nor SS.
    pub(super) fn data_segments(&self) -> impl Iterator<Item = (SegmentRegister, u16)> {
        self.segments()
            .filter(|(register, _)| !matches!(register, SegmentRegister::Cs | SegmentRegister::Ss))
    }
}

/// `size` bytes at `offset`, at most 4.
fn field(bytes: &[u8; SIZE_32], offset: usize, size: usize) -> u32 {
    let mut value = [0; 4];
    for (byte, source) in value.iter_mut().zip(bytes.iter().skip(offset).take(size)) {
        *byte = *source;
    }
    u32::from_le_bytes(value)
}
