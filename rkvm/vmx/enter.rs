// SPDX-License-Identifier: GPL-2.0

//! The world switch: the register block that `world_switch.S` works on, and the call into it.

// UNSAFETY: calls assembly that leaves the kernel for the guest and comes back.
#![expect(unsafe_code)]

use crate::{
    host::{cpu::IrqOff, x86::speculation::Exchanged},
    vmx::vmcs::{Launch, Loaded},
    x86::insn::Gpr,
};

/// The guest's general registers while the host runs, in ModRM order (slot 4, RSP, lives in the VMCS
/// and is not used here), the stack pointer last written to HOST_RSP, and the values of IA32_SPEC_CTRL where the world
/// switch exchanges them.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct GuestRegisters {
    gpr: [u64; 16],
    host_rsp: u64,
    spec_ctrl: Exchanged,
}

impl GuestRegisters {
    /// A register's value; not for RSP.
    #[inline(always)]
    pub fn get(&self, register: Gpr) -> u64 {
        self.gpr[register.number()]
    }

    /// Sets a register; not for RSP.
    #[inline(always)]
    pub fn set(&mut self, register: Gpr, value: u64) {
        self.gpr[register.number()] = value;
    }

    /// Sets what entries and exits write to IA32_SPEC_CTRL, if they do.
    #[inline(always)]
    pub fn set_spec_ctrl(&mut self, values: Exchanged) {
        self.spec_ctrl = values;
    }
}

extern "C" {
    fn rkvm_vmx_enter(registers: *mut GuestRegisters, launched: u64) -> u64;
    fn rkvm_vmx_exit();
}

/// VMLAUNCH or VMRESUME failed: the VMCS is not usable as it is.
#[derive(Clone, Copy, Debug)]
pub struct EntryFailed;

/// Runs the guest of the loaded VMCS until its next VM exit.
#[inline]
pub fn enter(
    _loaded: &Loaded,
    _irq_off: &IrqOff<'_>,
    registers: &mut GuestRegisters,
    launch: Launch,
) -> Result<(), EntryFailed> {
    let launched = match launch {
        Launch::Clear => 0,
        Launch::Launched => 1,
    };
    // SAFETY: the VMCS is current on this CPU and interrupts are off. Its host area makes the exit
    // return to this call: HOST_RIP is `exit_address`, HOST_RSP is written by the callee, and the
    // rest was set up for this CPU and thread when the VMCS was loaded.
    match unsafe { rkvm_vmx_enter(registers, launched) } {
        0 => Ok(()),
        _ => Err(EntryFailed),
    }
}

/// Where a VM exit goes: HOST_RIP.
pub fn exit_address() -> u64 {
    rkvm_vmx_exit as usize as u64
}
