// SPDX-License-Identifier: GPL-2.0

//! Stage-2 faults.

use crate::{
    arm64::{
        counters::Event,
        exception::{self, status, Aborted},
        exit::{Abort, FaultStatus, Syndrome},
        loaded::Loaded,
        registers::*,
        run::{FaultInfo, Leave},
        traps::InGuestWorld,
        vcpu::Core,
    },
    types::{Gpa, PAGE_OFFSET_MASK, PAGE_SHIFT},
};

/// FIPA in HPFAR_EL2: bits 51 to 12 of the address.
const FIPA: u64 = 0xfff_ffff_fff0;
const FIPA_SHIFT: u32 = 4;

/// PAR_EL1: the translation failed.
const PAR_FAILED: u64 = 1 << 0;
/// PAR_EL1: bits 51 to 12 of the address.
const PAR_ADDRESS: u64 = 0xf_ffff_ffff_f000;

/// The guest's access is not mapped, or not for this kind of access.
pub fn abort(
    core: &mut Core,
    loaded: &Loaded,
    world: &InGuestWorld<'_>,
    syndrome: Syndrome,
) -> Option<Leave> {
    core.counters.count(Event::FaultExit);
    let iss = Abort::from(syndrome.iss());
    let far = FarEl2::read();
    let fault = iss.fault();
    match fault {
        FaultStatus::External | FaultStatus::Other(_) => {
            return refuse(core, loaded, syndrome, far, status::EXTERNAL);
        }
        FaultStatus::ExclusiveOrAtomic => {
            return refuse(core, loaded, syndrome, far, status::EXCLUSIVE_OR_ATOMIC);
        }
        FaultStatus::TlbConflict => {
            // The guest has changed its tables without the steps between; it gets what they say now.
            core.forget_translations();
            return Some(Leave::Reload);
        }
        FaultStatus::AddressSize
        | FaultStatus::Translation
        | FaultStatus::AccessFlag
        | FaultStatus::Permission => (),
    }
    let Some(page) = page(core, loaded, world, iss, far) else {
        // The guest has changed its own tables meanwhile: it will fault again.
        return None;
    };
    if fault == FaultStatus::AddressSize || page >> core.vm.platform().stage2.pa_bits() != 0 {
        return refuse(core, loaded, syndrome, far, status::ADDRESS_SIZE);
    }
    if page >> core.vm.mmu().format().ipa_bits() != 0 {
        // The guest is told of wider addresses than its VM has.
        if iss.table_walk().into_bool() {
            let gpa = Gpa::new(page);
            return Some(Leave::Mmio(FaultInfo { gpa, far, syndrome }));
        }
        return refuse(core, loaded, syndrome, far, status::EXTERNAL);
    }
    Some(Leave::Fault(FaultInfo {
        gpa: Gpa::new(page | far & PAGE_OFFSET_MASK),
        far,
        syndrome,
    }))
}

/// The access fails in the guest.
fn refuse(
    core: &mut Core,
    loaded: &Loaded,
    syndrome: Syndrome,
    far: u64,
    status: u64,
) -> Option<Leave> {
    let aborted = Aborted::of(syndrome);
    exception::abort(
        &mut core.regs,
        &mut &*loaded,
        aborted,
        far,
        status,
        syndrome,
    );
    None
}

/// The guest physical page. HPFAR_EL2 does not tell it for a permission fault of the access itself; there the
/// guest's stage 1 is asked, which has allowed the access before. `None` if that has no answer any more.
fn page(
    core: &Core,
    loaded: &Loaded,
    world: &InGuestWorld<'_>,
    iss: Abort,
    far: u64,
) -> Option<u64> {
    if iss.fault() != FaultStatus::Permission || iss.table_walk().into_bool() {
        return Some((HpfarEl2::read() & FIPA) >> FIPA_SHIFT << PAGE_SHIFT);
    }
    let here = world.here();
    let saved = ParEl1::read();
    if core.host_ids().translates_any_access() {
        // Where permissions are indirect EL1 may not even read what EL0 can use.
        translate_el1_any(loaded.here(), far);
    } else {
        translate_el1_read(loaded.here(), far);
    }
    let translated = ParEl1::read();
    ParEl1::write(here, saved);
    (translated & PAR_FAILED == 0).then_some(translated & PAR_ADDRESS)
}
