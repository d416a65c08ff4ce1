// SPDX-License-Identifier: GPL-2.0

//! Vector lengths, and scalable registers in memory.

use kernel::error::code::EINVAL;
use proptest::prelude::*;

use rkvm_host::arm64::sve::{ScalableReg, ScalableRegs, VectorLengths};

fn words(first: u64) -> [u64; 8] {
    [first, 0, 0, 0, 0, 0, 0, 0]
}

#[test]
fn lengths_that_all_processors_have() {
    let longest = |common, some| {
        let lengths = VectorLengths::usable(common, some);
        lengths.longest().map(|length| length.vector_bytes())
    };
    assert_eq!(longest(0, 0), None);
    assert_eq!(longest(0b11, 0b11), Some(32));
    assert_eq!(longest(0x808b, 0x808b), Some(256));
    // One processor has more: what is below is common to all.
    assert_eq!(longest(0b1011, 0b1111), Some(32));
    assert_eq!(longest(0b0001, 0b1001), Some(16));
    assert_eq!(longest(0b0010, 0b0011), None);
}

#[test]
fn a_vmm_chooses_the_longest() {
    let here = VectorLengths::usable(0x8b, 0x8b);
    assert_eq!(here.words(), words(0x8b));
    for (wanted, bytes) in [(0x1, 16), (0x3, 32), (0xb, 64), (0x8b, 128)] {
        let length = here.choose(words(wanted)).unwrap();
        assert_eq!(length.vector_bytes(), bytes);
        assert_eq!(length.predicate_bytes(), bytes / 8);
        assert_eq!(length.zcr(), bytes as u64 / 16 - 1);
        assert_eq!(here.up_to(length).words(), words(wanted));
    }
    for refused in [0, 0x2, 0x7, 0x9, 0x88, 0x18b, 0xb_0000, 1 << 63] {
        assert_eq!(here.choose(words(refused)), Err(EINVAL), "{refused:#x}");
    }
    for word in 1..8 {
        let mut wanted = words(0x8b);
        wanted[word] = 1;
        assert_eq!(here.choose(wanted), Err(EINVAL));
    }
}

#[test]
fn registers_lie_side_by_side() {
    for longest in [0x1, 0x3, 0xffff] {
        let lengths = VectorLengths::usable(longest, longest);
        let length = lengths.longest().unwrap();
        let mut regs = ScalableRegs::new(length).unwrap();
        let (vector, predicate) = (length.vector_bytes(), length.predicate_bytes());
        for (number, register) in ScalableReg::all().enumerate() {
            let bytes = regs.get_mut(register);
            let vectors = matches!(register, ScalableReg::Z(_));
            assert_eq!(bytes.len(), if vectors { vector } else { predicate });
            bytes.fill(number as u8 + 1);
        }
        let (vectors, predicates) = regs.parts_mut().unwrap();
        assert_eq!(
            (vectors.len(), predicates.len()),
            (32 * vector, 17 * predicate)
        );
        for (at, byte) in vectors.iter().enumerate() {
            assert_eq!(usize::from(*byte), at / vector + 1);
        }
        for (at, byte) in predicates.iter().enumerate() {
            assert_eq!(usize::from(*byte), 32 + at / predicate + 1);
        }
        regs.reset();
        assert!(ScalableReg::all().all(|register| regs.get(register).iter().all(|byte| *byte == 0)));
        // None such.
        assert!(regs.get(ScalableReg::Z(255)).is_empty());
    }
}

proptest! {
    /// Whatever a VMM asks for, it gets exactly that or nothing.
    #[test]
    fn a_choice_is_exact(here: u16, wanted: u64) {
        let here = VectorLengths::usable(here, here);
        if let Ok(length) = here.choose(words(wanted)) {
            prop_assert_eq!(here.up_to(length).words(), words(wanted));
        }
    }
}
