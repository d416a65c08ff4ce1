// SPDX-License-Identifier: GPL-2.0

//! `pin_init::Zeroable`: types for which all bytes zero is a value.

/// Types for which all bytes zero is a value.
///
/// # Safety
///
/// All bytes zero must be a valid value of the type.
pub unsafe trait Zeroable {
    /// The value of all bytes zero.
    fn zeroed() -> Self
    where
        Self: Sized,
    {
        zeroed()
    }
}

/// The value of all bytes zero.
pub const fn zeroed<T: Zeroable>() -> T {
    // SAFETY: `T: Zeroable` says that zero bytes are a valid value.
    unsafe { core::mem::zeroed() }
}

macro_rules! impl_zeroable {
    ($($t:ty)*) => {
        $(
            // SAFETY: Zero is a value of every integer type.
            unsafe impl Zeroable for $t {}
        )*
    };
}
impl_zeroable!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize bool);

// SAFETY: An array of zeroes consists of valid elements.
unsafe impl<T: Zeroable, const N: usize> Zeroable for [T; N] {}
