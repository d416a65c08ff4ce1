// SPDX-License-Identifier: GPL-2.0
//! The loop of the first thread: console input, virtio queues, the wish for a snapshot, the end.

use std::fs::File;
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::{ensure, Result};
use event_manager::{EventManager, EventOps, Events, MutEventSubscriber, SubscriberOps};
use vmm_sys_util::epoll::EventSet;
use vmm_sys_util::eventfd::EventFd;

use crate::end::{End, Ending};
use crate::machine::Devices;

type Subscriber = Arc<Mutex<dyn MutEventSubscriber + Send>>;

pub struct EventLoop {
    manager: EventManager<Subscriber>,
    ending: Ending,
    save: Arc<AtomicBool>,
}

/// What a turn of the loop has brought, besides what devices did.
pub struct Turn {
    pub save: bool,
}

impl EventLoop {
    pub fn new(devices: &Devices, ending: &Ending) -> Result<Self> {
        let mut manager = EventManager::<Subscriber>::new()?;
        manager.add_subscriber(devices.console.clone());
        for device in &devices.virtio {
            manager.add_subscriber(device.clone());
        }
        Ok(Self {
            manager,
            ending: ending.clone(),
            save: Arc::default(),
        })
    }

    /// Waits for `save` and for signals as well.
    pub fn wait_for(&mut self, save: &EventFd, signals: &File) -> Result<()> {
        let control = Control {
            save: save.try_clone()?,
            signals: signals.try_clone()?,
            ending: self.ending.clone(),
            wants_save: self.save.clone(),
        };
        self.manager.add_subscriber(Arc::new(Mutex::new(control)));
        Ok(())
    }

    /// Waits for events and serves them.
    pub fn turn(&mut self) -> Result<Turn> {
        self.manager.run()?;
        Ok(Turn {
            save: self.save.swap(false, Ordering::Relaxed),
        })
    }
}

struct Control {
    save: EventFd,
    signals: File,
    ending: Ending,
    wants_save: Arc<AtomicBool>,
}

impl MutEventSubscriber for Control {
    fn init(&mut self, ops: &mut EventOps) {
        for file in [
            self.save.as_raw_fd(),
            self.signals.as_raw_fd(),
            self.ending.event().as_raw_fd(),
        ] {
            if ops.add(Events::new_raw(file, EventSet::IN)).is_err() {
                self.ending
                    .tell(End::Failure("cannot wait for events".into()));
            }
        }
    }

    fn process(&mut self, events: Events, _: &mut EventOps) {
        if events.fd() == self.save.as_raw_fd() {
            let _ = self.save.read();
            self.wants_save.store(true, Ordering::Relaxed);
        } else if events.fd() == self.signals.as_raw_fd() {
            let mut info = [0; size_of::<libc::signalfd_siginfo>()];
            let Ok(()) = self.signals.read_exact(&mut info) else {
                return;
            };
            // ssi_signo is the first field.
            match i32::from_ne_bytes([info[0], info[1], info[2], info[3]]) {
                libc::SIGUSR1 => self.wants_save.store(true, Ordering::Relaxed),
                _ => self.ending.tell(End::Quit),
            }
        } else {
            let _ = self.ending.event().read();
        }
    }
}

/// The signals that end the machine in order, and the one that asks for a snapshot, as a file. Threads that
/// are started later do not get them.
pub fn signals() -> Result<File> {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the set, and the other calls read it.
    let file = unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGUSR1] {
            libc::sigaddset(set.as_mut_ptr(), signal);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut());
        libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC)
    };
    ensure!(file >= 0, "signalfd: {}", io::Error::last_os_error());
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { File::from_raw_fd(file) })
}
