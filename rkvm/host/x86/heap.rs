// SPDX-License-Identifier: GPL-2.0

//! Objects on the kernel's heap that the processor reaches by their physical address.

// UNSAFETY: calls C.
#![expect(unsafe_code)]

use crate::{host::bindings, types::Hpa};
use kernel::prelude::*;

/// The physical address of an object on the kernel's heap, which lies in the direct map; it is contiguous there.
pub fn heap_hpa<T>(object: &KBox<T>) -> Hpa {
    let start: *const T = &**object;
    // SAFETY: an address computation; the heap lies in the direct map.
    Hpa::new(unsafe { bindings::rkvm_virt_to_phys(start.cast()) })
}
