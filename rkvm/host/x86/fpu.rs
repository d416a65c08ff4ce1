// SPDX-License-Identifier: GPL-2.0

//! A guest's FPU state as the kernel keeps it: swapped with the task's for the length of KVM_RUN, then
//! saved and reloaded by the scheduler and by kernel FPU users like the task's own.

// UNSAFETY: drives the kernel's guest FPU functions.
#![expect(unsafe_code)]

use crate::host::{
    bindings,
    cpu::{IrqOff, PreemptOff},
    symbols::{functions, Functions},
};
use core::mem::MaybeUninit;
use kernel::{error::to_result, prelude::*};

/// Components FP and SSE, in XCR0 and in the header of an XSAVE image.
pub const XFEATURES_LEGACY: u64 = 0b11;
/// Offset of XSTATE_BV in an XSAVE image (SDM volume 1, 13.4.2).
const XSTATE_BV: usize = 512;

/// One vCPU's FPU state.
pub struct GuestFpu {
    raw: KBox<bindings::fpu_guest>,
    functions: &'static Functions,
}

// SAFETY: the state is memory, used by one thread at a time through `&mut`.
unsafe impl Send for GuestFpu {}

impl GuestFpu {
    /// The state after power-up. `ENOMEM` if there is no memory.
    pub fn new() -> Result<Self> {
        let functions = functions().ok_or(ENOENT)?;
        // SAFETY: the fields of the C structure are integers and a pointer, which may be zero.
        let zeroed = unsafe { core::mem::zeroed::<bindings::fpu_guest>() };
        let mut raw = KBox::new(zeroed, GFP_KERNEL_ACCOUNT)?;
        // SAFETY: `raw` is valid, exclusively ours, and filled in by the call; process context.
        if !unsafe { (functions.fpu_alloc_guest_fpstate)(&mut *raw) } {
            return Err(ENOMEM);
        }
        Ok(Self { raw, functions })
    }

    /// Bytes of an XSAVE image that holds everything.
    pub fn image_size(&self) -> usize {
        self.raw.uabi_size as usize
    }

    /// The components of `wanted` as a standard-format XSAVE image of [`GuestFpu::image_size`] bytes.
    /// `ENOMEM`.
    pub fn image(&mut self, wanted: u64) -> Result<KVec<u8>> {
        let size = self.image_size();
        let mut image = KVec::from_elem(0u8, size, GFP_KERNEL_ACCOUNT)?;
        // SAFETY: the state is not in use, since we have it exclusively outside of KVM_RUN; the
        // buffer has the size that is passed.
        unsafe {
            (self.functions.fpu_copy_guest_fpstate_to_uabi)(
                &mut *self.raw,
                image.as_mut_ptr().cast(),
                size as u32,
                wanted,
                0,
            )
        };
        Ok(image)
    }

    /// Replaces the state by an image. `EINVAL` if it is not one that XRSTOR takes or if it has
    /// components outside of `allowed`.
    pub fn set_image(&mut self, image: &[u8], allowed: u64) -> Result {
        if image.len() < self.image_size() {
            return Err(EINVAL);
        }
        // Guests have no protection keys; the function wants a place for them all the same.
        let mut pkru = 0;
        // SAFETY: as in `image`; the state changes only where the image is valid.
        to_result(unsafe {
            (self.functions.fpu_copy_uabi_to_guest_fpstate)(
                &mut *self.raw,
                image.as_ptr().cast(),
                allowed,
                &mut pkru,
            )
        })
    }

    /// The first 512 bytes of the state, as FXSAVE writes them.
    pub fn legacy(&self) -> [u8; 512] {
        let mut image = MaybeUninit::<[u8; 512]>::uninit();
        // SAFETY: the state is not in use; the function fills the buffer, which has an image's size.
        unsafe {
            bindings::rkvm_fpu_legacy(&*self.raw, image.as_mut_ptr().cast());
            image.assume_init()
        }
    }

    /// Replaces the legacy part and leaves the other components as they are.
    pub fn set_legacy(&mut self, legacy: &[u8; 512]) -> Result {
        let everything = self.raw.xfeatures | XFEATURES_LEGACY;
        let mut image = self.image(everything)?;
        let (head, rest) = image.split_at_mut_checked(XSTATE_BV).ok_or(EINVAL)?;
        head.copy_from_slice(legacy);
        if let Some(components) = rest.first_mut() {
            *components |= XFEATURES_LEGACY as u8;
        }
        self.set_image(&image, everything)
    }

    /// Makes the guest's state that of the current task, until the guard is dropped.
    pub fn enter(&mut self) -> InGuest<'_> {
        // SAFETY: process context; the state is used by no other task, and `drop` swaps back.
        unsafe { (self.functions.fpu_swap_kvm_fpstate)(&mut *self.raw, true) };
        InGuest(self)
    }
}

impl Drop for GuestFpu {
    fn drop(&mut self) {
        // SAFETY: allocated in `new`, and not in use.
        unsafe { (self.functions.fpu_free_guest_fpstate)(&mut *self.raw) };
    }
}

/// The guest's FPU state is the current task's.
pub struct InGuest<'a>(&'a mut GuestFpu);

impl InGuest<'_> {
    /// Loads the state into the registers if something else was there meanwhile.
    #[inline]
    pub fn ensure_loaded(&self, _irq_off: &IrqOff<'_>) {
        // SAFETY: reads a flag of the current task; interrupts are off for the reload.
        unsafe {
            if bindings::rkvm_fpu_needs_reload() {
                (self.0.functions.switch_fpu_return)();
            }
        }
    }
}

macro_rules! with_xmm {
    ($number:expr, $before:literal, $after:literal, $pointer:expr, [$($n:literal)*]) => {
        match $number {
            $($n => core::arch::asm!(
                concat!("movups ", $before, $n, $after),
                in(reg) $pointer,
                options(nostack, preserves_flags),
            ),)*
            _ => (),
        }
    };
}

impl InGuest<'_> {
    /// The low 16 bytes of a vector register, 0 to 15.
    pub fn read_xmm(&self, number: usize) -> [u8; 16] {
        let mut value = [0u8; 16];
        let here = PreemptOff::new();
        let irq_off = here.irq_off();
        self.ensure_loaded(&irq_off);
        // SAFETY: stores 16 bytes into an array of that size; the guest's state is in the registers
        // while interrupts are off.
        unsafe {
            with_xmm!(number, "[{}], xmm", "", value.as_mut_ptr(),
                      [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15]);
        }
        value
    }

    /// Sets the low 16 bytes of a vector register, 0 to 15.
    pub fn write_xmm(&self, number: usize, value: [u8; 16]) {
        let here = PreemptOff::new();
        let irq_off = here.irq_off();
        self.ensure_loaded(&irq_off);
        // SAFETY: loads 16 bytes from an array of that size into a register that is the guest's: the
        // guest's state is in the registers while interrupts are off, and Rust code uses none of them.
        unsafe {
            with_xmm!(number, "xmm", ", [{}]", value.as_ptr(),
                      [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15]);
        }
    }
}

impl Drop for InGuest<'_> {
    fn drop(&mut self) {
        // SAFETY: pairs with `enter` in the same task.
        unsafe { (self.0.functions.fpu_swap_kvm_fpstate)(&mut *self.0.raw, false) };
    }
}
