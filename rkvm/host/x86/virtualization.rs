// SPDX-License-Identifier: GPL-2.0

//! VMX operation of the current CPU, through the kernel's reference count.

// UNSAFETY: calls the kernel's enable and disable functions.
#![expect(unsafe_code)]

use crate::host::{bindings, symbols};
use kernel::{error::to_result, prelude::*};

/// X86_FEATURE_VMX: word 4, bit 5 (asm/cpufeatures.h).
const FEATURE_VMX: i32 = 4 * 32 + 5;

/// Whether the kernel found usable VMX when it booted (present, and not turned off by firmware).
pub fn has_vmx() -> bool {
    // SAFETY: reads the boot CPU's features.
    unsafe { bindings::rkvm_cpu_has_vmx() }
}

/// Puts the current CPU in VMX operation, or counts one more user of it.
///
/// `EOPNOTSUPP` without VMX, `EBUSY` if something that the kernel does not know of is using it.
pub fn enable_cpu() -> Result {
    let functions = symbols::functions().ok_or(ENOENT)?;
    // SAFETY: called on the CPU in question by a hotplug callback.
    to_result(unsafe { (functions.x86_virt_get_ref)(FEATURE_VMX) })
}

/// Drops one use; the last one leaves VMX operation.
pub fn disable_cpu() {
    if let Some(functions) = symbols::functions() {
        // SAFETY: pairs with `enable_cpu` on this CPU.
        unsafe { (functions.x86_virt_put_ref)(FEATURE_VMX) };
    }
}
