// SPDX-License-Identifier: GPL-2.0

//! The paravirtual interface: what a Linux guest asks for that no processor has.
//!
//! The guest gives addresses of structures in its memory by MSRs ([`msrs`]). They are written in process context,
//! since guest memory may have to be faulted in: before the guest is entered, and when a write to an MSR has left
//! it.

mod clock;
mod eoi;
pub mod features;
pub mod hypercall;
pub mod msrs;
mod steal;

use crate::{
    types::{Gpa, PAGE_SIZE},
    vm::Vm,
    x86::{
        pv::{features::Enforcement, hypercall::Width, steal::Steal},
        pvclock::agreement::Part,
        vcpu::Core,
    },
};
use kernel::{prelude::*, sync::Arc};

/// What a vCPU keeps for it, besides its MSRs.
pub struct Pv {
    tsc: TscPart,
    /// The generation of the VM's clock that the guest sees, while it wants one.
    shown: Option<u64>,
    /// The guest is to be told that it was stopped.
    stopped: bool,
    steal: Steal,
    pairing: Option<Pairing>,
    /// The flag by which the guest does without writing EOI is set, as far as this module knows.
    eoi_offered: bool,
    /// Whether the vCPU has features that its CPUID does not announce.
    enforcement: Enforcement,
}

/// A KVM_HC_CLOCK_PAIRING that is to be answered.
pub struct Pairing {
    /// Where the guest wants the structure.
    pub address: Gpa,
    /// The caller's registers.
    pub width: Width,
}

impl Pv {
    /// Nothing is set up.
    pub fn new(vm: &Arc<Vm>) -> Self {
        Self {
            tsc: TscPart::new(vm),
            shown: None,
            stopped: false,
            steal: Steal::default(),
            pairing: None,
            eoi_offered: false,
            enforcement: Enforcement::Off,
        }
    }
}

/// A vCPU's part in the agreement of its VM's TSCs.
struct TscPart {
    vm: Arc<Vm>,
    part: Part,
    /// The offset that was said last.
    offset: Option<u64>,
}

impl TscPart {
    fn new(vm: &Arc<Vm>) -> Self {
        Self {
            vm: vm.clone(),
            part: vm.arch().clock().join(),
            offset: None,
        }
    }
}

impl Drop for TscPart {
    fn drop(&mut self) {
        self.vm.arch().clock().leave(&mut self.part);
    }
}

impl Core {
    /// Does what the guest's paravirtual interface wants before the guest goes on; sleeps.
    #[inline]
    pub fn serve_pv(&mut self) {
        let is_agreed = self.pv.tsc.offset == Some(self.tsc_offset);
        let pv = &self.msrs.pv;
        let is_wanted = pv.is_pending()
            || self.pv.pairing.is_some()
            || self.pv.shown.is_some()
            || pv.steal_time().is_some();
        if !is_agreed || is_wanted {
            self.serve_wants();
        }
    }

    fn serve_wants(&mut self) {
        self.agree_on_tsc();
        if self.msrs.pv.is_pending() || self.pv.pairing.is_some() {
            self.serve_requests();
        }
        if self.pv.shown.is_some() {
            self.refresh_time();
        }
        if self.msrs.pv.steal_time().is_some() {
            self.record_steal_time();
        }
    }

    #[cold]
    fn serve_requests(&mut self) {
        let pending = self.msrs.pv.take_pending();
        if let Some(address) = pending.wall_clock {
            self.write_wall_clock(Gpa::new(address));
        }
        if pending.system_time {
            self.begin_time();
        }
        if pending.steal_time {
            self.pv.steal.begin();
        }
        if let Some(pairing) = self.pv.pairing.take() {
            self.answer_pairing(&pairing);
        }
    }

    /// Says the vCPU's TSC offset to the VM's clock. Whoever changes it calls this before the next entry.
    #[inline]
    pub fn agree_on_tsc(&mut self) {
        let TscPart { vm, part, offset } = &mut self.pv.tsc;
        if *offset != Some(self.tsc_offset) {
            *offset = Some(self.tsc_offset);
            vm.arch().clock().agree(part, self.tsc_offset);
            self.refresh_deadline();
            // The structure begins at another TSC.
            self.pv.shown = self.pv.shown.and(Some(STALE));
        }
    }

    /// Whether the guest sees a clock that is not the VM's any more.
    #[inline]
    pub fn is_time_stale(&self) -> bool {
        self.pv
            .shown
            .is_some_and(|shown| shown != self.vm.arch().clock().generation())
    }

    /// KVM_CAP_ENFORCE_PV_FEATURE_CPUID.
    pub fn enforce_pv_features(&mut self, enforcement: Enforcement) {
        self.pv.enforcement = enforcement;
        self.refresh_pv_features();
    }

    /// Takes up the paravirtual features of the vCPU's CPUID.
    pub fn refresh_pv_features(&mut self) {
        let entries = self.cpuid.entries();
        self.features.pv = features::Features::new(entries, self.pv.enforcement);
    }

    /// Asks for a KVM_HC_CLOCK_PAIRING, which [`Core::serve_pv`] answers.
    pub fn request_pairing(&mut self, pairing: Pairing) {
        self.pv.pairing = Some(pairing);
    }

    /// Reads guest memory that may reach over pages.
    fn read_guest(&mut self, gpa: Gpa, data: &mut [u8]) -> Result {
        let (mut at, mut rest) = (gpa, data);
        while !rest.is_empty() {
            let (part, behind) = rest.split_at_mut(rest.len().min(room(at)));
            self.view.read(self.vm.mmu(), at, part)?;
            at = Gpa::new(at.raw().wrapping_add(part.len() as u64));
            rest = behind;
        }
        Ok(())
    }

    /// Writes guest memory that may reach over pages.
    fn write_guest(&mut self, gpa: Gpa, data: &[u8]) -> Result {
        let (mut at, mut rest) = (gpa, data);
        while !rest.is_empty() {
            let (part, behind) = rest.split_at(rest.len().min(room(at)));
            self.view.write(self.vm.mmu(), at, part)?;
            at = Gpa::new(at.raw().wrapping_add(part.len() as u64));
            rest = behind;
        }
        Ok(())
    }

    /// Changes a structure whose version begins it: odd versions tell the guest that the rest is changing.
    fn write_versioned<const N: usize>(
        &mut self,
        gpa: Gpa,
        bytes: impl FnOnce(u32) -> [u8; N],
    ) -> Result {
        let mut found = [0; size_of::<u32>()];
        self.read_guest(gpa, &mut found)?;
        let (changing, changed) = super::pvclock::versions(u32::from_le_bytes(found));
        self.write_guest(gpa, &changing.to_le_bytes())?;
        self.write_guest(gpa, &bytes(changing))?;
        self.write_guest(gpa, &changed.to_le_bytes())
    }
}

/// A generation that a clock never has.
const STALE: u64 = u64::MAX;

/// Bytes from an address to the end of its page.
fn room(gpa: Gpa) -> usize {
    PAGE_SIZE.saturating_sub(gpa.page_offset() as usize)
}
