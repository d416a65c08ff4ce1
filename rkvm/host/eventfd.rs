// SPDX-License-Identifier: GPL-2.0

//! Eventfds: signalling one, and being called when one is signalled.

// UNSAFETY: holds references to C objects; a C callback recovers the Rust object around its entry.
#![expect(unsafe_code)]

use super::bindings;
use core::{ffi::c_void, ptr::NonNull};
use kernel::{
    bindings as k, error::from_err_ptr, fs::LocalFile, prelude::*, sync::aref::ARef, types::Opaque,
};

/// A reference to an eventfd, which outlives its descriptors.
pub struct EventFd(NonNull<k::eventfd_ctx>);

// SAFETY: the C object may be used and released from any thread.
unsafe impl Send for EventFd {}
// SAFETY: `signal` takes the lock of the C object.
unsafe impl Sync for EventFd {}

impl EventFd {
    /// The eventfd behind a descriptor of the current process. `EBADF` if there is no such descriptor,
    /// `EINVAL` if it is of something else.
    pub fn from_descriptor(fd: i32) -> Result<Self> {
        // SAFETY: any number may be asked for.
        Self::from_raw(unsafe { k::eventfd_ctx_fdget(fd) })
    }

    /// Takes over the reference that C returned, or its error.
    fn from_raw(raw: *mut k::eventfd_ctx) -> Result<Self> {
        NonNull::new(from_err_ptr(raw)?).map(Self).ok_or(EINVAL)
    }

    /// Adds 1 to the counter. Callable from any context but an NMI, except from [`Listen::signalled`].
    #[inline]
    pub fn signal(&self) {
        // SAFETY: the reference keeps the object alive.
        unsafe { k::eventfd_signal_mask(self.0.as_ptr(), 0) };
    }
}

/// Two references are equal if they are to the same eventfd.
impl PartialEq for EventFd {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Drop for EventFd {
    fn drop(&mut self) {
        // SAFETY: the value owns a reference.
        unsafe { k::eventfd_ctx_put(self.0.as_ptr()) };
    }
}

/// An eventfd by its file, which it takes to listen to it.
pub struct Source {
    file: ARef<LocalFile>,
    eventfd: EventFd,
}

impl Source {
    /// [`EventFd::from_descriptor`].
    pub fn from_descriptor(fd: u32) -> Result<Self> {
        let file = LocalFile::fget(fd)?;
        // SAFETY: the file is open.
        let eventfd = EventFd::from_raw(unsafe { k::eventfd_ctx_fileget(file.as_ptr()) })?;
        Ok(Self { file, eventfd })
    }
}

/// Who is called about an eventfd.
pub trait Listen: Send + Sync + 'static {
    /// The eventfd was signalled, and its counter set back. Interrupts may be off and a spinlock is held: must
    /// not sleep, free, or signal an eventfd.
    fn signalled(&self);
    /// The last descriptor was closed: nothing will signal it any more but the kernel. Called like
    /// [`Listen::signalled`].
    fn closed(&self);
}

/// What is in the eventfd's wait queue. Never moves.
#[pin_data]
#[repr(C)]
struct Waiter<L> {
    #[pin]
    entry: Opaque<k::wait_queue_entry>,
    eventfd: EventFd,
    listener: L,
}

// SAFETY: the entry is changed under the lock of the eventfd's wait queue alone.
unsafe impl<L: Send> Send for Waiter<L> {}
// SAFETY: likewise.
unsafe impl<L: Sync> Sync for Waiter<L> {}

impl<L: Listen> Waiter<L> {
    /// # Safety
    ///
    /// Called by the eventfd's wait queue alone, with its lock held, for an entry that is in it and is part of
    /// a `Waiter<L>`.
    unsafe extern "C" fn wake(
        entry: *mut k::wait_queue_entry,
        _mode: kernel::ffi::c_uint,
        _flags: kernel::ffi::c_int,
        key: *mut c_void,
    ) -> kernel::ffi::c_int {
        const LEFT_TO_OTHERS: kernel::ffi::c_int = 0;
        const CONSUMED: kernel::ffi::c_int = 1;
        // SAFETY: the entry is the first field of a `Waiter`, which leaves the queue, under the lock that
        // is held now, before it goes.
        let this = unsafe { &*entry.cast::<Self>() };
        let events = key.addr() as u32;
        if events & bindings::RKVM_EPOLLHUP != 0 {
            this.listener.closed();
        }
        if events & bindings::RKVM_EPOLLIN == 0 {
            return LEFT_TO_OTHERS;
        }
        let mut count = 0;
        // SAFETY: the lock of the wait queue is held, as C wants it.
        unsafe { k::eventfd_ctx_do_read(this.eventfd.0.as_ptr(), &mut count) };
        this.listener.signalled();
        CONSUMED
    }
}

/// A listener that is the only one called about its eventfd, until it is dropped.
pub struct Listener<L: Listen>(Pin<KBox<Waiter<L>>>);

impl<L: Listen> Listener<L> {
    /// Has `listener` called about an eventfd, at once if it was signalled before. `EBUSY` if another listener
    /// has the eventfd, `ENOMEM`.
    pub fn new(source: Source, listener: L) -> Result<Self> {
        let Source { file, eventfd } = source;
        let waiter = KBox::pin_init(
            pin_init!(Waiter {
                entry: Opaque::zeroed(),
                eventfd,
                listener,
            }),
            GFP_KERNEL_ACCOUNT,
        )?;
        let entry = core::ptr::from_ref(&*waiter).cast_mut().cast();
        // SAFETY: the file is that of the eventfd. The entry is the first field of a `Waiter<L>`, which does
        // not move, and takes it out of the queue before it goes.
        let pending =
            unsafe { bindings::rkvm_eventfd_listen(file.as_ptr(), Some(Waiter::<L>::wake), entry) };
        kernel::error::to_result(pending.min(0))?;
        let this = Self(waiter);
        if pending > 0 {
            this.0.listener.signalled();
        }
        Ok(this)
    }

    /// Who is called.
    pub fn listener(&self) -> &L {
        &self.0.listener
    }

    /// Whether it is called about this eventfd.
    pub fn is_for(&self, eventfd: &EventFd) -> bool {
        self.0.eventfd == *eventfd
    }
}

impl<L: Listen> Drop for Listener<L> {
    fn drop(&mut self) {
        let mut count = 0;
        // SAFETY: the entry is in the queue of this eventfd. The call waits for a callback that runs, and
        // none comes after it.
        unsafe {
            k::eventfd_ctx_remove_wait_queue(
                self.0.eventfd.0.as_ptr(),
                self.0.entry.get(),
                &mut count,
            );
        }
    }
}
