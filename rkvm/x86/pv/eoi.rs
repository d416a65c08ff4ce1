// SPDX-License-Identifier: GPL-2.0

//! The end of an interrupt without an exit: a flag in guest memory that this module sets while an interrupt is in
//! service that nothing waits behind, and that the guest clears instead of writing EOI
//! (Documentation/virt/kvm/x86/msr.rst, MSR_KVM_PV_EOI_EN).
//!
//! An offer is made when an interrupt is injected, and settled before it matters whether that is still in
//! service: when another one comes, when the guest looks at the local APIC or halts, and at the end of KVM_RUN.
//! So a VMM that reads the local APIC or guest memory finds no offer out.

use crate::{
    host::x86::user_word::{read_u8_present, write_u8_present},
    types::{Gpa, Hva},
    x86::{lapic::Effect, vcpu::Core},
};
use kernel::prelude::*;

/// KVM_PV_EOI_ENABLED: the guest may clear the flag instead of writing EOI.
const OFFERED: u8 = 1 << 0;

/// What has become of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// The guest has taken it: the interrupt in service has ended.
    Taken,
    /// It has not; it has to write EOI now.
    Withdrawn,
}

impl Core {
    /// Whether an offer is out.
    #[inline(always)]
    pub fn has_offered_eoi(&self) -> bool {
        self.pv.eoi_offered
    }

    /// The interrupt of `vector` has just gone into service: offers to end it by the flag, if the guest wants that
    /// and nobody waits for it to end. Interrupts may be off; a flag that is not to be had without sleeping is not
    /// set.
    pub fn offer_eoi(&mut self, vector: u8) {
        let (Some(flag), Some(apic)) = (self.msrs.pv.eoi(), &self.apic) else {
            return;
        };
        if apic.registers().highest_requested().is_some() || apic.interrupts.awaits_eoi(vector) {
            return;
        }
        let set = self.modify_flag(Gpa::new(flag), |hva| write_u8_present(hva, OFFERED));
        self.pv.eoi_offered = set.is_ok();
    }

    /// Ends an offer, if one is out; interrupts may be off. `EFAULT` or `EAGAIN` if that takes [`Core::fetch_eoi`].
    pub fn settle_eoi(&mut self) -> Result {
        if !self.pv.eoi_offered {
            return Ok(());
        }
        let answer = self.withdraw_eoi()?;
        self.answered(answer);
        Ok(())
    }

    fn withdraw_eoi(&mut self) -> Result<Answer> {
        let Some(flag) = self.msrs.pv.eoi().map(Gpa::new) else {
            return Ok(Answer::Taken);
        };
        self.modify_flag(flag, |hva| {
            if read_u8_present(hva)? & OFFERED == 0 {
                return Ok(Answer::Taken);
            }
            write_u8_present(hva, 0).map(|()| Answer::Withdrawn)
        })
    }

    /// Lets `modify`, which does not sleep, write the flag's byte. `EAGAIN` if the slots have changed, `EFAULT` as
    /// [`View::modify`] has it.
    fn modify_flag<T>(&mut self, flag: Gpa, modify: impl FnOnce(Hva) -> Result<T>) -> Result<T> {
        let using = self.view.enter_present(self.vm.mmu()).ok_or(EAGAIN)?;
        self.view
            .modify_using(&using, flag, size_of::<u8>(), modify)
    }

    /// Ends an offer, if one is out; sleeps.
    pub fn fetch_eoi(&mut self) {
        if self.pv.eoi_offered {
            let answer = self.fetch_answer();
            self.answered(answer);
        }
    }

    /// A guest that has taken the flag's memory away has ended the interrupt.
    fn fetch_answer(&mut self) -> Answer {
        let Some(flag) = self.msrs.pv.eoi().map(Gpa::new) else {
            return Answer::Taken;
        };
        let mut found = [0];
        let read = self.view.read(self.vm.mmu(), flag, &mut found);
        if read.is_err() || found[0] & OFFERED == 0 {
            return Answer::Taken;
        }
        match self.view.write(self.vm.mmu(), flag, &[0]) {
            Ok(()) => Answer::Withdrawn,
            Err(_) => Answer::Taken,
        }
    }

    fn answered(&mut self, answer: Answer) {
        self.pv.eoi_offered = false;
        if let (Answer::Taken, Some(apic)) = (answer, &mut self.apic) {
            let effect = Effect {
                eoi: apic.lapic().eoi(),
                ..Effect::NONE
            };
            self.apply(effect);
        }
    }

    /// INIT turns the flag off. One whose memory is away stays as it is: what comes after INIT sets it up anew.
    pub fn reset_eoi(&mut self) {
        let _ = self.settle_eoi();
        self.pv.eoi_offered = false;
        self.msrs.pv.reset_eoi();
    }
}
