// SPDX-License-Identifier: GPL-2.0

//! The registers of a vCPU after power-up (Intel SDM volume 3, table 11-1). General registers not
//! named here are 0.

use crate::x86::regs::segment::{Segment, SegmentRegister};
use crate::x86::regs::{Cr0, Dr6, Dr7, Rflags, Xcr0};

/// RIP: with the base of CS, 16 bytes below 4 GiB.
pub const RIP: u64 = 0xfff0;
/// RFLAGS.
pub const RFLAGS: Rflags = Rflags::FIXED;
/// RDX while CPUID leaf 1 is not known: family 6.
pub const RDX: u64 = 0x600;
/// CR0.
pub const CR0: Cr0 = Cr0::ET.with(Cr0::NW).with(Cr0::CD);
/// XCR0.
pub const XCR0: Xcr0 = Xcr0::X87;
/// DR6.
pub const DR6: Dr6 = Dr6::new(0xffff_0ff0);
/// DR7.
pub const DR7: Dr7 = Dr7::new(0x400);
/// Limit of GDTR and IDTR in bytes; their bases are 0.
pub const TABLE_LIMIT: u16 = 0xffff;
/// FCW of a vCPU, as FNINIT leaves it.
pub const FCW: u16 = 0x37f;
/// MXCSR.
pub const MXCSR: u32 = 0x1f80;

const LIMIT: u32 = 0xffff;
const CS_SELECTOR: u16 = 0xf000;
const CS_BASE: u64 = 0xffff_0000;
const TYPE_DATA: u8 = 0x3;
const TYPE_CODE: u8 = 0xb;
const TYPE_LDT: u8 = 0x2;
const TYPE_BUSY_TSS: u8 = 0xb;

/// The value of a segment register.
pub const fn segment(register: SegmentRegister) -> Segment {
    let (selector, base, kind, s) = match register {
        SegmentRegister::Cs => (CS_SELECTOR, CS_BASE, TYPE_CODE, 1),
        SegmentRegister::Ldtr => (0, 0, TYPE_LDT, 0),
        SegmentRegister::Tr => (0, 0, TYPE_BUSY_TSS, 0),
        _ => (0, 0, TYPE_DATA, 1),
    };
    Segment {
        base,
        limit: LIMIT,
        selector,
        kind,
        present: 1,
        dpl: 0,
        db: 0,
        s,
        l: 0,
        g: 0,
        avl: 0,
        unusable: 0,
        padding: 0,
    }
}
