// SPDX-License-Identifier: GPL-2.0

//! What the processors have, and whether they are free for a hypervisor.

// UNSAFETY: calls kernel functions that read what the kernel knows.
#![expect(unsafe_code)]

use crate::{arm64::sysreg::SysReg, host::bindings};

/// An identification register as the kernel has made it safe to rely on: no processor of the machine has less. Only
/// for registers that the kernel keeps; for others it warns.
pub fn sanitised(register: SysReg) -> u64 {
    let (op0, op1) = (register.op0().into(), register.op1().into());
    let (crn, crm, op2) = (
        register.crn().into(),
        register.crm().into(),
        register.op2().into(),
    );
    // SAFETY: looks the register up in the kernel's table.
    unsafe { bindings::rkvm_sanitised_register(op0, op1, crn, crm, op2) }
}

/// Whether a processor that can set access flags of stage 2 does it right (erratum AC03_CPU_38 of AmpereOne).
pub fn sets_access_flags() -> bool {
    // SAFETY: reads a flag that is fixed after boot.
    unsafe { bindings::rkvm_stage2_sets_access_flags() }
}

/// Whether some memory has a physical address of more than so many bits, less than 64.
pub fn has_memory_above(bits: u32) -> bool {
    // SAFETY: compares a variable of the kernel.
    unsafe { bindings::rkvm_has_memory_above(bits) }
}

/// Whether the kernel itself runs at EL2, which only VHE allows.
pub fn is_kernel_at_el2() -> bool {
    // SAFETY: reads CurrentEL.
    unsafe { bindings::rkvm_kernel_at_el2() }
}

/// Whether guests can read the processor's CTR_EL0 while other registers of caches trap (FEAT_EVT), and read the same
/// on all processors.
pub fn is_cache_type_shown() -> bool {
    // SAFETY: reads what the kernel knows of the processors.
    unsafe { bindings::rkvm_cache_type_shown() }
}

/// Whether the kernel's own KVM has registered its device: then EL2 is its.
pub fn has_rival() -> bool {
    // SAFETY: asks for the device's number, and gives it back at once.
    unsafe { bindings::rkvm_kvm_node_taken() }
}
