// SPDX-License-Identifier: GPL-2.0

//! Guests with two tasks.

use rkvm_host::x86::paging::Mode;
use rkvm_host::x86::regs::rules::GeneralProtection;
use rkvm_host::x86::regs::segment::{Segment, SegmentRegister};
use rkvm_host::x86::regs::{Cr0, Dr7, Rflags};
use rkvm_host::x86::task_switch::*;

pub const GDT: u32 = 0x1000;
pub const LDT: u32 = 0x1800;
pub const OLD: u32 = 0x2000;
pub const NEW: u32 = 0x3000;
pub const STACK: u32 = 0x6000;
pub const SIZE: usize = 0x8000;
pub const CR3: u32 = 0x0042_3000;

pub const OLD_TSS: u16 = 0x08;
pub const NEW_TSS: u16 = 0x10;
pub const CODE: u16 = 0x18;
pub const DATA: u16 = 0x20;
pub const USER_CODE: u16 = 0x2b;
pub const USER_DATA: u16 = 0x33;
pub const LDT_SELECTOR: u16 = 0x38;
pub const LOCAL_DATA: u16 = 0x04;
pub const GDT_LIMIT: u32 = 0x3f;

pub const AVAILABLE_16: u8 = 0x81;
pub const BUSY_16: u8 = 0x83;
pub const AVAILABLE_32: u8 = 0x89;
pub const BUSY_32: u8 = 0x8b;
pub const PRESENT: u8 = 0x80;

/// The offsets of the two formats.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Format {
    pub slot: u32,
    pub ip: u32,
    pub segments: u32,
    pub ldt: u32,
}
pub const FORMAT_16: Format = Format {
    slot: 2,
    ip: 14,
    segments: 34,
    ldt: 42,
};
pub const FORMAT_32: Format = Format {
    slot: 4,
    ip: 32,
    segments: 72,
    ldt: 96,
};

#[derive(Clone, Debug, PartialEq)]
pub enum Refused {
    Access,
}

#[derive(Clone, Debug)]
pub struct Guest {
    pub bytes: Vec<u8>,
    pub state: State,
    pub entered: Option<(Rflags, Option<u32>)>,
    pub last_mode: Option<Mode>,
    pub cr3_is_bad: bool,
    /// Accesses that succeed before one is refused.
    pub accesses: usize,
}

impl Memory for Guest {
    type Error = Refused;

    fn read(&mut self, linear: u32, data: &mut [u8]) -> Result<(), Refused> {
        self.access()?;
        for (at, byte) in data.iter_mut().enumerate() {
            *byte = self.bytes[(linear as usize + at) % SIZE];
        }
        Ok(())
    }

    fn write(&mut self, linear: u32, data: &[u8], mode: Mode) -> Result<(), Refused> {
        self.access()?;
        for (at, byte) in data.iter().enumerate() {
            self.bytes[(linear as usize + at) % SIZE] = *byte;
        }
        self.last_mode = Some(mode);
        Ok(())
    }

    fn enter(&mut self, eflags: Rflags, cr3: Option<u32>) -> Result<(), GeneralProtection> {
        self.entered = Some((eflags, cr3));
        if self.cr3_is_bad {
            return Err(GeneralProtection);
        }
        Ok(())
    }
}

impl Guest {
    /// In an old task of one type, with an idle new one of another.
    pub fn new(old: u8, new: u8) -> Self {
        let gprs =
            [0x11, 0x22, 0x33, 0x44, 0x5_0000, 0x66, 0x77, 0x88].map(|low| 0xaaaa_0000 | low);
        let mut state = State {
            gprs,
            eip: 0x1234,
            eflags: Rflags::FIXED.with(Rflags::CF),
            segments: [Segment::default(); 8],
            gdt: Table {
                base: GDT,
                limit: GDT_LIMIT,
            },
            cr0: Cr0::PE.with(Cr0::PG),
            dr7: Dr7::new(0x7ff),
        };
        for (register, selector) in [
            (SegmentRegister::Es, 0x20),
            (SegmentRegister::Cs, 0x18),
            (SegmentRegister::Ss, 0x20),
            (SegmentRegister::Ds, 0x21),
            (SegmentRegister::Fs, 0x22),
            (SegmentRegister::Gs, 0x23),
        ] {
            state.set_segment(
                register,
                Segment {
                    selector,
                    ..Segment::default()
                },
            );
        }
        state.set_segment(
            SegmentRegister::Tr,
            Segment {
                base: OLD.into(),
                limit: 0x67,
                selector: OLD_TSS,
                kind: old & 0xf,
                present: 1,
                ..Segment::default()
            },
        );
        let mut guest = Self {
            bytes: vec![0; SIZE],
            state,
            entered: None,
            last_mode: None,
            cr3_is_bad: false,
            accesses: usize::MAX,
        };
        guest.describe(OLD_TSS, OLD, 0x67, old);
        guest.describe(NEW_TSS, NEW, 0x67, new);
        guest.describe(CODE, 0, 0xfffff, 0x9b);
        guest.describe(DATA, 0, 0xfffff, 0x93);
        guest.describe(USER_CODE, 0, 0xfffff, 0xfb);
        guest.describe(USER_DATA, 0, 0xfffff, 0xf3);
        guest.describe(LDT_SELECTOR, LDT, 7, 0x82);
        let data = guest.bytes[(GDT + u32::from(DATA)) as usize..][..8].to_owned();
        guest.put(LDT, &data);
        let format = guest.format(new);
        guest.put(
            NEW + format.ip,
            &0x5678u32.to_le_bytes()[..format.slot as usize],
        );
        guest.put(NEW + format.ip + format.slot, &[0x46, 0]);
        for number in 0..8 {
            guest.set_gpr(number, 0x0100 + number);
        }
        guest.set_gpr(4, STACK);
        for register in 0..6 {
            guest.set_selector(register, DATA);
        }
        guest.set_selector(1, CODE);
        if new & 8 != 0 {
            guest.put(NEW + 28, &CR3.to_le_bytes());
        } else {
            guest.put(NEW + format.ldt, &[0, 0]);
        }
        guest
    }

    fn access(&mut self) -> Result<(), Refused> {
        self.accesses = self.accesses.checked_sub(1).ok_or(Refused::Access)?;
        Ok(())
    }

    pub fn format(&self, access: u8) -> Format {
        if access & 8 != 0 {
            FORMAT_32
        } else {
            FORMAT_16
        }
    }

    fn new_format(&self) -> Format {
        self.format(self.access_byte(NEW_TSS))
    }

    pub fn put(&mut self, at: u32, data: &[u8]) {
        self.bytes[at as usize..][..data.len()].copy_from_slice(data);
    }

    pub fn word(&self, at: u32) -> u16 {
        u16::from_le_bytes(self.bytes[at as usize..][..2].try_into().unwrap())
    }

    pub fn long(&self, at: u32) -> u32 {
        u32::from_le_bytes(self.bytes[at as usize..][..4].try_into().unwrap())
    }

    /// A descriptor; code and data are flat and 32-bit.
    pub fn describe(&mut self, selector: u16, base: u32, limit: u32, access: u8) {
        let flags = if access & 0x10 != 0 { 0xc0 } else { 0 };
        let [b0, b1, b2, b3] = base.to_le_bytes();
        let [l0, l1, l2, _] = limit.to_le_bytes();
        let raw = [l0, l1, b0, b1, b2, access, l2 & 0xf | flags, b3];
        self.put(GDT + u32::from(selector & !7), &raw);
    }

    pub fn access_byte(&self, selector: u16) -> u8 {
        self.bytes[GDT as usize + usize::from(selector & !7) + 5]
    }

    pub fn set_access_byte(&mut self, selector: u16, access: u8) {
        self.put(GDT + u32::from(selector & !7) + 5, &[access]);
    }

    /// Sets a general register in the new TSS.
    pub fn set_gpr(&mut self, number: u32, value: u32) {
        let format = self.new_format();
        let at = NEW + format.ip + (2 + number) * format.slot;
        self.put(at, &value.to_le_bytes()[..format.slot as usize]);
    }

    /// Sets ES, CS, SS, DS, FS or GS in the new TSS.
    pub fn set_selector(&mut self, number: u32, selector: u16) {
        let format = self.new_format();
        if number * format.slot + format.segments < format.ldt {
            let at = NEW + format.segments + number * format.slot;
            self.put(at, &selector.to_le_bytes());
        }
    }

    pub fn set_ldt(&mut self, selector: u16) {
        let at = NEW + self.new_format().ldt;
        self.put(at, &selector.to_le_bytes());
    }

    pub fn run(&mut self, request: &Request) -> Result<Outcome, Failure<Refused>> {
        let mut state = self.state;
        let result = switch(&mut state, self, request);
        self.state = state;
        result
    }
}
