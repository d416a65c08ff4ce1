// SPDX-License-Identifier: GPL-2.0

//! The guest page walk, in every paging mode, against what the SDM says in words.

use std::collections::BTreeMap;

use proptest::prelude::*;

use rkvm_host::types::Gpa;
use rkvm_host::x86::paging::{ErrorCode, Kind, Marked, Mode, Paging, Stop, Structures};
use rkvm_host::x86::regs::rules::PagingState;
use rkvm_host::x86::regs::{Cr0, Cr4, Efer, PhysicalBits, Rflags};

const P: u64 = 1;
const W: u64 = 1 << 1;
const U: u64 = 1 << 2;
const A: u64 = 1 << 5;
const D: u64 = 1 << 6;
const PS: u64 = 1 << 7;
const XD: u64 = 1 << 63;

/// Guest memory, zero where nothing was written, and nothing at all from `END` on.
#[derive(Clone, Default)]
struct Memory {
    bytes: BTreeMap<u64, u8>,
    pdptes: [u64; 4],
    /// Another processor changes entries just before they are marked.
    racing: bool,
}

const END: u64 = 1 << 32;

#[derive(Clone, Copy, Debug, PartialEq)]
struct NoMemory(u64);

impl Memory {
    fn get<const N: usize>(&self, at: Gpa) -> Result<[u8; N], NoMemory> {
        assert_eq!(at.raw() % N as u64, 0, "unaligned access");
        if at.raw() >= END {
            return Err(NoMemory(at.raw()));
        }
        let byte = |i| self.bytes.get(&(at.raw() + i as u64)).copied().unwrap_or(0);
        Ok(std::array::from_fn(byte))
    }

    fn put(&mut self, at: u64, bytes: &[u8]) {
        self.bytes.extend((at..).zip(bytes.iter().copied()));
    }

    fn put_u64(&mut self, at: u64, value: u64) {
        self.put(at, &value.to_le_bytes());
    }

    fn put_u32(&mut self, at: u64, value: u64) {
        self.put(at, &u32::try_from(value).unwrap().to_le_bytes());
    }

    fn u64_at(&self, at: u64) -> u64 {
        u64::from_le_bytes(self.get(Gpa::new(at)).unwrap())
    }
}

impl Structures for Memory {
    type Error = NoMemory;

    fn read_u32(&mut self, entry: Gpa) -> Result<u32, NoMemory> {
        self.get(entry).map(u32::from_le_bytes)
    }

    fn read_u64(&mut self, entry: Gpa) -> Result<u64, NoMemory> {
        self.get(entry).map(u64::from_le_bytes)
    }

    fn pdpte(&mut self, index: usize) -> Result<u64, NoMemory> {
        Ok(self.pdptes[index])
    }

    fn mark_u32(&mut self, entry: Gpa, old: u32, new: u32) -> Result<Marked, NoMemory> {
        assert_eq!(self.read_u32(entry)?, old);
        if self.racing {
            return Ok(Marked::Changed);
        }
        self.put(entry.raw(), &new.to_le_bytes());
        Ok(Marked::Done)
    }

    fn mark_u64(&mut self, entry: Gpa, old: u64, new: u64) -> Result<Marked, NoMemory> {
        assert_eq!(self.read_u64(entry)?, old);
        if self.racing {
            return Ok(Marked::Changed);
        }
        self.put(entry.raw(), &new.to_le_bytes());
        Ok(Marked::Done)
    }
}

fn paging(cr0: Cr0, cr3: u64, cr4: Cr4, efer: Efer) -> Paging {
    Paging {
        state: PagingState {
            cr0,
            cr3,
            cr4,
            efer,
        },
        rflags: Rflags::FIXED,
        physical_bits: PhysicalBits::new(40),
    }
}

fn on() -> Cr0 {
    Cr0::PE.with(Cr0::PG)
}

fn long(extra: Cr4) -> Paging {
    let efer = Efer::LME.with(Efer::LMA).with(Efer::NXE);
    paging(on().with(Cr0::WP), 0x1000, Cr4::PAE.with(extra), efer)
}

fn gpa(raw: u64) -> Result<Gpa, Stop<NoMemory>> {
    Ok(Gpa::new(raw))
}

fn fault(code: u32) -> Result<Gpa, Stop<NoMemory>> {
    Err(Stop::Fault(ErrorCode::from_raw(code)))
}

fn read(paging: &Paging, memory: &mut Memory, linear: u64) -> Result<Gpa, Stop<NoMemory>> {
    paging.translate(memory, linear, Kind::Read, Mode::Supervisor)
}

#[test]
fn without_paging_linear_is_physical() {
    let off = paging(Cr0::PE, 0, Cr4::default(), Efer::default());
    assert_eq!(
        read(&off, &mut Memory::default(), 0x1234_5678),
        gpa(0x1234_5678)
    );
    assert_eq!(
        read(&off, &mut Memory::default(), 0x9_1234_5678),
        gpa(0x1234_5678)
    );
}

#[test]
fn thirty_two_bit() {
    let mut memory = Memory::default();
    // Directory entry 0x300 and table entry 0x1ff for the address; entry 2 is a 4 MiB page.
    memory.put_u32(0x1000 + 0x300 * 4, 0x2000 | P | W);
    memory.put_u32(0x2000 + 0x1ff * 4, 0xabcd_e000 | P | PS);
    memory.put_u32(0x1000 + 2 * 4, 0x0080_0000 | 0x7 << 13 | P | PS);
    let plain = paging(on(), 0x1000, Cr4::default(), Efer::default());
    let pse = paging(on(), 0x1000, Cr4::PSE, Efer::default());

    assert_eq!(read(&plain, &mut memory, 0xc01f_f123), gpa(0xabcd_e123));
    assert_eq!(
        read(&pse, &mut memory, 0xffff_ffff_c01f_f123),
        gpa(0xabcd_e123)
    );
    assert_eq!(read(&pse, &mut memory, 0x0081_2345), gpa(0x07_0081_2345));
    // Without PSE the same entry points to a table, which is empty.
    assert_eq!(read(&plain, &mut memory, 0x0081_2345), fault(0));
    assert_eq!(read(&pse, &mut memory, 0xc01f_e123), fault(0));

    // Bit 21 is reserved, and so are address bits beyond the processor's.
    memory.put_u32(0x1000 + 3 * 4, 1 << 21 | P | PS);
    assert_eq!(read(&pse, &mut memory, 3 << 22), fault(0b1001));
    let narrow = Paging {
        physical_bits: PhysicalBits::new(34),
        ..pse
    };
    assert_eq!(read(&narrow, &mut memory, 0x0081_2345), fault(0b1001));
    let just_enough = Paging {
        physical_bits: PhysicalBits::new(35),
        ..pse
    };
    assert_eq!(
        read(&just_enough, &mut memory, 0x0081_2345),
        gpa(0x07_0081_2345)
    );
}

#[test]
fn pae() {
    let mut memory = Memory {
        pdptes: [0, 0, 0, 0x2000 | P],
        ..Memory::default()
    };
    // 0xc0201000 is PDPTE 3, directory entry 1, table entry 1.
    memory.put_u64(0x2000 + 8, 0x3000 | P | W | U);
    memory.put_u64(0x3000 + 8, 0x12_3456_7000 | P | W | U | XD);
    memory.put_u64(0x2000 + 16, 0x40_0000 | 1 << 12 | P | PS);
    memory.put_u64(0x2000 + 24, 0x40_2000 | P | PS);
    memory.put_u64(0x2000 + 32, 1 << 52 | 0x3000 | P);
    let paging = paging(on(), 0x5000, Cr4::PAE, Efer::NXE);

    assert_eq!(read(&paging, &mut memory, 0xc020_1abc), gpa(0x12_3456_7abc));
    assert_eq!(
        read(&paging, &mut memory, 0x7_c020_1abc),
        gpa(0x12_3456_7abc)
    );
    assert_eq!(read(&paging, &mut memory, 0xc051_2345), gpa(0x51_2345));
    assert_eq!(read(&paging, &mut memory, 0xc060_0000), fault(0b1001));
    assert_eq!(read(&paging, &mut memory, 0xc080_0000), fault(0b1001));
    assert_eq!(read(&paging, &mut memory, 0x8020_1abc), fault(0));
    let fetch = paging.translate(&mut memory, 0xc020_1abc, Kind::Fetch, Mode::User);
    assert_eq!(fetch, fault(0b1_0101));
    // Without NXE the bit is reserved.
    let mut no_nxe = paging;
    no_nxe.state.efer = Efer::default();
    assert_eq!(read(&no_nxe, &mut memory, 0xc020_1abc), fault(0b1001));
}

/// A table at each of 0x1000, 0x2000, ... for `indices`, from the root down.
fn chain(indices: &[u64], flags: u64) -> Memory {
    let mut memory = Memory::default();
    for (table, index) in (1..).zip(indices) {
        memory.put_u64((table << 12) + index * 8, (table + 1) << 12 | flags);
    }
    memory
}

#[test]
fn four_and_five_levels() {
    let linear = 0xffff_8000_0000_0000 | 3 << 39 | 5 << 30 | 7 << 21 | 11 << 12 | 0x123;
    let mut memory = chain(&[0x103, 5, 7, 11], P | W);
    assert_eq!(
        read(&long(Cr4::default()), &mut memory, linear),
        gpa(0x5123)
    );
    for table in 1..=4 {
        let mut memory = memory.clone();
        memory.put_u64(
            (table << 12) + [0x103, 5, 7, 11][table as usize - 1] * 8,
            !P,
        );
        assert_eq!(
            read(&long(Cr4::default()), &mut memory, linear),
            fault(0),
            "table {table}"
        );
    }

    let linear = 9 << 48 | 3 << 39 | 5 << 30 | 7 << 21 | 11 << 12 | 0x123;
    let mut memory = chain(&[9, 3, 5, 7, 11], P | W);
    assert_eq!(read(&long(Cr4::LA57), &mut memory, linear), gpa(0x6123));
}

#[test]
fn large_pages_and_reserved_bits_of_long_mode() {
    let paging = long(Cr4::default());
    let linear = 5 << 30 | 7 << 21 | 11 << 12 | 0x123;
    let at = |level: u64, index: u64, raw: u64| {
        let mut memory = chain(&[0, 5, 7, 11], P);
        memory.put_u64((level << 12) + index * 8, raw);
        memory
    };
    let cases = [
        (at(3, 7, 0x4020_0000 | P | PS), gpa(0x4020_b123)),
        (at(3, 7, 0x4020_1000 | P | PS), gpa(0x4020_b123)),
        (at(3, 7, 0x4020_2000 | P | PS), fault(0b1001)),
        (at(2, 5, 0x4000_0000 | P | PS), gpa(0x40e0_b123)),
        (at(2, 5, 0x4000_1000 | P | PS), gpa(0x40e0_b123)),
        (at(2, 5, 0x6000_0000 | P | PS), fault(0b1001)),
        (at(1, 0, 0x2000 | P | PS), fault(0b1001)),
        (at(4, 11, 0x9000 | P | PS), gpa(0x9123)),
        (at(4, 11, 0x9000 | P | 1 << 39), gpa(0x80_0000_9123)),
        (at(4, 11, 0x9000 | P | 1 << 40), fault(0b1001)),
        (at(4, 11, 0x9000 | P | 0x7ff << 52), gpa(0x9123)),
        (at(2, 5, 1 << 51 | P), fault(0b1001)),
        (at(2, 5, END | P), Err(Stop::Memory(NoMemory(END + 7 * 8)))),
    ];
    for (i, (mut memory, expected)) in cases.into_iter().enumerate() {
        assert_eq!(read(&paging, &mut memory, linear), expected, "case {i}");
    }
}

#[test]
fn rights_are_those_of_every_entry() {
    let linear = 5 << 30 | 7 << 21 | 11 << 12;
    for table in 1..=4u64 {
        for (bit, kind, code) in [(W, Kind::Write, 0b111), (U, Kind::Read, 0b101)] {
            let mut memory = chain(&[0, 5, 7, 11], P | W | U);
            let at = (table << 12) + [0, 5, 7, 11][table as usize - 1] * 8;
            let raw = memory.u64_at(at);
            let paging = long(Cr4::default());
            assert!(paging
                .translate(&mut memory, linear, kind, Mode::User)
                .is_ok());
            memory.put_u64(at, raw & !bit);
            assert_eq!(
                paging.translate(&mut memory, linear, kind, Mode::User),
                fault(code)
            );
        }
        let mut memory = chain(&[0, 5, 7, 11], P | W | U);
        let at = (table << 12) + [0, 5, 7, 11][table as usize - 1] * 8;
        memory.put_u64(at, memory.u64_at(at) | XD);
        let fetch = long(Cr4::default()).translate(&mut memory, linear, Kind::Fetch, Mode::User);
        assert_eq!(fetch, fault(0b1_0101));
    }
}

/// SDM 5.6.1, sentence by sentence.
fn allowed(paging: &Paging, entry: u64, kind: Kind, mode: Mode) -> bool {
    let PagingState { cr0, cr4, efer, .. } = paging.state;
    let user_address = entry & U != 0;
    let writable = entry & W != 0;
    let executable = entry & XD == 0 || !efer.contains(Efer::NXE);
    if mode == Mode::User {
        return match kind {
            Kind::Read => user_address,
            Kind::Write => user_address && writable,
            Kind::Fetch => user_address && executable,
        };
    }
    let ac = paging.rflags.contains(Rflags::AC);
    let smap = cr4.contains(Cr4::SMAP);
    match kind {
        Kind::Read if user_address && smap => mode == Mode::Supervisor && ac,
        Kind::Read => true,
        Kind::Write if user_address && smap && !(mode == Mode::Supervisor && ac) => false,
        Kind::Write => writable || !cr0.contains(Cr0::WP),
        Kind::Fetch if user_address && cr4.contains(Cr4::SMEP) => false,
        Kind::Fetch => executable,
    }
}

#[test]
fn all_combinations_of_rights() {
    let mut faults = 0;
    for bits in 0..1u32 << 8 {
        let bit = |i: u32| bits >> i & 1 != 0;
        let flags = if bit(0) { W } else { 0 } | if bit(1) { U } else { 0 };
        let flags = flags | if bit(2) { XD } else { 0 };
        let mut paging = long(Cr4::default());
        if bit(3) {
            paging.state.cr0 = paging.state.cr0.without(Cr0::WP);
        }
        if bit(4) {
            paging.state.cr4 = paging.state.cr4.with(Cr4::SMEP);
        }
        if bit(5) {
            paging.state.cr4 = paging.state.cr4.with(Cr4::SMAP);
        }
        if bit(6) {
            paging.rflags = paging.rflags.with(Rflags::AC);
        }
        if bit(7) {
            if flags & XD != 0 {
                continue;
            }
            paging.state.efer = paging.state.efer.without(Efer::NXE);
        }
        for kind in [Kind::Read, Kind::Write, Kind::Fetch] {
            for mode in [Mode::User, Mode::Supervisor, Mode::Implicit] {
                let mut memory = chain(&[0, 0, 0, 0], P | flags);
                let found = paging.translate(&mut memory, 0x44, kind, mode);
                let mut code = 1;
                code |= u32::from(kind == Kind::Write) << 1;
                code |= u32::from(mode == Mode::User) << 2;
                code |= u32::from(kind == Kind::Fetch && (bit(4) || !bit(7))) << 4;
                let expected = if allowed(&paging, flags, kind, mode) {
                    gpa(0x5044)
                } else {
                    fault(code)
                };
                assert_eq!(found, expected, "{bits:#010b} {kind:?} {mode:?}");
                faults += usize::from(found.is_err());
            }
        }
    }
    assert!(faults > 100);
}

#[test]
fn entries_are_marked_when_the_access_is_allowed() {
    let paging = long(Cr4::default());
    let entries =
        |memory: &Memory| [0x1000, 0x2000, 0x3000, 0x4000].map(|at| memory.u64_at(at) & (A | D));
    let mut memory = chain(&[0, 0, 0, 0], P);
    assert!(paging
        .translate(&mut memory, 0, Kind::Write, Mode::Supervisor)
        .is_err());
    assert_eq!(entries(&memory), [0; 4]);

    let mut memory = chain(&[0, 0, 0, 0], P | W);
    assert!(read(&paging, &mut memory, 0).is_ok());
    assert_eq!(entries(&memory), [A; 4]);
    assert!(paging
        .translate(&mut memory, 0, Kind::Write, Mode::Supervisor)
        .is_ok());
    assert_eq!(entries(&memory), [A, A, A, A | D]);

    let mut racing = Memory {
        racing: true,
        ..chain(&[0, 0, 0, 0], P | W)
    };
    assert_eq!(read(&paging, &mut racing, 0), Err(Stop::Changed));
    // What is marked already is not written again.
    let mut racing = Memory {
        racing: true,
        ..memory
    };
    assert!(paging
        .translate(&mut racing, 0, Kind::Write, Mode::Supervisor)
        .is_ok());

    let mut memory = Memory::default();
    memory.put_u32(0x1000, 0x2000 | P | W);
    memory.put_u32(0x2000, 0x3000 | P | W);
    let plain = Paging {
        state: PagingState {
            cr0: on(),
            cr3: 0x1000,
            ..PagingState::default()
        },
        ..paging
    };
    assert!(plain
        .translate(&mut memory, 0, Kind::Write, Mode::Supervisor)
        .is_ok());
    assert_eq!(memory.u64_at(0x1000), 0x2000 | P | W | A);
    assert_eq!(memory.u64_at(0x2000), 0x3000 | P | W | A | D);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn no_state_and_no_entry_is_too_strange(
        (cr0, cr3, cr4, efer, rflags) in any::<(u64, u64, u64, u64, u64)>(),
        bits in any::<u8>(),
        entry in any::<u64>(),
        linear in any::<u64>(),
        kind in prop::sample::select(vec![Kind::Read, Kind::Write, Kind::Fetch]),
        mode in prop::sample::select(vec![Mode::User, Mode::Supervisor, Mode::Implicit]),
    ) {
        /// The same entry everywhere.
        struct Everywhere(u64);
        impl Structures for Everywhere {
            type Error = ();
            fn read_u32(&mut self, _: Gpa) -> Result<u32, ()> {
                Ok(self.0 as u32)
            }
            fn read_u64(&mut self, _: Gpa) -> Result<u64, ()> {
                Ok(self.0)
            }
            fn pdpte(&mut self, index: usize) -> Result<u64, ()> {
                [self.0; 4].get(index).copied().ok_or(())
            }
            fn mark_u32(&mut self, _: Gpa, _: u32, _: u32) -> Result<Marked, ()> {
                Ok(Marked::Done)
            }
            fn mark_u64(&mut self, _: Gpa, _: u64, _: u64) -> Result<Marked, ()> {
                Ok(Marked::Done)
            }
        }
        let mut paging = paging(Cr0::new(cr0), cr3, Cr4::new(cr4), Efer::new(efer));
        paging.rflags = Rflags::new(rflags);
        paging.physical_bits = PhysicalBits::new(bits);
        for entry in [entry, entry | P, entry & !(0xffff << 48) | P | W | U] {
            let translated = paging.translate(&mut Everywhere(entry), linear, kind, mode);
            prop_assert!(translated != Err(Stop::Memory(())));
            if let Ok(gpa) = translated {
                prop_assert_eq!(gpa.page_offset(), linear & 0xfff);
                prop_assert!(gpa.raw() < 1 << 52);
            }
        }
    }
}
