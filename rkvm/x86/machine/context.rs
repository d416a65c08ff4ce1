// SPDX-License-Identifier: GPL-2.0

//! The registers that an instruction's accesses depend on, as they were when it exited.

use super::failure::Fetched;
use crate::{
    types::{Gpa, PAGE_OFFSET_MASK},
    vmx::{field::*, vmcs::Loaded},
    x86::{
        insn::CodeSize,
        paging::Kind,
        regs::{
            rules::PagingState,
            segment::{AccessRights, Segment as SegmentState},
            Cr0, Efer, Rflags,
        },
        vcpu::Core,
    },
};

/// A translation that the processor made, and checked, for the access that exited.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// The linear address.
    pub linear: u64,
    /// Where it leads.
    pub gpa: Gpa,
    /// What the access does.
    pub kind: Kind,
}

impl Known {
    /// The translation of `linear`, if it lies in the same page and its access asks for no more.
    pub fn translate(&self, linear: u64, kind: Kind) -> Option<Gpa> {
        let same_page = (linear ^ self.linear) & !PAGE_OFFSET_MASK == 0;
        let allowed = kind == self.kind || (kind == Kind::Read && self.kind == Kind::Write);
        (same_page && allowed)
            .then(|| Gpa::new(self.gpa.raw() & !PAGE_OFFSET_MASK | linear & PAGE_OFFSET_MASK))
    }
}

/// The registers.
pub(super) struct Context {
    pub(super) rip: u64,
    pub(super) rsp: u64,
    pub(super) rflags: u64,
    pub(super) cpl: u8,
    pub(super) code_size: CodeSize,
    /// Added to RIP.
    pub(super) code_base: u64,
    pub(super) paging: PagingState,
    pub(super) pdptes: [u64; 4],
    /// ES, CS, SS, DS, FS, GS, as far as they were needed.
    pub(super) segments: [Option<SegmentState>; 6],
    pub(super) known: Option<Known>,
    /// The instruction's own bytes.
    pub(super) fetched: Fetched,
}

impl Default for Context {
    fn default() -> Self {
        Self {
            rip: 0,
            rsp: 0,
            rflags: 0,
            cpl: 0,
            code_size: CodeSize::Bits16,
            code_base: 0,
            paging: PagingState::default(),
            pdptes: [0; 4],
            segments: [None; 6],
            known: None,
            fetched: Fetched::default(),
        }
    }
}

impl Context {
    /// Takes the registers of the instruction that has just exited.
    pub(super) fn fill(&mut self, core: &mut Core, loaded: &Loaded, known: Option<Known>) {
        self.rip = core.guest.rip(loaded);
        self.rsp = core.guest.rsp(loaded);
        self.rflags = core.guest.rflags(loaded).raw();
        self.cpl = core.guest.cpl(loaded);
        self.paging = core.guest.paging(loaded);
        if self.paging.is_pae_paging() {
            self.pdptes = [GUEST_PDPTE0, GUEST_PDPTE1, GUEST_PDPTE2, GUEST_PDPTE3]
                .map(|field| loaded.read(field));
        }
        for segment in &mut self.segments {
            *segment = None;
        }
        self.known = known;
        self.code_size = self.read_code_size(core.guest.code_rights(loaded));
        self.code_base = match self.code_size {
            CodeSize::Bits64 => 0,
            _ => loaded.read(GUEST_CS_BASE),
        };
    }

    /// Whether segmentation is that of real mode or virtual-8086 mode.
    pub(super) fn is_real_like(&self) -> bool {
        !self.paging.cr0.contains(Cr0::PE) || Rflags::new(self.rflags).contains(Rflags::VM)
    }

    fn read_code_size(&self, cs: AccessRights) -> CodeSize {
        if self.is_real_like() {
            CodeSize::Bits16
        } else if self.paging.efer.contains(Efer::LMA) && cs.is_long() {
            CodeSize::Bits64
        } else if cs.is_default_32() {
            CodeSize::Bits32
        } else {
            CodeSize::Bits16
        }
    }
}
