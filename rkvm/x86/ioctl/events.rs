// SPDX-License-Identifier: GPL-2.0

//! KVM_GET_VCPU_EVENTS and KVM_SET_VCPU_EVENTS: what is on its way into the guest, and what holds
//! it back.
//!
//! INT n, INT3 and INTO whose delivery was cut short are not told: RIP is still at the instruction,
//! which raises them again.

use crate::{
    host::bindings::{
        kvm_vcpu_events, KVM_VCPUEVENT_VALID_NMI_PENDING, KVM_VCPUEVENT_VALID_SHADOW,
        KVM_VCPUEVENT_VALID_SIPI_VECTOR, KVM_VCPUEVENT_VALID_SMM, KVM_VCPUEVENT_VALID_TRIPLE_FAULT,
        KVM_X86_SHADOW_INT_MOV_SS, KVM_X86_SHADOW_INT_STI,
    },
    vmx::field::GUEST_INTERRUPTIBILITY,
    x86::{
        event::{vector, Event, Kind, NmisHeld},
        vcpu::{
            Core, BLOCKING_BY_MOV_SS, BLOCKING_BY_NMI, BLOCKING_BY_STI, BLOCKING_BY_STI_OR_MOV_SS,
        },
        vm_settings::Switch,
    },
};
use kernel::prelude::*;

/// The flags that KVM_SET_VCPU_EVENTS knows. That for the payload of an exception belongs to a capability that is
/// not there, that for a triple fault to one that the VMM has to turn on. A SIPI vector is for KVM_MP_STATE_SIPI_RECEIVED.
const KNOWN_FLAGS: u32 = KVM_VCPUEVENT_VALID_NMI_PENDING
    | KVM_VCPUEVENT_VALID_SIPI_VECTOR
    | KVM_VCPUEVENT_VALID_SHADOW
    | KVM_VCPUEVENT_VALID_SMM
    | KVM_VCPUEVENT_VALID_TRIPLE_FAULT;

/// The last vector of an exception.
const LAST_EXCEPTION: u8 = 31;

/// KVM_GET_VCPU_EVENTS.
pub fn get(core: &mut Core) -> kvm_vcpu_events {
    let loaded = core.load();
    core.settle_step(&loaded);
    let interruptibility = loaded.read(GUEST_INTERRUPTIBILITY);
    let events = &core.events;
    let mut state = kvm_vcpu_events {
        flags: KVM_VCPUEVENT_VALID_NMI_PENDING
            | KVM_VCPUEVENT_VALID_SHADOW
            | KVM_VCPUEVENT_VALID_SMM,
        ..kvm_vcpu_events::default()
    };
    if let Some(event) = events.due {
        match event.info.kind() {
            Kind::Exception => {
                state.exception.injected = 1;
                state.exception.nr = event.info.vector();
                state.exception.has_error_code = u8::from(event.info.has_error_code());
                state.exception.error_code = event.error_code;
            }
            Kind::Nmi => state.nmi.injected = 1,
            _ => (),
        }
    }
    if let Some(vector) = events.interrupt.or(events.cut_short_interrupt()) {
        state.interrupt.injected = 1;
        state.interrupt.nr = vector;
    }
    if core.vm.arch().settings.is_on(Switch::TripleFaultEvent) {
        state.flags |= KVM_VCPUEVENT_VALID_TRIPLE_FAULT;
        state.triple_fault.pending = u8::from(events.triple_fault);
    }
    state.interrupt.shadow = shadow(interruptibility);
    state.nmi.pending = events.nmis;
    state.nmi.masked = u8::from(interruptibility & BLOCKING_BY_NMI != 0);
    state
}

/// KVM_SET_VCPU_EVENTS. `EINVAL` for unknown flags, for an exception that is none, and for system
/// management mode, which guests do not have; with nothing changed.
pub fn set(core: &mut Core, state: &kvm_vcpu_events) -> Result {
    let has = |flag| state.flags & flag != 0;
    let smi = &state.smi;
    let in_smm = smi.smm != 0 || smi.pending != 0 || smi.smm_inside_nmi != 0;
    if state.flags & !KNOWN_FLAGS != 0 || has(KVM_VCPUEVENT_VALID_SMM) && in_smm {
        return Err(EINVAL);
    }
    let exception = exception(state)?;
    let triple_fault = has(KVM_VCPUEVENT_VALID_TRIPLE_FAULT);
    if triple_fault && !core.vm.arch().settings.is_on(Switch::TripleFaultEvent) {
        return Err(EINVAL);
    }

    if let (true, Some(apic)) = (has(KVM_VCPUEVENT_VALID_SIPI_VECTOR), &core.apic) {
        apic.target.inbox.set_sipi_vector(state.sipi_vector as u8);
    }

    let loaded = core.load();
    let mut interruptibility = loaded.read(GUEST_INTERRUPTIBILITY) & !BLOCKING_BY_NMI;
    if state.nmi.masked != 0 {
        interruptibility |= BLOCKING_BY_NMI;
    }
    if has(KVM_VCPUEVENT_VALID_SHADOW) {
        interruptibility &= !BLOCKING_BY_STI_OR_MOV_SS;
        interruptibility |= blocking(state.interrupt.shadow);
    }
    loaded.write(GUEST_INTERRUPTIBILITY, interruptibility);

    let interrupt = (state.interrupt.injected != 0).then_some(state.interrupt.nr);
    let (soft, external) = if state.interrupt.soft != 0 {
        (interrupt.map(Event::software_interrupt), None)
    } else {
        (None, interrupt)
    };
    let nmi = (state.nmi.injected != 0).then_some(Event::NMI);
    let events = &mut core.events;
    // Only one of them can be in the middle of its delivery. An interrupt waits beside it.
    events.due = exception.or(nmi).or(soft);
    events.interrupt = external;
    if triple_fault {
        events.triple_fault = state.triple_fault.pending != 0;
    }
    if has(KVM_VCPUEVENT_VALID_NMI_PENDING) {
        let held = if state.nmi.masked != 0 || state.nmi.injected != 0 {
            NmisHeld::Yes
        } else {
            NmisHeld::No
        };
        events.set_nmis(state.nmi.pending, held);
    }
    Ok(())
}

/// The exception to deliver. Error codes have 16 bits; an entry with more would fail.
fn exception(state: &kvm_vcpu_events) -> Result<Option<Event>> {
    let exception = &state.exception;
    if exception.injected == 0 {
        return Ok(None);
    }
    if exception.nr > LAST_EXCEPTION || exception.nr == vector::NMI {
        return Err(EINVAL);
    }
    Ok(Some(match exception.nr {
        vector::BREAKPOINT | vector::OVERFLOW => Event::software_exception(exception.nr),
        number => {
            let error_code = u32::from(exception.error_code as u16);
            let has_error_code = exception.has_error_code != 0;
            Event::exception(number, has_error_code.then_some(error_code))
        }
    }))
}

/// The interrupt shadow that a guest's interruptibility state tells of.
fn shadow(interruptibility: u32) -> u8 {
    let mut shadow = 0;
    if interruptibility & BLOCKING_BY_STI != 0 {
        shadow |= KVM_X86_SHADOW_INT_STI;
    }
    if interruptibility & BLOCKING_BY_MOV_SS != 0 {
        shadow |= KVM_X86_SHADOW_INT_MOV_SS;
    }
    shadow as u8
}

/// The interruptibility state of an interrupt shadow. MOV SS blocks all that STI does, and both at once do not
/// exist.
fn blocking(shadow: u8) -> u32 {
    let shadow = u32::from(shadow);
    if shadow & KVM_X86_SHADOW_INT_MOV_SS != 0 {
        BLOCKING_BY_MOV_SS
    } else if shadow & KVM_X86_SHADOW_INT_STI != 0 {
        BLOCKING_BY_STI
    } else {
        0
    }
}
