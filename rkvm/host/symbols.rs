// SPDX-License-Identifier: GPL-2.0

//! Kernel functions that are exported to kvm.ko alone, found by name when the module is loaded.
//!
//! `EXPORT_SYMBOL_FOR_KVM` keeps modpost and the loader from linking them; `__symbol_get` serves any
//! GPL module and holds a reference. Each line below says what the function is for; without any
//! one of them the module refuses to load and names it, since each keeps the host right:
//!
//! - `x86_virt_get_ref`, `x86_virt_put_ref`: VMXON and VMXOFF of a CPU, counted with other users, in
//!   step with the kernel's shadow of CR4, with reboot, kexec and panic.
//! - `x86_virt_register_emergency_callback`, `x86_virt_unregister_emergency_callback`: a VMCS is
//!   written back before a crashing kernel takes its CPU out of VMX operation.
//! - `fpu_alloc_guest_fpstate`, `fpu_free_guest_fpstate`, `fpu_swap_kvm_fpstate`, `switch_fpu_return`: a task
//!   carries guest FPU state across scheduling and softirqs as if it were its own.
//! - `fpu_copy_guest_fpstate_to_uabi`, `fpu_copy_uabi_to_guest_fpstate`: that state in the standard
//!   XSAVE layout.
//! - `x86_entry_from_kvm`: runs the host's handler for an NMI or an interrupt that a VM exit consumed.
//! - `handle_guest_split_lock`: slows down, or ends, a VMM whose guest's locked accesses straddle
//!   cache lines.
//! - `hw_breakpoint_restore`: the host's debug registers, after a guest used its own.

// UNSAFETY: turns addresses of kernel symbols into typed function pointers.
#![expect(unsafe_code)]

use super::bindings;
use core::ffi::c_void;
use kernel::{prelude::*, str::CStr, sync::SetOnce};

macro_rules! symbols {
    ($($name:ident: $type:ty;)*) => {
        /// The functions, each with its C signature.
        #[derive(Clone, Copy)]
        pub struct Functions {
            $(pub(super) $name: $type,)*
        }

        /// References to all functions, until it is dropped.
        pub struct Symbols {
            _held: [Held; [$(stringify!($name)),*].len()],
        }

        impl Symbols {
            /// Finds all functions. `ENOENT` if the kernel lacks one; the log names it.
            pub fn find() -> Result<Self> {
                $(let $name = Held::find(kernel::str::CStr::from_bytes_with_nul(
                    concat!(stringify!($name), "\0").as_bytes(),
                ).map_err(|_| EINVAL)?)?;)*
                FUNCTIONS.populate(Functions {
                    // SAFETY: the kernel defines the symbol with this signature, and `Held` keeps it.
                    $($name: unsafe {
                        core::mem::transmute::<*mut c_void, $type>($name.address)
                    },)*
                });
                Ok(Self { _held: [$($name),*] })
            }
        }
    };
}

symbols! {
    x86_virt_get_ref: unsafe extern "C" fn(i32) -> i32;
    x86_virt_put_ref: unsafe extern "C" fn(i32);
    x86_virt_register_emergency_callback: unsafe extern "C" fn(Option<unsafe extern "C" fn()>);
    x86_virt_unregister_emergency_callback: unsafe extern "C" fn(Option<unsafe extern "C" fn()>);
    fpu_alloc_guest_fpstate: unsafe extern "C" fn(*mut bindings::fpu_guest) -> bool;
    fpu_free_guest_fpstate: unsafe extern "C" fn(*mut bindings::fpu_guest);
    fpu_swap_kvm_fpstate: unsafe extern "C" fn(*mut bindings::fpu_guest, bool) -> i32;
    switch_fpu_return: unsafe extern "C" fn();
    fpu_copy_guest_fpstate_to_uabi:
        unsafe extern "C" fn(*mut bindings::fpu_guest, *mut c_void, u32, u64, u32);
    fpu_copy_uabi_to_guest_fpstate:
        unsafe extern "C" fn(*mut bindings::fpu_guest, *const c_void, u64, *mut u32) -> i32;
    handle_guest_split_lock: unsafe extern "C" fn(usize) -> bool;
    x86_entry_from_kvm: unsafe extern "C" fn(u32, u32);
    hw_breakpoint_restore: unsafe extern "C" fn();
}

static FUNCTIONS: SetOnce<Functions> = SetOnce::new();

/// The functions. `None` before [`Symbols::find`] has succeeded, when no file can be open.
pub(super) fn functions() -> Option<&'static Functions> {
    FUNCTIONS.as_ref()
}

/// Whether the kernel or a loaded module exports a function.
pub(super) fn exists(name: &CStr) -> bool {
    // SAFETY: the name is a C string.
    let found = unsafe { !bindings::__symbol_get(name.as_char_ptr()).is_null() };
    if found {
        // SAFETY: the reference was just taken.
        unsafe { bindings::__symbol_put(name.as_char_ptr()) };
    }
    found
}

/// A reference to one symbol.
struct Held {
    name: &'static CStr,
    address: *mut c_void,
}

// SAFETY: a reference to kernel text can be held and dropped by any thread.
unsafe impl Send for Held {}
// SAFETY: nothing is done through a shared `Held`.
unsafe impl Sync for Held {}

impl Held {
    fn find(name: &'static CStr) -> Result<Self> {
        // SAFETY: the name is a C string; module initialisation is process context, which the look-up's
        // lock needs.
        let address = unsafe { bindings::__symbol_get(name.as_char_ptr()) };
        if address.is_null() {
            pr_err!("this kernel does not export {name:?}; rust_kvm needs it\n");
            return Err(ENOENT);
        }
        Ok(Self { name, address })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // SAFETY: `find` took the reference by this name, and it is put once.
        unsafe { bindings::__symbol_put(self.name.as_char_ptr()) };
    }
}
