// SPDX-License-Identifier: GPL-2.0

//! MSR filters: which accesses they deny, and what of that the processor is told.

use kernel::prelude::*;

use rkvm_host::x86::msr::bitmap;
use rkvm_host::x86::msr::filter::{
    Accesses, FilterRequest, MsrFilter, Range, RangeRequest, Verdict, MAX_RANGES,
};
use rkvm_host::x86::msr::index::*;

const NO_RANGE: RangeRequest = RangeRequest {
    flags: 0,
    count: 0,
    base: 0,
    reserved: 0,
    bitmap: 0,
};

fn request(flags: u32, first: RangeRequest) -> FilterRequest {
    let mut ranges = [NO_RANGE; MAX_RANGES];
    ranges[0] = first;
    FilterRequest {
        flags,
        reserved: 0,
        ranges,
    }
}

fn range(accesses: Accesses, base: u32, count: u32, allowed: &[u8]) -> Range {
    let mut bits = KVec::new();
    bits.extend_from_slice(allowed, GFP_KERNEL).unwrap();
    Range {
        accesses,
        base,
        count,
        allowed: bits,
    }
}

fn filter(default: Verdict, list: Vec<Range>) -> MsrFilter {
    let mut ranges = KVec::new();
    for range in list {
        ranges.push(range, GFP_KERNEL).unwrap();
    }
    MsrFilter { default, ranges }
}

#[test]
fn requests() {
    let some = RangeRequest {
        count: 1,
        ..NO_RANGE
    };
    assert_eq!(request(0, NO_RANGE).default_verdict(), Ok(Verdict::Allow));
    assert_eq!(request(1, NO_RANGE).default_verdict(), Err(EINVAL));
    assert_eq!(request(1, some).default_verdict(), Ok(Verdict::Deny));
    assert_eq!(request(2, some).default_verdict(), Err(EINVAL));
    let with = |flags, count| RangeRequest {
        flags,
        count,
        ..NO_RANGE
    };
    assert_eq!(with(0, 1).accesses(), Err(EINVAL));
    assert_eq!(with(4, 1).accesses(), Err(EINVAL));
    assert_eq!(with(3, 1).accesses(), Ok(Accesses::READ | Accesses::WRITE));
    assert_eq!(with(1, 1).bitmap_bytes(), Ok(8));
    assert_eq!(with(1, 64).bitmap_bytes(), Ok(8));
    assert_eq!(with(1, 65).bitmap_bytes(), Ok(16));
    assert_eq!(with(1, 0x600 * 8).bitmap_bytes(), Ok(0x600));
    assert_eq!(with(1, 0x600 * 8 + 1).bitmap_bytes(), Err(EINVAL));
    assert_eq!(with(1, u32::MAX).bitmap_bytes(), Err(EINVAL));
}

#[test]
fn the_first_range_that_is_about_an_access_decides() {
    let filter = filter(
        Verdict::Allow,
        vec![
            range(Accesses::READ, 0x10, 4, &[0b0101]),
            range(Accesses::READ | Accesses::WRITE, 0x10, 8, &[0b1111_0000]),
            range(Accesses::READ, u32::MAX, 1, &[0]),
        ],
    );
    let read = |msr| filter.verdict(msr, Accesses::READ) == Verdict::Allow;
    let write = |msr| filter.verdict(msr, Accesses::WRITE) == Verdict::Allow;
    assert!(read(0x10) && !read(0x11) && read(0x12) && !read(0x13));
    assert!(read(0x14) && read(0x17));
    assert!(!write(0x10) && !write(0x13) && write(0x14));
    assert!(read(0xf) && read(0x18) && write(0x18));
    assert!(!read(u32::MAX) && write(u32::MAX));
}

#[test]
fn registers_of_the_local_apic_are_not_filtered() {
    let everything = filter(Verdict::Deny, vec![range(Accesses::READ, 0x10, 1, &[0])]);
    for msr in 0x7ff..=0x900 {
        let allowed = everything.verdict(msr, Accesses::WRITE) == Verdict::Allow;
        assert_eq!(allowed, (0x800..=0x8ff).contains(&msr));
    }
}

#[test]
fn what_is_denied_exits() {
    let mut plain = [0; bitmap::SIZE];
    bitmap::fill(&mut plain);
    let mut filtered = plain;
    filter(Verdict::Allow, vec![]).restrict(&mut filtered);
    assert_eq!(filtered, plain);
    filter(
        Verdict::Allow,
        vec![range(Accesses::WRITE, IA32_SYSENTER_EIP, 1, &[0])],
    )
    .restrict(&mut filtered);
    // One bit, that of the write.
    let changed: Vec<_> = (0..bitmap::SIZE)
        .filter(|byte| plain[*byte] != filtered[*byte])
        .collect();
    let byte = 2048 + IA32_SYSENTER_EIP as usize / 8;
    assert_eq!(changed, [byte]);
    assert_eq!(plain[byte] ^ filtered[byte], 1 << (IA32_SYSENTER_EIP % 8));
    let everything = filter(Verdict::Deny, vec![range(Accesses::READ, 0x10, 1, &[0])]);
    everything.restrict(&mut filtered);
    assert!(filtered.iter().all(|byte| *byte == 0xff));
}
