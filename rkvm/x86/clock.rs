// SPDX-License-Identifier: GPL-2.0

//! The time of a VM: one TSC and one paravirtual clock for all vCPUs.

use crate::{
    host::{
        bindings as uapi,
        x86::{clocks, registers, tsc_frequency},
    },
    x86::{
        pvclock::{
            agreement::{Agreement, Part},
            Anchor, HostTsc, Scale, TimeInfo,
        },
        tsc::VmTsc,
    },
};
use core::sync::atomic::{AtomicU64, Ordering};
use kernel::{
    prelude::*,
    sync::{new_spinlock, SpinLock},
};

/// The time of a VM.
#[pin_data]
pub struct VmClock {
    #[pin]
    state: SpinLock<State>,
    /// Steps when vCPUs have to show something else.
    generation: AtomicU64,
    /// What MSR_KVM_WALL_CLOCK holds.
    wall_clock: AtomicU64,
}

struct State {
    tsc: VmTsc,
    anchor: Anchor,
    agreement: Agreement,
}

impl State {
    fn tsc_flag(&self, host: HostTsc) -> u8 {
        if host == HostTsc::Stable && self.agreement.is_complete() {
            TimeInfo::TSC_STABLE
        } else {
            0
        }
    }
}

impl VmClock {
    /// TSC and clock are 0 now.
    pub fn new() -> impl PinInit<Self> {
        let now = clocks::now();
        let state = State {
            tsc: VmTsc::new(now.tsc),
            anchor: Anchor::new(&now, 0),
            agreement: Agreement::default(),
        };
        pin_init!(Self {
            state <- new_spinlock!(state, "rkvm_clock"),
            generation: AtomicU64::new(0),
            wall_clock: AtomicU64::new(0),
        })
    }

    /// What a new vCPU adds to the host's TSC.
    pub fn tsc_offset(&self) -> u64 {
        self.state.lock().tsc.offset()
    }

    /// A VMM sets a vCPU's TSC; see [`VmTsc::set`].
    pub fn set_tsc(&self, value: u64) -> u64 {
        let (now, second) = (registers::tsc(), tsc_frequency::hz());
        self.state.lock().tsc.set(value, now, second)
    }

    /// A VMM chooses what a vCPU adds to the host's TSC. New vCPUs follow.
    pub fn set_tsc_offset(&self, offset: u64) {
        self.state.lock().tsc.set_offset(offset);
    }

    /// One more vCPU.
    pub fn join(&self) -> Part {
        self.state.lock().agreement.join()
    }

    /// A vCPU goes.
    pub fn leave(&self, part: &mut Part) {
        self.change_agreement(|state| state.agreement.leave(part));
    }

    /// A vCPU adds `offset` to the host's TSC.
    pub fn agree(&self, part: &mut Part, offset: u64) {
        self.change_agreement(|state| {
            let common = state.tsc.offset();
            state.agreement.set(part, offset, common);
        });
    }

    fn change_agreement(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock();
        let before = state.agreement.is_complete();
        change(&mut state);
        if state.agreement.is_complete() != before {
            self.step();
        }
    }

    fn step(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
    }

    /// Counts what vCPUs have to notice.
    #[inline]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// What a vCPU shows that adds `offset` to the host's TSC, and the generation that this belongs to.
    pub fn time_info(&self, offset: u64, host: HostTsc) -> (TimeInfo, u64) {
        let scale = Scale::new(tsc_frequency::hz());
        let now = clocks::now();
        let state = self.state.lock();
        let (tsc, time) = state.anchor.reference(&now, host, &scale);
        let info = TimeInfo {
            tsc: tsc.wrapping_add(offset),
            time,
            scale,
            flags: state.tsc_flag(host),
        };
        (info, self.generation())
    }

    /// When the clock was 0, in nanoseconds since 1970.
    pub fn epoch(&self) -> u64 {
        let data = self.get();
        data.realtime.wrapping_sub(data.clock)
    }

    /// KVM_GET_CLOCK. Whatever its flags say, all clocks are filled in.
    pub fn get(&self) -> uapi::kvm_clock_data {
        let host = clocks::tsc();
        let scale = Scale::new(tsc_frequency::hz());
        let now = clocks::now();
        let state = self.state.lock();
        let flags = match host {
            HostTsc::Stable if state.agreement.is_complete() => VALID_FLAGS,
            HostTsc::Stable => uapi::KVM_CLOCK_REALTIME | uapi::KVM_CLOCK_HOST_TSC,
            HostTsc::Unstable => 0,
        };
        uapi::kvm_clock_data {
            clock: state.anchor.time(&now, host, &scale),
            flags,
            realtime: now.real,
            host_tsc: now.tsc,
            ..uapi::kvm_clock_data::default()
        }
    }

    /// KVM_SET_CLOCK. With KVM_CLOCK_REALTIME what has passed since that time is added. `EINVAL` for
    /// unknown flags. vCPUs have to be expelled.
    pub fn set(&self, data: &uapi::kvm_clock_data) -> Result {
        if data.flags & !VALID_FLAGS != 0 {
            return Err(EINVAL);
        }
        let mut state = self.state.lock();
        let now = clocks::now();
        let passed = if data.flags & uapi::KVM_CLOCK_REALTIME != 0 {
            now.real.saturating_sub(data.realtime)
        } else {
            0
        };
        state.anchor = Anchor::new(&now, data.clock.wrapping_add(passed));
        self.step();
        Ok(())
    }

    /// MSR_KVM_WALL_CLOCK.
    pub fn wall_clock(&self) -> u64 {
        self.wall_clock.load(Ordering::Relaxed)
    }

    /// Sets MSR_KVM_WALL_CLOCK.
    pub fn set_wall_clock(&self, address: u64) {
        self.wall_clock.store(address, Ordering::Relaxed);
    }
}

/// The flags of KVM_GET_CLOCK and KVM_SET_CLOCK, which KVM_CAP_ADJUST_CLOCK reports.
pub const VALID_FLAGS: u32 =
    uapi::KVM_CLOCK_TSC_STABLE | uapi::KVM_CLOCK_REALTIME | uapi::KVM_CLOCK_HOST_TSC;
