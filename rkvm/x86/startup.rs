// SPDX-License-Identifier: GPL-2.0

//! How a vCPU starts: INIT and start-up IPI (SDM volume 3, sections 11.1 and 10.4).

use crate::{
    vmx::{field::*, vmcs::Loaded},
    x86::{
        activity::Activity,
        event::Events,
        inbox::Vectors,
        insn::Gpr,
        lapic::Reset,
        regs::{reset, rules::PagingState, segment::SegmentRegister, Cr0},
        vcpu::Core,
    },
};

impl Core {
    /// INIT: registers but for those of the FPU and most MSRs are as after power-up. The bootstrap processor goes
    /// on from there, others wait for a start-up IPI.
    pub fn init(&mut self, loaded: &Loaded) {
        const CACHING: Cr0 = Cr0::CD.with(Cr0::NW);
        self.reset_eoi();
        let Some(apic) = &mut self.apic else {
            return;
        };
        apic.lapic().reset(Reset::Init);
        apic.target.inbox.drop_vectors(Vectors::default());
        apic.publish();
        self.activity = if apic.is_bootstrap() {
            Activity::Running
        } else {
            Activity::WaitingForSipi
        };
        let caching = self.guest.cr0(loaded).raw() & CACHING.raw();
        self.events = Events::default();
        self.debug.reset();
        self.guest.reset_registers(loaded);
        self.set_dr7(loaded, reset::DR7);
        let paging = PagingState {
            cr0: Cr0::new(reset::CR0.without(CACHING).raw() | caching),
            ..PagingState::default()
        };
        self.set_paging(loaded, &paging);
        if let Some(signature) = self.cpuid.signature() {
            self.guest.registers.set(Gpr::RDX, u64::from(signature));
        }
        for field in [
            GUEST_INTERRUPTIBILITY,
            GUEST_ACTIVITY_STATE,
            GUEST_SYSENTER_CS,
        ] {
            loaded.write(field, 0);
        }
        for field in [
            GUEST_DEBUGCTL,
            GUEST_PENDING_DEBUG_EXCEPTIONS,
            GUEST_SYSENTER_ESP,
            GUEST_SYSENTER_EIP,
        ] {
            loaded.write(field, 0);
        }
        self.refresh_cpuid(paging.cr4);
        self.drop_translations();
    }

    /// A start-up IPI: execution begins at physical page `page`. Whether it has an effect: it has none unless the
    /// vCPU waits for it.
    pub fn start(&mut self, loaded: &Loaded, page: u8) -> bool {
        const SELECTOR_SHIFT: u32 = 8;
        const BASE_SHIFT: u32 = 12;
        if self.activity != Activity::WaitingForSipi {
            return false;
        }
        let mut cs = reset::segment(SegmentRegister::Cs);
        cs.selector = u16::from(page) << SELECTOR_SHIFT;
        cs.base = u64::from(page) << BASE_SHIFT;
        self.guest.set_segment(loaded, SegmentRegister::Cs, &cs);
        self.guest.set_rip(0);
        self.activity = Activity::Running;
        true
    }
}
