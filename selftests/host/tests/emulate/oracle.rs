// SPDX-License-Identifier: GPL-2.0

//! Random instructions of 64-bit code, each run by the emulator, by the emulator with a stop at
//! every access, and by the CPU.

use super::machine::{Answers, MockMachine, State};
use super::native::{Native, DATA_LENGTH};
use proptest::prelude::*;
use proptest::sample::select;
use rkvm_host::x86::insn::{
    decode, AddressSize, Alu, Base, CodeSize, Gpr, Insn, Memory, Op, Operand, OperandSize, Repeat,
    Shift, MAX_LENGTH,
};

const CF: u64 = 1 << 0;
const PF: u64 = 1 << 2;
const AF: u64 = 1 << 4;
const ZF: u64 = 1 << 6;
const SF: u64 = 1 << 7;
const DF: u64 = 1 << 10;
const OF: u64 = 1 << 11;
const STATUS: u64 = CF | PF | AF | ZF | SF | OF;

/// An instruction and what it runs on, before the addresses are made to fit.
#[derive(Clone, Debug)]
struct Case {
    prefixes: Vec<u8>,
    opcode: Vec<u8>,
    modrm: u8,
    sib: u8,
    tail: [u8; 12],
    state: State,
    memory_pattern: Vec<u8>,
    target: u64,
    bit_offset: i64,
    count: u64,
    accumulator_in_memory: bool,
}

/// The opcodes of 64-bit code that the decoder knows and a process may execute.
fn opcodes() -> Vec<Vec<u8>> {
    let maps: [&[u8]; 5] = [&[], &[0x0f], &[0x0f, 0x38], &[0x66, 0x0f], &[0xf3, 0x0f]];
    let mut known = Vec::new();
    for map in maps {
        for opcode in 0..=u8::MAX {
            let bytes = [map, &[opcode]].concat();
            let is_known = (0..=u8::MAX).any(|modrm| {
                let mut bytes = bytes.clone();
                bytes.push(modrm);
                bytes.resize(MAX_LENGTH, 0);
                let insn = decode(CodeSize::Bits64, &bytes);
                insn.is_ok_and(|insn| {
                    usize::from(insn.length) > map.len()
                        && !matches!(insn.op, Op::Ins | Op::Outs)
                        && (insn.op != Op::Movbe || is_x86_feature_detected!("movbe"))
                })
            });
            if is_known && !(map.is_empty() && is_prefix(opcode)) {
                known.push(bytes);
            }
        }
    }
    known
}

/// Whether a first byte is followed by the opcode proper.
fn is_prefix(byte: u8) -> bool {
    matches!(
        byte,
        0x0f | 0x26 | 0x2e | 0x36 | 0x3e | 0x40..=0x4f | 0x64..=0x67 | 0xf0 | 0xf2 | 0xf3
    )
}

/// A register's value: one where flags change, or any.
fn value() -> impl Strategy<Value = u64> {
    let edges = [0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fff_ffff]
        .into_iter()
        .chain([0x8000_0000, 0xffff_ffff, i64::MAX as u64, 1 << 63, u64::MAX])
        .collect::<Vec<u64>>();
    prop_oneof![select(edges), any::<u64>()]
}

fn case() -> impl Strategy<Value = Case> {
    let prefixes: [&[u8]; 9] = [
        &[],
        &[0x66],
        &[0x67],
        &[0xf0],
        &[0xf2],
        &[0xf3],
        &[0x2e],
        &[0xf2, 0x67],
        &[0x67, 0xf3],
    ];
    let prefixes: Vec<Vec<u8>> = prefixes.into_iter().map(Vec::from).collect();
    let rex = (0x3f..=0x4fu8).prop_map(|rex| (rex >= 0x40).then_some(rex));
    let instruction = (
        select(prefixes),
        rex,
        select(opcodes()),
        any::<u8>(),
        any::<u8>(),
        any::<[u8; 12]>(),
    );
    let registers = (
        prop::array::uniform16(value()),
        0..STATUS * 2,
        prop::array::uniform16(any::<[u8; 16]>()),
    );
    let memory = (
        prop::collection::vec(value(), 32),
        0..64u64,
        -0x2000..0x2000i64,
        0..6u64,
        any::<bool>(),
    );
    (instruction, registers, memory).prop_map(|(instruction, registers, memory)| {
        let (mut prefixes, rex, mut opcode, modrm, sib, tail) = instruction;
        // REX goes between a mandatory prefix and the opcode.
        if let [mandatory @ (0x66 | 0xf3), rest @ ..] = &opcode[..] {
            prefixes.push(*mandatory);
            opcode = rest.to_vec();
        }
        prefixes.extend(rex);
        let (gprs, flags, xmms) = registers;
        let (pattern, target, bit_offset, count, accumulator_in_memory) = memory;
        let memory_pattern: Vec<u8> = pattern.iter().flat_map(|v| v.to_le_bytes()).collect();
        Case {
            prefixes,
            opcode,
            modrm,
            sib,
            tail,
            state: State {
                gprs,
                rip: 0,
                rflags: flags & (STATUS | DF) | 2,
                xmms,
            },
            memory_pattern,
            target: DATA_LENGTH as u64 / 2 + target,
            bit_offset,
            count,
            accumulator_in_memory,
        }
    })
}

/// The instruction, where it is one, with an address that can be reached if it is absolute.
fn assemble(case: &Case, native: &Native) -> Option<(Vec<u8>, Insn)> {
    let mut bytes = [&case.prefixes[..], &case.opcode].concat();
    let has_modrm = !(case.opcode.len() == 1 && (0xa0..=0xa3).contains(&case.opcode[0]));
    if has_modrm {
        bytes.push(case.modrm);
        if case.modrm >> 6 != 3 && case.modrm & 7 == 4 {
            bytes.push(case.sib);
        }
    }
    let displacement_at = bytes.len();
    bytes.extend(case.tail);
    bytes.truncate(MAX_LENGTH);
    let insn = decode(CodeSize::Bits64, &bytes).ok()?;
    if matches!(insn.op, Op::Ins | Op::Outs) {
        return None;
    }
    let target = native.data_base() + target(&insn, case);
    for operand in [insn.dst, insn.src] {
        let Operand::Memory(memory) = operand else {
            continue;
        };
        let displacement = match memory.base {
            Base::None if memory.index.is_none() => target,
            Base::NextRip => target.wrapping_sub(native.rip() + u64::from(insn.length)),
            _ => continue,
        };
        let length =
            (usize::from(insn.length) - displacement_at).min(if has_modrm { 4 } else { 8 });
        bytes[displacement_at..displacement_at + length]
            .copy_from_slice(&displacement.to_le_bytes()[..length]);
    }
    let insn = decode(CodeSize::Bits64, &bytes).ok()?;
    bytes.truncate(usize::from(insn.length));
    Some((bytes, insn))
}

/// Where in memory the operand is to be.
fn target(insn: &Insn, case: &Case) -> u64 {
    match insn.op {
        // Some of these fault where the address is not aligned.
        Op::MovVector => case.target & !15,
        _ => case.target,
    }
}

/// Changes registers so that the operands lie in memory; whether they do, the run shows.
fn aim(insn: &Insn, case: &Case, state: &mut State, data_base: u64) {
    let target = data_base + target(insn, case);
    let middle = data_base + DATA_LENGTH as u64 / 2;
    if matches!(insn.op, Op::Push | Op::Pop) {
        state.gprs[Gpr::RSP.number()] = middle;
    }
    if insn.repeat != Repeat::Once {
        let garbage = state.gprs[Gpr::RCX.number()] & !insn.address_size.mask();
        // CPUs differ in which upper halves they clear where ECX is 0 from the start. That never
        // makes an access, so it is not the emulator's business.
        let least = u64::from(insn.address_size == AddressSize::Bits32);
        state.gprs[Gpr::RCX.number()] = garbage | case.count.max(least);
    }
    if let (Op::Bit(_), Operand::Memory(_), Operand::Gpr(register)) = (insn.op, insn.dst, insn.src)
    {
        let value = &mut state.gprs[register.number()];
        *value = *value & !insn.size.mask() | case.bit_offset as u64 & insn.size.mask();
    }
    for operand in [insn.dst, insn.src] {
        let Operand::Memory(Memory {
            base,
            index,
            displacement,
            ..
        }) = operand
        else {
            continue;
        };
        let index_value = index.map_or(0, |i| state.gprs[i.register.number()] << i.scale_shift);
        match (base, index) {
            (Base::Gpr(base), _) => {
                state.gprs[base.number()] = target
                    .wrapping_sub(index_value)
                    .wrapping_sub(displacement as u64);
            }
            (Base::None, Some(index)) => {
                let value = target.wrapping_sub(displacement as u64);
                state.gprs[index.register.number()] = value >> index.scale_shift;
            }
            _ => {}
        }
    }
}

/// The flags that the SDM defines after this instruction.
fn defined_flags(insn: &Insn, count: u64) -> u64 {
    let all = STATUS | DF;
    match insn.op {
        Op::Alu(Alu::And | Alu::Or | Alu::Xor) | Op::Test => all & !AF,
        Op::Bit(_) => CF | ZF | DF,
        Op::Shift(shift) => {
            let count = match insn.size {
                OperandSize::Qword => count & 63,
                _ => count & 31,
            };
            let mut undefined = 0;
            if count > 1 {
                undefined |= OF;
            }
            if count > 0 && matches!(shift, Shift::Shl | Shift::Shr | Shift::Sar) {
                undefined |= AF;
            }
            let bits = u64::from(insn.size.bits());
            if count >= bits && matches!(shift, Shift::Shl | Shift::Shr) {
                undefined |= CF;
            }
            all & !undefined
        }
        _ => all,
    }
}

/// Runs a case; `None` where it is no instruction or does not stay in memory.
fn run(case: &Case, native: &mut Native) -> Option<Op> {
    let (bytes, insn) = assemble(case, native)?;
    let mut memory: Vec<u8> = case
        .memory_pattern
        .iter()
        .copied()
        .cycle()
        .take(DATA_LENGTH)
        .collect();
    let data_base = native.data_base();
    let mut before = case.state.clone();
    before.rip = native.rip();
    aim(&insn, case, &mut before, data_base);
    if case.accumulator_in_memory {
        let at = case.target as usize;
        memory[at..at + 8].copy_from_slice(&before.gprs[Gpr::RAX.number()].to_le_bytes());
    }

    let mut direct = MockMachine::new(data_base, memory.clone());
    direct.state = before.clone();
    direct.run(&insn).ok()?;
    if insn.op == Op::MovVector && direct.checked[0].1 % 16 != 0 {
        return None;
    }

    let mut replayed = MockMachine::new(data_base, memory.clone());
    replayed.state = before.clone();
    replayed.answers = Answers::Replayed;
    replayed.run(&insn).expect("the same as without stops");
    assert_eq!(replayed.state, direct.state);
    assert_eq!(replayed.memory, direct.memory);

    let mut state = before.clone();
    // SAFETY: the emulator found all accesses within the memory, and none of the instructions
    // jumps; MOVs of SSE registers are aligned.
    unsafe { native.run(&bytes, &mut state, &mut memory) };
    let context = format!("{bytes:02x?} {insn:x?}\nbefore {before:x?}");
    let count = match insn.src {
        Operand::Immediate(value) => value,
        _ => before.gprs[Gpr::RCX.number()],
    };
    let flags = defined_flags(&insn, count);
    let ours = &direct.state;
    assert_eq!(ours.rip, before.rip + u64::from(insn.length), "{context}");
    assert_eq!(
        ours.rflags & flags,
        state.rflags & flags,
        "flags of {context}"
    );
    for register in 0..Gpr::COUNT {
        let (ours, theirs) = (ours.gprs[register], state.gprs[register]);
        assert!(
            ours == theirs,
            "register {register}: {ours:#x}, on the CPU {theirs:#x}: {context}"
        );
    }
    assert!(ours.xmms == state.xmms, "SSE registers of {context}");
    assert!(direct.memory == memory, "memory of {context}");
    Some(insn.op)
}

#[test]
fn the_cpu_agrees() {
    use proptest::test_runner::{Config, TestCaseError, TestRunner};

    let mut native = Native::new();
    let mut ran = std::collections::BTreeMap::new();
    let config = Config {
        failure_persistence: None,
        ..Config::with_cases(100_000)
    };
    let native = std::cell::RefCell::new(&mut native);
    let counts = std::cell::RefCell::new(&mut ran);
    TestRunner::new(config)
        .run(&case(), |case| {
            if let Some(op) = run(&case, &mut native.borrow_mut()) {
                *counts.borrow_mut().entry(format!("{op:?}")).or_insert(0) += 1;
            }
            Ok::<(), TestCaseError>(())
        })
        .unwrap();
    println!("{ran:?}");
    for op in [
        Op::Mov,
        Op::Movs,
        Op::Cmps,
        Op::Stos,
        Op::Lods,
        Op::Scas,
        Op::Xchg,
        Op::Xadd,
        Op::Cmpxchg,
        Op::Push,
        Op::Pop,
        Op::MovVector,
        Op::Test,
        Op::Not,
        Op::Neg,
        Op::Inc,
        Op::Dec,
    ] {
        let runs = ran.get(&format!("{op:?}")).copied().unwrap_or(0);
        assert!(runs >= 20, "{op:?} ran {runs} times only");
    }
}
