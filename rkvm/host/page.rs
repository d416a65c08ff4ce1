// SPDX-License-Identifier: GPL-2.0

//! Whole pages of kernel memory, by pointer and by physical address.

// UNSAFETY: owns raw pages, and turns physical addresses of such pages back into pointers.
#![expect(unsafe_code)]

use super::bindings;
use crate::types::{Hpa, PAGE_SIZE};
use core::{mem::ManuallyDrop, ptr::NonNull, sync::atomic::AtomicU32};
use kernel::{mm::virt::VmaMixedMap, page::BorrowedPage, prelude::*};

const _: () = assert!(
    PAGE_SIZE == kernel::page::PAGE_SIZE,
    "the kernel's pages have to be of 4 KiB"
);

/// An owned page, zeroed when it was allocated, charged to the task's memory cgroup.
///
/// The page may be shared with hardware or user space, so its contents are reached through the raw
/// pointer only.
pub struct KernelPage(NonNull<u8>);

// SAFETY: a page is memory, owned by the value.
unsafe impl Send for KernelPage {}
// SAFETY: a shared reference gives no access to the contents but through the raw pointer.
unsafe impl Sync for KernelPage {}

impl KernelPage {
    /// Allocates a zeroed page; may sleep. `ENOMEM` if there is none.
    pub fn new() -> Result<Self> {
        // SAFETY: called in process context.
        let page = unsafe { bindings::rkvm_page_alloc() };
        NonNull::new(page.cast()).map(Self).ok_or(ENOMEM)
    }

    /// Allocates zeroed pages, a power of 2, that lie one after the other in memory, the first aligned to the size of
    /// all. `ENOMEM` if there are none, `EINVAL` for none at all.
    pub fn new_run(count: usize) -> Result<KVec<Self>> {
        let order = count.checked_ilog2().ok_or(EINVAL)?;
        let mut pages = KVec::with_capacity(count, GFP_KERNEL_ACCOUNT)?;
        // SAFETY: called in process context.
        let first = unsafe { bindings::rkvm_pages_alloc(order) };
        let first = NonNull::new(first.cast::<[u8; PAGE_SIZE]>()).ok_or(ENOMEM)?;
        for number in 0..count {
            // SAFETY: the allocation has that many pages, each of which is freed by itself.
            let page = unsafe { first.add(number) };
            pages.push_within_capacity(Self(page.cast()))?;
        }
        Ok(pages)
    }

    /// The physical address.
    pub fn hpa(&self) -> Hpa {
        // SAFETY: the page lies in the direct map.
        Hpa::new(unsafe { bindings::rkvm_virt_to_phys(self.0.as_ptr().cast()) })
    }

    /// The first of the page's [`PAGE_SIZE`] bytes.
    pub fn as_ptr(&self) -> *mut u8 {
        self.0.as_ptr()
    }

    /// The page as words that user space may change at any time.
    pub fn words(&self) -> &[AtomicU32; PAGE_SIZE / size_of::<u32>()] {
        // SAFETY: the page is aligned, initialised and as long as the array, and lives as long as the
        // borrow. Any bytes are valid words, and atomic ones may be shared.
        unsafe { self.0.cast().as_ref() }
    }

    /// Gives up ownership; the page is freed by [`KernelPage::from_hpa`] and a drop.
    pub fn into_hpa(self) -> Hpa {
        let hpa = self.hpa();
        let _ = ManuallyDrop::new(self);
        hpa
    }

    /// Takes up ownership that [`KernelPage::into_hpa`] gave up.
    ///
    /// # Safety
    ///
    /// `hpa` must come from `into_hpa`, and no other owner may exist.
    pub unsafe fn from_hpa(hpa: Hpa) -> Self {
        // SAFETY: the address is that of a page of the direct map, so that the pointer is not null.
        Self(unsafe { NonNull::new_unchecked(bindings::rkvm_phys_to_virt(hpa.raw()).cast()) })
    }

    /// Maps the page at `address` of a user mapping, which takes a reference of its own.
    pub fn insert_into(&self, vma: &VmaMixedMap, address: usize) -> Result {
        // SAFETY: the page is allocated, and borrowed for the length of the call.
        let page = unsafe {
            let page = bindings::rkvm_virt_to_page(self.0.as_ptr().cast());
            BorrowedPage::from_raw(NonNull::new_unchecked(page))
        };
        vma.vm_insert_page(address, &page)
    }
}

impl Drop for KernelPage {
    fn drop(&mut self) {
        // SAFETY: the value owns the page.
        unsafe { bindings::rkvm_page_free(self.0.as_ptr().cast()) };
    }
}

/// The kernel's address of physical memory in the direct map.
///
/// The pointer is valid as far as the memory at `hpa` is RAM; the caller's own argument says why.
pub fn direct_map(hpa: Hpa) -> *mut u8 {
    // SAFETY: an address computation.
    unsafe { bindings::rkvm_phys_to_virt(hpa.raw()).cast() }
}
