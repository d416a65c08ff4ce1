// SPDX-License-Identifier: GPL-2.0

//! MSRs that the kernel needs only on its way to and from user mode: a guest's values stay in them from
//! before its entry until the vCPU's thread lets go of the CPU.
//!
//! Only those whose values differ are written, and the SYSCALL ones only for a guest that can use
//! SYSCALL.

// UNSAFETY: writes MSRs of the host, and puts them back.
#![expect(unsafe_code)]

use crate::{
    host::{cpu::PreemptOff, x86::registers},
    x86::msr::index::{IA32_FMASK, IA32_LSTAR, IA32_STAR, IA32_TSC_AUX},
};

/// The values of one party.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SyscallMsrs {
    /// IA32_STAR.
    pub star: u64,
    /// IA32_LSTAR.
    pub lstar: u64,
    /// IA32_FMASK.
    pub fmask: u64,
}

/// The host's values, the same on every CPU.
#[derive(Clone, Copy, Debug)]
pub struct HostMsrs(SyscallMsrs);

/// Which of a guest's values have to be in the registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InUse {
    /// The guest can execute SYSCALL.
    pub syscall: bool,
    /// The guest can execute RDTSCP or RDPID.
    pub tsc_aux: bool,
}

/// A guest's values.
#[derive(Clone, Copy, Debug, Default)]
pub struct GuestMsrs {
    /// What SYSCALL uses.
    pub syscall: SyscallMsrs,
    /// IA32_TSC_AUX.
    pub tsc_aux: u64,
}

impl HostMsrs {
    /// Reads the host's values.
    pub fn read() -> Self {
        // SAFETY: every CPU in long mode has the registers.
        unsafe {
            Self(SyscallMsrs {
                star: registers::read_known_msr(IA32_STAR),
                lstar: registers::read_known_msr(IA32_LSTAR),
                fmask: registers::read_known_msr(IA32_FMASK),
            })
        }
    }

    /// Loads the guest's values, until the result is passed to [`HostMsrs::leave`].
    pub fn enter(&self, here: &PreemptOff, guest: &GuestMsrs, in_use: InUse) -> Loaded {
        if in_use.syscall {
            switch(here, &self.0, &guest.syscall);
        }
        let tsc_aux = in_use.tsc_aux.then(|| {
            // SAFETY: the guest was offered RDTSCP or RDPID because the CPU has it.
            let host = unsafe { registers::read_known_msr(IA32_TSC_AUX) };
            write_if_different(here, IA32_TSC_AUX, host, guest.tsc_aux);
            host
        });
        Loaded {
            syscall: in_use.syscall.then_some(guest.syscall),
            tsc_aux: tsc_aux.map(|host| (guest.tsc_aux, host)),
        }
    }

    /// Puts the host's values back.
    pub fn leave(&self, here: &PreemptOff, loaded: Loaded) {
        if let Some(guest) = loaded.syscall {
            switch(here, &guest, &self.0);
        }
        if let Some((guest, host)) = loaded.tsc_aux {
            write_if_different(here, IA32_TSC_AUX, guest, host);
        }
    }
}

/// What is in the registers.
#[must_use]
pub struct Loaded {
    syscall: Option<SyscallMsrs>,
    tsc_aux: Option<(u64, u64)>,
}

fn switch(here: &PreemptOff, from: &SyscallMsrs, to: &SyscallMsrs) {
    write_if_different(here, IA32_STAR, from.star, to.star);
    write_if_different(here, IA32_LSTAR, from.lstar, to.lstar);
    write_if_different(here, IA32_FMASK, from.fmask, to.fmask);
}

fn write_if_different(_here: &PreemptOff, msr: u32, from: u64, to: u64) {
    if from != to {
        // SAFETY: the register exists and the value is the host's own, or was checked when the guest
        // or the VMM set it. The kernel does not use the register until the task is scheduled or
        // returns to user mode, and preemption is off until the host's value is back.
        unsafe { registers::write_known_msr(msr, to) };
    }
}
