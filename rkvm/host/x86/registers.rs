// SPDX-License-Identifier: GPL-2.0

//! The host's system registers and CPUID.

// UNSAFETY: privileged instructions whose effect is on this CPU alone.
#![expect(unsafe_code)]

use crate::host::bindings;
use core::arch::asm;
use kernel::prelude::*;

/// Reads an MSR that may not exist. `EIO` if it does not.
pub fn read_msr(msr: u32) -> Result<u64> {
    let mut value = 0;
    // SAFETY: a read of an MSR has no effect on memory, and a fault is caught.
    match unsafe { bindings::rkvm_rdmsr_safe(msr, &mut value) } {
        0 => Ok(value),
        _ => Err(EIO),
    }
}

/// Reads an MSR that every CPU with VMX and long mode has.
///
/// # Safety
///
/// The MSR must exist.
#[inline]
pub unsafe fn read_known_msr(msr: u32) -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: the caller says that it does not fault.
    unsafe {
        asm!("rdmsr", in("ecx") msr, out("eax") low, out("edx") high,
             options(nomem, nostack, preserves_flags));
    }
    u64::from(high) << 32 | u64::from(low)
}

/// Writes an MSR.
///
/// # Safety
///
/// The MSR must exist and accept the value, and the caller must put back what the host relies on.
#[inline]
pub unsafe fn write_known_msr(msr: u32, value: u64) {
    // SAFETY: the caller says that it does not fault and what becomes of the old value.
    unsafe {
        asm!("wrmsr", in("ecx") msr, in("eax") value as u32, in("edx") (value >> 32) as u32,
             options(nostack, preserves_flags));
    }
}

/// The four registers that CPUID returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cpuid {
    /// EAX.
    pub eax: u32,
    /// EBX.
    pub ebx: u32,
    /// ECX.
    pub ecx: u32,
    /// EDX.
    pub edx: u32,
}

/// Executes CPUID.
pub fn cpuid(leaf: u32, subleaf: u32) -> Cpuid {
    // SAFETY: every x86-64 CPU has CPUID.
    let result = unsafe { core::arch::x86_64::__cpuid_count(leaf, subleaf) };
    Cpuid {
        eax: result.eax,
        ebx: result.ebx,
        ecx: result.ecx,
        edx: result.edx,
    }
}

/// Reads CR0.
pub fn cr0() -> u64 {
    let value: u64;
    // SAFETY: reading CR0 at CPL 0 neither faults nor changes anything.
    unsafe { asm!("mov {}, cr0", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

/// Reads CR4.
#[inline]
pub fn cr4() -> u64 {
    let value: u64;
    // SAFETY: reading CR4 at CPL 0 neither faults nor changes anything.
    unsafe { asm!("mov {}, cr4", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

/// Reads CR2: the guest's, right after an exit, since exits do not switch it.
#[inline]
pub fn cr2() -> u64 {
    let value: u64;
    // SAFETY: reading CR2 at CPL 0 neither faults nor changes anything.
    unsafe { asm!("mov {}, cr2", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

/// Writes CR2: the guest's, right before an entry. Skipped where it is there already.
#[inline]
pub fn set_cr2(value: u64) {
    if cr2() != value {
        // SAFETY: CR2 means something only within a page-fault handler, which reads it first.
        unsafe { asm!("mov cr2, {}", in(reg) value, options(nomem, nostack, preserves_flags)) };
    }
}

/// Reads CR3 of the current task.
#[inline]
pub fn cr3() -> u64 {
    let value: u64;
    // SAFETY: reading CR3 at CPL 0 neither faults nor changes anything.
    unsafe { asm!("mov {}, cr3", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

/// The TSC.
#[inline]
pub fn tsc() -> u64 {
    // SAFETY: RDTSC is not disabled for the kernel.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// XCR0. `None` where the host does not use XSAVE.
pub fn host_xcr0() -> Option<u64> {
    const CR4_OSXSAVE: u64 = 1 << 18;
    if cr4() & CR4_OSXSAVE == 0 {
        return None;
    }
    let (low, high): (u32, u32);
    // SAFETY: a read; the register exists with CR4.OSXSAVE.
    unsafe {
        asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") high,
             options(nomem, nostack, preserves_flags));
    }
    Some(u64::from(high) << 32 | u64::from(low))
}

/// Writes XCR0.
///
/// # Safety
///
/// CR4.OSXSAVE must be set, the value valid for this CPU, and the host's value must be back before
/// interrupts are enabled.
pub unsafe fn set_xcr0(value: u64) {
    // SAFETY: the caller says that it does not fault, and when the host's value is back.
    unsafe {
        asm!("xsetbv", in("ecx") 0, in("eax") value as u32, in("edx") (value >> 32) as u32,
             options(nostack, preserves_flags));
    }
}

/// DR0 to DR3 and DR6, which VMX does not switch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DebugAddresses {
    /// DR0 to DR3.
    pub address: [u64; 4],
    /// DR6.
    pub status: u64,
}

impl DebugAddresses {
    /// Loads the registers.
    ///
    /// # Safety
    ///
    /// Interrupts must be off until the host's registers are back, and DR6 must have its reserved
    /// bits as the SDM has them.
    pub unsafe fn load(&self) {
        let [dr0, dr1, dr2, dr3] = self.address;
        // SAFETY: no breakpoint is enabled in the host's DR7 here; the caller keeps the host's
        // handlers from seeing the values.
        unsafe {
            asm!("mov dr7, {}", in(reg) 0u64, options(nomem, nostack, preserves_flags));
            asm!("mov dr0, {}", in(reg) dr0, options(nomem, nostack, preserves_flags));
            asm!("mov dr1, {}", in(reg) dr1, options(nomem, nostack, preserves_flags));
            asm!("mov dr2, {}", in(reg) dr2, options(nomem, nostack, preserves_flags));
            asm!("mov dr3, {}", in(reg) dr3, options(nomem, nostack, preserves_flags));
            asm!("mov dr6, {}", in(reg) self.status, options(nomem, nostack, preserves_flags));
        }
    }

    /// Reads DR6 alone: the only one that the guest's running changes.
    pub fn read_status() -> u64 {
        let status: u64;
        // SAFETY: reading DR6 changes nothing, and faults only under DR7.GD, which an exit has cleared.
        unsafe { asm!("mov {}, dr6", out(reg) status, options(nomem, nostack, preserves_flags)) };
        status
    }

    /// Puts DR6 to its reset value, which the host's #DB handler expects to find.
    pub fn reset_status() {
        const RESET: u64 = 0xffff_0ff0;
        // SAFETY: clears the record of debug exceptions that the guest took.
        unsafe { asm!("mov dr6, {}", in(reg) RESET, options(nomem, nostack, preserves_flags)) };
    }
}
