// SPDX-License-Identifier: GPL-2.0

//! Stage-2 descriptors, against the Arm ARM.

use proptest::prelude::*;

use rkvm_host::arm64::stage2::{
    Attributes, Cacheability, Descriptor, ExecuteNever, MemoryType, Shareability,
};
use rkvm_host::mmu::entry::{Access, Entry, EntryFormat, Leaf, Level};
use rkvm_host::types::{Hpa, Pfn};

const LEAF: Leaf<Attributes> = Leaf {
    frame: Pfn::new(0x1_2345_6789),
    access: Access::ALL,
    memory_type: Attributes {
        memory_type: MemoryType::WRITE_BACK,
        shareability: Shareability::Inner,
    },
};

const EVERY_LEVEL: [Level; 5] = [Level::Pte, Level::Pmd, Level::Pud, Level::P4d, Level::Pgd];

/// MemAttr by its encoding (DDI 0487, D8.6.5).
const MEMORY_TYPES: [MemoryType; 16] = {
    use Cacheability::{NonCacheable, WriteBack, WriteThrough};
    use MemoryType::{DeviceGRE, DeviceNGRE, DeviceNGnRE, DeviceNGnRnE, Normal, Reserved};

    const fn normal(outer: Cacheability, inner: Cacheability) -> MemoryType {
        Normal { outer, inner }
    }
    [
        DeviceNGnRnE,
        DeviceNGnRE,
        DeviceNGRE,
        DeviceGRE,
        Reserved(NonCacheable),
        normal(NonCacheable, NonCacheable),
        normal(NonCacheable, WriteThrough),
        normal(NonCacheable, WriteBack),
        Reserved(WriteThrough),
        normal(WriteThrough, NonCacheable),
        normal(WriteThrough, WriteThrough),
        normal(WriteThrough, WriteBack),
        Reserved(WriteBack),
        normal(WriteBack, NonCacheable),
        normal(WriteBack, WriteThrough),
        normal(WriteBack, WriteBack),
    ]
};

#[test]
fn descriptors_have_the_bits_of_the_manual() {
    let raw = |leaf, level| Descriptor::leaf(leaf, level).into_raw();
    assert_eq!(raw(LEAF, Level::Pte), 0x0000_1234_5678_97ff);

    let block = Leaf {
        frame: Pfn::new(0x4_0000),
        ..LEAF
    };
    assert_eq!(raw(block, Level::Pmd), 0x4000_07fd);
    assert_eq!(raw(block, Level::Pud), 0x4000_07fd);

    let data = Leaf {
        frame: Pfn::new(1),
        access: Access::READ,
        ..LEAF
    };
    assert_eq!(raw(data, Level::Pte), 1 << 54 | 0x177f);
    let device = Leaf {
        access: Access::READ.union(Access::WRITE),
        memory_type: Attributes {
            memory_type: MemoryType::DeviceNGnRE,
            ..data.memory_type
        },
        ..data
    };
    assert_eq!(raw(device, Level::Pte), 1 << 54 | 0x17c7);

    // Where SH is part of the address (FEAT_LPA2).
    let large = Leaf {
        memory_type: Attributes {
            shareability: Shareability::NonShareable,
            ..LEAF.memory_type
        },
        ..LEAF
    };
    assert_eq!(raw(large, Level::Pte), raw(LEAF, Level::Pte) & !(0b11 << 8));

    assert_eq!(Descriptor::table(Hpa::new(0x5000)).into_raw(), 0x5003);
}

#[test]
fn the_level_decides_what_a_descriptor_is() {
    // Bits 1:0 as found from the lowest level up; L a leaf, T a table, E empty.
    let cases = [
        (0b00, "EEEEE"),
        (0b01, "ELLEE"),
        (0b10, "EEEEE"),
        (0b11, "LTTTT"),
    ];
    for (bits, expected) in cases {
        let found: String = EVERY_LEVEL
            .into_iter()
            .map(
                |level| match Descriptor::from_raw(0x4000_07fc | bits).classify(level) {
                    Entry::Empty => 'E',
                    Entry::Table(_) => 'T',
                    Entry::Leaf(_) => 'L',
                },
            )
            .collect();
        assert_eq!(found, expected, "{bits:#b}");
    }
}

#[test]
fn memory_types_have_the_encodings_of_the_manual() {
    for (memory_type, encoding) in MEMORY_TYPES.into_iter().zip(0u64..) {
        let descriptor = Descriptor::from_raw(encoding << 2);
        assert_eq!(descriptor.memory_type(), memory_type);
        let written = Descriptor::from_raw(0).with_memory_type(memory_type);
        assert_eq!(written, descriptor);
    }
    assert_eq!(MEMORY_TYPES[15], MemoryType::WRITE_BACK);
}

#[test]
fn shareabilities_have_the_encodings_of_the_manual() {
    use Shareability::{Inner, NonShareable, Outer, Reserved1};

    for (shareability, encoding) in [NonShareable, Reserved1, Outer, Inner]
        .into_iter()
        .zip(0u64..)
    {
        let descriptor = Descriptor::from_raw(encoding << 8);
        assert_eq!(descriptor.shareability(), shareability);
        let written = Descriptor::from_raw(0).with_shareability(shareability);
        assert_eq!(written, descriptor);
    }
}

#[test]
fn rights_are_those_of_the_manual() {
    use ExecuteNever::{El0, El1, Everywhere, Nowhere};

    for (execute_never, encoding) in [Nowhere, El1, Everywhere, El0].into_iter().zip(0u64..) {
        let descriptor = Descriptor::from_raw(encoding << 53);
        assert_eq!(descriptor.execute_never(), execute_never);
        let written = Descriptor::from_raw(0).with_execute_never(execute_never);
        assert_eq!(written, descriptor);
        let both = execute_never == Nowhere;
        assert_eq!(descriptor.access().contains(Access::EXECUTE), both);
    }
    let never = ExecuteNever::Everywhere;
    for (s2ap, access) in [
        (0b00, Access::NONE),
        (0b01, Access::READ),
        (0b10, Access::WRITE),
        (0b11, Access::READ.union(Access::WRITE)),
    ] {
        let descriptor = Descriptor::from_raw(s2ap << 6).with_execute_never(never);
        assert_eq!(descriptor.access(), access);
    }
}

#[test]
fn bits_below_a_block_are_not_its_address() {
    const NT: u64 = 1 << 16;
    let block = Descriptor::from_raw(0x4000_07fd | NT);
    for level in [Level::Pmd, Level::Pud] {
        let expected = Leaf {
            frame: Pfn::new(0x4_0000),
            ..LEAF
        };
        assert_eq!(block.classify(level), Entry::Leaf(expected));
    }
}

proptest! {
    #[test]
    fn what_is_made_reads_back(
        frame in 0u64..1 << 36,
        level in prop::sample::select(vec![Level::Pte, Level::Pmd, Level::Pud]),
        access in 1u8..8,
        memory_type in prop::sample::select(MEMORY_TYPES.to_vec()),
    ) {
        let leaf = Leaf {
            frame: Pfn::new(frame & !(level.pages() - 1)),
            access: Access::from_raw(access),
            memory_type: Attributes { memory_type, ..LEAF.memory_type },
        };
        let descriptor = Descriptor::leaf(leaf, level);
        prop_assert_eq!(descriptor.classify(level), Entry::Leaf(leaf));
        prop_assert!(descriptor.is_accessed() && !descriptor.without_accessed().is_accessed());
        prop_assert_eq!(descriptor.without_accessed().classify(level), Entry::Leaf(leaf));
        let protected = Leaf { access: leaf.access.without(Access::WRITE), ..leaf };
        prop_assert_eq!(descriptor.write_protected().classify(level), Entry::Leaf(protected));

        let table = Pfn::new(frame).base();
        let above = level.above().unwrap();
        prop_assert_eq!(Descriptor::table(table).classify(above), Entry::Table(table));
    }

    #[test]
    fn any_word_is_classified(raw: u64) {
        for level in EVERY_LEVEL {
            match Descriptor::from_raw(raw).classify(level) {
                Entry::Empty => (),
                Entry::Table(table) => {
                    prop_assert!(level > Level::Pte && table.is_page_aligned());
                }
                Entry::Leaf(leaf) => {
                    prop_assert!(level <= Descriptor::MAX_LEAF);
                    prop_assert_eq!(leaf.frame.raw() % level.pages(), 0);
                }
            }
        }
    }

    #[test]
    fn links_of_removed_tables_are_empty_to_hardware(frame in 0u64..1 << 40, level in 0u64..5) {
        let raw = frame << 12 | level << 3;
        for level in EVERY_LEVEL {
            prop_assert_eq!(Descriptor::from_raw(raw).classify(level), Entry::Empty);
        }
    }
}

/// The last frame that an entry can name is in it as it is; the first that it cannot would be another.
#[test]
fn frames_that_entries_can_name() {
    let limit = Descriptor::FRAME_LIMIT.raw();
    let leaf = |frame| Leaf {
        frame: Pfn::new(frame),
        ..LEAF
    };
    let named = |frame| match Descriptor::leaf(leaf(frame), Level::Pte).classify(Level::Pte) {
        Entry::Leaf(leaf) => leaf.frame.raw(),
        other => panic!("{other:?}"),
    };
    assert_eq!(named(limit - 1), limit - 1);
    assert_ne!(named(limit), limit);
    assert_eq!(limit % Descriptor::MAX_LEAF.pages(), 0);
}
