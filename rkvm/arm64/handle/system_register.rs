// SPDX-License-Identifier: GPL-2.0

//! Accesses to system registers that trap.

use crate::arm64::{
    counters::Event, exit::Syndrome, loaded::Loaded, run::Leave, sysreg::SysReg, vcpu::Core,
    vgic::gic::sgi,
};

const ICC_SGI1R_EL1: SysReg = SysReg::new(3, 0, 12, 11, 5);
const ICC_DIR_EL1: SysReg = SysReg::new(3, 0, 12, 11, 1);

/// MSR, MRS or a system instruction.
pub fn trapped(core: &mut Core, loaded: &Loaded, syndrome: Syndrome) -> Option<Leave> {
    core.counters.count(Event::SystemRegisterExit);
    let iss = syndrome.iss();
    let register = SysReg::from_iss(iss);
    let value = core.regs.get((iss >> 5 & 0x1f) as u8);
    match register {
        ICC_SGI1R_EL1 => core.interrupts.send_sgi(sgi::Register::Sgi1, value),
        ICC_DIR_EL1 => core.interrupts.write_dir(value),
        _ => return super::undefined(core, loaded, syndrome),
    }
    core.regs.skip_instruction();
    None
}
