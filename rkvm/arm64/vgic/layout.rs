// SPDX-License-Identifier: GPL-2.0

//! Where the frames of a GIC are in guest physical memory.
//!
//! Source: Linux Documentation/virt/kvm/devices/arm-vgic-v3.rst, KVM_DEV_ARM_VGIC_GRP_ADDR.

use super::gic::{
    distributor,
    intid::VcpuIndex,
    redistributor::{self, Position},
};
use crate::types::Gpa;
use kernel::prelude::*;

/// All frames start at a multiple of this.
const ALIGNMENT: u64 = 64 << 10;

/// What is read as the address of a frame that has none.
pub const NOWHERE: u64 = u64::MAX;

/// A row of redistributors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Region {
    base: u64,
    /// How many redistributors fit; `None` for the single region of older VMMs, which has no limit.
    count: Option<u16>,
}

/// The value of KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegionRequest(u64);

impl RegionRequest {
    const INDEX: u64 = 0xfff;
    const FLAGS: u64 = 0xf << 12;
    const BASE: u64 = 0xf_ffff_ffff_0000;
    const COUNT_SHIFT: u32 = 52;

    /// As the VMM gives it.
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    fn index(self) -> usize {
        (self.0 & Self::INDEX) as usize
    }

    fn count(self) -> u16 {
        (self.0 >> Self::COUNT_SHIFT) as u16
    }
}

/// What is at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// The distributor, at this offset.
    Distributor(u32),
    /// The redistributor of a vCPU.
    Redistributor {
        /// Whose.
        vcpu: VcpuIndex,
        /// The offset in its two frames.
        offset: u32,
        /// Whether others follow.
        position: Position,
    },
}

/// The frames of a GIC.
#[derive(Debug)]
pub struct Layout {
    distributor: Option<u64>,
    regions: KVec<Region>,
    /// Bytes of guest physical memory.
    limit: u64,
}

/// `EINVAL` for an address that is not aligned, or a range that wraps; `E2BIG` if it is not below the limit.
pub fn check_range(base: u64, bytes: u64, limit: u64) -> Result<u64> {
    if base % ALIGNMENT != 0 {
        return Err(EINVAL);
    }
    let end = base.checked_add(bytes).ok_or(EINVAL)?;
    if base >= limit || end > limit {
        return Err(E2BIG);
    }
    Ok(base)
}

fn overlap(one: (u64, u64), other: (u64, u64)) -> bool {
    one.0 < other.0.saturating_add(other.1) && other.0 < one.0.saturating_add(one.1)
}

impl Layout {
    /// No frame has an address. `limit` is the number of bytes of guest physical memory.
    pub const fn new(limit: u64) -> Self {
        Self {
            distributor: None,
            regions: KVec::new(),
            limit,
        }
    }

    /// Bytes of guest physical memory.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// A copy. `ENOMEM`.
    pub fn try_clone(&self) -> Result<Self> {
        let mut regions = KVec::with_capacity(self.regions.len(), GFP_KERNEL_ACCOUNT)?;
        for region in &self.regions {
            regions.push(*region, GFP_KERNEL_ACCOUNT)?;
        }
        Ok(Self { regions, ..*self })
    }

    /// The distributor's address, [`NOWHERE`] if it has none.
    pub fn distributor(&self) -> u64 {
        self.distributor.unwrap_or(NOWHERE)
    }

    /// The address of the first redistributor, [`NOWHERE`] if it has none.
    pub fn redistributor(&self) -> u64 {
        self.regions.first().map_or(NOWHERE, |region| region.base)
    }

    /// KVM_VGIC_V3_ADDR_TYPE_DIST. `EEXIST` if it has an address, and as [`check_range`] has it.
    pub fn set_distributor(&mut self, base: u64) -> Result {
        if self.distributor.is_some() {
            return Err(EEXIST);
        }
        self.distributor = Some(check_range(base, distributor::FRAME, self.limit)?);
        Ok(())
    }

    /// KVM_VGIC_V3_ADDR_TYPE_REDIST: one region for all vCPUs, of which there are `vcpus` now. `EEXIST` if there is
    /// such a one, `EINVAL` if there is one of the other kind or it overlaps another frame, `ENOMEM`, and as
    /// [`check_range`] has it.
    pub fn set_redistributor(&mut self, base: u64, vcpus: usize) -> Result {
        match self.regions.first() {
            Some(Region { count: None, .. }) => return Err(EEXIST),
            Some(_) => return Err(EINVAL),
            None => (),
        }
        let bytes = (vcpus as u64).saturating_mul(redistributor::FRAMES);
        base.checked_add(bytes).ok_or(EINVAL)?;
        self.check_distributor(base, bytes)?;
        check_range(base, bytes, self.limit)?;
        let region = Region { base, count: None };
        Ok(self.regions.push(region, GFP_KERNEL_ACCOUNT)?)
    }

    /// `EINVAL` for a range that overlaps the distributor.
    fn check_distributor(&self, base: u64, bytes: u64) -> Result {
        let taken = self.distributor.map(|base| (base, distributor::FRAME));
        if taken.is_some_and(|taken| overlap(taken, (base, bytes))) {
            return Err(EINVAL);
        }
        Ok(())
    }

    /// KVM_VGIC_V3_ADDR_TYPE_REDIST_REGION. `EINVAL` for flags, no redistributors, an index that is not the next one,
    /// a region that overlaps another or the distributor, or one beside a region without a count; `ENOMEM`, and as [`check_range`] has
    /// it.
    pub fn add_region(&mut self, request: RegionRequest) -> Result {
        let count = request.count();
        let single = self.regions.iter().any(|region| region.count.is_none());
        if request.0 & RegionRequest::FLAGS != 0
            || count == 0
            || request.index() != self.regions.len()
            || single
        {
            return Err(EINVAL);
        }
        let base = request.0 & RegionRequest::BASE;
        let bytes = u64::from(count).saturating_mul(redistributor::FRAMES);
        self.check_distributor(base, bytes)?;
        for region in &self.regions {
            let there = u64::from(region.count.unwrap_or(0));
            let there = there.saturating_mul(redistributor::FRAMES);
            if overlap((region.base, there), (base, bytes)) {
                return Err(EINVAL);
            }
        }
        check_range(base, bytes, self.limit)?;
        let region = Region {
            base,
            count: Some(count),
        };
        Ok(self.regions.push(region, GFP_KERNEL_ACCOUNT)?)
    }

    /// A region as it was given. `ENOENT` if there is none of that index.
    pub fn region(&self, request: RegionRequest) -> Result<u64> {
        let region = self.regions.get(request.index()).ok_or(ENOENT)?;
        let count = u64::from(region.count.unwrap_or(0));
        Ok(request.index() as u64 | region.base | count << RegionRequest::COUNT_SHIFT)
    }

    /// Whether the guest can run with `vcpus` vCPUs. `ENXIO` if a frame has no address, `EINVAL` if frames overlap.
    pub fn check(&self, vcpus: usize) -> Result {
        let distributor = self.distributor.ok_or(ENXIO)?;
        if self.regions.is_empty() {
            return Err(ENXIO);
        }
        let mut left = vcpus;
        for region in &self.regions {
            let count = region.count.map_or(left, usize::from);
            let bytes = (count as u64).saturating_mul(redistributor::FRAMES);
            let end = region.base.checked_add(bytes).ok_or(EINVAL)?;
            if end > self.limit || overlap((distributor, distributor::FRAME), (region.base, bytes))
            {
                return Err(EINVAL);
            }
            left = left.saturating_sub(count);
        }
        if left > 0 {
            return Err(ENXIO);
        }
        Ok(())
    }

    /// The redistributors that the vCPUs have, as regions with those in use: first vCPU, base, count.
    fn rows(&self, vcpus: usize) -> impl Iterator<Item = (usize, u64, usize)> + '_ {
        self.regions.iter().scan(0usize, move |first, region| {
            let left = vcpus.saturating_sub(*first);
            let count = region.count.map_or(left, usize::from).min(left);
            let row = (*first, region.base, count);
            *first = first.saturating_add(count);
            Some(row)
        })
    }

    /// Whether more redistributors follow that of a vCPU.
    pub fn position(&self, vcpu: VcpuIndex, vcpus: usize) -> Position {
        let number = vcpu.get();
        let mut rows = self.rows(vcpus);
        let Some((first, base, count)) =
            rows.find(|row| row.0 <= number && number < row.0.saturating_add(row.2))
        else {
            // It is nowhere yet: nothing follows it, and it is nothing's end.
            return Position::Middle;
        };
        let end = base.saturating_add((count as u64).saturating_mul(redistributor::FRAMES));
        let goes_on = |(_, other, used): (usize, u64, usize)| other == end && used > 0;
        if number.saturating_add(1) < first.saturating_add(count) || self.rows(vcpus).any(goes_on) {
            Position::Middle
        } else {
            Position::Last
        }
    }

    /// What is at an address, of a VM with `vcpus` vCPUs.
    pub fn find(&self, gpa: Gpa, vcpus: usize) -> Option<Frame> {
        let within = |base: u64, bytes: u64| {
            let offset = gpa.raw().checked_sub(base)?;
            (offset < bytes).then_some(offset)
        };
        if let Some(offset) = self
            .distributor
            .and_then(|base| within(base, distributor::FRAME))
        {
            return Some(Frame::Distributor(offset as u32));
        }
        self.rows(vcpus).find_map(|(first, base, count)| {
            let bytes = (count as u64).saturating_mul(redistributor::FRAMES);
            let offset = within(base, bytes)?;
            let number = first.checked_add((offset / redistributor::FRAMES) as usize)?;
            let vcpu = VcpuIndex::new(number)?;
            Some(Frame::Redistributor {
                vcpu,
                offset: (offset % redistributor::FRAMES) as u32,
                position: self.position(vcpu, vcpus),
            })
        })
    }
}
