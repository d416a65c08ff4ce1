// SPDX-License-Identifier: GPL-2.0

//! The decoder against iced-x86, over all opcodes of the maps that it reads.

use iced_x86::{
    Code, ConditionCode, Decoder, DecoderOptions, Instruction, MemorySize, Mnemonic, OpKind,
    Register,
};
use proptest::prelude::*;
use rkvm_host::x86::insn::{
    decode, AddressSize, Alu, Base, Bit, CodeSize, Condition, DecodeError, Gpr, Insn, Op, Operand,
    OperandSize, Repeat, Segment, Shift, MAX_LENGTH,
};

const IP: u64 = 0x1234_5678;

const CODE_SIZES: [CodeSize; 3] = [CodeSize::Bits16, CodeSize::Bits32, CodeSize::Bits64];

fn bits(code_size: CodeSize) -> u32 {
    match code_size {
        CodeSize::Bits16 => 16,
        CodeSize::Bits32 => 32,
        CodeSize::Bits64 => 64,
    }
}

/// What iced-x86 says.
fn oracle(code_size: CodeSize, bytes: &[u8]) -> Instruction {
    Decoder::with_ip(bits(code_size), bytes, IP, DecoderOptions::NONE).decode()
}

fn size_of(bytes: usize) -> OperandSize {
    match bytes {
        1 => OperandSize::Byte,
        2 => OperandSize::Word,
        4 => OperandSize::Dword,
        8 => OperandSize::Qword,
        16 => OperandSize::Xmmword,
        _ => panic!("no operand has {bytes} bytes"),
    }
}

/// The size of an instruction's operand, as iced-x86 has it.
fn operand_bytes(instruction: &Instruction, position: u32) -> usize {
    match instruction.op_kind(position) {
        OpKind::Register => instruction.op_register(position).size(),
        _ => instruction.memory_size().size(),
    }
}

fn is_memory(kind: OpKind) -> bool {
    !matches!(
        kind,
        OpKind::Register
            | OpKind::Immediate8
            | OpKind::Immediate8_2nd
            | OpKind::Immediate16
            | OpKind::Immediate32
            | OpKind::Immediate64
            | OpKind::Immediate8to16
            | OpKind::Immediate8to32
            | OpKind::Immediate8to64
            | OpKind::Immediate32to64
    )
}

/// The operation that an instruction is to be decoded to, `None` where it is not one of those
/// that the decoder has to know.
fn expected_op(instruction: &Instruction) -> Option<Op> {
    let kinds = || (0..instruction.op_count()).map(|i| instruction.op_kind(i));
    let registers = || {
        (0..instruction.op_count())
            .filter(|i| instruction.op_kind(*i) == OpKind::Register)
            .map(|i| instruction.op_register(i))
    };
    if !registers().all(|register| register.is_gpr() || register.is_xmm()) {
        return None;
    }
    let has_memory = kinds().any(is_memory);
    let has_xmm = registers().any(|register| register.is_xmm());
    let vector = (has_memory && has_xmm).then_some(Op::MovVector);
    let with_memory = |op| (has_memory && !has_xmm).then_some(op);
    let source = || size_of(operand_bytes(instruction, 1));
    let alu = |op| Some(Op::Alu(op));
    let shift = |op| Some(Op::Shift(op));
    match instruction.mnemonic() {
        Mnemonic::Mov => Some(Op::Mov),
        Mnemonic::Movnti => Some(Op::Mov),
        Mnemonic::Movzx => Some(Op::MovZx(source())),
        Mnemonic::Movsx | Mnemonic::Movsxd => Some(Op::MovSx(source())),
        Mnemonic::Movbe => Some(Op::Movbe),
        Mnemonic::Movups | Mnemonic::Movupd | Mnemonic::Movaps | Mnemonic::Movapd => vector,
        Mnemonic::Movdqa | Mnemonic::Movdqu | Mnemonic::Lddqu => vector,
        Mnemonic::Movntps | Mnemonic::Movntpd | Mnemonic::Movntdq | Mnemonic::Movntdqa => vector,
        Mnemonic::Movd | Mnemonic::Movq | Mnemonic::Movss => vector,
        Mnemonic::Add => alu(Alu::Add),
        Mnemonic::Or => alu(Alu::Or),
        Mnemonic::Adc => alu(Alu::Adc),
        Mnemonic::Sbb => alu(Alu::Sbb),
        Mnemonic::And => alu(Alu::And),
        Mnemonic::Sub => alu(Alu::Sub),
        Mnemonic::Xor => alu(Alu::Xor),
        Mnemonic::Cmp => alu(Alu::Cmp),
        Mnemonic::Test => Some(Op::Test),
        Mnemonic::Not => Some(Op::Not),
        Mnemonic::Neg => Some(Op::Neg),
        Mnemonic::Inc => Some(Op::Inc),
        Mnemonic::Dec => Some(Op::Dec),
        Mnemonic::Rol => shift(Shift::Rol),
        Mnemonic::Ror => shift(Shift::Ror),
        Mnemonic::Rcl => shift(Shift::Rcl),
        Mnemonic::Rcr => shift(Shift::Rcr),
        Mnemonic::Shl | Mnemonic::Sal => shift(Shift::Shl),
        Mnemonic::Shr => shift(Shift::Shr),
        Mnemonic::Sar => shift(Shift::Sar),
        Mnemonic::Bt => Some(Op::Bit(Bit::Test)),
        Mnemonic::Bts => Some(Op::Bit(Bit::Set)),
        Mnemonic::Btr => Some(Op::Bit(Bit::Reset)),
        Mnemonic::Btc => Some(Op::Bit(Bit::Complement)),
        Mnemonic::Xadd => Some(Op::Xadd),
        Mnemonic::Cmpxchg => Some(Op::Cmpxchg),
        // 90-97 has registers only; 86 and 87 are known.
        Mnemonic::Xchg if is_xchg_of_accumulator(instruction.code()) => None,
        Mnemonic::Xchg => Some(Op::Xchg),
        Mnemonic::Push | Mnemonic::Pop if !is_stack_rm(instruction.code()) => None,
        Mnemonic::Push => Some(Op::Push),
        Mnemonic::Pop => Some(Op::Pop),
        Mnemonic::Movsd if has_xmm => vector,
        Mnemonic::Cmpsd if has_xmm => None,
        Mnemonic::Movsb | Mnemonic::Movsw | Mnemonic::Movsd | Mnemonic::Movsq => {
            with_memory(Op::Movs)
        }
        Mnemonic::Cmpsb | Mnemonic::Cmpsw | Mnemonic::Cmpsd | Mnemonic::Cmpsq => Some(Op::Cmps),
        Mnemonic::Stosb | Mnemonic::Stosw | Mnemonic::Stosd | Mnemonic::Stosq => Some(Op::Stos),
        Mnemonic::Lodsb | Mnemonic::Lodsw | Mnemonic::Lodsd | Mnemonic::Lodsq => Some(Op::Lods),
        Mnemonic::Scasb | Mnemonic::Scasw | Mnemonic::Scasd | Mnemonic::Scasq => Some(Op::Scas),
        Mnemonic::Insb | Mnemonic::Insw | Mnemonic::Insd => Some(Op::Ins),
        Mnemonic::Outsb | Mnemonic::Outsw | Mnemonic::Outsd => Some(Op::Outs),
        _ if is_setcc(instruction) => {
            let code = instruction.condition_code() as u8 - ConditionCode::o as u8;
            Some(Op::Setcc(Condition::new(code)))
        }
        _ => None,
    }
}

fn is_xchg_of_accumulator(code: Code) -> bool {
    matches!(
        code,
        Code::Xchg_r16_AX | Code::Xchg_r32_EAX | Code::Xchg_r64_RAX
    )
}

fn is_stack_rm(code: Code) -> bool {
    matches!(
        code,
        Code::Push_rm16
            | Code::Push_rm32
            | Code::Push_rm64
            | Code::Pop_rm16
            | Code::Pop_rm32
            | Code::Pop_rm64
    )
}

fn is_setcc(instruction: &Instruction) -> bool {
    instruction.condition_code() != ConditionCode::None
        && instruction.op_count() == 1
        && instruction.memory_size() == MemorySize::UInt8
        || (Code::Seto_rm8..=Code::Setg_rm8).contains(&instruction.code())
}

/// The register of this number and size as iced-x86 names it.
fn gpr(register: Gpr, bytes: usize) -> Register {
    let first = match bytes {
        // AL to BL, AH to BH, SPL to R15L: with the high ones left out.
        1 if register.number() < 4 => Register::AL,
        1 => return Register::SPL + (register.number() as u32 - 4),
        2 => Register::AX,
        4 => Register::EAX,
        _ => Register::RAX,
    };
    first + register.number() as u32
}

fn segment(segment: Segment) -> Register {
    match segment {
        Segment::Es => Register::ES,
        Segment::Cs => Register::CS,
        Segment::Ss => Register::SS,
        Segment::Ds => Register::DS,
        Segment::Fs => Register::FS,
        Segment::Gs => Register::GS,
    }
}

/// Segments of 64-bit code whose base counts; the others are all one.
fn effective_segment(code_size: CodeSize, register: Register) -> Register {
    match register {
        Register::FS | Register::GS => register,
        _ if code_size == CodeSize::Bits64 => Register::None,
        _ => register,
    }
}

/// Compares one operand.
fn same_operand(insn: &Insn, instruction: &Instruction, position: u32) -> Result<(), String> {
    let operand = if position == 0 { insn.dst } else { insn.src };
    let same = |what: &str, ours: String, theirs: String| {
        if ours == theirs {
            Ok(())
        } else {
            Err(format!("operand {position}: {what} {ours}, not {theirs}"))
        }
    };
    if position >= instruction.op_count() {
        return same("is", format!("{operand:?}"), "None".into());
    }
    let kind = instruction.op_kind(position);
    let bytes = match (insn.op, position) {
        (Op::MovZx(from) | Op::MovSx(from), 1) => from.bytes(),
        (Op::Shift(_), 1) => 1,
        (Op::Ins, 1) | (Op::Outs, 0) => 2,
        _ => insn.size.bytes(),
    };
    match operand {
        Operand::None => same("is", "None".into(), format!("{kind:?}")),
        Operand::Gpr(register) => same(
            "register",
            format!("{:?}", gpr(register, bytes)),
            format!("{:?}", instruction.op_register(position)),
        ),
        Operand::HighByte(register) => same(
            "register",
            format!("{:?}", Register::AH + register.number() as u32),
            format!("{:?}", instruction.op_register(position)),
        ),
        Operand::Xmm(register) => same(
            "register",
            format!("{:?}", Register::XMM0 + register.number() as u32),
            format!("{:?}", instruction.op_register(position)),
        ),
        Operand::Immediate(value) => {
            if is_memory(kind) || kind == OpKind::Register {
                return Err(format!("operand {position}: an immediate, not {kind:?}"));
            }
            let mask = if kind == OpKind::Immediate8 {
                u64::from(u8::MAX)
            } else {
                size_of(bytes).mask()
            };
            let theirs = instruction.immediate(position) & mask;
            same(
                "value",
                format!("{:#x}", value & mask),
                format!("{theirs:#x}"),
            )
        }
        Operand::Memory(memory) => {
            same(
                "size",
                bytes.to_string(),
                instruction.memory_size().size().to_string(),
            )?;
            let width = insn.address_size.register_size().bytes();
            let (base, index, their_segment) = match kind {
                OpKind::Memory => (
                    instruction.memory_base(),
                    instruction.memory_index(),
                    instruction.memory_segment(),
                ),
                OpKind::MemorySegSI => (Register::SI, Register::None, instruction.memory_segment()),
                OpKind::MemorySegESI => {
                    (Register::ESI, Register::None, instruction.memory_segment())
                }
                OpKind::MemorySegRSI => {
                    (Register::RSI, Register::None, instruction.memory_segment())
                }
                OpKind::MemoryESDI => (Register::DI, Register::None, Register::ES),
                OpKind::MemoryESEDI => (Register::EDI, Register::None, Register::ES),
                OpKind::MemoryESRDI => (Register::RDI, Register::None, Register::ES),
                other => return Err(format!("operand {position}: memory, not {other:?}")),
            };
            let our_base = match memory.base {
                Base::None => Register::None,
                Base::Gpr(register) => gpr(register, width),
                Base::NextRip if insn.address_size == AddressSize::Bits32 => Register::EIP,
                Base::NextRip => Register::RIP,
            };
            same("base", format!("{our_base:?}"), format!("{base:?}"))?;
            let our_index = memory
                .index
                .map_or(Register::None, |i| gpr(i.register, width));
            same("index", format!("{our_index:?}"), format!("{index:?}"))?;
            if let Some(index) = memory.index {
                same(
                    "scale",
                    (1 << index.scale_shift).to_string(),
                    instruction.memory_index_scale().to_string(),
                )?;
            }
            if our_base == Register::None && our_index == Register::None {
                same(
                    "address size",
                    width.to_string(),
                    instruction.memory_displ_size().to_string(),
                )?;
            }
            same(
                "segment",
                format!(
                    "{:?}",
                    effective_segment(insn.code_size, segment(memory.segment))
                ),
                format!("{:?}", effective_segment(insn.code_size, their_segment)),
            )?;
            let mut displacement = memory.displacement as u64;
            if memory.base == Base::NextRip {
                displacement = displacement.wrapping_add(IP + u64::from(insn.length));
            }
            let mask = insn.address_size.mask();
            same(
                "displacement",
                format!("{:#x}", displacement & mask),
                format!("{:#x}", instruction.memory_displacement64() & mask),
            )
        }
    }
}

/// Compares all of an instruction.
fn same_instruction(insn: &Insn, instruction: &Instruction) -> Result<(), String> {
    if instruction.is_invalid() {
        return Err("iced-x86 says that it is invalid".into());
    }
    if usize::from(insn.length) != instruction.len() {
        return Err(format!("length {}, not {}", insn.length, instruction.len()));
    }
    if Some(insn.op) != expected_op(instruction) {
        return Err(format!("{:?}, not {:?}", insn.op, expected_op(instruction)));
    }
    if insn.lock != instruction.has_lock_prefix() {
        return Err("LOCK differs".into());
    }
    let repeat = match insn.op.is_string() {
        true if instruction.has_repne_prefix() => Repeat::WhileNotEqual,
        true if instruction.has_rep_prefix() => Repeat::WhileEqual,
        _ => Repeat::Once,
    };
    if insn.repeat != repeat {
        return Err(format!("{:?}, not {repeat:?}", insn.repeat));
    }
    same_operand(insn, instruction, 0)?;
    same_operand(insn, instruction, 1)
}

/// Decodes `bytes` on both sides and compares; returns whether it was an instruction for us.
fn check(code_size: CodeSize, bytes: &[u8]) -> bool {
    let instruction = oracle(code_size, bytes);
    let result = decode(code_size, bytes);
    let verdict = match &result {
        Ok(insn) => same_instruction(insn, &instruction),
        Err(DecodeError::Unsupported) if instruction.is_invalid() => Ok(()),
        Err(DecodeError::Unsupported) if expected_op(&instruction).is_none() => Ok(()),
        Err(DecodeError::TooLong) if instruction.is_invalid() => Ok(()),
        Err(error) => Err(format!("{error:?} from the decoder")),
    };
    if let Err(why) = verdict {
        panic!("{bytes:02x?} in {code_size:?}: {why}\niced-x86: {instruction}\nours: {result:x?}");
    }
    result.is_ok()
}

/// Prefixes before an opcode: each alone, and the combinations where one cancels another.
fn prefixes(code_size: CodeSize) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = vec![
        vec![],
        vec![0x66],
        vec![0x67],
        vec![0x66, 0x67],
        vec![0xf0],
        vec![0xf0, 0x66],
        vec![0xf2],
        vec![0xf3],
        vec![0xf2, 0xf3],
        vec![0xf3, 0x66],
        vec![0xf2, 0x67],
        vec![0x26],
        vec![0x2e],
        vec![0x36],
        vec![0x3e],
        vec![0x64],
        vec![0x65, 0x26],
        vec![0x65, 0x64],
    ];
    if code_size == CodeSize::Bits64 {
        all.extend((0x40..=0x4f).map(|rex| vec![rex]));
        all.push(vec![0x66, 0x48]);
        all.push(vec![0x66, 0x45]);
        all.push(vec![0x48, 0x66]);
        all.push(vec![0x44, 0x48]);
        all.push(vec![0x67, 0x4f]);
        all.push(vec![0xf3, 0x4d]);
        all.push(vec![0xf0, 0x4c]);
    }
    all
}

/// What follows an opcode: every ModRM byte, with SIB bytes of each kind where there is one, and
/// bytes with the sign bit set for displacements and immediates.
fn tails() -> Vec<Vec<u8>> {
    const REST: [u8; 9] = [0x81, 0x92, 0xa3, 0xb4, 0xc5, 0xd6, 0xe7, 0xf8, 0x89];
    let mut all = Vec::new();
    for modrm in 0..=u8::MAX {
        let has_sib = modrm >> 6 != 3 && modrm & 7 == 4;
        let sibs: &[u8] = if has_sib {
            &[0x00, 0x24, 0x25, 0x65, 0x8d, 0xe4, 0xfc, 0x4b]
        } else {
            &[0x7f]
        };
        for sib in sibs {
            all.push([&[modrm, *sib], &REST[..]].concat());
        }
    }
    all
}

/// Checks every opcode behind `map` with all prefixes and tails; returns how many were decoded.
fn sweep(map: &[u8]) -> usize {
    let tails = tails();
    let mut decoded = 0;
    for code_size in CODE_SIZES {
        for prefix in prefixes(code_size) {
            for opcode in 0..=u8::MAX {
                let start = [&prefix[..], map, &[opcode]].concat();
                for tail in &tails {
                    let mut bytes = start.clone();
                    bytes.extend_from_slice(tail);
                    bytes.resize(MAX_LENGTH, 0x5a);
                    decoded += usize::from(check(code_size, &bytes));
                }
            }
        }
    }
    decoded
}

#[test]
#[cfg_attr(miri, ignore = "millions of cases")]
fn one_byte_opcodes_agree() {
    assert!(sweep(&[]) > 1_000_000);
}

#[test]
#[cfg_attr(miri, ignore = "millions of cases")]
fn two_byte_opcodes_agree() {
    assert!(sweep(&[0x0f]) > 100_000);
}

#[test]
#[cfg_attr(miri, ignore = "millions of cases")]
fn opcodes_behind_0f38_agree() {
    assert!(sweep(&[0x0f, 0x38]) > 10_000);
}

#[test]
fn every_proper_prefix_of_an_instruction_is_truncated() {
    for code_size in CODE_SIZES {
        for opcode in 0..=u8::MAX {
            for modrm in [0x00, 0x04, 0x05, 0x44, 0x46, 0x84, 0xb4, 0xc1] {
                for map in [&[][..], &[0x0f], &[0x66, 0x0f]] {
                    let mut bytes = [map, &[opcode, modrm, 0x25]].concat();
                    bytes.resize(MAX_LENGTH, 0x11);
                    let Ok(insn) = decode(code_size, &bytes) else {
                        continue;
                    };
                    for length in 0..usize::from(insn.length) {
                        let cut = decode(code_size, &bytes[..length]);
                        assert_eq!(cut, Err(DecodeError::Truncated), "{bytes:02x?}");
                    }
                    let exact = &bytes[..usize::from(insn.length)];
                    assert_eq!(decode(code_size, exact), Ok(insn));
                }
            }
        }
    }
}

#[test]
fn fifteen_bytes_are_an_instruction_and_sixteen_are_too_long() {
    for code_size in CODE_SIZES {
        let mut bytes = vec![0x3e; MAX_LENGTH - 2];
        bytes.extend([0x89, 0x00]);
        let insn = decode(code_size, &bytes).unwrap();
        assert_eq!(usize::from(insn.length), MAX_LENGTH);

        bytes.insert(0, 0x3e);
        assert_eq!(decode(code_size, &bytes), Err(DecodeError::TooLong));
        assert_eq!(decode(code_size, &[0x66; 20]), Err(DecodeError::TooLong));
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(if cfg!(miri) { 20 } else { 200_000 })
    })]

    #[test]
    fn random_bytes_agree(mode in 0..3usize, bytes in prop::array::uniform16(any::<u8>())) {
        check(CODE_SIZES[mode], &bytes);
    }

    #[test]
    fn short_input_never_panics(
        mode in 0..3usize,
        bytes in prop::collection::vec(any::<u8>(), 0..MAX_LENGTH),
    ) {
        let result = decode(CODE_SIZES[mode], &bytes);
        if let Ok(insn) = result {
            prop_assert!(usize::from(insn.length) <= bytes.len());
        }
    }
}
