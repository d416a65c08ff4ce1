// SPDX-License-Identifier: GPL-2.0

//! What is counted about a VM as a whole.

use crate::{
    stats::{Description, Kind, Name, Owner, Source},
    vm::Vm,
};

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

impl Source for Vm {
    fn name(&self) -> Name {
        let process = self.creator();
        Owner::Vm { process }.name()
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
