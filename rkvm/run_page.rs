// SPDX-License-Identifier: GPL-2.0

//! The memory that a vCPU shares with its VMM: `struct kvm_run`, pages that VMMs expect behind it, and the ring of
//! coalesced I/O, which is the VM's. What both architectures tell a VMM is here; each has a `UserExit` for the rest.
//!
//! User space can write any of it at any time: every access is one volatile read or write of a plain
//! value, nothing is read twice, and no offset or length is ever taken from here.

// UNSAFETY: volatile access to pages that user space also maps.
#![expect(unsafe_code)]

use crate::{
    arch::OWN_RUN_PAGES,
    host::{bindings as uapi, page::KernelPage},
    types::{Gpa, PAGE_SIZE},
    uapi::Plain,
};
use core::{marker::PhantomData, slice};
use kernel::{mm::virt::VmaNew, prelude::*};

const _: () = assert!(size_of::<uapi::kvm_run>() <= PAGE_SIZE);

/// A member of `struct kvm_run`, made by [`member!`], or something behind it in its page.
pub struct Member<T> {
    offset: usize,
    value: PhantomData<T>,
}

impl<T> Clone for Member<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Member<T> {}

impl<T: Plain> Member<T> {
    /// The `T` at `offset` of the page; `_kind` tells the compiler that this is what it is. For constants:
    /// compilation fails if it is not within the page, or not aligned.
    pub const fn new(offset: usize, _kind: fn(*const uapi::kvm_run) -> *const T) -> Self {
        assert!(size_of::<T>() <= PAGE_SIZE && offset <= PAGE_SIZE - size_of::<T>());
        assert!(align_of::<T>() <= PAGE_SIZE && offset % align_of::<T>() == 0);
        Self {
            offset,
            value: PhantomData,
        }
    }
}

impl<T: Plain, const N: usize> Member<[T; N]> {
    /// One element. `None` beyond the last.
    pub fn element(self, index: usize) -> Option<Member<T>> {
        (index < N).then(|| Member {
            offset: self.offset.wrapping_add(index * size_of::<T>()),
            value: PhantomData,
        })
    }
}

/// A [`Member`] by its name, and one of what an exit reason goes with by `exit` and its name.
macro_rules! member {
    (exit $($name:tt)+) => {
        $crate::run_page::member!(__bindgen_anon_1.$($name)+)
    };
    ($($name:tt)+) => {
        const {
            #[allow(unsafe_code, reason = "names a place, for the compiler to tell its type")]
            let kind = |run: *const $crate::host::bindings::kvm_run| {
                // SAFETY: never called.
                unsafe { &raw const (*run).$($name)+ }
            };
            let offset = core::mem::offset_of!($crate::host::bindings::kvm_run, $($name)+);
            $crate::run_page::Member::new(offset, kind)
        }
    };
}
pub(crate) use member;

/// Bytes of an MMIO access that one exit carries.
pub const MMIO_BYTES: usize = 8;

/// The page tells the VMM why KVM_RUN returns: [`RunPage::report`] has written it.
#[derive(Debug)]
#[must_use]
pub struct Reported(());

/// The pages of the vCPU itself, zeroed when it is made.
pub struct RunPage {
    run: KernelPage,
    /// Nothing is kept there.
    spare: KVec<KernelPage>,
}

impl RunPage {
    /// Bytes of the whole mapping: KVM_GET_VCPU_MMAP_SIZE.
    pub const MMAP_SIZE: usize = (OWN_RUN_PAGES + 1) * PAGE_SIZE;
    /// The number of the ring's page in the mapping: KVM_CAP_COALESCED_MMIO.
    pub const RING_PAGE: usize = OWN_RUN_PAGES;

    /// Allocates the pages. `ENOMEM` if there is no memory.
    pub fn new() -> Result<Self> {
        let run = KernelPage::new()?;
        let mut spare = KVec::new();
        while spare.len() + 1 < OWN_RUN_PAGES {
            spare.push(KernelPage::new()?, GFP_KERNEL_ACCOUNT)?;
        }
        Ok(Self { run, spare })
    }

    /// Maps the pages that the area covers, that of the ring last. `EINVAL` if it reaches past them.
    pub fn map(&self, ring: &KernelPage, vma: &VmaNew, first_page: usize) -> Result {
        let count = (vma.end() - vma.start()) / PAGE_SIZE;
        let end = first_page.checked_add(count).ok_or(EINVAL)?;
        if end > Self::RING_PAGE + 1 {
            return Err(EINVAL);
        }
        vma.set_dontexpand();
        let mixed = vma.set_mixedmap();
        let pages = [
            slice::from_ref(&self.run),
            &self.spare,
            slice::from_ref(ring),
        ];
        let wanted = pages.into_iter().flatten().skip(first_page).take(count);
        for (page, address) in wanted.zip((vma.start()..).step_by(PAGE_SIZE)) {
            page.insert_into(mixed, address)?;
        }
        Ok(())
    }

    /// Reads a member.
    #[inline]
    pub fn get<T: Plain>(&self, member: Member<T>) -> T {
        // SAFETY: the page is allocated and has an aligned `T` there, for which any bytes are valid.
        unsafe { self.at(member.offset).cast::<T>().read_volatile() }
    }

    /// Writes a member.
    #[inline]
    pub fn set<T: Plain>(&self, member: Member<T>, value: T) {
        // SAFETY: the page is allocated and has an aligned `T` there.
        unsafe { self.at(member.offset).cast::<T>().write_volatile(value) };
    }

    fn at(&self, offset: usize) -> *mut u8 {
        self.run.as_ptr().wrapping_add(offset)
    }

    /// Whether KVM_RUN is to return at once, after what is pending is completed.
    pub fn immediate_exit(&self) -> bool {
        self.get(member!(immediate_exit__unsafe)) != 0
    }

    /// Tells the VMM why KVM_RUN returns: KVM_EXIT_, whose details have been written.
    #[inline]
    pub fn report(&self, reason: u32) -> Reported {
        self.set(member!(exit_reason), reason);
        Reported(())
    }

    /// KVM_EXIT_INTR.
    pub fn report_interrupted(&self) -> Reported {
        self.report(uapi::KVM_EXIT_INTR)
    }

    /// KVM_EXIT_MMIO, a read of `len` bytes, at most [`MMIO_BYTES`].
    pub fn report_mmio_read(&self, gpa: Gpa, len: usize) -> Reported {
        self.set(member!(exit mmio.phys_addr), gpa.raw());
        self.set(member!(exit mmio.len), len as u32);
        self.set(member!(exit mmio.is_write), 0);
        self.report(uapi::KVM_EXIT_MMIO)
    }

    /// The VMM's answer to [`RunPage::report_mmio_read`].
    pub fn mmio_data(&self) -> [u8; MMIO_BYTES] {
        self.get(member!(exit mmio.data))
    }

    /// KVM_EXIT_MMIO, a write of the first `len` bytes of `data`.
    pub fn report_mmio_write(&self, gpa: Gpa, data: [u8; MMIO_BYTES], len: usize) -> Reported {
        self.set(member!(exit mmio.phys_addr), gpa.raw());
        self.set(member!(exit mmio.data), data);
        self.set(member!(exit mmio.len), len as u32);
        self.set(member!(exit mmio.is_write), 1);
        self.report(uapi::KVM_EXIT_MMIO)
    }

    /// KVM_EXIT_DEBUG.
    pub fn report_debug(&self, debug: uapi::kvm_debug_exit_arch) -> Reported {
        self.set(member!(exit debug.arch), debug);
        self.report(uapi::KVM_EXIT_DEBUG)
    }

    /// KVM_EXIT_FAIL_ENTRY on the processor of that number, with the hardware's reason.
    pub fn report_fail_entry(&self, reason: u64, cpu: u32) -> Reported {
        self.set(
            member!(exit fail_entry.hardware_entry_failure_reason),
            reason,
        );
        self.set(member!(exit fail_entry.cpu), cpu);
        self.report(uapi::KVM_EXIT_FAIL_ENTRY)
    }
}
