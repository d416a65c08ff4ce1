// SPDX-License-Identifier: GPL-2.0

//! One time-stamp counter for all vCPUs of a VM.
//!
//! A guest expects its processors' TSCs to be equal, and a VMM sets them one after the other. So a write that
//! comes close to what the VM's TSC is anyway counts as a wish to have just that.

/// How far two frequencies may be apart and still count as the same, in millionths.
const TOLERANCE_PPM: u64 = 250;

/// Whether a guest that was promised a TSC of `khz` can have the host's.
pub const fn is_same_frequency(khz: u32, host_khz: u32) -> bool {
    const MILLION: u64 = 1_000_000;
    let host = host_khz as u64;
    let lowest = host * (MILLION - TOLERANCE_PPM) / MILLION;
    let highest = host * (MILLION + TOLERANCE_PPM) / MILLION;
    lowest <= khz as u64 && khz as u64 <= highest
}

/// The TSC of a VM: the host's, and an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VmTsc {
    offset: u64,
}

impl VmTsc {
    /// A TSC that is 0 when the host's is `host`.
    pub const fn new(host: u64) -> Self {
        Self {
            offset: host.wrapping_neg(),
        }
    }

    /// What is added to the host's TSC, modulo 2^64.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// Sets what is added to the host's TSC.
    pub fn set_offset(&mut self, offset: u64) {
        self.offset = offset;
    }

    /// A VMM sets a vCPU's TSC to `value` when the host's is `host`; returns the offset for that vCPU. Within a second
    /// (`second` ticks) of the VM's TSC it stays the VM's; another value becomes the VM's.
    pub fn set(&mut self, value: u64, host: u64, second: u64) -> u64 {
        let expected = host.wrapping_add(self.offset);
        let difference = value.wrapping_sub(expected) as i64;
        if difference.unsigned_abs() >= second {
            self.offset = value.wrapping_sub(host);
        }
        self.offset
    }
}
