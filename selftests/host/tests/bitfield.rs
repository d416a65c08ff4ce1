// SPDX-License-Identifier: GPL-2.0

//! The kernel's `bitfield!` works on the build host as it does in the module.

extern crate kernel as pin_init;

kernel::bitfield! {
    /// A word with a gap.
    pub struct Word(u64) {
        /// A flag.
        0:0 flag;
        /// A number.
        11:4 number;
        /// The top bit.
        63:63 top;
    }
}

#[test]
fn fields_are_read_and_written_apart() {
    use kernel::prelude::*;

    let word = Word::zeroed().with_number(0x5a_u8).with_flag(true);
    assert_eq!(word.into_raw(), 0x5a1);
    assert!(word.flag().into_bool());
    assert_eq!(word.with_const_top::<1>().into_raw(), 0x8000_0000_0000_05a1);
    assert_eq!(Word::from_raw(0x8).with_number(0u8).into_raw(), 0x8);
    assert_eq!(word.try_with_number(0x100_u64), Err(EOVERFLOW));
}
