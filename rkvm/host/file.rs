// SPDX-License-Identifier: GPL-2.0

//! Files whose operations are Rust: the anonymous inodes behind VM and vCPU descriptors.
//!
//! The kernel crate's miscdevice names no owner module, so that rmmod would succeed under an open
//! file; here every file's operations carry `THIS_MODULE`.

// UNSAFETY: C callbacks recover the Rust object from `private_data`.
#![expect(unsafe_code)]

use super::bindings;
use core::{marker::PhantomData, ptr::NonNull};
use kernel::{
    error::from_err_ptr,
    fs::{file::FileDescriptorReservation, File},
    mm::virt::VmaNew,
    prelude::*,
    str::CStr,
    sync::{aref::ARef, Arc, ArcBorrow},
    uaccess::{UserPtr, UserSlice, UserSliceWriter},
};

/// An object behind a file descriptor. The descriptor owns one reference to it.
pub trait FileObject: Send + Sync + Sized + 'static {
    /// Serves an ioctl. `ENOTTY` for a command that this kind of file does not have.
    fn ioctl(this: ArcBorrow<'_, Self>, cmd: u32, arg: usize) -> Result<isize>;

    /// Serves mmap(2) from the given page of the file on. `ENODEV` where there is nothing to map.
    fn mmap(_this: ArcBorrow<'_, Self>, _vma: &VmaNew, _first_page: usize) -> Result {
        Err(ENODEV)
    }

    /// The last descriptor was closed. The reference is dropped after this returns.
    fn release(_this: ArcBorrow<'_, Self>) {}
}

/// An object that also has contents.
pub trait ReadableObject: FileObject {
    /// Serves read(2) and pread(2): copies what there is from `position` on, and nothing behind the end.
    fn read(this: ArcBorrow<'_, Self>, position: usize, to: &mut UserSliceWriter) -> Result;
}

/// The C operations of files of type `T`.
pub(super) struct Operations<T>(PhantomData<T>);

impl<T: FileObject> Operations<T> {
    /// Operations for a file whose `private_data` is an `Arc<T>`.
    pub(super) const FILE: kernel::bindings::file_operations = kernel::bindings::file_operations {
        owner: crate::THIS_MODULE.as_ptr(),
        unlocked_ioctl: Some(Self::ioctl),
        mmap: Some(Self::mmap),
        release: Some(Self::release),
        llseek: Some(kernel::bindings::noop_llseek),
        ..pin_init::zeroed()
    };

    /// The object of an open file.
    ///
    /// # Safety
    ///
    /// `file` must be an open file with these operations.
    unsafe fn object<'a>(file: *mut kernel::bindings::file) -> ArcBorrow<'a, T> {
        // SAFETY: `private_data` holds the pointer of the `Arc<T>` that was stored when the file was
        // made, and that reference lives until `release`.
        unsafe { ArcBorrow::from_raw((*file).private_data.cast::<T>()) }
    }

    /// # Safety
    ///
    /// Called by the VFS alone, for an open file with these operations, which it holds for the length
    /// of the call.
    unsafe extern "C" fn ioctl(
        file: *mut kernel::bindings::file,
        cmd: kernel::ffi::c_uint,
        arg: kernel::ffi::c_ulong,
    ) -> kernel::ffi::c_long {
        // SAFETY: the VFS calls this for open files with these operations.
        let object = unsafe { Self::object(file) };
        match T::ioctl(object, cmd, arg) {
            Ok(value) => value,
            Err(error) => error.to_errno() as kernel::ffi::c_long,
        }
    }

    /// # Safety
    ///
    /// As for `ioctl`; besides, `vma` is the new area of a mapping of the file, not yet visible to
    /// user space, and the mm's lock is held for writing.
    unsafe extern "C" fn mmap(
        file: *mut kernel::bindings::file,
        vma: *mut kernel::bindings::vm_area_struct,
    ) -> kernel::ffi::c_int {
        // SAFETY: the VFS calls this for open files with these operations.
        let object = unsafe { Self::object(file) };
        // SAFETY: the VFS passes a new area that this call may set up.
        let (vma, first_page) = unsafe { (VmaNew::from_raw(vma), (*vma).vm_pgoff) };
        match T::mmap(object, vma, first_page) {
            Ok(()) => 0,
            Err(error) => error.to_errno(),
        }
    }

    /// # Safety
    ///
    /// Called by the VFS alone, once for each open file with these operations, after all other calls
    /// for the file have returned.
    unsafe extern "C" fn release(
        _inode: *mut kernel::bindings::inode,
        file: *mut kernel::bindings::file,
    ) -> kernel::ffi::c_int {
        // SAFETY: `private_data` is the pointer of the reference that the file owned, and this is the
        // file's last callback, so that nothing uses it afterwards.
        let object = unsafe { Arc::from_raw((*file).private_data.cast::<T>()) };
        T::release(object.as_arc_borrow());
        0
    }
}

impl<T: ReadableObject> Operations<T> {
    /// [`Operations::FILE`] for a file that can be read.
    const READABLE: kernel::bindings::file_operations = kernel::bindings::file_operations {
        read: Some(Self::read),
        ..Self::FILE
    };

    /// # Safety
    ///
    /// As for `ioctl`; besides, `position` is the file position of the call.
    unsafe extern "C" fn read(
        file: *mut kernel::bindings::file,
        to: *mut kernel::ffi::c_char,
        size: usize,
        position: *mut kernel::bindings::loff_t,
    ) -> isize {
        // SAFETY: the VFS calls this for open files with these operations.
        let object = unsafe { Self::object(file) };
        // SAFETY: the position is the call's own.
        let start = unsafe { *position };
        let mut writer = UserSlice::new(UserPtr::from_addr(to.addr()), size).writer();
        let read = usize::try_from(start)
            .map_err(|_| EINVAL)
            .and_then(|start| T::read(object, start, &mut writer));
        if let Err(error) = read {
            return error.to_errno() as isize;
        }
        let done = size - writer.len();
        // SAFETY: as above.
        unsafe { *position = start.saturating_add(done as i64) };
        done as isize
    }
}

/// Makes an anonymous file for `object` and returns its descriptor (read-write, close-on-exec).
///
/// `EMFILE`, `ENFILE` or `ENOMEM` where none can be made.
pub fn anonymous<T: FileObject>(name: &CStr, object: Arc<T>) -> Result<isize> {
    let raw = Arc::into_raw(object);
    // SAFETY: the name is a C string, which is copied; the operations are static and expect just this
    // pointer as private data.
    let fd = unsafe {
        bindings::anon_inode_getfd(
            name.as_char_ptr(),
            &Operations::<T>::FILE,
            raw.cast_mut().cast(),
            (kernel::bindings::O_RDWR | kernel::bindings::O_CLOEXEC) as i32,
        )
    };
    if fd < 0 {
        // SAFETY: no file was made, so that the reference is still ours.
        drop(unsafe { Arc::from_raw(raw) });
        return Err(Error::from_errno(fd));
    }
    Ok(fd as isize)
}

/// [`anonymous`] for a file that is there to be read, at any position (read-only, close-on-exec).
pub fn anonymous_readable<T: ReadableObject>(name: &CStr, object: Arc<T>) -> Result<isize> {
    let descriptor = FileDescriptorReservation::get_unused_fd_flags(kernel::bindings::O_CLOEXEC)?;
    let raw = Arc::into_raw(object);
    // SAFETY: the name is a C string, which is copied; the operations are static and expect just this
    // pointer as private data.
    let file = from_err_ptr(unsafe {
        bindings::anon_inode_getfile_fmode(
            name.as_char_ptr(),
            &Operations::<T>::READABLE,
            raw.cast_mut().cast(),
            kernel::bindings::O_RDONLY as i32,
            bindings::RKVM_FMODE_PREAD,
        )
    });
    match file.and_then(|file| NonNull::new(file).ok_or(ENOMEM)) {
        Ok(file) => {
            let number = descriptor.reserved_fd();
            // SAFETY: the file is new, and its reference is handed over; nobody has taken its position.
            descriptor.fd_install(unsafe { ARef::from_raw(file.cast::<File>()) });
            Ok(number as isize)
        }
        Err(error) => {
            // SAFETY: no file was made, so that the reference is still ours.
            drop(unsafe { Arc::from_raw(raw) });
            Err(error)
        }
    }
}
