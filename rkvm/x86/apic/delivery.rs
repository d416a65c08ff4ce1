// SPDX-License-Identifier: GPL-2.0

//! Who delivers a local APIC's interrupts while the guest runs: this module, or, in x2APIC mode, a processor that
//! can (SDM volume 3, chapter 31).
//!
//! Under [`Delivery::Virtual`] the register page is the processor's from each entry on: it delivers and ends
//! interrupts and changes priorities there, without exits. What [`Lapic`](crate::x86::lapic::Lapic) keeps beside the
//! page is out of date then, until [`Apic::lapic`] is next asked for; what was changed here since is handed over
//! by the next entry. In xAPIC mode every access exits: registers in memory would need a page that all guests of the
//! machine share, for little, as guests that care use x2APIC mode.

use super::Apic;
use crate::{
    host::x86::{heap::heap_hpa, posted_interrupts},
    vmx::{field::*, interrupt_status::InterruptStatus, vmcs::Loaded},
    x86::{
        event::{InterruptionInfo, Kind},
        message::ApicMode,
        regs::Rflags,
        vcpu::Core,
    },
};

/// Who delivers interrupts.
#[derive(Debug)]
pub(super) enum Delivery {
    /// This module: accesses to the registers exit, and interrupts are injected.
    Software,
    /// The processor.
    Virtual(Handover),
}

/// What module and processor know of each other's work.
#[derive(Debug)]
pub(super) struct Handover {
    knowledge: Knowledge,
    /// The generation of the vectors whose EOI exits, as the VMCS has them.
    eoi_generation: Option<u64>,
    /// The last entry delivered an event of this module's.
    injected: bool,
}

/// What this module knows about interrupts and priorities in the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Knowledge {
    /// Everything, and the processor may not know it yet.
    Exact,
    /// The guest has run since.
    Outdated,
}

impl Delivery {
    /// Whether the processor delivers.
    #[inline(always)]
    pub(super) fn is_virtual(&self) -> bool {
        matches!(self, Self::Virtual(_))
    }

    /// Makes knowledge exact. Whether it was out of date, so that the page has to be looked at.
    #[inline]
    pub(super) fn makes_exact(&mut self) -> bool {
        match self {
            Self::Software => false,
            Self::Virtual(Handover { knowledge, .. }) => {
                core::mem::replace(knowledge, Knowledge::Exact) == Knowledge::Outdated
            }
        }
    }
}

impl Core {
    /// Before the guest runs: chooses by the mode who delivers.
    #[inline]
    pub fn choose_delivery(&mut self, loaded: &Loaded) {
        let Some(apic) = &self.apic else {
            return;
        };
        let wanted = apic.registers().mode() == ApicMode::X2Apic
            && self.platform().x2apic_msr_bitmap().is_some()
            && !self.guest_debug.blocks_interrupts();
        if wanted != apic.delivery.is_virtual() {
            self.change_delivery(loaded);
        }
    }

    /// Whether the processor has the registers of the local APIC.
    pub fn has_virtual_x2apic(&self) -> bool {
        let apic = self.apic.as_ref();
        apic.is_some_and(|apic| apic.delivery.is_virtual())
    }

    #[cold]
    fn change_delivery(&mut self, loaded: &Loaded) {
        let Some(apic) = &mut self.apic else {
            return;
        };
        let platform = self.vm.platform();
        match (platform.x2apic_msr_bitmap(), &apic.delivery) {
            (Some(_), Delivery::Software) => {
                apic.delivery = Delivery::Virtual(Handover {
                    knowledge: Knowledge::Exact,
                    eoi_generation: None,
                    injected: false,
                });
                let page = heap_hpa(apic.registers().page());
                loaded.write(VIRTUAL_APIC_ADDRESS, page.raw());
                loaded.write(TPR_THRESHOLD, 0);
                self.controls = self.controls.with_virtual_x2apic();
                if platform.controls.has_posted_interrupts() && !has_flaws() {
                    let vector = posted_interrupts::VECTOR.into();
                    loaded.write(POSTED_INTERRUPT_NOTIFICATION_VECTOR, vector);
                    let descriptor = heap_hpa(&apic.target.inbox);
                    loaded.write(POSTED_INTERRUPT_DESCRIPTOR_ADDRESS, descriptor.raw());
                    self.controls = self.controls.with_posted_interrupts();
                    apic.target.publish_posted(true);
                }
            }
            _ => {
                apic.lapic();
                apic.delivery = Delivery::Software;
                apic.target.publish_posted(false);
                self.controls = self.controls.without_virtual_x2apic();
            }
        }
        loaded.write(PIN_BASED_CONTROLS, self.controls.pin.raw());
        loaded.write(EXIT_CONTROLS, self.controls.exit.raw());
        loaded.write(PRIMARY_CONTROLS, self.controls.primary.raw());
        loaded.write(SECONDARY_CONTROLS, self.controls.secondary.raw());
        self.set_msr_bitmap(loaded);
    }

    /// An exit has cut the delivery of an event short, and says that it was `reported`. Where that cannot be relied on
    /// (the module parameter `flawed_apicv`), looks whether it was an interrupt that the processor delivered: one
    /// is in service, no event was injected, and interrupts were on, or are no matter. Then undoes that, and the
    /// interrupt is delivered again; if it was another event, that happens again, too.
    pub fn undo_delivery(&mut self, loaded: &Loaded, reported: InterruptionInfo) -> bool {
        if !has_flaws() {
            return false;
        }
        let interrupts_on = self.guest.rflags(loaded).contains(Rflags::IF);
        let Some(apic) = &mut self.apic else {
            return false;
        };
        let Delivery::Virtual(Handover {
            injected: false, ..
        }) = apic.delivery
        else {
            return false;
        };
        (interrupts_on || reported.kind() == Kind::External) && apic.lapic().undo_delivery()
    }
}

/// Whether the processor is an emulator's whose virtual-interrupt delivery has flaws: it tells of another event when an
/// exit cuts a delivery short, and cannot be relied on for posted interrupts.
fn has_flaws() -> bool {
    *crate::module_parameters::flawed_apicv.value() != 0
}

impl Apic {
    /// The next entry injects an event.
    pub fn note_injection(&mut self) {
        if let Delivery::Virtual(handover) = &mut self.delivery {
            handover.injected = true;
        }
    }

    /// Before an entry: tells a processor that delivers what has changed.
    #[inline(always)]
    pub(super) fn hand_over(&mut self, loaded: &Loaded) {
        let Delivery::Virtual(handover) = &mut self.delivery else {
            return;
        };
        handover.injected = false;
        let generation = self.interrupts.eoi_generation();
        if handover.eoi_generation.replace(generation) != Some(generation) {
            let fields = [
                EOI_EXIT_BITMAP_0,
                EOI_EXIT_BITMAP_1,
                EOI_EXIT_BITMAP_2,
                EOI_EXIT_BITMAP_3,
            ];
            for (field, vectors) in fields.into_iter().zip(self.interrupts.eoi_vectors()) {
                loaded.write(field, vectors);
            }
        }
        if core::mem::replace(&mut handover.knowledge, Knowledge::Outdated) == Knowledge::Exact {
            let status = InterruptStatus::new(
                self.lapic.highest_requested(),
                self.lapic.highest_in_service(),
            );
            loaded.write(GUEST_INTERRUPT_STATUS, status.raw());
        }
    }
}
