// SPDX-License-Identifier: GPL-2.0

//! The paravirtual clock: how a guest computes nanoseconds from its TSC, and the structures in its memory that
//! say so (Documentation/virt/kvm/x86/msr.rst, MSR_KVM_SYSTEM_TIME_NEW and MSR_KVM_WALL_CLOCK_NEW).
//!
//! A VM's clock is a straight line through one [`Anchor`]. All vCPUs show the same line, so that they agree to the
//! nanosecond as long as their TSCs do.

pub mod agreement;

/// Nanoseconds in a second.
pub const NANOSECONDS: u64 = 1_000_000_000;

/// From TSC ticks to nanoseconds: shift by `shift` (right if it is negative), multiply by `multiplier`, and
/// drop 32 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scale {
    multiplier: u32,
    shift: i8,
}

impl Scale {
    /// The scale of a TSC that ticks `hz` times a second; one that gives 0 for a TSC that does not tick.
    ///
    /// The multiplier has its highest bit set, so that it is right to 2^-31.
    pub const fn new(hz: u64) -> Self {
        if hz == 0 {
            return Self {
                multiplier: 0,
                shift: 0,
            };
        }
        // NANOSECONDS * 2^(32 - shift) / hz, for the shift that makes it 32 bits wide, from 30 to -34; by long
        // division, since the kernel has none for 128 bits.
        let mut shift = 32i8;
        let mut multiplier = NANOSECONDS / hz;
        let mut remainder = (NANOSECONDS % hz) as u128;
        while multiplier < 1 << 31 {
            multiplier <<= 1;
            remainder <<= 1;
            if remainder >= hz as u128 {
                remainder -= hz as u128;
                multiplier += 1;
            }
            shift -= 1;
        }
        Self {
            multiplier: multiplier as u32,
            shift,
        }
    }

    /// Nanoseconds in `ticks`, as a guest computes them: modulo 2^64, and a left shift loses high bits.
    pub const fn nanoseconds(&self, ticks: u64) -> u64 {
        let distance = self.shift.unsigned_abs() as u32;
        let shifted = if self.shift < 0 {
            ticks >> distance
        } else {
            ticks << distance
        };
        ((shifted as u128 * self.multiplier as u128) >> 32) as u64
    }
}

/// The clocks of the host at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostClocks {
    /// TSC.
    pub tsc: u64,
    /// Nanoseconds since boot, sleep included, at the rate of CLOCK_MONOTONIC_RAW.
    pub boot: u64,
    /// CLOCK_REALTIME in nanoseconds.
    pub real: u64,
}

/// What the host's TSC is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostTsc {
    /// It runs at one rate and is the same on all CPUs.
    Stable,
    /// It is neither.
    Unstable,
}

/// A moment at which a VM's clock is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Anchor {
    tsc: u64,
    boot: u64,
    time: u64,
}

impl Anchor {
    /// The clock shows `time` nanoseconds at the moment `now`.
    pub const fn new(now: &HostClocks, time: u64) -> Self {
        Self {
            tsc: now.tsc,
            boot: now.boot,
            time,
        }
    }

    /// The clock at the moment `now`, in nanoseconds: by the TSC, or by the host's clock where that is not to
    /// be had.
    pub const fn time(&self, now: &HostClocks, tsc: HostTsc, scale: &Scale) -> u64 {
        let passed = match tsc {
            HostTsc::Stable => scale.nanoseconds(now.tsc.wrapping_sub(self.tsc)),
            HostTsc::Unstable => now.boot.wrapping_sub(self.boot),
        };
        self.time.wrapping_add(passed)
    }

    /// Where the line that a vCPU shows begins, as host TSC and time: at the anchor, or at `now` where the
    /// TSC does not carry that far.
    pub const fn reference(&self, now: &HostClocks, tsc: HostTsc, scale: &Scale) -> (u64, u64) {
        match tsc {
            HostTsc::Stable => (self.tsc, self.time),
            HostTsc::Unstable => (now.tsc, self.time(now, tsc, scale)),
        }
    }
}

/// `struct pvclock_vcpu_time_info` but for its version, which begins it and is odd while the rest changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeInfo {
    /// The guest's TSC at [`TimeInfo::time`].
    pub tsc: u64,
    /// Nanoseconds.
    pub time: u64,
    /// How to go on from there.
    pub scale: Scale,
    /// [`TimeInfo::TSC_STABLE`] and [`TimeInfo::GUEST_STOPPED`].
    pub flags: u8,
}

impl TimeInfo {
    /// Size of the structure.
    pub const SIZE: usize = 32;
    /// Offset of the flags.
    pub const FLAGS: usize = 29;
    /// PVCLOCK_TSC_STABLE_BIT: what different vCPUs compute can be compared.
    pub const TSC_STABLE: u8 = 1 << 0;
    /// PVCLOCK_GUEST_STOPPED: the VMM has stopped the guest for some time; the guest clears it.
    pub const GUEST_STOPPED: u8 = 1 << 1;

    /// The structure's bytes.
    pub fn bytes(&self, version: u32) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        bytes[0..4].copy_from_slice(&version.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.tsc.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.time.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.scale.multiplier.to_le_bytes());
        bytes[28..29].copy_from_slice(&self.scale.shift.to_le_bytes());
        bytes[Self::FLAGS] = self.flags;
        bytes
    }
}

/// `struct pvclock_wall_clock` but for its version: when the VM's clock was 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WallClock {
    seconds: u32,
    nanoseconds: u32,
}

impl WallClock {
    /// Size of the structure.
    pub const SIZE: usize = 12;

    /// `epoch` in nanoseconds since 1970. Seconds wrap in 2106.
    pub const fn new(epoch: u64) -> Self {
        Self {
            seconds: (epoch / NANOSECONDS) as u32,
            nanoseconds: (epoch % NANOSECONDS) as u32,
        }
    }

    /// The structure's bytes.
    pub fn bytes(&self, version: u32) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        bytes[0..4].copy_from_slice(&version.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.seconds.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.nanoseconds.to_le_bytes());
        bytes
    }
}

/// The versions to write before and after a change of a structure whose version is `found`, which may be anything
/// at first.
pub const fn versions(found: u32) -> (u32, u32) {
    let changing = found.wrapping_add(1) | 1;
    (changing, changing.wrapping_add(1))
}
