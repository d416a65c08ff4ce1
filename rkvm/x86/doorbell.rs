// SPDX-License-Identifier: GPL-2.0

//! Writes to ioeventfds that take a write of any length: they need no look at the instruction but for its length.
//!
//! The VMCS has a length for EPT violations as well, but the SDM does not promise it (volume 3, section 28.2.5).
//! So it is only believed for a store that was decoded before and had that length then: the guest mostly
//! rings a doorbell from one place.

use crate::{
    bus::{Handled, Space},
    ioeventfd::Filter,
    mmu::entry::Access,
    types::PAGE_SIZE,
    vmx::{
        field::{EXIT_INSTRUCTION_LENGTH, GUEST_CR3},
        run::FaultInfo,
        vmcs::Loaded,
    },
    x86::{
        insn::{Insn, Op, Operand},
        paging::Kind,
        vcpu::Core,
    },
};

/// A store that a device has taken.
#[derive(Clone, Copy, Debug, Default)]
pub struct Store {
    rip: u64,
    cr3: u64,
    /// In bytes; 0 if none is known.
    length: u32,
}

/// The most bytes that a store writes.
const MAX_STORE: u64 = 8;

impl Store {
    /// The store `insn` at `rip`; `reported` is the length in the VMCS. `None` for other instructions, and
    /// where the processor does not report the length.
    pub fn new(insn: &Insn, rip: u64, cr3: u64, reported: u32) -> Option<Self> {
        let is_store = insn.op == Op::Mov && matches!(insn.dst, Operand::Memory(_));
        let length = u32::from(insn.length);
        (is_store && length == reported).then_some(Self { rip, cr3, length })
    }
}

impl Core {
    /// The guest accesses an address without memory. If an eventfd takes any write there and this is the store
    /// that was seen last, the eventfd is signalled and the instruction executed.
    pub fn ring_doorbell(&mut self, loaded: &Loaded, fault: &FaultInfo) -> Handled {
        let Store { rip, cr3, length } = self.last_store;
        let is_write = fault.known.is_some_and(|known| known.kind == Kind::Write)
            && !fault.wanted.contains(Access::READ);
        let is_same = length != 0
            && is_write
            && self.events.due.is_none()
            && self.guest.rip(loaded) == rip
            && loaded.read(EXIT_INSTRUCTION_LENGTH) == length
            && loaded.read(GUEST_CR3) == cr3;
        let within_page = fault.gpa.page_offset() <= PAGE_SIZE as u64 - MAX_STORE;
        if !is_same || !within_page {
            return Handled::No;
        }
        let handled = self.io.read(loaded.here(), |snapshot| {
            snapshot.signal(Space::Memory, fault.gpa.raw(), Filter::is_open)
        });
        if handled == Handled::Yes {
            self.skip_bytes(loaded, length);
        }
        handled
    }
}
