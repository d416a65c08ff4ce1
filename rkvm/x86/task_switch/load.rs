// SPDX-License-Identifier: GPL-2.0

//! Loading segment registers in the new task (Intel SDM volume 3, table 8-1).

use super::{
    descriptor::{Descriptor, Selector, ACCESSED, CODE, CONFORMING, LDT, WRITABLE_OR_READABLE},
    Fault, Memory, Switch,
};
use crate::x86::{
    event::vector,
    regs::segment::{Segment, SegmentRegister},
};

/// A segment register that cannot be used.
pub(super) fn unusable(selector: u16) -> Segment {
    Segment {
        selector,
        unusable: 1,
        ..Segment::default()
    }
}

/// A segment register of which only the selector is loaded. CS and SS tell the privilege level all the
/// same, and have no room for anything.
pub(super) fn unloaded(register: SegmentRegister, selector: u16, cpl: u8) -> Segment {
    let kind = match register {
        SegmentRegister::Cs => CODE | WRITABLE_OR_READABLE | ACCESSED,
        SegmentRegister::Ss => WRITABLE_OR_READABLE | ACCESSED,
        _ => return unusable(selector),
    };
    Segment {
        selector,
        kind,
        s: 1,
        dpl: cpl,
        present: 1,
        db: 1,
        ..Segment::default()
    }
}

/// A segment register in virtual-8086 mode.
pub(super) fn virtual_8086(selector: u16) -> Segment {
    const DPL: u8 = 3;
    Segment {
        base: u64::from(selector) << 4,
        limit: u32::from(u16::MAX),
        selector,
        kind: WRITABLE_OR_READABLE | ACCESSED,
        s: 1,
        dpl: DPL,
        present: 1,
        ..Segment::default()
    }
}

impl<M: Memory> Switch<'_, M> {
    /// Loads LDTR.
    pub(super) fn load_ldtr(&mut self, raw: u16) -> Result<(), Fault<M::Error>> {
        let selector = Selector(raw);
        if selector.is_null() {
            return Ok(());
        }
        let found = self
            .read_global(selector)?
            .filter(|found| {
                let segment = &found.segment;
                segment.s == 0 && segment.kind == LDT && segment.present != 0
            })
            .ok_or_else(|| self.exception(vector::INVALID_TSS, raw))?;
        self.state.set_segment(SegmentRegister::Ldtr, found.segment);
        Ok(())
    }

    /// Loads CS.
    pub(super) fn load_code(&mut self, raw: u16, cpl: u8) -> Result<(), Fault<M::Error>> {
        let found = self.find(raw, |segment| {
            let allowed = if segment.kind & CONFORMING != 0 {
                segment.dpl <= cpl
            } else {
                segment.dpl == cpl
            };
            segment.kind & CODE != 0 && allowed
        })?;
        self.accept(SegmentRegister::Cs, &found, vector::SEGMENT_NOT_PRESENT)
    }

    /// Loads SS.
    pub(super) fn load_stack(&mut self, raw: u16, cpl: u8) -> Result<(), Fault<M::Error>> {
        let found = self.find(raw, |segment| {
            segment.kind & (CODE | WRITABLE_OR_READABLE) == WRITABLE_OR_READABLE
                && segment.dpl == cpl
                && Selector(raw).rpl() == cpl
        })?;
        self.accept(SegmentRegister::Ss, &found, vector::STACK)
    }

    /// Loads DS, ES, FS or GS.
    pub(super) fn load_data(
        &mut self,
        register: SegmentRegister,
        raw: u16,
        cpl: u8,
    ) -> Result<(), Fault<M::Error>> {
        const CONFORMING_CODE: u8 = CODE | CONFORMING;
        if Selector(raw).is_null() {
            return Ok(());
        }
        let found = self.find(raw, |segment| {
            let readable = segment.kind & (CODE | WRITABLE_OR_READABLE) != CODE;
            let allowed = segment.kind & CONFORMING_CODE == CONFORMING_CODE
                || segment.dpl >= cpl.max(Selector(raw).rpl());
            readable && allowed
        })?;
        self.accept(register, &found, vector::SEGMENT_NOT_PRESENT)
    }

    /// The code or data descriptor; #TS if there is none or it is not `suitable`.
    fn find(
        &mut self,
        raw: u16,
        suitable: impl FnOnce(&Segment) -> bool,
    ) -> Result<Descriptor, Fault<M::Error>> {
        self.read_descriptor(Selector(raw))?
            .filter(|found| found.segment.s != 0 && suitable(&found.segment))
            .ok_or_else(|| self.exception(vector::INVALID_TSS, raw))
    }

    /// Loads a segment that is there, else raises `vector`.
    fn accept(
        &mut self,
        register: SegmentRegister,
        found: &Descriptor,
        vector: u8,
    ) -> Result<(), Fault<M::Error>> {
        let segment = &found.segment;
        if segment.present == 0 {
            return Err(self.exception(vector, segment.selector));
        }
        let accessed = found.with_kind(segment.kind | ACCESSED);
        if segment.kind & ACCESSED == 0 {
            accessed.write_kind(self.memory)?;
        }
        self.state.set_segment(register, accessed.segment);
        Ok(())
    }
}
