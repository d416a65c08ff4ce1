// SPDX-License-Identifier: GPL-2.0

//! The end of an interrupt without an exit: a flag in guest memory that this module sets while an interrupt is in
//! service that nothing waits behind, and that the guest clears instead of writing EOI
//! (Documentation/virt/kvm/x86/msr.rst, MSR_KVM_PV_EOI_EN).

use crate::{
    host::user_memory::{read_u8_present, write_u8_present},
    types::Gpa,
    x86::vcpu::Core,
};
use kernel::prelude::*;

/// KVM_PV_EOI_ENABLED: the guest may clear the flag instead of writing EOI.
const OFFERED: u8 = 1 << 0;

/// What has become of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eoi {
    /// The guest has taken it: the interrupt in service has ended.
    Done,
    /// The guest has not; it has to write EOI now.
    Withdrawn,
}

impl Core {
    /// Offers the guest to end the interrupt in service by the flag; interrupts may be off. `ENOENT` if the
    /// guest does not want that, `EFAULT` or `EAGAIN` if the flag is not to be had without sleeping.
    pub fn offer_eoi(&mut self) -> Result {
        let flag = Gpa::new(self.msrs.pv.eoi().ok_or(ENOENT)?);
        self.view
            .modify_present(self.vm.mmu(), flag, size_of::<u8>(), |hva| {
                write_u8_present(hva, OFFERED)
            })
    }

    /// Ends an offer; interrupts may be off. `EFAULT` or `EAGAIN` if that takes [`Core::fetch_eoi`].
    pub fn withdraw_eoi(&mut self) -> Result<Eoi> {
        let Some(flag) = self.msrs.pv.eoi().map(Gpa::new) else {
            return Ok(Eoi::Done);
        };
        self.view
            .modify_present(self.vm.mmu(), flag, size_of::<u8>(), |hva| {
                if read_u8_present(hva)? & OFFERED == 0 {
                    return Ok(Eoi::Done);
                }
                write_u8_present(hva, 0).map(|()| Eoi::Withdrawn)
            })
    }

    /// Ends an offer; sleeps. A guest that has turned the flag off, or taken its memory away, has ended the
    /// interrupt.
    pub fn fetch_eoi(&mut self) -> Eoi {
        let Some(flag) = self.msrs.pv.eoi().map(Gpa::new) else {
            return Eoi::Done;
        };
        let mut found = [0];
        let read = self.view.read(self.vm.mmu(), flag, &mut found);
        if read.is_err() || found[0] & OFFERED == 0 {
            return Eoi::Done;
        }
        match self.view.write(self.vm.mmu(), flag, &[0]) {
            Ok(()) => Eoi::Withdrawn,
            Err(_) => Eoi::Done,
        }
    }
}
