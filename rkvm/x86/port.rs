// SPDX-License-Identifier: GPL-2.0

//! Port I/O: IN and OUT, which a device in the kernel or the VMM carries out. INS and OUTS go through
//! [`machine`](crate::x86::machine), which also reaches memory.

use crate::{
    bus::Handled,
    run_page::{Reported, RunPage},
    step_log::log_step,
    vmx::{exit::IoQualification, field::EXIT_INSTRUCTION_LENGTH, vmcs::Loaded},
    x86::{
        devices::Address,
        insn::Gpr,
        user_exit::{Direction, PortAccess, UserExit},
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

/// Has a device in the kernel carry out an IN or OUT. The instruction is executed then.
#[inline]
pub fn try_devices(core: &mut Core, loaded: &Loaded, qualification: IoQualification) -> Handled {
    let size = qualification.size();
    let port = Address::Port(qualification.port());
    let rax = core.guest.registers.get(Gpr::RAX);
    let mut data = (rax as u32).to_le_bytes();
    let Some(item) = data.get_mut(..size.into()) else {
        return Handled::No;
    };
    let handled = if qualification.is_in() {
        core.device_read(loaded.here(), port, item)
    } else {
        core.device_write(loaded.here(), port, item)
    };
    if handled == Handled::Yes {
        if qualification.is_in() {
            let rax = merge_rax(rax, u32::from_le_bytes(data), size);
            core.guest.registers.set(Gpr::RAX, rax);
        }
        core.skip(loaded);
    }
    handled
}

/// Hands an IN or OUT to the VMM.
#[inline]
pub fn begin(
    core: &mut Core,
    loaded: &Loaded,
    page: &RunPage,
    qualification: IoQualification,
) -> Reported {
    let size = qualification.size();
    let direction = if qualification.is_in() {
        Direction::In
    } else {
        page.write_io(core.guest.registers.get(Gpr::RAX) as u32, size);
        Direction::Out
    };
    let rip = core.guest.rip(loaded);
    core.pending = Pending::Port(PortIo {
        direction,
        size,
        rip,
        length: loaded.read(EXIT_INSTRUCTION_LENGTH),
    });
    let access = PortAccess {
        direction,
        size,
        port: qualification.port(),
        count: 1,
    };
    log_step!("rip {rip:#x}: to the VMM: {:x?}\n", UserExit::Io(access));
    access.report(page)
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
