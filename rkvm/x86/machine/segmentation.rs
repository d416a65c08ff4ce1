// SPDX-License-Identifier: GPL-2.0

//! From an effective address to a linear one (Intel SDM volume 3, sections 3.4 and 6.3).

use super::Stop;
use crate::x86::{
    emulate::AccessKind,
    event::{vector, Event},
    insn::Segment,
    regs::{is_canonical, segment::Segment as SegmentState},
};

/// Bits of a code or data segment's type.
const CODE: u8 = 1 << 3;
/// Writable for data, readable for code.
const WRITABLE_OR_READABLE: u8 = 1 << 1;

/// The linear address of `size` bytes in 64-bit code, where FS and GS alone have a base.
pub(super) fn linear_64(
    segment: Segment,
    base: u64,
    effective: u64,
    size: usize,
) -> Result<u64, Stop> {
    let linear = base.wrapping_add(effective);
    let last = linear.wrapping_add((size as u64).saturating_sub(1));
    if is_canonical(linear) && is_canonical(last) {
        Ok(linear)
    } else {
        Err(refuse(segment))
    }
}

/// The linear address of `size` bytes in other code.
pub(super) fn linear_32(
    segment: Segment,
    state: &SegmentState,
    is_real_like: bool,
    effective: u64,
    size: usize,
    kind: AccessKind,
) -> Result<u64, Stop> {
    let allowed = is_real_like || allows(state, kind);
    if state.unusable != 0 || !allowed || !state.covers(effective, size) {
        return Err(refuse(segment));
    }
    Ok(u64::from(state.base.wrapping_add(effective) as u32))
}

/// Whether the segment's type allows the access.
fn allows(state: &SegmentState, kind: AccessKind) -> bool {
    let is_code = state.kind & CODE != 0;
    let has_right = state.kind & WRITABLE_OR_READABLE != 0;
    match (kind, is_code) {
        (AccessKind::Read, true) => has_right,
        (AccessKind::Read, false) => true,
        (AccessKind::Write | AccessKind::Modify, true) => false,
        (AccessKind::Write | AccessKind::Modify, false) => has_right,
    }
}

/// #SS(0) for the stack segment, else #GP(0).
fn refuse(segment: Segment) -> Stop {
    Stop::Raise(match segment {
        Segment::Ss => Event::exception(vector::STACK, Some(0)),
        _ => Event::GENERAL_PROTECTION,
    })
}
