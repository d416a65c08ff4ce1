// SPDX-License-Identifier: GPL-2.0

//! KVM_X86_SETUP_MCE and KVM_X86_SET_MCE: which machine-check banks a vCPU has, and errors that its VMM reports to
//! it.

use crate::{
    host::bindings::kvm_x86_mce,
    x86::{
        event::{vector, Event},
        msr::machine_check::{Delivery, Error},
        vcpu::Core,
    },
};
use kernel::prelude::*;

/// KVM_X86_SETUP_MCE. `EINVAL` for a value of IA32_MCG_CAP with no or too many banks, or with features other than
/// those of KVM_X86_GET_MCE_CAP_SUPPORTED.
pub fn setup(core: &mut Core, capabilities: u64) -> Result {
    core.msrs
        .machine_check()
        .setup(capabilities)
        .map_err(|_| EINVAL)
}

/// KVM_X86_SET_MCE. `EINVAL` for a bank that is not there and for an error that is not valid.
pub fn inject(core: &mut Core, error: &kvm_x86_mce) -> Result {
    let loaded = core.load();
    let cr4 = core.guest.cr4(&loaded);
    drop(loaded);
    let error = Error {
        bank: error.bank.into(),
        status: error.status,
        address: error.addr,
        miscellaneous: error.misc,
        global_status: error.mcg_status,
    };
    let delivery = core
        .msrs
        .machine_check()
        .report(&error, cr4)
        .map_err(|_| EINVAL)?;
    match delivery {
        Delivery::Silent => (),
        Delivery::Exception => core
            .events
            .raise(Event::exception(vector::MACHINE_CHECK, None)),
        Delivery::Shutdown => core.events.triple_fault = true,
    }
    Ok(())
}
