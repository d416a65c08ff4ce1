// SPDX-License-Identifier: GPL-2.0
//! Gets a thread out of KVM_RUN: `immediate_exit` for a thread about to enter, a signal for one inside.

use std::io;
use std::os::fd::AsRawFd;
use std::ptr::{self, addr_of_mut, NonNull};

use anyhow::{Context, Result};
use kvm_bindings::kvm_run;
use kvm_ioctls::VcpuFd;
use vmm_sys_util::signal::{register_signal_handler, SIGRTMIN};

/// A mapping of a vCPU's `kvm_run` of its own, so that it can be reached while another thread runs the vCPU.
pub struct ImmediateExit {
    run: NonNull<kvm_run>,
}

// SAFETY: the one field that is touched is a byte, written with volatile accesses, that KVM reads.
unsafe impl Send for ImmediateExit {}
// SAFETY: as above.
unsafe impl Sync for ImmediateExit {}

impl ImmediateExit {
    pub fn new(vcpu: &VcpuFd) -> Result<Self> {
        // SAFETY: a new mapping, at an address of the kernel's choice.
        let address = unsafe {
            libc::mmap(
                ptr::null_mut(),
                size_of::<kvm_run>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                vcpu.as_raw_fd(),
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error()).context("cannot map kvm_run");
        }
        let run = NonNull::new(address.cast()).context("kvm_run at address 0")?;
        Ok(Self { run })
    }

    pub fn set(&self, value: u8) {
        // SAFETY: the mapping lives as long as self.
        unsafe { addr_of_mut!((*self.run.as_ptr()).immediate_exit).write_volatile(value) }
    }
}

impl Drop for ImmediateExit {
    fn drop(&mut self) {
        // SAFETY: new() mapped it, and nothing else knows the address.
        unsafe { libc::munmap(self.run.as_ptr().cast(), size_of::<kvm_run>()) };
    }
}

/// The signal's number.
pub fn signal() -> libc::c_int {
    SIGRTMIN()
}

extern "C" fn ignore(_: libc::c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {}

/// Makes the signal interrupt system calls and do nothing else.
pub fn register_signal() -> Result<()> {
    register_signal_handler(signal(), ignore).context("cannot handle the kick signal")
}
