// SPDX-License-Identifier: GPL-2.0

//! From a linear address to guest memory.

use super::{context::Context, Stop};
use crate::{
    host::x86::user_word,
    mmu::{users::Using, View},
    types::{Gpa, PAGE_OFFSET_MASK, PAGE_SIZE},
    x86::{
        paging::{self, Kind, Marked, Mode, Paging, Structures},
        regs::Rflags,
        vcpu::Core,
    },
};
use kernel::prelude::*;

/// CPL of user mode.
const USER: u8 = 3;

/// The bytes from `linear` to the end of its page.
pub(super) fn bytes_to_page_end(linear: u64) -> usize {
    PAGE_SIZE - (linear & PAGE_OFFSET_MASK) as usize
}

/// The guest's paging structures in its memory.
struct GuestTables<'a> {
    view: &'a mut View,
    using: Using<'a>,
    pdptes: &'a [u64; 4],
}

impl Structures for GuestTables<'_> {
    type Error = Error;

    fn read_u32(&mut self, entry: Gpa) -> Result<u32> {
        self.view
            .access_using(&self.using, entry, size_of::<u32>(), user_word::read_u32)
    }

    fn read_u64(&mut self, entry: Gpa) -> Result<u64> {
        self.view.read_u64(&self.using, entry)
    }

    fn pdpte(&mut self, index: usize) -> Result<u64> {
        self.pdptes.get(index).copied().ok_or(EINVAL)
    }

    fn mark_u32(&mut self, entry: Gpa, old: u32, new: u32) -> Result<Marked> {
        let using = &self.using;
        let same = self
            .view
            .modify_using(using, entry, size_of::<u32>(), |hva| {
                user_word::exchange_u32(hva, old, new)
            })?;
        Ok(if same { Marked::Done } else { Marked::Changed })
    }

    fn mark_u64(&mut self, entry: Gpa, old: u64, new: u64) -> Result<Marked> {
        let using = &self.using;
        let same = self
            .view
            .modify_using(using, entry, size_of::<u64>(), |hva| {
                user_word::exchange_u64(hva, old, new)
            })?;
        Ok(if same { Marked::Done } else { Marked::Changed })
    }
}

impl Core {
    /// The guest physical address behind a linear one for an access of the instruction.
    pub(super) fn translate(
        &mut self,
        context: &Context,
        linear: u64,
        kind: Kind,
    ) -> Result<Gpa, Stop> {
        if let Some(gpa) = context
            .known
            .and_then(|known| known.translate(linear, kind))
        {
            return Ok(gpa);
        }
        let mode = if context.cpl == USER {
            Mode::User
        } else {
            Mode::Supervisor
        };
        self.walk(context, linear, kind, mode)
    }

    /// The guest physical address behind a linear one for an access on behalf of `mode`.
    pub(super) fn walk(
        &mut self,
        context: &Context,
        linear: u64,
        kind: Kind,
        mode: Mode,
    ) -> Result<Gpa, Stop> {
        let paging = Paging {
            state: context.paging,
            rflags: Rflags::new(context.rflags),
            physical_bits: self.features.limits.physical_bits,
        };
        let using = self.view.enter(self.vm.mmu());
        let mut tables = GuestTables {
            view: &mut self.view,
            using,
            pdptes: &context.pdptes,
        };
        paging
            .translate(&mut tables, linear, kind, mode)
            .map_err(|stop| match stop {
                paging::Stop::Fault(code) => Stop::PageFault(code, linear),
                paging::Stop::Changed => Stop::Retry,
                paging::Stop::Memory(_) => Stop::Unhandleable,
            })
    }

    /// Whether memory backs the address.
    pub(super) fn is_ram(&mut self, gpa: Gpa) -> bool {
        self.view.is_backed(self.vm.mmu(), gpa)
    }

    /// Whether memory backs the address that the guest may write.
    pub(super) fn is_writable_ram(&mut self, gpa: Gpa) -> bool {
        self.is_ram(gpa) && !self.view.is_readonly(gpa)
    }

    /// Reads guest memory within one page. If a slot has gone meanwhile the access is another one:
    /// it is retried.
    pub(super) fn read_ram(&mut self, gpa: Gpa, data: &mut [u8]) -> Result<(), Stop> {
        let result = self.view.read(self.vm.mmu(), gpa, data);
        result.map_err(|_| {
            if self.is_ram(gpa) {
                Stop::Unhandleable
            } else {
                Stop::Retry
            }
        })
    }

    /// Writes guest memory within one page.
    pub(super) fn write_ram(&mut self, gpa: Gpa, data: &[u8]) -> Result<(), Stop> {
        let result = self.view.write(self.vm.mmu(), gpa, data);
        result.map_err(|_| {
            if self.is_writable_ram(gpa) {
                Stop::Unhandleable
            } else {
                Stop::Retry
            }
        })
    }
}
