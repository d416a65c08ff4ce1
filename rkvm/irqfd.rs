// SPDX-License-Identifier: GPL-2.0

//! KVM_IRQFD: eventfds that interrupt the guest.
//!
//! An irqfd sits in the wait queue of its eventfd, and whoever signals that calls the interrupt controller at
//! once. With a resample eventfd the line stays asserted until the guest has acknowledged the
//! interrupt; then the VMM is told, and signals again if the device still wants attention.
//!
//! The VM owns the irqfds, each of which holds the controller. The controller has the resample
//! eventfds ([`Resamplers`]) and knows nothing else of this.
//!
//! Source: Linux Documentation/virt/kvm/api.rst, 4.75 KVM_IRQFD.

use crate::{
    host::{
        bindings as uapi,
        eventfd::{EventFd, Listen, Listener, Source},
    },
    shared_list::SharedList,
};
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use kernel::{
    prelude::*,
    static_lock_class,
    sync::{new_mutex, Arc, Mutex},
};

/// The interrupt controller of a VM, as irqfds need it. All methods may be called with interrupts off and
/// spinlocks held.
pub trait IrqSink: Send + Sync {
    /// The line goes up and down again: an edge, or a message.
    fn pulse(&self, gsi: u32);
    /// The line goes up on behalf of all irqfds with a resample eventfd.
    fn assert_resample(&self, gsi: u32);
    /// It goes down again.
    fn deassert_resample(&self, gsi: u32);
    /// Those who hear of acknowledged interrupts.
    fn resamplers(&self) -> &Resamplers;
}

/// What an irqfd does to its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// [`IrqSink::pulse`].
    Pulse,
    /// [`IrqSink::assert_resample`].
    Resample,
}

/// An eventfd to signal when the guest has acknowledged an interrupt.
struct Resampler {
    gsi: u32,
    eventfd: EventFd,
}

/// The resample eventfds of a VM.
#[pin_data]
pub struct Resamplers {
    #[pin]
    list: SharedList<Resampler>,
    /// Mostly there are none, so that the list need not be looked at.
    count: AtomicUsize,
}

impl Resamplers {
    /// None.
    pub fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            list <- SharedList::new(static_lock_class!()),
            count: AtomicUsize::new(0),
        })
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// The guest has acknowledged the interrupt of a line, and the controller has let go of it: the VMM
    /// is told. Called without locks of the controller and not from [`IrqSink`]'s methods; interrupts
    /// may be off, but not from an interrupt handler.
    pub fn acknowledged(&self, gsi: u32) {
        self.list.for_each(|resampler| {
            if resampler.gsi == gsi {
                resampler.eventfd.signal();
            }
        });
    }

    /// Whether somebody hears of a line.
    pub fn has(&self, gsi: u32) -> bool {
        let mut found = false;
        self.list
            .for_each(|resampler| found |= resampler.gsi == gsi);
        found
    }
}

/// A resample eventfd that the controller knows, until it is dropped.
struct Resampling {
    resampler: Arc<Resampler>,
    sink: Arc<dyn IrqSink>,
}

impl Resampling {
    fn new(resampler: Resampler, sink: &Arc<dyn IrqSink>) -> Result<Self> {
        let resampler = Arc::new(resampler, GFP_KERNEL_ACCOUNT)?;
        let resamplers = sink.resamplers();
        resamplers.list.add(resampler.clone())?;
        resamplers.count.fetch_add(1, Ordering::Release);
        Ok(Self {
            resampler,
            sink: sink.clone(),
        })
    }
}

impl Drop for Resampling {
    fn drop(&mut self) {
        let gsi = self.resampler.gsi;
        let resamplers = self.sink.resamplers();
        resamplers.list.remove(&self.resampler);
        resamplers.count.fetch_sub(1, Ordering::Release);
        if !resamplers.has(gsi) {
            self.sink.deassert_resample(gsi);
        }
    }
}

/// What an eventfd does when it is signalled.
struct Injection {
    sink: Arc<dyn IrqSink>,
    gsi: u32,
    style: Style,
    /// The eventfd has no descriptor any more.
    closed: AtomicBool,
}

impl Listen for Injection {
    fn signalled(&self) {
        match self.style {
            Style::Pulse => self.sink.pulse(self.gsi),
            Style::Resample => self.sink.assert_resample(self.gsi),
        }
    }

    fn closed(&self) {
        self.closed.store(true, Ordering::Release);
    }
}

/// An irqfd. Dropped in this order: nothing asserts the line after it was let go.
struct Irqfd {
    listener: Listener<Injection>,
    _resampling: Option<Resampling>,
}

impl Irqfd {
    fn is_closed(&self) -> bool {
        self.listener.listener().closed.load(Ordering::Acquire)
    }

    fn is(&self, eventfd: &EventFd, gsi: u32) -> bool {
        self.listener.is_for(eventfd) && self.listener.listener().gsi == gsi
    }
}

/// The irqfds of a VM.
#[pin_data]
pub struct Irqfds {
    #[pin]
    members: Mutex<KVVec<Irqfd>>,
}

impl Irqfds {
    /// None.
    pub fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            members <- new_mutex!(KVVec::new()),
        })
    }

    /// KVM_IRQFD; `sink` looks for the controller. `EINVAL` for unknown flags, the error of `sink`, `EBADF` or
    /// `EINVAL` for a descriptor that is none or not of an eventfd, `EBUSY` if the eventfd is an irqfd already.
    /// That there is none to take away is no error.
    pub fn ioctl(
        &self,
        request: &uapi::kvm_irqfd,
        sink: impl FnOnce(Style) -> Result<Arc<dyn IrqSink>>,
    ) -> Result {
        const FLAGS: u32 = uapi::KVM_IRQFD_FLAG_DEASSIGN | uapi::KVM_IRQFD_FLAG_RESAMPLE;
        if request.flags & !FLAGS != 0 {
            return Err(EINVAL);
        }
        if request.flags & uapi::KVM_IRQFD_FLAG_DEASSIGN != 0 {
            let eventfd = EventFd::from_descriptor(request.fd as i32)?;
            self.remove(|irqfd| irqfd.is(&eventfd, request.gsi));
            return Ok(());
        }
        let style = if request.flags & uapi::KVM_IRQFD_FLAG_RESAMPLE != 0 {
            Style::Resample
        } else {
            Style::Pulse
        };
        self.assign(request, style, sink(style)?)
    }

    fn assign(&self, request: &uapi::kvm_irqfd, style: Style, sink: Arc<dyn IrqSink>) -> Result {
        let gsi = request.gsi;
        let source = Source::from_descriptor(request.fd)?;
        self.remove(Irqfd::is_closed);
        let mut members = self.members.lock();
        members.reserve(1, GFP_KERNEL_ACCOUNT)?;
        let resampling = match style {
            Style::Pulse => None,
            Style::Resample => {
                let eventfd = EventFd::from_descriptor(request.resamplefd as i32)?;
                let resampler = Resampler { gsi, eventfd };
                Some(Resampling::new(resampler, &sink)?)
            }
        };
        let injection = Injection {
            sink,
            gsi,
            style,
            closed: AtomicBool::new(false),
        };
        let irqfd = Irqfd {
            listener: Listener::new(source, injection)?,
            _resampling: resampling,
        };
        members.push(irqfd, GFP_KERNEL_ACCOUNT)?;
        Ok(())
    }

    /// Takes irqfds away, and those whose eventfd was closed. When this returns they interrupt no more.
    fn remove(&self, mut is_out: impl FnMut(&Irqfd) -> bool) {
        self.members
            .lock()
            .retain(|irqfd| !is_out(irqfd) && !irqfd.is_closed());
    }

    /// Takes all irqfds away.
    pub fn clear(&self) {
        self.remove(|_| true);
    }
}
