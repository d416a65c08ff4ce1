// SPDX-License-Identifier: GPL-2.0

//! The misc device node.
//!
//! A descriptor costs nothing to open: its object is made when an ioctl first needs one. Until then
//! the file's `private_data` is what the misc core has put there, the registration; then it is the
//! object's pointer, marked by its lowest bit.

// UNSAFETY: registers a C structure, and keeps pointers of two kinds in `private_data`.
#![expect(unsafe_code)]

use core::{
    marker::PhantomData,
    sync::atomic::{AtomicUsize, Ordering},
};
use kernel::{
    bindings,
    error::to_result,
    mm::virt::VmaNew,
    prelude::*,
    str::CStr,
    sync::{Arc, ArcBorrow},
    types::Opaque,
};

/// What a descriptor of a device node stands for.
pub trait DeviceObject: Send + Sync + Sized + 'static {
    /// What all descriptors of the node share.
    type Context: Send + Sync + 'static;

    /// The object of one descriptor.
    fn new(context: &Self::Context) -> Result<Arc<Self>>;

    /// What the object was made with.
    fn context(&self) -> &Self::Context;

    /// Serves an ioctl. `ENOTTY` for a command that the device does not have.
    fn ioctl(session: Session<'_, Self>, cmd: u32, arg: usize) -> Result<isize>;

    /// Serves mmap(2) from the given page on.
    fn mmap(session: Session<'_, Self>, vma: &VmaNew, first_page: usize) -> Result;
}

/// Which minor number a node gets.
#[derive(Clone, Copy)]
pub enum Minor {
    /// Whatever is free.
    Dynamic,
    /// A number fixed in Documentation/admin-guide/devices.txt.
    Fixed(u16),
}

/// A registered node in /dev, until it is dropped.
#[pin_data(PinnedDrop)]
#[repr(C)]
pub struct Registration<T: DeviceObject> {
    #[pin]
    inner: Opaque<bindings::miscdevice>,
    context: T::Context,
    _object: PhantomData<T>,
}

// SAFETY: the structure is only touched by register and deregister.
unsafe impl<T: DeviceObject> Send for Registration<T> {}
// SAFETY: no method of a shared registration touches the structure.
unsafe impl<T: DeviceObject> Sync for Registration<T> {}

impl<T: DeviceObject> Registration<T> {
    const FILE: bindings::file_operations = bindings::file_operations {
        owner: crate::THIS_MODULE.as_ptr(),
        unlocked_ioctl: Some(Self::ioctl),
        mmap: Some(Self::mmap),
        release: Some(Self::release),
        llseek: Some(bindings::noop_llseek),
        ..pin_init::zeroed()
    };

    /// Registers the node `name`, readable and writable by its owner and group.
    ///
    /// `EBUSY` if a fixed minor is taken.
    pub fn new(
        name: &'static CStr,
        minor: Minor,
        context: T::Context,
    ) -> impl PinInit<Self, Error> {
        let device = bindings::miscdevice {
            minor: match minor {
                Minor::Dynamic => bindings::MISC_DYNAMIC_MINOR as i32,
                Minor::Fixed(number) => i32::from(number),
            },
            name: name.as_char_ptr(),
            fops: &Self::FILE,
            mode: 0o660,
            ..pin_init::zeroed()
        };
        try_pin_init!(Self {
            context,
            inner <- Opaque::try_ffi_init(move |slot: *mut bindings::miscdevice| {
                // SAFETY: `slot` is valid for writes, and nothing else knows of it yet.
                unsafe { slot.write(device) };
                // SAFETY: the structure is complete and stays in place until it is deregistered.
                to_result(unsafe { bindings::misc_register(slot) })
            }),
            _object: PhantomData,
        })
    }

    /// # Safety
    ///
    /// Called by the VFS alone, for an open file of a registration of this type, which it holds for
    /// the length of the call.
    unsafe extern "C" fn ioctl(
        file: *mut bindings::file,
        cmd: kernel::ffi::c_uint,
        arg: kernel::ffi::c_ulong,
    ) -> kernel::ffi::c_long {
        // SAFETY: the VFS calls this for open files of a registration of this type.
        let session = unsafe { Session::<T>::of(file) };
        match T::ioctl(session, cmd, arg) {
            Ok(value) => value,
            Err(error) => error.to_errno() as kernel::ffi::c_long,
        }
    }

    /// # Safety
    ///
    /// As for `ioctl`; besides, `vma` is the new area of a mapping of the file, not yet visible to
    /// user space, and the mm's lock is held for writing.
    unsafe extern "C" fn mmap(
        file: *mut bindings::file,
        vma: *mut bindings::vm_area_struct,
    ) -> kernel::ffi::c_int {
        // SAFETY: the VFS calls this for open files of a registration of this type.
        let session = unsafe { Session::<T>::of(file) };
        // SAFETY: the VFS passes a new area that this call may set up.
        let (vma, first_page) = unsafe { (VmaNew::from_raw(vma), (*vma).vm_pgoff) };
        match T::mmap(session, vma, first_page) {
            Ok(()) => 0,
            Err(error) => error.to_errno(),
        }
    }

    /// # Safety
    ///
    /// Called by the VFS alone, once for each open file of a registration of this type, after all
    /// other calls for the file have returned.
    unsafe extern "C" fn release(
        _inode: *mut bindings::inode,
        file: *mut bindings::file,
    ) -> kernel::ffi::c_int {
        // SAFETY: the file is one of a registration of this type, and stays for this call.
        let session = unsafe { Session::<T>::of(file) };
        if let Ok(object) = session.pointer() {
            // SAFETY: the file's own reference, and this is the file's last callback.
            drop(unsafe { Arc::from_raw(object) });
        }
        0
    }
}

#[pinned_drop]
impl<T: DeviceObject> PinnedDrop for Registration<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: the value exists only if registration succeeded.
        unsafe { bindings::misc_deregister(self.inner.get()) };
    }
}

/// An open descriptor.
pub struct Session<'a, T> {
    private_data: &'a AtomicUsize,
    _object: PhantomData<T>,
}

impl<'a, T: DeviceObject> Session<'a, T> {
    /// Marks the pointer of an object.
    const OBJECT: usize = 1;

    /// # Safety
    ///
    /// `file` must be an open file of a `Registration<T>`.
    unsafe fn of(file: *mut bindings::file) -> Self {
        // SAFETY: the file lives, and everything here accesses the word atomically.
        let private_data = unsafe { AtomicUsize::from_ptr((&raw mut (*file).private_data).cast()) };
        Self {
            private_data,
            _object: PhantomData,
        }
    }

    /// What `private_data` points to.
    fn pointer(&self) -> Result<*const T, *const Registration<T>> {
        let word = self.private_data.load(Ordering::Acquire);
        if word & Self::OBJECT != 0 {
            Ok((word & !Self::OBJECT) as *const T)
        } else {
            Err(word as *const Registration<T>)
        }
    }

    /// The descriptor's object, if it has one.
    pub fn get(&self) -> Option<ArcBorrow<'a, T>> {
        let object = self.pointer().ok()?;
        // SAFETY: the pointer came from `Arc::into_raw`, and the file owns that reference until it
        // is released, which no session outlives.
        Some(unsafe { ArcBorrow::from_raw(object) })
    }

    /// What all descriptors share.
    pub fn context(&self) -> &'a T::Context {
        match self.pointer() {
            // SAFETY: as in `get`.
            Ok(object) => unsafe { (*object).context() },
            // SAFETY: the misc core has put the address of the `miscdevice` there, the first
            // field of a registration, which stays while a file is open.
            Err(registration) => unsafe { &(*registration).context },
        }
    }

    /// The descriptor's object, made if it has none. `ENOMEM`.
    pub fn get_or_make(&self) -> Result<ArcBorrow<'a, T>> {
        let Err(registration) = self.pointer() else {
            return self.get().ok_or(ENOMEM);
        };
        let object = Arc::into_raw(T::new(self.context())?);
        let made = self.private_data.compare_exchange(
            registration as usize,
            object as usize | Self::OBJECT,
            Ordering::AcqRel,
            Ordering::Acquire,
        );
        if made.is_err() {
            // SAFETY: another thread was faster, so that the reference is still ours.
            drop(unsafe { Arc::from_raw(object) });
        }
        self.get().ok_or(ENOMEM)
    }
}
