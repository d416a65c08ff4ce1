// SPDX-License-Identifier: GPL-2.0

//! What is counted about a VM as a whole.

use crate::{
    stats::{padded, Description, Kind, Name, Source},
    vm::Vm,
};
use kernel::{prelude::*, str::CString};

/// A value, and where it comes from.
struct Value {
    description: Description,
    get: fn(&Vm) -> u64,
}

const VALUES: &[Value] = &[Value {
    description: Description {
        name: "remote_tlb_flush",
        kind: Kind::Events,
    },
    get: |vm| vm.mmu().vcpus().generation().current(),
}];

/// The name of a VM's values, after the process that made it. `ENOMEM`.
pub fn vm_name(process: i32) -> Result<Name> {
    let text = CString::try_from_fmt(fmt!("kvm-{process}"))?;
    Ok(padded(text.to_bytes()))
}

/// The name of a vCPU's. `ENOMEM`.
pub fn vcpu_name(process: i32, id: u32) -> Result<Name> {
    let text = CString::try_from_fmt(fmt!("kvm-{process}/vcpu-{id}"))?;
    Ok(padded(text.to_bytes()))
}

impl Source for Vm {
    fn name(&self) -> Name {
        *self.stats_name()
    }

    fn count(&self) -> usize {
        VALUES.len()
    }

    fn description(&self, number: usize) -> Option<Description> {
        VALUES.get(number).map(|value| value.description)
    }

    fn value(&self, number: usize) -> u64 {
        VALUES.get(number).map_or(0, |value| (value.get)(self))
    }
}
