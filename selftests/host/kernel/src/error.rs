// SPDX-License-Identifier: GPL-2.0

//! Kernel errors: an errno in a newtype.

use core::fmt;

/// An errno. Holds the negative value, as the kernel's type does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Error(i32);

/// The kernel's `Result`.
pub type Result<T = (), E = Error> = core::result::Result<T, E>;

const MAX_ERRNO: i32 = 4095;

impl Error {
    /// The error for a negative errno; `EINVAL` for anything else.
    pub const fn from_errno(errno: i32) -> Self {
        if errno < 0 && errno >= -MAX_ERRNO {
            Self(errno)
        } else {
            code::EINVAL
        }
    }

    /// The negative errno.
    pub const fn to_errno(self) -> i32 {
        self.0
    }
}

macro_rules! codes {
    ($($name:ident = $errno:literal),* $(,)?) => {
        /// The errno values, as errors.
        pub mod code {
            use super::Error;
            $(
                #[doc = stringify!($name)]
                pub const $name: Error = Error(-$errno);
            )*
        }

        impl fmt::Debug for Error {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match -self.0 {
                    $($errno => f.write_str(stringify!($name)),)*
                    other => write!(f, "Error({other})"),
                }
            }
        }
    };
}

codes! {
    EPERM = 1, ENOENT = 2, ESRCH = 3, EINTR = 4, EIO = 5, ENXIO = 6, E2BIG = 7, ENOEXEC = 8,
    EBADF = 9, ECHILD = 10, EAGAIN = 11, ENOMEM = 12, EACCES = 13, EFAULT = 14, ENOTBLK = 15,
    EBUSY = 16, EEXIST = 17, EXDEV = 18, ENODEV = 19, ENOTDIR = 20, EISDIR = 21, EINVAL = 22,
    ENFILE = 23, EMFILE = 24, ENOTTY = 25, ETXTBSY = 26, EFBIG = 27, ENOSPC = 28, ESPIPE = 29,
    EROFS = 30, EMLINK = 31, EPIPE = 32, EDOM = 33, ERANGE = 34, EOVERFLOW = 75, EMSGSIZE = 90,
    ETIMEDOUT = 110, ERESTARTSYS = 512, ENOTSUPP = 524,
}

impl From<crate::alloc::AllocError> for Error {
    fn from(_: crate::alloc::AllocError) -> Self {
        code::ENOMEM
    }
}

impl From<core::num::TryFromIntError> for Error {
    fn from(_: core::num::TryFromIntError) -> Self {
        code::EINVAL
    }
}

impl From<core::convert::Infallible> for Error {
    fn from(never: core::convert::Infallible) -> Self {
        match never {}
    }
}
