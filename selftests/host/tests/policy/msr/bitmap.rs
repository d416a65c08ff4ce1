// SPDX-License-Identifier: GPL-2.0

//! The MSR bitmap.

use rkvm_host::x86::msr::bitmap::{self, Passthrough};
use rkvm_host::x86::msr::index::*;

/// Whether RDMSR (0) or WRMSR (1) exits.
fn exits(map: &[u8; bitmap::SIZE], msr: u32, write: usize) -> bool {
    let (offset, within) = match msr {
        0xc000_0000.. => (1024, (msr - 0xc000_0000) as usize),
        _ => (0, msr as usize),
    };
    map[offset + write * 2048 + within / 8] >> (within % 8) & 1 == 1
}

#[test]
fn the_bitmap_passes_what_the_table_says() {
    let mut map = [0; bitmap::SIZE];
    bitmap::fill(&mut map);
    let exits = |msr, write| exits(&map, msr, write);
    for msr in (0..0x2000).chain(0xc000_0000..0xc000_2000) {
        let how = bitmap::passthrough(msr);
        assert_eq!(exits(msr, 0), how.is_none(), "{msr:#x}");
        assert_eq!(
            exits(msr, 1),
            how != Some(Passthrough::ReadWrite),
            "{msr:#x}"
        );
    }
    assert_eq!(
        bitmap::passthrough(IA32_TIME_STAMP_COUNTER),
        Some(Passthrough::Read)
    );
    assert_eq!(bitmap::passthrough(IA32_EFER), None);
    let open: u32 = map.iter().map(|byte| byte.count_zeros()).sum();
    assert_eq!(open, 13);
}

/// Registers of x2APIC mode that a processor can read and write by itself (SDM table 12-6, section 31.5).
#[test]
fn the_bitmap_for_x2apic_passes_the_registers_of_the_page() {
    let mut plain = [0; bitmap::SIZE];
    bitmap::fill(&mut plain);
    let mut map = [0; bitmap::SIZE];
    bitmap::fill_virtual_x2apic(&mut map);
    let passed = |write| (0x800..0x900).filter(move |msr| !exits(&map, *msr, write));
    let written: Vec<u32> = passed(1).collect();
    assert_eq!(written, [0x808, 0x80b, 0x83f]);
    let read: Vec<u32> = passed(0).collect();
    let single = [0x802, 0x803, 0x808, 0x80a, 0x80d, 0x80f];
    let expected: Vec<u32> = (single.into_iter())
        .chain(0x810..=0x828)
        .chain([0x830])
        .chain(0x832..=0x838)
        .chain([0x83e])
        .collect();
    assert_eq!(read, expected);
    for msr in (0..0x800)
        .chain(0x900..0x2000)
        .chain(0xc000_0000..0xc000_2000)
    {
        for write in [0, 1] {
            assert_eq!(exits(&map, msr, write), exits(&plain, msr, write));
        }
    }
}
