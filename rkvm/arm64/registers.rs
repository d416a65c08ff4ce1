// SPDX-License-Identifier: GPL-2.0

//! System registers of the processor itself, as the kernel at EL2 with VHE names them.
//!
//! Source: Arm ARM (DDI 0487), D24 "AArch64 System Register Descriptions".

// UNSAFETY: reads and writes system registers.
#![expect(unsafe_code)]

use crate::host::cpu::PreemptOff;
use core::arch::asm;

macro_rules! registers {
    ($($(#[$doc:meta])* $name:ident = $asm:literal;)*) => {$(
        $(#[$doc])*
        pub struct $name;

        #[allow(dead_code, reason = "not every register is both read and written")]
        impl $name {
            /// Reads the register of this CPU.
            #[inline(always)]
            pub fn read() -> u64 {
                let value;
                // SAFETY: reading the register changes nothing.
                unsafe {
                    asm!(concat!("mrs {}, ", $asm), out(reg) value, options(nomem, nostack, preserves_flags));
                }
                value
            }

            /// Writes the register of this CPU. The caller puts back what the host needs.
            #[inline(always)]
            pub fn write(_here: &PreemptOff, value: u64) {
                // SAFETY: none of these registers changes what the kernel itself sees at EL2 with the
                // values that this module's guards write, which also put the host's back.
                unsafe {
                    asm!(concat!("msr ", $asm, ", {}"), in(reg) value, options(nostack, preserves_flags));
                }
            }
        }
    )*};
}

registers! {
    /// What the guest may do, and what traps.
    HcrEl2 = "S3_4_C1_C1_0";
    /// Traps of debug registers and performance counters.
    MdcrEl2 = "S3_4_C1_C1_1";
    /// Which debug exceptions there are.
    MdscrEl1 = "S2_0_C0_C2_2";
    /// Traps of the floating point unit and of trace registers, laid out as CPACR_EL1.
    CptrEl2 = "S3_4_C1_C1_2";
    /// The longest vectors of EL2 and below.
    ZcrEl2 = "S3_4_C1_C2_0";
    /// The guest's ZCR_EL1: the longest vectors of its EL1 and EL0.
    ZcrEl12 = "S3_5_C1_C2_0";
    /// How instructions on numbers of 8 bits work.
    Fpmr = "S3_3_C4_C4_2";
    /// Traps of AArch32 system registers.
    HstrEl2 = "S3_4_C1_C1_3";
    /// What the guest reads in MIDR_EL1.
    VpidrEl2 = "S3_4_C0_C0_0";
    /// What the guest reads in MPIDR_EL1.
    VmpidrEl2 = "S3_4_C0_C0_5";
    /// The root of the stage-2 tables, and the VMID.
    VttbrEl2 = "S3_4_C2_C1_0";
    /// The shape of the stage-2 tables.
    VtcrEl2 = "S3_4_C2_C1_2";
    /// Why the guest was left.
    EsrEl2 = "S3_4_C5_C2_0";
    /// The syndrome of a virtual SError.
    VsesrEl2 = "S3_4_C5_C2_3";
    /// What the guest has as DISR_EL1: an SError that an ESB instruction has deferred.
    VdisrEl2 = "S3_4_C12_C1_1";
    /// The virtual address of a fault.
    FarEl2 = "S3_4_C6_C0_0";
    /// The guest physical page of a stage-2 fault.
    HpfarEl2 = "S3_4_C6_C0_4";
    /// What of newer features guests can use.
    HcrxEl2 = "S3_4_C1_C2_2";
    /// Fine-grained traps: reads of registers.
    HfgrtrEl2 = "S3_4_C1_C1_4";
    /// Writes of registers.
    HfgwtrEl2 = "S3_4_C1_C1_5";
    /// Instructions.
    HfgitrEl2 = "S3_4_C1_C1_6";
    /// Reads of debug registers.
    HdfgrtrEl2 = "S3_4_C3_C1_4";
    /// Writes of debug registers.
    HdfgwtrEl2 = "S3_4_C3_C1_5";
    /// Reads of registers of FEAT_FGT2.
    Hfgrtr2El2 = "S3_4_C3_C1_2";
    /// Writes of such.
    Hfgwtr2El2 = "S3_4_C3_C1_3";
    /// Instructions of FEAT_FGT2.
    Hfgitr2El2 = "S3_4_C3_C1_7";
    /// Reads of debug registers of FEAT_FGT2.
    Hdfgrtr2El2 = "S3_4_C3_C1_0";
    /// Writes of such.
    Hdfgwtr2El2 = "S3_4_C3_C1_1";
    /// The result of an address translation instruction.
    ParEl1 = "S3_0_C7_C4_0";
    /// The number of the processor's make.
    MidrEl1 = "S3_0_C0_C0_0";
    /// More of it, which its maker defines.
    RevidrEl1 = "S3_0_C0_C0_6";
    /// Likewise.
    AidrEl1 = "S3_1_C0_C0_7";
    /// Cache sizes and what maintenance they need.
    CtrEl0 = "S3_3_C0_C0_1";
    /// The virtual CPU interface: on or off, and what raises the maintenance interrupt.
    IchHcrEl2 = "S3_4_C12_C11_0";
    /// What the virtual CPU interface is like.
    IchVtrEl2 = "S3_4_C12_C11_1";
    /// Why the maintenance interrupt is raised.
    IchMisrEl2 = "S3_4_C12_C11_2";
    /// The guest's masks and modes of its CPU interface.
    IchVmcrEl2 = "S3_4_C12_C11_7";
    /// Whether EL1 can turn the GIC's system registers off.
    IccSreEl2 = "S3_4_C12_C9_5";
    /// Deactivates a physical interrupt.
    IccDirEl1 = "S3_0_C12_C11_1";
    /// How far the guest's virtual counter is behind.
    CntvoffEl2 = "S3_4_C14_C0_3";
    /// Traps of counters and timers.
    CnthctlEl2 = "S3_4_C14_C1_0";
    /// The guest's virtual timer: on, masked, and whether it has fired.
    CntvCtlEl02 = "S3_5_C14_C3_1";
    /// When it fires.
    CntvCvalEl02 = "S3_5_C14_C3_2";
    /// The guest's physical timer: on, masked, and whether it has fired.
    CntpCtlEl02 = "S3_5_C14_C2_1";
    /// When it fires.
    CntpCvalEl02 = "S3_5_C14_C2_2";
    /// The counter.
    CntpctEl0 = "S3_3_C14_C0_1";
    /// Ticks of the counter in a second.
    CntfrqEl0 = "S3_3_C14_C0_0";
}

/// What comes after sees the registers as written before.
#[inline(always)]
pub fn isb() {
    // SAFETY: a barrier.
    unsafe { asm!("isb", options(nostack, preserves_flags)) };
}

/// Asks the guest's stage 1 for the translation of a read at EL1; the answer is in PAR_EL1.
#[inline(always)]
pub fn translate_el1_read(_here: &PreemptOff, address: u64) {
    // SAFETY: the instruction changes PAR_EL1 alone.
    unsafe { asm!("at s1e1r, {}", "isb", in(reg) address, options(nostack, preserves_flags)) };
}

/// Likewise, of any access: for processors with FEAT_ATS1A.
#[inline(always)]
pub fn translate_el1_any(_here: &PreemptOff, address: u64) {
    // SAFETY: likewise. It is AT S1E1A, whose name assemblers may not know.
    unsafe {
        asm!("sys #0, c7, c9, #2, {}", "isb", in(reg) address, options(nostack, preserves_flags))
    };
}

/// This CPU forgets all translations of the current VMID, of both stages.
#[inline(always)]
pub fn flush_guest_here(_here: &PreemptOff) {
    // SAFETY: forgetting translations of guests does not harm the host.
    unsafe {
        asm!(
            "dsb nshst",
            "tlbi vmalls12e1",
            "dsb nsh",
            "isb",
            options(nostack, preserves_flags)
        )
    };
}

/// All CPUs forget all translations of all guests.
pub fn flush_all_guests() {
    // SAFETY: as above.
    unsafe {
        asm!(
            "dsb ishst",
            "tlbi alle1is",
            "dsb ish",
            "isb",
            options(nostack, preserves_flags)
        )
    };
}
