// SPDX-License-Identifier: GPL-2.0

//! Single instructions whose effect is known, in code of all sizes.

use super::machine::{Access, Answers, MockMachine, State, Stop};
use proptest::prelude::*;
use rkvm_host::x86::emulate::{execute, string, AccessKind, Machine, Outcome};
use rkvm_host::x86::insn::{decode, AddressSize, CodeSize, Gpr, Insn, Op, Segment, MAX_LENGTH};

const RAX: usize = 0;
const RCX: usize = 1;
const RBX: usize = 3;
const RSP: usize = 4;
const RBP: usize = 5;
const RSI: usize = 6;
const RDI: usize = 7;

const CF: u64 = 1 << 0;
const ZF: u64 = 1 << 6;
const DF: u64 = 1 << 10;
const RF: u64 = 1 << 16;

/// 64 KiB of memory at 0, each byte the low byte of its address.
fn machine() -> MockMachine {
    MockMachine::new(0, (0..0x1_0000u32).map(|address| address as u8).collect())
}

fn insn(code_size: CodeSize, bytes: &[u8]) -> Insn {
    decode(code_size, bytes).expect("a known instruction")
}

#[test]
fn sixteen_bit_addresses_wrap() {
    let mut machine = machine();
    machine.state.gprs[RBX] = 0xdead_ffff;
    machine.state.gprs[RSI] = 0xbeef_0012;
    // mov al, [bx + si + 5]
    machine
        .run(&insn(CodeSize::Bits16, &[0x8a, 0x40, 0x05]))
        .unwrap();
    assert_eq!(machine.checked, [(Segment::Ds, 0x16, 1, AccessKind::Read)]);
    assert_eq!(machine.state.gprs[RAX], 0x16);
}

#[test]
fn addresses_on_bp_lie_in_the_stack_segment() {
    let mut machine = machine();
    machine.segment_bases[Segment::Ss as usize] = 0x1000;
    machine.state.gprs[RBP] = 0x20;
    // mov [bp], al
    machine
        .run(&insn(CodeSize::Bits16, &[0x88, 0x46, 0x00]))
        .unwrap();
    assert_eq!(machine.record, [Access::Write(0x1020, vec![0])]);
}

#[test]
fn an_override_changes_the_source_of_a_string_only() {
    let mut machine = machine();
    machine.segment_bases[Segment::Es as usize] = 0x2000;
    machine.segment_bases[Segment::Fs as usize] = 0x3000;
    machine.state.gprs[RSI] = 1;
    machine.state.gprs[RDI] = 2;
    // movs byte es:[edi], fs:[esi]
    machine.run(&insn(CodeSize::Bits32, &[0x64, 0xa4])).unwrap();
    assert_eq!(
        machine.record,
        [
            Access::Read(0x3001, vec![1]),
            Access::Write(0x2002, vec![1])
        ]
    );
}

#[test]
fn rip_wraps_within_the_code_size() {
    for (code_size, rip, next) in [
        (CodeSize::Bits16, 0xffff, 1),
        (CodeSize::Bits32, 0xffff_ffff, 1),
        (CodeSize::Bits64, u64::MAX, 1),
        (CodeSize::Bits64, 0xffff_ffff, 0x1_0000_0001),
    ] {
        let mut machine = machine();
        machine.state.rip = rip;
        // mov al, cl
        machine.run(&insn(code_size, &[0x88, 0xc8])).unwrap();
        assert_eq!(machine.state.rip, next);
    }
}

#[test]
fn addresses_relative_to_rip_start_behind_the_instruction() {
    for (bytes, effective) in [
        (&[0xc6, 0x05, 0x10, 0, 0, 0, 0x77][..], 0x1_0000_0017),
        (&[0x67, 0xc6, 0x05, 0x10, 0, 0, 0, 0x77], 0x18),
    ] {
        let mut machine = machine();
        machine.state.rip = 0x1_0000_0000;
        let _ = machine.run(&insn(CodeSize::Bits64, bytes));
        assert_eq!(
            machine.checked,
            [(Segment::Ds, effective, 1, AccessKind::Write)]
        );
    }
}

#[test]
fn completion_clears_the_resume_flag() {
    let mut machine = machine();
    machine.state.rflags |= RF;
    // mov al, [bx]
    machine.run(&insn(CodeSize::Bits16, &[0x8a, 0x07])).unwrap();
    assert_eq!(machine.state.rflags & RF, 0);
}

#[test]
fn a_read_modify_write_names_itself_before_it_reads() {
    let mut machine = machine();
    machine.state.gprs[RBX] = 0x80;
    machine.answers = Answers::Replayed;
    // lock or dword [ebx], 1
    let insn = insn(CodeSize::Bits32, &[0xf0, 0x83, 0x0b, 0x01]);
    assert!(insn.lock);
    machine.run(&insn).unwrap();
    assert_eq!(
        machine.checked[0],
        (Segment::Ds, 0x80, 4, AccessKind::Modify)
    );
    assert_eq!(
        machine.record,
        [
            Access::Read(0x80, vec![0x80, 0x81, 0x82, 0x83]),
            Access::Write(0x80, vec![0x81, 0x81, 0x82, 0x83]),
        ]
    );
}

#[test]
fn a_comparison_does_not_write() {
    let mut machine = machine();
    // cmp [ebx], al; test [ebx], al; bt [ebx], eax
    for bytes in [&[0x38, 0x03][..], &[0x84, 0x03], &[0x0f, 0xa3, 0x03]] {
        machine.run(&insn(CodeSize::Bits32, bytes)).unwrap();
        assert!(matches!(machine.record[..], [Access::Read(0, _)]));
    }
}

#[test]
fn a_failed_exchange_writes_what_it_read() {
    let mut machine = machine();
    machine.state.gprs[RBX] = 0x40;
    machine.state.gprs[RAX] = 0xffff_ffff_0000_0000;
    // cmpxchg [rbx], ecx
    machine
        .run(&insn(CodeSize::Bits64, &[0x0f, 0xb1, 0x0b]))
        .unwrap();
    let bytes = vec![0x40, 0x41, 0x42, 0x43];
    assert_eq!(
        machine.record,
        [
            Access::Read(0x40, bytes.clone()),
            Access::Write(0x40, bytes)
        ]
    );
    assert_eq!(machine.state.gprs[RAX], 0x4342_4140);
    assert_eq!(machine.state.rflags & ZF, 0);
}

#[test]
fn bit_offsets_are_signed_and_reach_beyond_the_operand() {
    let mut machine = machine();
    machine.state.gprs[RBX] = 0x100;
    machine.state.gprs[RCX] = -9i64 as u64;
    // bts [rbx], rcx: bit 55 of the quadword at 0xf8, whose byte is 0xfe
    machine
        .run(&insn(CodeSize::Bits64, &[0x48, 0x0f, 0xab, 0x0b]))
        .unwrap();
    assert_eq!(machine.checked[0].1, 0xf8);
    assert_eq!(machine.state.rflags & CF, CF);
    // bt [bx], cx with 16-bit operands wraps below 0
    machine.state.gprs[RBX] = 0;
    machine.checked.clear();
    let _ = machine.run(&insn(CodeSize::Bits16, &[0x0f, 0xa3, 0x0f]));
    assert_eq!(machine.checked[0].1, 0xfffe);
}

#[test]
fn pushes_use_the_width_of_the_stack() {
    for (stack_size, rsp, slot, after) in [
        (AddressSize::Bits16, 0xaaaa_0000, 0xfffe, 0xaaaa_fffe),
        (AddressSize::Bits32, 0xaaaa_aaaa_0000_8000, 0x7ffe, 0x7ffe),
    ] {
        let mut machine = machine();
        machine.stack_size = stack_size;
        machine.state.gprs[RSP] = rsp;
        // push word [bx]
        machine.run(&insn(CodeSize::Bits16, &[0xff, 0x37])).unwrap();
        assert_eq!(
            machine.checked,
            [
                (Segment::Ds, 0, 2, AccessKind::Read),
                (Segment::Ss, slot, 2, AccessKind::Write),
            ]
        );
        assert_eq!(machine.state.gprs[RSP], after);
    }
}

#[test]
fn a_pop_addresses_with_the_new_stack_pointer() {
    let mut machine = machine();
    machine.state.gprs[RSP] = 0x100;
    // pop qword [rsp + 8]
    machine
        .run(&insn(CodeSize::Bits64, &[0x8f, 0x44, 0x24, 0x08]))
        .unwrap();
    assert_eq!(
        machine.checked[1],
        (Segment::Ss, 0x110, 8, AccessKind::Write)
    );
    assert_eq!(machine.state.gprs[RSP], 0x108);
}

#[test]
fn repetition_stops_and_resumes_between_iterations() {
    let mut machine = machine();
    machine.answers = Answers::Replayed;
    machine.state.gprs[RCX] = 0xabcd_0003;
    machine.state.gprs[RSI] = 0x1234_0010;
    machine.state.gprs[RDI] = 0x5678_0020;
    machine.state.rflags |= DF;
    // rep movsw with 16-bit addresses
    let iterations = machine.run(&insn(CodeSize::Bits16, &[0xf3, 0xa5])).unwrap();
    assert_eq!(iterations, 3);
    assert_eq!(machine.state.gprs[RCX], 0xabcd_0000);
    assert_eq!(machine.state.gprs[RSI], 0x1234_000a);
    assert_eq!(machine.state.gprs[RDI], 0x5678_001a);
    assert_eq!(
        machine.memory[0x1c..0x22],
        [0x0c, 0x0d, 0x0e, 0x0f, 0x10, 0x11]
    );
    assert_eq!(machine.state.rip, 2);
}

#[test]
fn no_iteration_makes_no_access() {
    let mut machine = machine();
    machine.state.gprs[RCX] = 0x1_0000_0000;
    // rep stosd with 32-bit addresses
    machine
        .run(&insn(CodeSize::Bits64, &[0x67, 0xf3, 0xab]))
        .unwrap();
    assert!(machine.checked.is_empty());
    assert_eq!(machine.state.rip, 3);
}

#[test]
fn repeated_comparisons_end_by_the_zero_flag() {
    for (prefix, accumulator, count) in [(0xf2, 0x14, 5), (0xf3, 0x14, 1), (0xf2, 0xff, 8)] {
        let mut machine = machine();
        machine.state.gprs[RCX] = 8;
        machine.state.gprs[RDI] = 0x10;
        machine.state.gprs[RAX] = accumulator;
        // repne/repe scasb
        let iterations = machine
            .run(&insn(CodeSize::Bits64, &[prefix, 0xae]))
            .unwrap();
        assert_eq!(iterations, count);
        assert_eq!(machine.state.gprs[RDI], 0x10 + count as u64);
        assert_eq!(machine.state.gprs[RCX], 8 - count as u64);
        assert_eq!(machine.state.rip, 2);
    }
}

#[test]
fn port_strings_are_left_to_the_caller() {
    let mut machine = machine();
    machine.state.gprs[RCX] = 5;
    machine.state.gprs[RDI] = 0x100;
    // rep insw
    let insn = insn(CodeSize::Bits32, &[0x66, 0xf3, 0x6d]);
    let before = machine.state.clone();
    assert_eq!(execute(&insn, &mut machine), Ok(Outcome::PortString));
    assert_eq!(machine.state, before);

    assert_eq!(string::iterations(&insn, &mut machine), 5);
    assert_eq!(string::address(&insn, &mut machine), Ok(Some(0x100)));
    assert_eq!(
        machine.checked,
        [(Segment::Es, 0x100, 2, AccessKind::Write)]
    );
    assert_eq!(string::advance(&insn, &mut machine, 3), Outcome::Again);
    assert_eq!(machine.state.gprs[RDI], 0x106);
    assert_eq!(machine.state.gprs[RCX], 2);
    assert_eq!(machine.state.rip, 0);
    assert_eq!(string::advance(&insn, &mut machine, 2), Outcome::Done);
    assert_eq!(machine.state.gprs[RDI], 0x10a);
    assert_eq!(machine.state.rip, 3);
}

#[test]
fn a_single_port_string_counts_once_and_keeps_the_counter() {
    let mut machine = machine();
    machine.state.gprs[RSI] = 0x100;
    machine.state.rflags |= DF;
    // outsb
    let insn = insn(CodeSize::Bits64, &[0x6e]);
    assert_eq!(string::iterations(&insn, &mut machine), 1);
    assert_eq!(string::address(&insn, &mut machine), Ok(Some(0x100)));
    assert_eq!(string::advance(&insn, &mut machine, 1), Outcome::Done);
    assert_eq!(machine.state.gprs[RSI], 0xff);
    assert_eq!(machine.state.gprs[RCX], 0);
}

#[test]
fn refused_accesses_change_nothing() {
    let mut machine = machine();
    machine.state.gprs[RSI] = 0x10;
    machine.state.gprs[RDI] = 0x10_0000;
    // The machine checks that the state stays as it was.
    let refused = machine.run(&insn(CodeSize::Bits64, &[0xa4]));
    assert_eq!(refused, Err(Stop::Outside(0x10_0000)));
    // pop [rdi]
    machine.state.gprs[RSP] = 0x20;
    let refused = machine.run(&insn(CodeSize::Bits64, &[0x8f, 0x07]));
    assert_eq!(refused, Err(Stop::Outside(0x10_0000)));
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(if cfg!(miri) { 20 } else { 50_000 })
    })]

    /// Whatever decodes also executes, with any registers and in code of any size, and comes to
    /// the same whether it is stopped or not.
    #[test]
    fn stops_make_no_difference(
        mode in 0..3usize,
        bytes in prop::array::uniform15(any::<u8>()),
        gprs in prop::array::uniform16(prop_oneof![0..0x1_0000u64, any::<u64>()]),
        count in 0..4u64,
        flags in any::<u16>(),
    ) {
        let code_size = [CodeSize::Bits16, CodeSize::Bits32, CodeSize::Bits64][mode];
        let Ok(insn) = decode(code_size, &bytes) else {
            return Ok(());
        };
        prop_assert!(usize::from(insn.length) <= MAX_LENGTH);
        if matches!(insn.op, Op::Ins | Op::Outs) {
            return Ok(());
        }
        let mut direct = machine();
        direct.stack_size = code_size.address_size();
        direct.state = State { gprs, rflags: flags.into(), ..State::default() };
        direct.state.gprs[RCX] = count;
        let mut replayed = machine();
        replayed.stack_size = direct.stack_size;
        replayed.state = direct.state.clone();
        replayed.answers = Answers::Replayed;
        let result = direct.run(&insn);
        prop_assert_eq!(replayed.run(&insn), result);
        prop_assert_eq!(replayed.state, direct.state);
        prop_assert!(replayed.memory == direct.memory);
    }
}

/// The registers have the numbers that the tests above use.
#[test]
fn registers_are_numbered_as_in_modrm() {
    let mut machine = machine();
    machine.set_gpr(Gpr::RDI, 7);
    assert_eq!(machine.state.gprs[RDI], 7);
    assert_eq!(Gpr::RSP.number(), RSP);
    assert_eq!(Gpr::new(0x1f).number(), Gpr::COUNT - 1);
}
