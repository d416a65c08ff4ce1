// SPDX-License-Identifier: GPL-2.0

//! A stand-in for the kernel's `kernel` crate, for tests on the build host.
//!
//! It has the few items that the pure files of the module use, with the kernel's names and
//! signatures: `prelude`, `error`, the fallible containers, and, taken from the kernel's source
//! by the build script, `bitfield!` and `num::Bounded`. Grow it only by what a pure file needs.

// Lets the kernel's own files name this crate as they do in the kernel.
extern crate self as kernel;

pub mod alloc;
pub mod error;
pub mod sync;
pub mod zeroable;

pub use zeroable::Zeroable;

/// Bounded integers, from the kernel's source.
#[allow(missing_docs, clippy::all)]
pub mod num {
    include!(concat!(env!("OUT_DIR"), "/num.rs"));
}

/// The `bitfield!` macro, from the kernel's source.
#[allow(clippy::all, unexpected_cfgs)]
pub mod bitfield {
    include!(concat!(env!("OUT_DIR"), "/bitfield.rs"));
}

/// Formatting, as the kernel re-exports it.
pub mod fmt {
    pub use core::fmt::*;
}

/// The kernel's procedural macros.
pub mod macros {
    pub use pastey::paste;
}

/// What the kernel's `build_assert` module offers, at run time where the kernel has link time.
pub mod build_assert {
    /// Checks a constant condition at compile time.
    #[macro_export]
    macro_rules! static_assert {
        ($condition:expr $(,$arg:literal)?) => {
            const _: () = ::core::assert!($condition $(,$arg)?);
        };
    }

    /// Checks a constant condition, which may name generics, when the function is instantiated.
    #[macro_export]
    macro_rules! const_assert {
        ($condition:expr $(,$arg:literal)?) => {
            const { ::core::assert!($condition $(,$arg)?) };
        };
    }

    /// Checks a condition; the kernel does it at link time.
    #[macro_export]
    macro_rules! build_assert {
        ($condition:expr $(,$arg:literal)?) => {
            ::core::assert!($condition $(,$arg)?)
        };
    }

    /// Marks code that must be optimised out; the kernel checks it at link time.
    #[macro_export]
    macro_rules! build_error {
        () => {
            ::core::panic!("build_error")
        };
        ($message:expr) => {
            ::core::panic!("{}", $message)
        };
    }

    pub use crate::{build_assert, build_error, const_assert, static_assert};
}

/// Stands for every `pr_*!`: checks its format arguments and prints nothing.
#[macro_export]
macro_rules! silent_print {
    ($($arg:tt)*) => {{
        let _ = ::core::format_args!($($arg)*);
    }};
}

/// The names that kernel code imports as a whole.
pub mod prelude {
    pub use core::format_args as fmt;
    pub use core::mem::{align_of, align_of_val, size_of, size_of_val};
    pub use core::pin::Pin;

    pub use crate::alloc::flags::*;
    pub use crate::alloc::{KBox, KVBox, KVVec, KVec, VBox, VVec};
    pub use crate::build_assert::{build_assert, build_error, const_assert, static_assert};
    pub use crate::error::{code::*, Error, Result};
    pub use crate::zeroable::Zeroable;
    pub use crate::{
        silent_print as pr_alert, silent_print as pr_crit, silent_print as pr_debug,
        silent_print as pr_emerg, silent_print as pr_err, silent_print as pr_info,
        silent_print as pr_notice, silent_print as pr_warn,
    };
}
