// SPDX-License-Identifier: GPL-2.0
//! Short texts: what is formatted, and what is cut off.

use rkvm_host::text::{Text, BYTES};

#[test]
fn formatted_with_zeros_behind() {
    let text = Text::new(format_args!("kvm-{}/vcpu-{}", 17, u32::MAX));
    let expected = b"kvm-17/vcpu-4294967295";
    assert_eq!(&text.bytes()[..expected.len()], expected);
    assert!(text.bytes()[expected.len()..].iter().all(|byte| *byte == 0));
    assert_eq!(text.as_c_str().to_bytes(), expected);
}

#[test]
fn cut_off_with_room_for_the_zero() {
    let text = Text::new(format_args!("{}{}", "a".repeat(BYTES - 3), "bcdef"));
    assert_eq!(text.bytes()[BYTES - 4..], *b"abc\0");
    assert_eq!(text.as_c_str().to_bytes().len(), BYTES - 1);
}

#[test]
fn empty() {
    let text = Text::new(format_args!(""));
    assert_eq!(text.bytes(), [0; BYTES]);
    assert_eq!(text.as_c_str().to_bytes(), b"");
}
