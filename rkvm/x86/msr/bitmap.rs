// SPDX-License-Identifier: GPL-2.0

//! The MSR bitmap: which RDMSR and WRMSR do not exit (Intel SDM volume 3, section 26.6.9).
//!
//! Only MSRs that the processor switches by itself on VM entry and exit, or that the vCPU's
//! loading switches, may pass; their values are then whatever the guest left in the processor.

use crate::x86::{
    lapic::{Access, Register, FIRST_MSR, LAST_MSR},
    message::ApicMode,
    msr::{filter::Accesses, index::*},
};

/// Size of the bitmap in bytes.
pub const SIZE: usize = 4096;

/// What a guest may do with an MSR without an exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passthrough {
    /// RDMSR.
    Read,
    /// RDMSR and WRMSR.
    ReadWrite,
}

/// The MSRs that pass.
pub const PASSTHROUGH: &[(u32, Passthrough)] = &[
    (IA32_FS_BASE, Passthrough::ReadWrite),
    (IA32_GS_BASE, Passthrough::ReadWrite),
    (IA32_KERNEL_GS_BASE, Passthrough::ReadWrite),
    (IA32_SYSENTER_CS, Passthrough::ReadWrite),
    (IA32_SYSENTER_ESP, Passthrough::ReadWrite),
    (IA32_SYSENTER_EIP, Passthrough::ReadWrite),
    (IA32_TIME_STAMP_COUNTER, Passthrough::Read),
];

/// How an MSR passes, if it does.
#[allow(dead_code, reason = "asked by the host tests")]
pub fn passthrough(msr: u32) -> Option<Passthrough> {
    PASSTHROUGH
        .iter()
        .find(|(passing, _)| *passing == msr)
        .map(|(_, how)| *how)
}

/// Fills a bitmap: every access exits but those of [`PASSTHROUGH`].
pub fn fill(bitmap: &mut [u8; SIZE]) {
    const ALL_EXIT: u8 = 0xff;
    bitmap.fill(ALL_EXIT);
    for (msr, how) in PASSTHROUGH {
        let writes = match how {
            Passthrough::Read => None,
            Passthrough::ReadWrite => Some(WRITES),
        };
        for part in [Some(READS), writes].into_iter().flatten() {
            let_through(bitmap, *msr, part);
        }
    }
}

/// Fills a bitmap for a guest in x2APIC mode whose local APIC the processor has: reads of the registers that its
/// page holds, and the writes that the processor carries out, pass besides [`PASSTHROUGH`].
pub fn fill_virtual_x2apic(bitmap: &mut [u8; SIZE]) {
    fill(bitmap);
    for msr in FIRST_MSR..=LAST_MSR {
        let Some(register) = Register::from_msr(msr) else {
            continue;
        };
        if is_read_from_page(register) {
            let_through(bitmap, msr, READS);
        }
        if matches!(register, Register::TPR | Register::EOI | Register::SELF_IPI) {
            let_through(bitmap, msr, WRITES);
        }
    }
}

/// Whether a guest in x2APIC mode may read a register, and the page has its value: the current count is the
/// timer's, and not every APIC has an entry for corrected machine checks.
fn is_read_from_page(register: Register) -> bool {
    !matches!(register, Register::CURRENT_COUNT | Register::LVT_CMCI)
        && matches!(
            register.access(ApicMode::X2Apic),
            Access::Read | Access::ReadWrite
        )
}

/// Clears the bit of an MSR.
fn let_through(bitmap: &mut [u8; SIZE], msr: u32, part: usize) {
    let Some((byte, mask)) = position(msr, part) else {
        return;
    };
    if let Some(byte) = bitmap.get_mut(byte) {
        *byte &= !mask;
    }
}

/// Offset of the bits for RDMSR.
const READS: usize = 0;
/// Offset of the bits for WRMSR.
const WRITES: usize = 2048;

/// Makes accesses exit that would not, but that `exits` is true for.
pub fn restrict(bitmap: &mut [u8; SIZE], exits: impl Fn(u32, Accesses) -> bool) {
    let parts = [(READS, Accesses::READ), (WRITES, Accesses::WRITE)];
    for (msr, (part, access)) in all().flat_map(|msr| parts.map(|part| (msr, part))) {
        let Some((byte, mask)) = position(msr, part) else {
            continue;
        };
        if let Some(byte) = bitmap.get_mut(byte) {
            if *byte & mask == 0 && exits(msr, access) {
                *byte |= mask;
            }
        }
    }
}

/// MSRs of each of the two ranges that the bitmap has.
const RANGE: u32 = 0x2000;
/// The first of the second range.
const HIGH: u32 = 0xc000_0000;

/// All MSRs that the bitmap has.
fn all() -> impl Iterator<Item = u32> {
    (0..RANGE).chain(HIGH..HIGH + RANGE)
}

/// The byte and bit of an MSR; none for MSRs outside of the two ranges, which always exit.
const fn position(msr: u32, part: usize) -> Option<(usize, u8)> {
    const HIGH_OFFSET: usize = 1024;
    let (offset, within) = match msr {
        0..RANGE => (0, msr),
        HIGH.. if msr - HIGH < RANGE => (HIGH_OFFSET, msr - HIGH),
        _ => return None,
    };
    let byte = part
        .wrapping_add(offset)
        .wrapping_add((within / 8) as usize);
    Some((byte, 1 << (within % 8)))
}
