// SPDX-License-Identifier: GPL-2.0
//! A vCPU and its thread.

use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result};
use kvm_ioctls::{VcpuExit, VcpuFd};
use vmm_sys_util::signal::Killable;

use crate::bus::Buses;
use crate::end::{End, Ending};
use crate::kick::{self, ImmediateExit};
use crate::lifecycle::{Lifecycle, Wanted};
use crate::stats::{Exit, Stats};
use crate::sync::lock;

/// KVM_EXIT_SYSTEM_EVENT types.
use kvm_bindings::{KVM_SYSTEM_EVENT_RESET, KVM_SYSTEM_EVENT_SHUTDOWN};

/// What all vCPUs of a machine see.
pub struct Surroundings {
    pub buses: Buses,
    pub stats: Arc<Stats>,
    pub ending: Ending,
}

/// What the vCPU's thread and its owner share. The thread holds the descriptor's lock while the guest runs.
struct Shared {
    fd: Mutex<VcpuFd>,
    immediate_exit: ImmediateExit,
    lifecycle: Lifecycle,
}

pub struct Vcpu {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Vcpu {
    /// Creates the thread, at rest.
    pub fn new(fd: VcpuFd, id: u8, surroundings: Arc<Surroundings>) -> Result<Self> {
        let shared = Arc::new(Shared {
            immediate_exit: ImmediateExit::new(&fd)?,
            fd: Mutex::new(fd),
            lifecycle: Lifecycle::new(),
        });
        let for_thread = shared.clone();
        let thread = thread::Builder::new()
            .name(format!("vcpu{id}"))
            .spawn(move || for_thread.live(&surroundings))
            .context("cannot start a vCPU's thread")?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Runs the vCPU, or resumes it.
    pub fn run(&self) {
        self.shared.lifecycle.want(Wanted::Running);
    }

    /// Asks the vCPU to come to rest.
    pub fn pause(&self) {
        self.want(Wanted::Paused);
    }

    /// Waits until the vCPU is at rest, and gives its descriptor, with any I/O of the guest completed.
    pub fn at_rest(&self) -> MutexGuard<'_, VcpuFd> {
        self.shared.lifecycle.wait_for_rest();
        lock(&self.shared.fd)
    }

    fn want(&self, wanted: Wanted) {
        self.shared.lifecycle.want(wanted);
        self.shared.immediate_exit.set(1);
        if let Some(thread) = &self.thread {
            // Fails for a thread that has ended, which needs no kick.
            let _ = thread.kill(kick::signal());
        }
    }
}

impl Drop for Vcpu {
    /// Ends the thread.
    fn drop(&mut self) {
        self.want(Wanted::Destroyed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn live(&self, surroundings: &Surroundings) {
        while self.lifecycle.rest() {
            let mut fd = lock(&self.fd);
            while self.lifecycle.wanted() == Wanted::Running {
                if let Some(end) = self.run_guest(&mut fd, surroundings) {
                    surroundings.ending.tell(end);
                    self.lifecycle.ended();
                }
            }
        }
    }

    /// Runs the guest until something else is wanted (`None`) or it ends.
    ///
    /// That something else is wanted is looked at only after EINTR: an I/O exit is complete when KVM_RUN is
    /// entered again, be it for an immediate exit.
    fn run_guest(&self, fd: &mut VcpuFd, surroundings: &Surroundings) -> Option<End> {
        let Surroundings {
            buses: Buses { ports, mmio },
            stats,
            ending,
        } = surroundings;
        loop {
            match fd.run() {
                Ok(VcpuExit::IoIn(port, data)) => {
                    stats.count(Exit::PortIn);
                    ports.read(port.into(), data);
                }
                Ok(VcpuExit::IoOut(port, data)) => {
                    stats.count(Exit::PortOut);
                    ports.write(port.into(), data);
                    // A guest that has powered itself off or reset itself does not run on.
                    if let Some(end) = ending.get() {
                        return Some(end);
                    }
                }
                Ok(VcpuExit::MmioRead(address, data)) => {
                    stats.count(Exit::MmioRead);
                    mmio.read(address, data);
                }
                Ok(VcpuExit::MmioWrite(address, data)) => {
                    stats.count(Exit::MmioWrite);
                    mmio.write(address, data);
                }
                Ok(exit) => {
                    stats.count(Exit::Other);
                    return Some(end_of(&exit));
                }
                Err(error) => match error.errno() {
                    libc::EINTR => {
                        stats.count(Exit::Interrupted);
                        self.immediate_exit.set(0);
                        return None;
                    }
                    // A vCPU that waited for its start has got it.
                    libc::EAGAIN => stats.count(Exit::Other),
                    _ => return Some(End::Failure(format!("KVM_RUN: {error}"))),
                },
            }
        }
    }
}

/// What an exit means that is not for a device. A triple fault is a way to reset a PC.
fn end_of(exit: &VcpuExit) -> End {
    match exit {
        VcpuExit::Shutdown | VcpuExit::SystemEvent(KVM_SYSTEM_EVENT_RESET, _) => End::Reset,
        VcpuExit::SystemEvent(KVM_SYSTEM_EVENT_SHUTDOWN, _) => End::PowerOff,
        exit => End::Failure(format!("unexpected exit: {exit:?}")),
    }
}
