// SPDX-License-Identifier: GPL-2.0

//! The structures that tell a guest the time.

use crate::{
    host::x86::clocks,
    types::Gpa,
    x86::{
        insn::Gpr,
        pv::{
            hypercall::{Answer, Error},
            Pairing, STALE,
        },
        pvclock::{HostTsc, TimeInfo, WallClock, NANOSECONDS},
        vcpu::Core,
    },
};
use kernel::prelude::*;

impl Core {
    /// The guest has set the address of the clock's structure, or turned it off.
    pub(super) fn begin_time(&mut self) {
        self.pv.shown = self.msrs.pv.clock().map(|_| STALE);
    }

    /// Writes the clock's structure if the VM's clock is another one since; every time where the TSC does not
    /// carry from one time to the next.
    pub(super) fn refresh_time(&mut self) {
        let host = clocks::tsc();
        let fresh = !self.is_time_stale() && host == HostTsc::Stable && !self.pv.stopped;
        if !fresh {
            self.write_time(host);
        }
    }

    /// A guest whose structure is not in memory has no clock: that is no error of the VMM's.
    #[cold]
    fn write_time(&mut self, host: HostTsc) {
        let Some(address) = self.msrs.pv.clock().map(Gpa::new) else {
            return;
        };
        let (mut info, generation) = self.vm.arch().clock().time_info(self.tsc_offset, host);
        self.pv.shown = Some(generation);
        // The guest clears this flag once it has seen it.
        let flags = Gpa::new(address.raw().wrapping_add(TimeInfo::FLAGS as u64));
        let mut before = [0];
        if self.read_guest(flags, &mut before).is_ok() {
            info.flags |= before[0] & TimeInfo::GUEST_STOPPED;
        }
        if core::mem::take(&mut self.pv.stopped) {
            info.flags |= TimeInfo::GUEST_STOPPED;
        }
        let _ = self.write_versioned(address, |version| info.bytes(version));
    }

    /// KVM_KVMCLOCK_CTRL: tells the guest that it was stopped. `EINVAL` if it has no clock.
    pub fn stop_clock(&mut self) -> Result {
        self.msrs.pv.clock().ok_or(EINVAL)?;
        self.pv.stopped = true;
        Ok(())
    }

    /// Writes when the VM's clock was 0.
    pub(super) fn write_wall_clock(&mut self, address: Gpa) {
        let clock = WallClock::new(self.vm.arch().clock().epoch());
        let _ = self.write_versioned(address, |version| clock.bytes(version));
    }

    /// Answers KVM_HC_CLOCK_PAIRING.
    pub(super) fn answer_pairing(&mut self, pairing: &Pairing) {
        let answer = self.write_pairing(pairing.address);
        let value = pairing.width.result(answer);
        self.guest.registers.set(Gpr::RAX, value);
    }

    /// Writes `struct kvm_clock_pairing`: seconds, nanoseconds and the guest's TSC, and 40 reserved bytes.
    fn write_pairing(&mut self, address: Gpa) -> Answer {
        const SIZE: usize = 64;
        if clocks::tsc() == HostTsc::Unstable {
            return Err(Error::NotSupported);
        }
        let now = clocks::now();
        let fields = [
            now.real / NANOSECONDS,
            now.real % NANOSECONDS,
            now.tsc.wrapping_add(self.tsc_offset),
        ];
        let mut bytes = [0; SIZE];
        for (bytes, field) in bytes.chunks_exact_mut(size_of::<u64>()).zip(fields) {
            bytes.copy_from_slice(&field.to_le_bytes());
        }
        self.write_guest(address, &bytes)
            .map(|()| 0)
            .map_err(|_| Error::Fault)
    }
}
