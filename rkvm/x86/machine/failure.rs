// SPDX-License-Identifier: GPL-2.0

//! What cannot be done for the guest: KVM_EXIT_INTERNAL_ERROR with the data that tell why
//! (Documentation/virt/kvm/api.rst, "KVM_EXIT_INTERNAL_ERROR").

use super::context::Context;
use crate::{
    host::bindings::KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES,
    run_page::{Reported, RunPage},
    vmx::{field::*, handle::suberror},
    x86::{
        counters::Event as Counted, event::Event, insn, user_exit::report_internal_error,
        vcpu::Core, vm_settings::Switch,
    },
};

/// The bytes of an instruction, as far as they were read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fetched {
    bytes: [u8; insn::MAX_LENGTH],
    length: usize,
}

impl Fetched {
    /// Those that were read.
    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or(&[])
    }

    /// None was read.
    pub(super) fn clear(&mut self) {
        self.length = 0;
    }

    /// Where the next go, at most `limit`. Empty if the instruction cannot have more.
    pub(super) fn room(&mut self, limit: usize) -> &mut [u8] {
        let end = self.length.saturating_add(limit).min(self.bytes.len());
        self.bytes.get_mut(self.length..end).unwrap_or(&mut [])
    }

    /// The first `count` bytes of the room were read.
    pub(super) fn extend(&mut self, count: usize) {
        self.length = self.length.saturating_add(count);
    }

    /// Their number in the first byte, then the bytes, with NOPs behind them: two data words.
    fn words(&self) -> [u64; 2] {
        const NOP: u8 = 0x90;
        let mut words = [NOP; 16];
        let read = self.bytes();
        for (to, from) in words.iter_mut().zip([self.length as u8].iter().chain(read)) {
            *to = *from;
        }
        let all = u128::from_le_bytes(words);
        [all as u64, (all >> 64) as u64]
    }
}

impl Core {
    /// An instruction cannot be emulated. The kernel of a guest, and a VMM that has asked for it, cannot go on from
    /// there; user code gets #UD.
    pub(super) fn fail_emulation(&mut self, context: &Context, page: &RunPage) -> Option<Reported> {
        self.counters.count(Counted::FailedEmulation);
        let settings = &self.vm.arch().settings;
        let always = settings.is_on(Switch::ExitOnEmulationFailure);
        if context.cpl > 0 && !always {
            self.events.raise(Event::INVALID_OPCODE);
            return None;
        }
        let loaded = self.load();
        let info = [
            loaded.read(EXIT_REASON).into(),
            loaded.read(EXIT_QUALIFICATION),
            loaded.read(IDT_VECTORING_INFO).into(),
            loaded.read(EXIT_INTERRUPTION_INFO).into(),
            loaded.read(EXIT_INTERRUPTION_ERROR_CODE).into(),
        ];
        drop(loaded);
        let [reason, qualification, vectoring, interruption, error_code] = info;
        if context.fetched.bytes().is_empty() {
            let data = [
                0,
                reason,
                qualification,
                vectoring,
                interruption,
                error_code,
            ];
            return Some(report_internal_error(page, suberror::EMULATION, &data));
        }
        let flags = u64::from(KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES);
        let [first, second] = context.fetched.words();
        let data = [
            flags,
            first,
            second,
            reason,
            qualification,
            vectoring,
            interruption,
            error_code,
        ];
        Some(report_internal_error(page, suberror::EMULATION, &data))
    }

    /// The delivery of an event needs memory where there is none.
    pub(super) fn fail_delivery(&mut self, page: &RunPage) -> Reported {
        let loaded = self.load();
        let data = [
            loaded.read(IDT_VECTORING_INFO).into(),
            loaded.read(EXIT_REASON).into(),
            loaded.read(EXIT_QUALIFICATION),
            loaded.read(GUEST_PHYSICAL_ADDRESS),
            loaded.here().cpu().number().into(),
        ];
        drop(loaded);
        report_internal_error(page, suberror::DELIVERY_EVENT, &data)
    }
}
