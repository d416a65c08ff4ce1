// SPDX-License-Identifier: GPL-2.0

//! Where frames are.

use crate::machine::vcpu;
use rkvm_host::arm64::vgic::gic::redistributor::Position;
use rkvm_host::arm64::vgic::layout::{Frame, Layout, RegionRequest, NOWHERE};
use rkvm_host::types::Gpa;

use kernel::prelude::*;

const LIMIT: u64 = 1 << 40;

fn region(index: u64, base: u64, count: u64) -> RegionRequest {
    RegionRequest::from_raw(count << 52 | base | index)
}

#[test]
fn the_distributor_has_one_address() {
    let mut layout = Layout::new(LIMIT);
    assert_eq!(layout.distributor(), NOWHERE);
    assert_eq!(layout.set_distributor(0x800_1000), Err(EINVAL));
    assert_eq!(layout.set_distributor(LIMIT), Err(E2BIG));
    assert_eq!(layout.set_distributor(0x800_0000), Ok(()));
    assert_eq!(layout.set_distributor(0x900_0000), Err(EEXIST));
    assert_eq!(layout.distributor(), 0x800_0000);
    let found = layout.find(Gpa::new(0x800_0104), 1);
    assert_eq!(found, Some(Frame::Distributor(0x104)));
    assert_eq!(layout.find(Gpa::new(0x801_0000), 1), None);
}

#[test]
fn one_region_for_all() {
    let mut layout = Layout::new(LIMIT);
    layout.set_distributor(0x800_0000).unwrap();
    assert_eq!(layout.check(2), Err(ENXIO));
    assert_eq!(layout.set_redistributor(0x800_0000, 2), Err(EINVAL));
    assert_eq!(layout.set_redistributor(LIMIT - 0x1_0000, 2), Err(E2BIG));
    assert_eq!(layout.set_redistributor(0x80a_0000, 2), Ok(()));
    assert_eq!(layout.set_redistributor(0x80a_0000, 2), Err(EEXIST));
    assert_eq!(layout.add_region(region(0, 0x90a_0000, 2)), Err(EINVAL));
    assert_eq!(layout.check(2), Ok(()));
    assert_eq!(
        layout.find(Gpa::new(0x80c_0008), 2),
        Some(Frame::Redistributor {
            vcpu: vcpu(1),
            offset: 8,
            position: Position::Last,
        })
    );
    assert_eq!(layout.position(vcpu(0), 2), Position::Middle);
    assert_eq!(layout.find(Gpa::new(0x80e_0000), 2), None);
}

#[test]
fn regions_fill_in_order() {
    let mut layout = Layout::new(LIMIT);
    layout.set_distributor(0x800_0000).unwrap();
    assert_eq!(layout.add_region(region(1, 0x100_0000, 2)), Err(EINVAL));
    assert_eq!(layout.add_region(region(0, 0x100_0000, 0)), Err(EINVAL));
    assert_eq!(layout.add_region(region(0, 0x100_0000, 2)), Ok(()));
    assert_eq!(layout.add_region(region(1, 0x102_0000, 2)), Err(EINVAL));
    assert_eq!(layout.check(3), Err(ENXIO));
    // One that follows the first directly, and one that does not.
    assert_eq!(layout.add_region(region(1, 0x104_0000, 1)), Ok(()));
    assert_eq!(layout.add_region(region(2, 0x200_0000, 4)), Ok(()));
    assert_eq!(layout.check(7), Ok(()));
    assert_eq!(layout.check(8), Err(ENXIO));
    let positions: Vec<_> = (0..7)
        .map(|index| layout.position(vcpu(index), 7))
        .collect();
    use Position::{Last, Middle};
    assert_eq!(
        positions,
        [Middle, Middle, Last, Middle, Middle, Middle, Last]
    );
    let positions: Vec<_> = (0..2)
        .map(|index| layout.position(vcpu(index), 2))
        .collect();
    assert_eq!(positions, [Middle, Last]);
    assert_eq!(layout.region(region(1, 0, 0)), Ok(1 << 52 | 0x104_0000 | 1));
    assert_eq!(layout.region(region(3, 0, 0)), Err(ENOENT));
    assert_eq!(layout.redistributor(), 0x100_0000);
    assert_eq!(layout.set_redistributor(0x80a_0000, 2), Err(EINVAL));
}

#[test]
fn the_distributor_may_not_be_among_redistributors() {
    let mut layout = Layout::new(LIMIT);
    layout.add_region(region(0, 0x100_0000, 4)).unwrap();
    layout.set_distributor(0x103_0000).unwrap();
    assert_eq!(layout.check(1), Err(EINVAL));
}
