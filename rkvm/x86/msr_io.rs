// SPDX-License-Identifier: GPL-2.0

//! RDMSR and WRMSR that the VMM carries out (KVM_CAP_X86_USER_SPACE_MSR).

use crate::{
    run_page::RunPage,
    vmx::{field::EXIT_INSTRUCTION_LENGTH, run::Leave, vmcs::Loaded},
    x86::{
        event::Event,
        insn::Gpr,
        user_exit::{Direction, MsrAccess, UserExit},
        vcpu::{Core, Pending},
    },
};

/// One that the VMM is carrying out.
#[derive(Clone, Copy, Debug)]
pub struct MsrIo {
    direction: Direction,
    rip: u64,
    length: u32,
}

/// Hands the instruction that has exited to the VMM.
pub fn begin(core: &mut Core, loaded: &Loaded, page: &RunPage, access: MsrAccess) -> Leave {
    core.pending = Pending::Msr(MsrIo {
        direction: access.direction,
        rip: core.guest.rip(loaded),
        length: loaded.read(EXIT_INSTRUCTION_LENGTH),
    });
    core.leave_for_vmm(loaded, page, &UserExit::Msr(access))
}

/// Takes the VMM's answer. The instruction counts as executed unless the VMM has moved RIP meanwhile.
pub fn finish(core: &mut Core, page: &RunPage, io: &MsrIo) {
    let Some(value) = page.msr_data() else {
        core.events.raise(Event::GENERAL_PROTECTION);
        return;
    };
    if io.direction == Direction::In {
        let registers = &mut core.guest.registers;
        registers.set(Gpr::RAX, value & u64::from(u32::MAX));
        registers.set(Gpr::RDX, value >> 32);
    }
    let loaded = core.load();
    if core.guest.rip(&loaded) == io.rip {
        core.skip_bytes(&loaded, io.length);
    }
}
