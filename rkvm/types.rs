// SPDX-License-Identifier: GPL-2.0

//! The address types of a hypervisor.
//!
//! Four address spaces meet in this module, and mixing them up is the classic mistake; each has a
//! type of its own, in bytes (`Gpa`, `Hva`, `Hpa`) or in 4 KiB frames (`Gfn`, `Pfn`). Values come
//! from guests and VMMs, so arithmetic is checked and never panics.

/// log2 of the base page size (4 KiB on every configuration that this module runs on).
pub const PAGE_SHIFT: u32 = 12;
/// The base page size in bytes.
pub const PAGE_SIZE: usize = 1 << PAGE_SHIFT;
/// Mask of the offset within a base page.
pub const PAGE_OFFSET_MASK: u64 = (1 << PAGE_SHIFT) - 1;

/// What addresses, which count bytes, and frame numbers, which count frames, have in common.
macro_rules! position {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(transparent)]
        pub struct $name(u64);

        #[allow(dead_code, reason = "all have the same, and not each of them is asked for it")]
        impl $name {
            /// Wraps a raw byte address or frame number.
            pub const fn new(raw: u64) -> Self {
                Self(raw)
            }

            /// The raw byte address or frame number.
            pub const fn raw(self) -> u64 {
                self.0
            }

            /// The address or frame `count` bytes or frames further on, or `None` where that wraps.
            pub const fn checked_add(self, count: u64) -> Option<Self> {
                match self.0.checked_add(count) {
                    Some(raw) => Some(Self(raw)),
                    None => None,
                }
            }
        }
    };
}

macro_rules! address {
    ($(#[$doc:meta])* $name:ident) => {
        position! {
            $(#[$doc])*
            $name
        }

        #[allow(dead_code, reason = "all have the same, and not each of them is asked for it")]
        impl $name {
            /// The offset within the base page.
            pub const fn page_offset(self) -> u64 {
                self.0 & PAGE_OFFSET_MASK
            }

            /// Whether the address lies on a base page boundary.
            pub const fn is_page_aligned(self) -> bool {
                self.page_offset() == 0
            }
        }
    };
}

macro_rules! frame {
    ($(#[$doc:meta])* $name:ident of $address:ident) => {
        position! {
            $(#[$doc])*
            $name
        }

        impl $name {
            /// The address of the frame's first byte. Bits above 2^52 frames are lost, which no
            /// physical address has.
            pub const fn base(self) -> $address {
                $address::new(self.0 << PAGE_SHIFT)
            }
        }

        #[allow(dead_code, reason = "all have the same, and not each of them is asked for it")]
        impl $address {
            /// The frame that the address lies in.
            pub const fn frame(self) -> $name {
                $name::new(self.0 >> PAGE_SHIFT)
            }
        }
    };
}

address! {
    /// A guest physical address.
    Gpa
}
address! {
    /// A host virtual address, in the VMM's address space.
    Hva
}
address! {
    /// A host physical address.
    Hpa
}
frame! {
    /// A guest frame number: a guest physical address in pages.
    Gfn of Gpa
}
frame! {
    /// A host page frame number.
    Pfn of Hpa
}
