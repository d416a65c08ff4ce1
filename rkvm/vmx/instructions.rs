// SPDX-License-Identifier: GPL-2.0

//! The VMX instructions (SDM volume 3, chapter 32).
//!
//! All of them need VMX operation, which the module holds on every online CPU while it is loaded.
//! Only a reboot takes it away under a vCPU's thread: an instruction that then faults does nothing,
//! and the thread finds out before the next entry.

// UNSAFETY: VMX instructions.
#![expect(unsafe_code)]

use super::field::{Field, FieldValue};
use crate::types::Hpa;
use core::arch::asm;

/// An exception-table entry: a fault at label 2 goes on at label 3 (asm/extable_fixup_types.h,
/// EX_TYPE_DEFAULT).
macro_rules! on_fault {
    () => {
        "
        3:
        .pushsection __ex_table, \"a\"
        .balign 4
        .long (2b) - .
        .long (3b) - .
        .long 1
        .popsection
        "
    };
}

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
        asm!("2: vmptrld [{}]", "setbe {}", on_fault!(), in(reg) &pointer,
             inout(reg_byte) 0u8 => failed, options(nostack));
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
        asm!("2: vmclear [{}]", "setbe {}", on_fault!(), in(reg) &pointer,
             inout(reg_byte) 0u8 => failed, options(nostack));
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
    // SAFETY: a VMCS is current, as the caller says; a field that is not there fails without effect.
    unsafe {
        asm!(
            "2: vmread {value}, {field}",
            "ja 3f",
            "xor {value:e}, {value:e}",
            on_fault!(),
            value = inout(reg) 0u64 => value,
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
            "2: vmwrite {field}, {value}",
            "setbe {failed}",
            on_fault!(),
            field = in(reg) u64::from(field.encoding().raw()),
            value = in(reg) value.into_vmwrite(),
            failed = inout(reg_byte) 0u8 => failed,
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
        asm!("2: invept {}, [{}]", on_fault!(), in(reg) kind, in(reg) &descriptor,
             options(nostack));
    }
}
