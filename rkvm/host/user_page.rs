// SPDX-License-Identifier: GPL-2.0

//! Pages of the VMM's memory: faulting them in, and the size of their mapping.

// UNSAFETY: holds references to `struct page`.
#![expect(unsafe_code)]

use super::bindings;
use crate::types::{Hva, Pfn, PAGE_SHIFT};
use core::ptr::NonNull;
use kernel::{current, prelude::*};

/// What a guest wants to do with a page, and so what its mapping must allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// Read or execute.
    Read,
    /// Write, which breaks copy-on-write and marks the page dirty.
    Write,
}

/// A reference to a present page.
pub struct UserPage {
    page: NonNull<kernel::bindings::page>,
    intent: Intent,
}

impl UserPage {
    /// The page at `hva` of the current process, if it is present and allows `intent`. Never sleeps.
    pub fn present(hva: Hva, intent: Intent) -> Option<Self> {
        let mut page = core::ptr::null_mut();
        let write = intent == Intent::Write;
        // SAFETY: `page` is valid for the result.
        let found = unsafe { bindings::rkvm_page_fast(hva.raw() as usize, write, &mut page) };
        NonNull::new(page)
            .filter(|_| found)
            .map(|page| Self { page, intent })
    }

    /// The page at `hva` of the current process, faulted in; sleeps.
    ///
    /// `EFAULT` where nothing is mapped or the mapping forbids `intent`, `EINTR` if the task has a signal,
    /// which it gets here for a page whose memory has failed: SIGBUS with BUS_MCEERR_AR.
    pub fn fault_in(hva: Hva, intent: Intent) -> Result<Self> {
        let mut page = core::ptr::null_mut();
        let write = intent == Intent::Write;
        // SAFETY: `page` is valid for the result, and the task has an mm since it is in an ioctl.
        let count = unsafe { bindings::rkvm_page_slow(hva.raw() as usize, write, &mut page) };
        if count == -i64::from(kernel::bindings::EHWPOISON) as isize {
            // SAFETY: sends a signal to the current task.
            unsafe { bindings::rkvm_report_memory_failure(hva.raw() as usize) };
            return Err(EINTR);
        }
        if count < 0 {
            return Err(Error::from_errno(count as i32));
        }
        let page = NonNull::new(page).filter(|_| count == 1).ok_or(EFAULT)?;
        Ok(Self { page, intent })
    }

    /// The frame of the page.
    pub fn pfn(&self) -> Pfn {
        // SAFETY: the reference keeps the page.
        Pfn::new(unsafe { bindings::rkvm_page_pfn(self.page.as_ptr()) })
    }

    /// Tells the mm that the page is used, and may be written if that is the intent. Called under
    /// the lock that the notifier's listener takes: once the host's own mapping is gone it is too
    /// late to make a page dirty.
    pub fn mark_used(&self) {
        let dirty = self.intent == Intent::Write;
        // SAFETY: the value holds a reference.
        unsafe { bindings::rkvm_page_mark_used(self.page.as_ptr(), dirty) };
    }

    /// The size, as a shift, of the current process's own mapping of `hva`, where the page is.
    ///
    /// It can change at once: whoever acts on it rechecks the notifier's sequence first.
    pub fn mapping_shift(&self, hva: Hva) -> u32 {
        // SAFETY: the value holds a reference.
        let huge = unsafe { bindings::rkvm_page_is_huge(self.page.as_ptr()) };
        if !huge {
            return PAGE_SHIFT;
        }
        match current!().mm() {
            // SAFETY: a task's mm stays while the task runs.
            Some(mm) => unsafe {
                bindings::rkvm_host_mapping_shift(mm.as_raw(), hva.raw() as usize)
            },
            None => PAGE_SHIFT,
        }
    }

    /// What the page may be used for.
    pub fn intent(&self) -> Intent {
        self.intent
    }
}

impl Drop for UserPage {
    fn drop(&mut self) {
        // SAFETY: the value holds one reference, taken by a look-up.
        unsafe { bindings::rkvm_page_release(self.page.as_ptr()) };
    }
}

/// Whether `size` bytes from `hva` lie in user space.
pub fn is_user_range(hva: Hva, size: u64) -> bool {
    // SAFETY: a comparison of addresses.
    unsafe { bindings::rkvm_user_range_ok(hva.raw(), size) }
}
