// SPDX-License-Identifier: GPL-2.0

//! The misc device node.

// UNSAFETY: registers a C structure and its open callback.
#![expect(unsafe_code)]

use super::file::{FileObject, Operations};
use core::marker::PhantomData;
use kernel::{bindings, error::to_result, prelude::*, str::CStr, sync::Arc, types::Opaque};

/// A file object that opening a device node makes.
pub trait DeviceObject: FileObject {
    /// What all descriptors of the node share.
    type Context: Send + Sync + 'static;

    /// What a newly opened descriptor refers to.
    fn open(context: &Self::Context) -> Result<Arc<Self>>;
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
        open: Some(Self::open),
        ..Operations::<T>::FILE
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
            name: name.as_ptr().cast(),
            fops: &Self::FILE,
            mode: 0o660,
            ..pin_init::zeroed()
        };
        try_pin_init!(Self {
            context,
            inner <- Opaque::try_ffi_init(move |slot: *mut bindings::miscdevice| {
                // SAFETY: `slot` is valid for writes.
                unsafe { slot.write(device) };
                // SAFETY: the structure is complete and stays in place until it is deregistered.
                to_result(unsafe { bindings::misc_register(slot) })
            }),
            _object: PhantomData,
        })
    }

    unsafe extern "C" fn open(
        _inode: *mut bindings::inode,
        file: *mut bindings::file,
    ) -> kernel::ffi::c_int {
        // SAFETY: the misc core sets `private_data` to the structure that was registered, which is the
        // first field of a registration; deregistration waits for opens under way.
        let registration = unsafe { &*(*file).private_data.cast::<Self>() };
        match T::open(&registration.context) {
            Ok(object) => {
                // SAFETY: a file being opened is ours alone.
                unsafe { (*file).private_data = Arc::into_raw(object).cast_mut().cast() };
                0
            }
            Err(error) => error.to_errno(),
        }
    }
}

#[pinned_drop]
impl<T: DeviceObject> PinnedDrop for Registration<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: the value exists only if registration succeeded.
        unsafe { bindings::misc_deregister(self.inner.get()) };
    }
}
