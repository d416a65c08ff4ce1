// SPDX-License-Identifier: GPL-2.0

//! EPT entries, the EPT pointer and exit qualifications, against the tables of the SDM.

use proptest::prelude::*;

use rkvm_host::mmu::entry::{Access, Entry, EntryFormat, Leaf, Level};
use rkvm_host::types::{Hpa, Pfn};
use rkvm_host::vmx::ept::{
    AccessedDirty, EptEntry, EptViolation, Eptp, ExecuteOnly, MemoryType, Misconfiguration,
};

const LEAF: Leaf<MemoryType> = Leaf {
    frame: Pfn::new(0x12_3456_7000),
    access: Access::ALL,
    memory_type: MemoryType::WriteBack,
};

#[test]
fn leaves_have_the_bits_of_the_sdm() {
    let entry = |leaf, level| EptEntry::leaf(leaf, level).into_raw();
    assert_eq!(entry(LEAF, Level::Pte), 0x0001_2345_6700_0377);
    assert_eq!(
        entry(
            Leaf {
                frame: Pfn::new(0),
                ..LEAF
            },
            Level::Pte
        ),
        0x377
    );
    assert_eq!(
        entry(
            Leaf {
                frame: Pfn::new(0x200),
                ..LEAF
            },
            Level::Pmd
        ),
        0x20_03f7
    );
    let read_only = Leaf {
        frame: Pfn::new(1),
        access: Access::READ,
        ..LEAF
    };
    assert_eq!(entry(read_only, Level::Pte), 0x1171);
    let device = Leaf {
        memory_type: MemoryType::Uncacheable,
        ..read_only
    };
    assert_eq!(entry(device, Level::Pte), 0x1101);
    // Write without read is a misconfiguration, so it is never made.
    let write = Leaf {
        access: Access::WRITE,
        ..read_only
    };
    assert_eq!(entry(write, Level::Pte) & 7, 3);
    assert_eq!(EptEntry::table(Hpa::new(0x5000)).into_raw(), 0x5007);
}

#[test]
fn the_pointer_has_the_bits_of_the_sdm() {
    let root = Hpa::new(0xabc_d000);
    assert_eq!(
        Eptp::new(root, AccessedDirty::Untracked).into_raw(),
        0xabc_d01e
    );
    assert_eq!(
        Eptp::new(root, AccessedDirty::Tracked).into_raw(),
        0xabc_d05e
    );
}

#[test]
fn a_violation_says_what_was_wanted_and_granted() {
    let write_to_nothing = EptViolation::from_raw(0x182);
    assert_eq!(write_to_nothing.wanted(), Access::WRITE);
    assert_eq!(write_to_nothing.granted(), Access::NONE);
    assert!(write_to_nothing.final_access().into_bool());
    let page_walk_in_read_only = EptViolation::from_raw(0x0ab);
    assert_eq!(
        page_walk_in_read_only.wanted(),
        Access::READ.union(Access::WRITE)
    );
    assert_eq!(
        page_walk_in_read_only.granted(),
        Access::READ.union(Access::EXECUTE)
    );
    assert!(!page_walk_in_read_only.final_access().into_bool());
}

#[test]
fn misconfigurations_are_those_of_the_sdm() {
    use Misconfiguration::{ExecuteOnly as Execute, MemoryType as Type, ReservedBit, WriteOnly};

    let cases = [
        (0x0, Level::Pte, None),
        (0xffff_ffff_ffff_f000, Level::Pte, None),
        (0x2, Level::Pte, Some(WriteOnly)),
        (0x6, Level::P4d, Some(WriteOnly)),
        (0x34, Level::Pte, Some(Execute)),
        (0x37, Level::Pte, None),
        (0x7, Level::Pmd, None),
        (0xf, Level::Pmd, Some(ReservedBit)),
        (0x47, Level::Pud, Some(ReservedBit)),
        (0x87, Level::P4d, Some(ReservedBit)),
        (0x1000_00b7, Level::Pmd, None),
        (0x1000_10b7, Level::Pmd, Some(ReservedBit)),
        (0x2000_00b7, Level::Pud, Some(ReservedBit)),
        (0x4000_00b7, Level::Pud, None),
        (1 << 39 | 0x37, Level::Pte, Some(ReservedBit)),
        (1 << 38 | 0x37, Level::Pte, None),
        (0x17, Level::Pte, Some(Type)),
        (0x1f, Level::Pte, Some(Type)),
        (0x3f, Level::Pte, Some(Type)),
        (0xfff0_0000_0000_0037, Level::Pte, None),
    ];
    for (raw, level, expected) in cases {
        let entry = EptEntry::from_raw(raw);
        let found = entry.misconfiguration(level, 39, ExecuteOnly::Unsupported);
        assert_eq!(found, expected, "{raw:#x} at {level:?}");
    }
    let execute_only = EptEntry::from_raw(0x34);
    assert_eq!(
        execute_only.misconfiguration(Level::Pte, 39, ExecuteOnly::Supported),
        None
    );
    assert_eq!(
        EptEntry::from_raw(0x37).misconfiguration(Level::Pte, 64, ExecuteOnly::Supported),
        None
    );
}

proptest! {
    #[test]
    fn what_is_made_is_valid_and_reads_back(
        frame in 0u64..1 << 40,
        level in prop::sample::select(vec![Level::Pte, Level::Pmd, Level::Pud]),
        access in 1u8..8,
        memory_type in prop::sample::select(vec![
            MemoryType::Uncacheable,
            MemoryType::WriteCombining,
            MemoryType::WriteThrough,
            MemoryType::WriteProtected,
            MemoryType::WriteBack,
        ]),
    ) {
        let leaf = Leaf {
            frame: Pfn::new(frame & !(level.pages() - 1)),
            access: Access::from_raw(access).union(Access::READ),
            memory_type,
        };
        let entry = EptEntry::leaf(leaf, level);
        prop_assert_eq!(entry.misconfiguration(level, 52, ExecuteOnly::Unsupported), None);
        prop_assert_eq!(entry.classify(level), Entry::Leaf(leaf));
        prop_assert!(entry.is_accessed() && !entry.without_accessed().is_accessed());
        let protected = Leaf { access: leaf.access.without(Access::WRITE), ..leaf };
        prop_assert_eq!(entry.write_protected().classify(level), Entry::Leaf(protected));

        let table = Pfn::new(frame).base();
        prop_assert_eq!(EptEntry::table(table).classify(level.above().unwrap()), Entry::Table(table));
    }

    #[test]
    fn any_word_is_classified(raw: u64) {
        for level in [Level::Pte, Level::Pmd, Level::Pud, Level::P4d, Level::Pgd] {
            let entry = EptEntry::from_raw(raw).classify(level);
            prop_assert!(level > Level::Pte || !matches!(entry, Entry::Table(_)));
            let _ = EptEntry::from_raw(raw).misconfiguration(level, raw as u32, ExecuteOnly::Supported);
        }
    }

    #[test]
    fn links_of_removed_tables_are_empty_to_hardware(frame in 0u64..1 << 40, level in 0u64..5) {
        let raw = frame << 12 | level << 3;
        prop_assert_eq!(EptEntry::from_raw(raw).classify(Level::Pte), Entry::Empty);
        prop_assert_eq!(EptEntry::from_raw(raw).classify(Level::P4d), Entry::Empty);
    }
}
