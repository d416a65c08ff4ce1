// SPDX-License-Identifier: GPL-2.0

//! VTCR_EL2 and the roots of stage-2 tables.

use kernel::error::code::EINVAL;
use rkvm_host::arm64::vtcr::{
    root_shape, AccessFlag, GuestCaches, InstructionCaches, LargeAddresses, Stage2Caps,
};
use rkvm_host::mmu::entry::Level;

const CAPS: Stage2Caps = Stage2Caps {
    pa_range: 5,
    large_addresses: LargeAddresses::Absent,
    vmid_bits: 16,
    access_flag: AccessFlag::Hardware,
    cacheability: GuestCaches::Chosen,
    instructions: InstructionCaches::Coherent,
};

#[test]
fn widths_that_a_vm_can_have() {
    assert_eq!(CAPS.ipa_bits(0), Ok(40));
    assert_eq!(CAPS.ipa_bits(32), Ok(32));
    assert_eq!(CAPS.ipa_bits(48), Ok(48));
    for bad in [1, 31, 49, 52, usize::MAX] {
        assert_eq!(CAPS.ipa_bits(bad), Err(EINVAL));
    }
    let wide = Stage2Caps {
        pa_range: 6,
        large_addresses: LargeAddresses::Present,
        ..CAPS
    };
    assert_eq!(wide.ipa_bits(52), Ok(52));
    assert_eq!(wide.ipa_bits(53), Err(EINVAL));
    let without = Stage2Caps {
        pa_range: 6,
        ..CAPS
    };
    assert_eq!(without.ipa_bits(48), Ok(48));
    assert_eq!(without.ipa_bits(49), Err(EINVAL));
    let narrow = Stage2Caps {
        pa_range: 1,
        ..CAPS
    };
    assert_eq!(narrow.ipa_bits(36), Ok(36));
    assert_eq!(narrow.ipa_bits(0), Err(EINVAL));
}

/// The root reaches just as far as the width says, with no more than 16 tables, and starts no deeper than level 2.
#[test]
fn roots() {
    for bits in 32..=52 {
        let shape = root_shape(bits);
        assert!((1..=16).contains(&shape.tables), "{bits}: {shape:?}");
        assert!((Level::Pmd..=Level::P4d).contains(&shape.level));
        let limit = shape.limit().raw();
        assert!(limit == 1 << (bits - 12) || shape.tables == 1 && limit > 1 << (bits - 12));
    }
    assert_eq!(root_shape(40).level, Level::Pud);
    assert_eq!(root_shape(40).tables, 2);
    assert_eq!(root_shape(48).level, Level::P4d);
    assert_eq!(root_shape(48).tables, 1);
    assert_eq!(root_shape(52).level, Level::P4d);
    assert_eq!(root_shape(52).tables, 16);
}

/// Arm ARM: T0SZ in bits 5:0, SL0 in 7:6, PS in 18:16, VS in 19, HA in 21, RES1 in 31; walks are cached and inner
/// shareable.
#[test]
fn fields() {
    let vtcr = |bits| CAPS.vtcr(bits, root_shape(bits));
    assert_eq!(
        vtcr(40),
        0x8000_0000 | 1 << 21 | 1 << 19 | 5 << 16 | 0x3500 | 1 << 6 | 24
    );
    assert_eq!(vtcr(48) & 0xff, 2 << 6 | 16);
    assert_eq!(vtcr(32) & 0xff, 32);
    let wide = Stage2Caps {
        pa_range: 6,
        large_addresses: LargeAddresses::Present,
        ..CAPS
    };
    // DS in bit 32, for VMs that need it alone.
    assert_eq!(
        wide.vtcr(52, root_shape(52)),
        1 << 32 | 0x8000_0000 | 1 << 21 | 1 << 19 | 6 << 16 | 0x3500 | 2 << 6 | 12
    );
    assert_eq!(wide.vtcr(48, root_shape(48)), vtcr(48));
    let plain = Stage2Caps {
        pa_range: 2,
        vmid_bits: 8,
        access_flag: AccessFlag::Software,
        ..CAPS
    };
    assert_eq!(
        plain.vtcr(40, root_shape(40)),
        0x8000_0000 | 2 << 16 | 0x3500 | 1 << 6 | 24
    );
}
