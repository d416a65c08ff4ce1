// SPDX-License-Identifier: GPL-2.0

//! Walks of guests' tables that fail: the level that they have come to.

use rkvm_host::arm64::stage1::Regime;
use std::collections::BTreeMap;

const TABLE: u64 = 0b11;

/// TCR_EL1 with the same width and granule for both halves.
fn tcr(bits: u64, tg0: u64, tg1: u64) -> u64 {
    let size = 64 - bits;
    size | size << 16 | tg0 << 14 | tg1 << 30
}

fn level(regime: Regime, address: u64, page: u64, tables: &[(u64, u64)]) -> Option<i8> {
    let tables: BTreeMap<u64, u64> = tables.iter().copied().collect();
    regime.level_of_table(address, page, |at| tables.get(&at).copied())
}

#[test]
fn granule_of_4k() {
    let regime = Regime {
        tcr: tcr(48, 0b00, 0b10),
        ttbr0: 0x1000 | 1,
        ttbr1: 0x9000,
    };
    let address = 1 << 39 | 2 << 30 | 3 << 21 | 4 << 12 | 0x123;
    let tables = [
        (0x1008, 0x2000 | TABLE),
        (0x2010, 0x3000 | TABLE),
        (0x3018, 0x4000 | TABLE | 0xfff0 << 48),
        (0x4020, 0x5000 | TABLE),
    ];
    for (page, expected) in [(0x1000, 0), (0x2000, 1), (0x3000, 2), (0x4000, 3)] {
        assert_eq!(level(regime, address, page, &tables), Some(expected));
    }
    // The page itself is no table, and an address elsewhere comes elsewhere.
    assert_eq!(level(regime, address, 0x5000, &tables), None);
    assert_eq!(level(regime, 0, 0x2000, &tables), None);
    // Addresses with bit 55 have the other root.
    assert_eq!(level(regime, u64::MAX, 0x9000, &tables), Some(0));
    assert_eq!(level(regime, u64::MAX, 0x1000, &tables), None);
}

#[test]
fn other_granules_and_widths() {
    let narrow = Regime {
        tcr: tcr(39, 0b00, 0b10),
        ttbr0: 0x1000,
        ttbr1: 0,
    };
    assert_eq!(level(narrow, 0, 0x1000, &[]), Some(1));
    let of_16k = Regime {
        tcr: tcr(47, 0b10, 0b01),
        ttbr0: 0x4000,
        ttbr1: 0x8000,
    };
    let tables = [(0x4008, 0xc000 | TABLE)];
    assert_eq!(level(of_16k, 1 << 36, 0x4000, &tables), Some(1));
    assert_eq!(level(of_16k, 1 << 36, 0xc000, &tables), Some(2));
    // The walk reads the part of the table that is in this page.
    assert_eq!(
        level(of_16k, 1 << 36 | 0x3ff << 25, 0xd000, &tables),
        Some(2)
    );
    assert_eq!(level(of_16k, 1 << 55, 0x8000, &tables), Some(1));
    let of_64k = Regime {
        tcr: tcr(42, 0b01, 0b11),
        ttbr0: 0x1_0000,
        ttbr1: 0,
    };
    assert_eq!(level(of_64k, 0, 0x1_0000, &[]), Some(2));
    // A granule that does not exist.
    let none = Regime {
        tcr: tcr(48, 0b11, 0b00),
        ttbr0: 0x1000,
        ttbr1: 0x1000,
    };
    assert_eq!(level(none, 0, 0x1000, &[]), None);
    assert_eq!(level(none, u64::MAX, 0x1000, &[]), None);
}

#[test]
fn addresses_of_52_bits() {
    const DS: u64 = 1 << 59;
    const IPS_52: u64 = 6 << 32;
    // Five levels, and tables wherever 52 bits lead.
    let wide = Regime {
        tcr: tcr(52, 0b00, 0b10) | DS,
        ttbr0: 0x1000 | 0b1001 << 2 | 1,
        ttbr1: 0x9000,
    };
    let address = 5 << 48 | 1 << 39 | 2 << 30 | 3 << 21 | 4 << 12;
    let (root, second, third) = (9 << 48 | 0x1000, 6 << 48 | 0x2000, 0x3000);
    let tables = [
        (root | 5 << 3, 0x2000 | 0b01 << 8 | 0b10 << 48 | TABLE),
        (second | 1 << 3, third | TABLE),
        (third | 2 << 3, 0x4000 | TABLE),
        (0x4018, 0x5000 | TABLE),
    ];
    let pages = [
        (root, -1),
        (second, 0),
        (third, 1),
        (0x4000, 2),
        (0x5000, 3),
    ];
    for (page, expected) in pages {
        assert_eq!(level(wide, address, page, &tables), Some(expected));
    }
    assert_eq!(level(wide, u64::MAX, 0x9000, &[]), Some(-1));
    // Without FEAT_LPA2 there are 48 bits, and what would be bits of addresses are none.
    let narrow = Regime {
        tcr: tcr(52, 0b00, 0b10),
        ..wide
    };
    let tables = [(0x1000 | 0b1001 << 2 | 1 << 3, 0x2000 | 0b01 << 8 | TABLE)];
    assert_eq!(level(narrow, address, 0x1000, &tables), Some(0));
    assert_eq!(level(narrow, address, 0x2000, &tables), Some(1));
    // With 64 KiB they are elsewhere.
    let of_64k = Regime {
        tcr: tcr(52, 0b01, 0b11) | IPS_52,
        ttbr0: 0x1_0000 | 0b0011 << 2,
        ttbr1: 0,
    };
    let tables = [(3 << 48 | 0x1_0000 | 2 << 3, 0x2_0000 | 0xa << 12 | TABLE)];
    let address = 2 << 42;
    assert_eq!(level(of_64k, address, 3 << 48 | 0x1_0000, &tables), Some(1));
    let next = 0xa << 48 | 0x2_0000;
    assert_eq!(level(of_64k, address, next, &tables), Some(2));
}

#[test]
fn a_small_root_and_blocks() {
    // 25 bits: one level, whose root has 16 descriptors and need not begin a page.
    let small = Regime {
        tcr: tcr(34, 0b00, 0b10),
        ttbr0: 0x1f80,
        ttbr1: 0,
    };
    assert_eq!(level(small, 3 << 30, 0x1000, &[]), Some(1));
    let tables = [(0x1f98, 0x2000 | 0b01)];
    assert_eq!(
        level(small, 3 << 30, 0x2000, &tables),
        None,
        "a block is no table"
    );
    assert_eq!(level(small, 3 << 30, 0x2000, &[(0x1f98, 0)]), None);
    // Whatever is in the registers, nothing panics.
    for tcr in [0, u64::MAX, 63 | 63 << 16, 1 | 1 << 16] {
        for root in [0, u64::MAX] {
            let regime = Regime {
                tcr,
                ttbr0: root,
                ttbr1: root,
            };
            for address in [0, u64::MAX, 0x5555_5555_5555_5555] {
                regime.level_of_table(address, 1 << 60, |_| Some(u64::MAX));
            }
        }
    }
}
