// SPDX-License-Identifier: GPL-2.0

//! Task switches in every direction, against what the SDM says in words.

mod guest;

use guest::*;
use proptest::prelude::*;

use rkvm_host::x86::event::{vector, Event};
use rkvm_host::x86::paging::Mode;
use rkvm_host::x86::regs::segment::{Segment, SegmentRegister};
use rkvm_host::x86::regs::{Cr0, Dr7, Rflags};
use rkvm_host::x86::task_switch::*;

fn request(source: Source) -> Request {
    Request {
        selector: NEW_TSS,
        source,
        origin: Origin::Program,
        error_code: None,
        next_eip: 0x1239,
    }
}

fn external(error_code: Option<u32>) -> Request {
    Request {
        origin: Origin::External,
        error_code,
        next_eip: 0x1234,
        ..request(Source::TaskGate)
    }
}

fn exception(vector: u8, code: u32) -> Fault<Refused> {
    Fault::Raise(Event::exception(vector, Some(code)))
}

/// Whether the registers are those of the new task as [`Guest::new`] wrote them.
fn is_in_new_task(guest: &Guest, new: u8) -> bool {
    let state = &guest.state;
    let gprs = state.gprs == [0x100, 0x101, 0x102, 0x103, STACK, 0x105, 0x106, 0x107];
    let last = if new & 8 != 0 { 6 } else { 4 };
    let selectors = state.segments.map(|segment| segment.selector);
    let expected = [DATA, CODE, DATA, DATA, DATA, DATA];
    let tr = state.segment(SegmentRegister::Tr);
    gprs && state.eip == 0x5678
        && selectors[..last] == expected[..last]
        && selectors[last..6].iter().all(|selector| *selector == 0)
        && tr.selector == NEW_TSS
        && tr.base == u64::from(NEW)
        && tr.kind == new & 0xf | 2
}

#[test]
fn jump_between_32_bit_tasks() {
    let mut guest = Guest::new(BUSY_32, AVAILABLE_32);
    let before = guest.state;
    assert_eq!(guest.run(&request(Source::Jump)), Ok(Outcome::Done));
    assert!(is_in_new_task(&guest, AVAILABLE_32), "{:x?}", guest.state);
    assert_eq!(guest.state.eflags, Rflags::new(0x46));
    assert!(guest.state.cr0.contains(Cr0::TS));
    assert_eq!(guest.state.dr7, Dr7::new(0x6aa));
    assert_eq!(guest.entered, Some((Rflags::new(0x46), Some(CR3))));
    assert_eq!(guest.access_byte(OLD_TSS), AVAILABLE_32);
    assert_eq!(guest.access_byte(NEW_TSS), BUSY_32);
    assert_eq!(guest.word(NEW), 0, "no link");
    assert_eq!(guest.long(OLD + 32), 0x1239);
    assert_eq!(guest.long(OLD + 36), before.eflags.raw() as u32);
    for (number, gpr) in (0..).zip(before.gprs) {
        assert_eq!(guest.long(OLD + 40 + 4 * number), gpr);
    }
    for (number, segment) in (0..).zip(&before.segments[..6]) {
        assert_eq!(guest.word(OLD + 72 + 4 * number), segment.selector);
    }
    let stack = guest.state.segment(SegmentRegister::Ss);
    assert_eq!((stack.limit, stack.db, stack.dpl), (u32::MAX, 1, 0));
    assert_eq!(guest.state.segment(SegmentRegister::Ldtr).unusable, 1);
}

#[test]
fn cr3_stays_without_paging_and_in_16_bit_tasks() {
    let mut guest = Guest::new(BUSY_32, AVAILABLE_32);
    guest.state.cr0 = Cr0::PE;
    assert_eq!(guest.run(&request(Source::Jump)), Ok(Outcome::Done));
    assert_eq!(guest.entered, Some((Rflags::new(0x46), None)));

    let mut guest = Guest::new(BUSY_32, AVAILABLE_16);
    assert_eq!(guest.run(&request(Source::Jump)), Ok(Outcome::Done));
    assert_eq!(guest.entered, Some((Rflags::new(0x46), None)));
}

#[test]
fn widths_mix() {
    for (old, new) in [
        (BUSY_16, AVAILABLE_16),
        (BUSY_16, AVAILABLE_32),
        (BUSY_32, AVAILABLE_16),
    ] {
        let mut guest = Guest::new(old, new);
        let before = guest.state;
        assert_eq!(guest.run(&request(Source::Jump)), Ok(Outcome::Done));
        assert!(is_in_new_task(&guest, new), "{:x?}", guest.state);
        let format = guest.format(old);
        assert_eq!(guest.word(OLD + format.ip), 0x1239);
        assert_eq!(guest.word(OLD + format.ip + 2 * format.slot), 0x11);
        let selector = |number| guest.word(OLD + format.segments + number * format.slot);
        assert_eq!(selector(1), CODE);
        assert_eq!(selector(3), before.segment(SegmentRegister::Ds).selector);
        assert_eq!(guest.word(OLD + format.ldt), 0, "LDTR is not saved");
    }
}

#[test]
fn call_and_gate_nest() {
    for source in [Source::Call, Source::TaskGate] {
        let mut guest = Guest::new(BUSY_32, AVAILABLE_32);
        assert_eq!(guest.run(&request(source)), Ok(Outcome::Done));
        assert!(guest.state.eflags.contains(Rflags::NT));
        assert_eq!(guest.word(NEW), OLD_TSS);
        assert_eq!(guest.access_byte(OLD_TSS), BUSY_32);
        assert_eq!(guest.access_byte(NEW_TSS), BUSY_32);
    }
}

#[test]
fn iret_returns() {
    let mut guest = Guest::new(BUSY_32, BUSY_32);
    guest.state.eflags = guest.state.eflags.with(Rflags::NT);
    assert_eq!(guest.run(&request(Source::Iret)), Ok(Outcome::Done));
    assert!(is_in_new_task(&guest, BUSY_32), "{:x?}", guest.state);
    assert_eq!(guest.long(OLD + 36) & 1 << 14, 0, "NT is not saved");
    assert_eq!(guest.access_byte(OLD_TSS), AVAILABLE_32);
    assert_eq!(guest.access_byte(NEW_TSS), BUSY_32);
}

#[test]
fn error_code_goes_onto_the_new_stack() {
    let mut guest = Guest::new(BUSY_32, AVAILABLE_32);
    assert_eq!(guest.run(&external(Some(0xdead))), Ok(Outcome::Done));
    assert_eq!(guest.state.gprs[4], STACK - 4);
    assert_eq!(guest.long(STACK - 4), 0xdead);
    assert_eq!(guest.last_mode, Some(Mode::Supervisor));

    let mut guest = Guest::new(BUSY_32, AVAILABLE_16);
    guest.put(STACK - 4, &[0xff; 4]);
    assert_eq!(guest.run(&external(Some(0xdead))), Ok(Outcome::Done));
    assert_eq!(guest.state.gprs[4], STACK - 2);
    assert_eq!(guest.long(STACK - 4), 0xdead_ffff);

    let mut guest = Guest::new(BUSY_32, AVAILABLE_32);
    guest.set_selector(1, USER_CODE);
    for register in [0, 2, 3, 4, 5] {
        guest.set_selector(register, USER_DATA);
    }
    assert_eq!(guest.run(&external(Some(1))), Ok(Outcome::Done));
    assert_eq!(guest.last_mode, Some(Mode::User));
}

#[test]
fn error_code_needs_room() {
    let mut guest = Guest::new(BUSY_32, AVAILABLE_32);
    guest.describe(DATA, 0, 0, 0x92);
    guest.put(GDT + u32::from(DATA) + 6, &[0x40]);
    let fault = exception(vector::STACK, 1);
    assert_eq!(guest.run(&external(Some(0))), Err(Failure::NewTask(fault)));
    assert_eq!(guest.state.gprs[4], STACK);
    assert_eq!(guest.access_byte(DATA), 0x93, "accessed");
}

#[test]
fn debug_trap_flag() {
    let mut guest = Guest::new(BUSY_32, AVAILABLE_32);
    guest.put(NEW + 100, &[1]);
    assert_eq!(guest.run(&request(Source::Jump)), Ok(Outcome::DebugTrap));
}

#[test]
fn virtual_8086_task() {
    let mut guest = Guest::new(BUSY_32, AVAILABLE_32);
    guest.put(NEW + 36, &0xffff_ffffu32.to_le_bytes());
    for register in 0..6 {
        guest.set_selector(register, 0x1230 + register as u16);
    }
    assert_eq!(guest.run(&request(Source::Jump)), Ok(Outcome::Done));
    assert_eq!(guest.state.eflags, Rflags::new(0x3f_7fd7));
    for (number, register) in SegmentRegister::ALL.into_iter().take(6).enumerate() {
        let segment = guest.state.segment(register);
        assert_eq!(segment.base, 0x12300 + 16 * number as u64);
        assert_eq!(segment.limit, 0xffff);
        assert_eq!(segment.access_rights(register).raw(), 0xf3);
    }
}

#[test]
fn ldt() {
    let mut guest = Guest::new(BUSY_32, AVAILABLE_32);
    guest.set_ldt(LDT_SELECTOR);
    guest.set_selector(3, LOCAL_DATA);
    // Index 0 of the LDT is a descriptor like any other.
    assert_eq!(
        guest.run(&request(Source::Jump)),
        Ok(Outcome::Done),
        "{:x?}",
        guest.state
    );
    let ldtr = guest.state.segment(SegmentRegister::Ldtr);
    assert_eq!((ldtr.base, ldtr.limit), (LDT.into(), 7));
    assert_eq!(
        guest.state.segment(SegmentRegister::Ds).selector,
        LOCAL_DATA
    );
    assert_eq!(guest.state.segment(SegmentRegister::Ds).unusable, 0);
}

/// What is done to the guest, and the fault that follows.
type Case = (&'static str, fn(&mut Guest), u8, u32);

#[test]
fn faults_in_the_old_task() {
    use vector::*;
    let code = u32::from(NEW_TSS);
    let cases: [Case; 7] = [
        (
            "busy",
            |g| g.set_access_byte(NEW_TSS, BUSY_32),
            GENERAL_PROTECTION,
            code,
        ),
        (
            "no TSS",
            |g| g.set_access_byte(NEW_TSS, 0x82),
            GENERAL_PROTECTION,
            code,
        ),
        (
            "code",
            |g| g.set_access_byte(NEW_TSS, 0x99),
            GENERAL_PROTECTION,
            code,
        ),
        (
            "beyond",
            |g| g.state.gdt.limit = 0x16,
            GENERAL_PROTECTION,
            code,
        ),
        (
            "absent",
            |g| g.set_access_byte(NEW_TSS, 0x09),
            SEGMENT_NOT_PRESENT,
            code,
        ),
        (
            "short",
            |g| g.describe(NEW_TSS, NEW, 0x66, AVAILABLE_32),
            INVALID_TSS,
            code,
        ),
        (
            "old is short",
            |g| {
                let mut tr = *g.state.segment(SegmentRegister::Tr);
                tr.limit = 0x66;
                g.state.set_segment(SegmentRegister::Tr, tr);
            },
            INVALID_TSS,
            OLD_TSS.into(),
        ),
    ];
    for (name, spoil, vector, code) in cases {
        for request in [request(Source::Jump), external(None)] {
            let mut guest = Guest::new(BUSY_32, AVAILABLE_32);
            spoil(&mut guest);
            let before = guest.clone();
            let code = code | u32::from(request.origin == Origin::External);
            let expected = Failure::OldTask(exception(vector, code));
            assert_eq!(guest.run(&request), Err(expected), "{name}");
            assert_eq!(guest.state, before.state, "{name}");
            assert_eq!(guest.bytes, before.bytes, "{name}");
        }
    }

    let mut guest = Guest::new(BUSY_32, AVAILABLE_32);
    let fault = exception(INVALID_TSS, code);
    assert_eq!(
        guest.run(&request(Source::Iret)),
        Err(Failure::OldTask(fault)),
        "idle"
    );
    for selector in [0, 3, NEW_TSS | 4] {
        let request = Request {
            selector,
            ..request(Source::Jump)
        };
        let fault = exception(GENERAL_PROTECTION, u32::from(selector & !3));
        assert_eq!(guest.run(&request), Err(Failure::OldTask(fault)));
    }
}

#[test]
fn faults_in_the_new_task() {
    use vector::*;
    let cases: [Case; 18] = [
        ("PDPTEs", |g| g.cr3_is_bad = true, GENERAL_PROTECTION, 0),
        ("LDT in LDT", |g| g.set_ldt(0x3c), INVALID_TSS, 0x3c),
        ("LDT is data", |g| g.set_ldt(DATA), INVALID_TSS, DATA.into()),
        (
            "LDT absent",
            |g| {
                g.set_ldt(LDT_SELECTOR);
                g.set_access_byte(LDT_SELECTOR, 0x02);
            },
            INVALID_TSS,
            LDT_SELECTOR.into(),
        ),
        ("null CS", |g| g.set_selector(1, 3), INVALID_TSS, 0),
        (
            "CS is data",
            |g| g.set_selector(1, DATA),
            INVALID_TSS,
            DATA.into(),
        ),
        (
            "CS is a TSS",
            |g| g.set_selector(1, NEW_TSS),
            INVALID_TSS,
            NEW_TSS.into(),
        ),
        (
            "CS of another level",
            |g| g.set_selector(1, CODE | 3),
            INVALID_TSS,
            CODE.into(),
        ),
        (
            "CS absent",
            |g| g.set_access_byte(CODE, 0x1b),
            SEGMENT_NOT_PRESENT,
            CODE.into(),
        ),
        ("null SS", |g| g.set_selector(2, 0), INVALID_TSS, 0),
        (
            "SS is code",
            |g| g.set_selector(2, CODE),
            INVALID_TSS,
            CODE.into(),
        ),
        (
            "SS read-only",
            |g| g.set_access_byte(DATA, 0x91),
            INVALID_TSS,
            DATA.into(),
        ),
        (
            "SS with RPL",
            |g| g.set_selector(2, DATA | 3),
            INVALID_TSS,
            DATA.into(),
        ),
        (
            "SS of another level",
            |g| g.set_selector(2, USER_DATA),
            INVALID_TSS,
            0x30,
        ),
        (
            "SS absent",
            |g| g.set_access_byte(DATA, 0x13),
            STACK_FAULT,
            DATA.into(),
        ),
        (
            "DS without LDT",
            |g| g.set_selector(3, 0x0c),
            INVALID_TSS,
            0x0c,
        ),
        ("FS beyond", |g| g.set_selector(4, 0x40), INVALID_TSS, 0x40),
        (
            "GS with RPL",
            |g| g.set_selector(5, DATA | 3),
            INVALID_TSS,
            DATA.into(),
        ),
    ];
    const STACK_FAULT: u8 = vector::STACK;
    for (name, spoil, vector, code) in cases {
        for request in [request(Source::Jump), external(Some(0))] {
            let mut guest = Guest::new(BUSY_32, AVAILABLE_32);
            spoil(&mut guest);
            let code = code | u32::from(request.origin == Origin::External);
            let expected = Failure::NewTask(exception(vector, code));
            assert_eq!(guest.run(&request), Err(expected), "{name}");
            assert_eq!(guest.state.eip, 0x5678, "{name}");
            assert_eq!(guest.state.segment(SegmentRegister::Tr).selector, NEW_TSS);
            assert!(is_enterable(&guest.state), "{name}: {:x?}", guest.state);
        }
    }
}

#[test]
fn absent_data_segment() {
    let mut guest = Guest::new(BUSY_32, AVAILABLE_32);
    guest.set_access_byte(USER_DATA, 0xf3 & !PRESENT);
    guest.set_selector(0, USER_DATA);
    let fault = exception(vector::SEGMENT_NOT_PRESENT, 0x30);
    assert_eq!(
        guest.run(&request(Source::Jump)),
        Err(Failure::NewTask(fault))
    );
    assert_eq!(guest.state.segment(SegmentRegister::Es).unusable, 1);
}

/// What VM entry asks of CS, SS and EFLAGS of an unrestricted guest (SDM 28.3.1.2, 28.3.1.4).
fn is_enterable(state: &State) -> bool {
    let cs = state.segment(SegmentRegister::Cs);
    let ss = state.segment(SegmentRegister::Ss);
    let flags = state.eflags.raw();
    let cs_level = match cs.kind {
        9 | 11 => cs.dpl == ss.dpl,
        13 | 15 => cs.dpl <= ss.dpl,
        _ => false,
    };
    let granular = |segment: &Segment| {
        let low = segment.limit & 0xfff != 0xfff && segment.g != 0;
        let high = segment.limit >> 20 != 0 && segment.g == 0;
        segment.unusable != 0 || !low && !high
    };
    let virtual_8086 = state.eflags.contains(Rflags::VM);
    flags & !0x3f_7fd7 == 0
        && flags & 2 != 0
        && state.segments.iter().all(granular)
        && (virtual_8086 || cs_level && matches!(ss.kind, 3 | 7) && cs.present & cs.s == 1)
}

/// Whatever access is refused first: the old task is there unchanged and the switch can be done again, or
/// the new one is there.
#[test]
fn refused_accesses() {
    for (old, new) in [(BUSY_32, AVAILABLE_32), (BUSY_16, AVAILABLE_16)] {
        for source in [Source::Jump, Source::TaskGate] {
            let mut whole = Guest::new(old, new);
            let request = request(source);
            assert_eq!(whole.run(&request), Ok(Outcome::Done));
            let mut old_task = 0;
            for accesses in 0.. {
                let mut guest = Guest::new(old, new);
                let before = guest.state;
                guest.accesses = accesses;
                match guest.run(&request) {
                    Ok(_) => break,
                    Err(Failure::OldTask(fault)) => {
                        assert_eq!(fault, Fault::Memory(Refused::Access));
                        assert_eq!(guest.state, before);
                        old_task += 1;
                        guest.accesses = usize::MAX;
                        assert_eq!(guest.run(&request), Ok(Outcome::Done));
                        assert_eq!(guest.state, whole.state);
                        assert_eq!(guest.bytes, whole.bytes);
                    }
                    Err(Failure::NewTask(fault)) => {
                        assert_eq!(fault, Fault::Memory(Refused::Access));
                        assert!(is_enterable(&guest.state));
                        assert_eq!(guest.state.eip, whole.state.eip);
                    }
                }
            }
            assert!(old_task >= 5);
        }
    }
}

proptest! {
    /// No guest makes it panic, or gives a state that VM entry refuses.
    #[test]
    fn anything(
        gdt in proptest::collection::vec(any::<u8>(), 0x40),
        tss in proptest::collection::vec(any::<u8>(), 104),
        source in 0..4usize,
        error_code in any::<Option<u32>>(),
        new in prop_oneof![Just(AVAILABLE_16), Just(AVAILABLE_32), Just(BUSY_32), any::<u8>()],
        selectors in proptest::option::of(proptest::collection::vec(0..0x44u16, 6)),
    ) {
        let mut guest = Guest::new(BUSY_32, new);
        guest.put(GDT, &gdt);
        guest.describe(NEW_TSS, NEW, 0x67, new);
        guest.put(NEW, &tss);
        for (number, selector) in (0..).zip(selectors.into_iter().flatten()) {
            guest.set_selector(number, selector);
        }
        let source = [Source::Call, Source::Iret, Source::Jump, Source::TaskGate][source];
        let before = guest.state;
        let request = Request { error_code, ..request(source) };
        match guest.run(&request) {
            Err(Failure::OldTask(_)) => prop_assert_eq!(guest.state, before),
            _ => prop_assert!(is_enterable(&guest.state), "{:x?}", guest.state),
        }
    }
}
