// SPDX-License-Identifier: GPL-2.0

//! Port I/O that the VMM carries out: IN and OUT. INS and OUTS go through
//! [`machine`](crate::x86::machine), which also reaches memory.

use crate::{
    run_page::{Direction, PortAccess, RunPage, UserExit},
    vmx::{exit::IoQualification, field::EXIT_INSTRUCTION_LENGTH, vmcs::Loaded},
    x86::{
        insn::Gpr,
        vcpu::{Core, Pending},
    },
};

/// An IN or OUT that the VMM is carrying out.
#[derive(Clone, Copy, Debug)]
pub struct PortIo {
    direction: Direction,
    size: u8,
    rip: u64,
    length: u32,
}

/// Hands an IN or OUT to the VMM.
#[inline]
pub fn begin(
    core: &mut Core,
    loaded: &Loaded,
    page: &RunPage,
    qualification: IoQualification,
) -> UserExit {
    let size = qualification.size();
    let direction = if qualification.is_in() {
        Direction::In
    } else {
        page.write_io(core.guest.registers.get(Gpr::RAX) as u32, size);
        Direction::Out
    };
    core.pending = Pending::Port(PortIo {
        direction,
        size,
        rip: core.guest.rip(loaded),
        length: loaded.read(EXIT_INSTRUCTION_LENGTH),
    });
    UserExit::Io(PortAccess {
        direction,
        size,
        port: qualification.port(),
        count: 1,
    })
}

/// Takes the VMM's answer. The instruction counts as executed unless the VMM has moved RIP meanwhile.
pub fn finish(core: &mut Core, page: &RunPage, io: &PortIo) {
    if io.direction == Direction::In {
        let value = page.read_io(io.size);
        let rax = core.guest.registers.get(Gpr::RAX);
        core.guest
            .registers
            .set(Gpr::RAX, merge_rax(rax, value, io.size));
    }
    let loaded = core.load();
    if core.guest.rip(&loaded) == io.rip {
        core.skip_bytes(&loaded, io.length);
    }
}

/// RAX after a read of `size` bytes: 4 bytes clear the upper half, fewer leave the rest.
fn merge_rax(rax: u64, value: u32, size: u8) -> u64 {
    match size {
        1 => rax & !0xff | u64::from(value as u8),
        2 => rax & !0xffff | u64::from(value as u16),
        _ => u64::from(value),
    }
}
