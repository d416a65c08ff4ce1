// SPDX-License-Identifier: GPL-2.0

//! The VMX instructions (SDM volume 3, chapter 32).
//!
//! All of them need VMX operation, which the module holds on every online CPU while it is loaded.

// UNSAFETY: VMX instructions.
#![expect(unsafe_code)]

use super::field::{Field, FieldValue};
use crate::types::Hpa;
use core::arch::asm;

/// The instruction set CF or ZF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VmFail;

fn check(failed: u8) -> Result<(), VmFail> {
    match failed {
        0 => Ok(()),
        _ => Err(VmFail),
    }
}

/// Makes the VMCS at `vmcs` active and current on this CPU.
///
/// # Safety
///
/// Preemption must be off and the VMCS, with the right revision, active on no other CPU.
pub unsafe fn vmptrld(vmcs: Hpa) -> Result<(), VmFail> {
    let failed: u8;
    let pointer = vmcs.raw();
    // SAFETY: as the caller says.
    unsafe {
        asm!("vmptrld [{}]", "setbe {}", in(reg) &pointer, out(reg_byte) failed, options(nostack));
    }
    check(failed)
}

/// Writes the VMCS at `vmcs` back to memory and makes it inactive and clear.
///
/// # Safety
///
/// Preemption must be off; `vmcs` must be a VMCS of this module that other CPUs do not have active.
pub unsafe fn vmclear(vmcs: Hpa) -> Result<(), VmFail> {
    let failed: u8;
    let pointer = vmcs.raw();
    // SAFETY: as the caller says.
    unsafe {
        asm!("vmclear [{}]", "setbe {}", in(reg) &pointer, out(reg_byte) failed, options(nostack));
    }
    check(failed)
}

/// Reads a field of the current VMCS; 0 if this CPU does not have the field.
///
/// # Safety
///
/// A VMCS must be current.
#[inline(always)]
pub unsafe fn vmread<T: FieldValue>(field: Field<T>) -> T {
    let value: u64;
    // SAFETY: as the caller says; a field that is not there fails without effect.
    unsafe {
        asm!(
            "vmread {value}, {field}",
            "ja 2f",
            "xor {value:e}, {value:e}",
            "2:",
            value = out(reg) value,
            field = in(reg) u64::from(field.encoding().raw()),
            options(nomem, nostack),
        );
    }
    T::from_vmread(value)
}

/// Writes a field of the current VMCS.
///
/// # Safety
///
/// A VMCS must be current. What host-state fields and addresses are written decides what the next
/// exit does to the host.
#[inline(always)]
pub unsafe fn vmwrite<T: FieldValue>(field: Field<T>, value: T) -> Result<(), VmFail> {
    let failed: u8;
    // SAFETY: as the caller says.
    unsafe {
        asm!(
            "vmwrite {field}, {value}",
            "setbe {failed}",
            field = in(reg) u64::from(field.encoding().raw()),
            value = in(reg) value.into_vmwrite(),
            failed = out(reg_byte) failed,
            options(nomem, nostack),
        );
    }
    check(failed)
}

/// What INVEPT invalidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InveptScope {
    /// Mappings that were made with this EPT pointer.
    Context(u64),
    /// All mappings that were made with any.
    Global,
}

/// Invalidates mappings derived from EPT on this CPU.
pub fn invept(scope: InveptScope) {
    let (kind, pointer) = match scope {
        InveptScope::Context(pointer) => (1u64, pointer),
        InveptScope::Global => (2, 0),
    };
    let descriptor = [pointer, 0];
    // SAFETY: an invalidation has no effect but on speed; this CPU is in VMX operation. A type that
    // the CPU does not have fails without effect, and was ruled out at load.
    unsafe {
        asm!("invept {}, [{}]", in(reg) kind, in(reg) &descriptor, options(nostack));
    }
}
