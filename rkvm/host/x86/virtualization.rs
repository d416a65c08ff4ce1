// SPDX-License-Identifier: GPL-2.0

//! VMX operation of the current CPU, through the kernel's reference count.

// UNSAFETY: calls the kernel's enable and disable functions.
#![expect(unsafe_code)]

use crate::host::{bindings, cpu::IrqOff, symbols};
use core::marker::PhantomData;
use kernel::{error::to_result, prelude::*};

/// X86_FEATURE_VMX: word 4, bit 5 (asm/cpufeatures.h).
const FEATURE_VMX: i32 = 4 * 32 + 5;

/// Whether the kernel found usable VMX when it booted (present, and not turned off by firmware).
pub fn has_vmx() -> bool {
    // SAFETY: reads the boot CPU's features.
    unsafe { bindings::rkvm_cpu_has_vmx() }
}

/// Puts the current CPU in VMX operation, once.
///
/// `EOPNOTSUPP` without VMX, `EBUSY` if something that the kernel does not know of is using it.
pub fn enable_cpu() -> Result {
    let functions = symbols::functions().ok_or(ENOENT)?;
    // SAFETY: called on the CPU in question, which does not change meanwhile.
    unsafe {
        if bindings::rkvm_swap_in_vmx(true) {
            return Ok(());
        }
        let enabled = to_result((functions.x86_virt_get_ref)(FEATURE_VMX));
        if enabled.is_err() {
            bindings::rkvm_swap_in_vmx(false);
        }
        enabled
    }
}

/// Gives the current CPU back, after `last` has been called; the last user of VMX leaves VMX operation.
pub fn disable_cpu(last: impl FnOnce()) {
    let Some(functions) = symbols::functions() else {
        return;
    };
    // SAFETY: as in `enable_cpu`.
    unsafe {
        if bindings::rkvm_swap_in_vmx(false) {
            last();
            (functions.x86_virt_put_ref)(FEATURE_VMX);
        }
    }
}

/// Whether this CPU is in VMX operation. It was taken out while a reboot is under way.
#[inline]
pub fn is_enabled(_irq_off: &IrqOff<'_>) -> bool {
    // SAFETY: reads a per-CPU flag.
    unsafe { bindings::rkvm_in_vmx_here() }
}

/// What VMX needs when the whole machine changes state. All calls are made with interrupts off.
pub trait Power {
    /// The CPU sleeps or reboots.
    fn leave();
    /// The CPU wakes.
    fn enter();
    /// The kernel has crashed, and this CPU is about to leave VMX operation.
    fn emergency();
}

/// Whether kvm.ko, which kvm_intel needs, is loaded or built in.
pub fn has_rival() -> bool {
    symbols::exists(c"kvm_x86_vendor_init")
}

/// [`Power`] callbacks for sleep and reboot in force, and kvm_intel kept out, until it is dropped.
pub struct PowerRegistration<T: Power>(PhantomData<T>);

impl<T: Power> PowerRegistration<T> {
    /// Registers the callbacks.
    pub fn new() -> Result<Self> {
        let power = bindings::rkvm_power {
            leave: Some(Self::leave),
            enter: Some(Self::enter),
        };
        // SAFETY: the callbacks are this module's, and are unregistered before it goes.
        to_result(unsafe { bindings::rkvm_power_register(&power) })?;
        Ok(Self(PhantomData))
    }

    /// # Safety
    ///
    /// Called by the kernel with interrupts off.
    unsafe extern "C" fn leave() {
        T::leave();
    }

    /// # Safety
    ///
    /// Called by the kernel with interrupts off.
    unsafe extern "C" fn enter() {
        T::enter();
    }
}

impl<T: Power> Drop for PowerRegistration<T> {
    fn drop(&mut self) {
        // SAFETY: `new` registered them.
        unsafe { bindings::rkvm_power_unregister() };
    }
}

/// The kernel's one emergency callback, until it is dropped.
pub struct EmergencyRegistration<T: Power>(PhantomData<T>);

impl<T: Power> EmergencyRegistration<T> {
    /// Registers the callback; nothing else may use VMX.
    pub fn new() -> Result<Self> {
        let functions = symbols::functions().ok_or(ENOENT)?;
        // SAFETY: the callback is this module's, and is unregistered before it goes.
        unsafe { (functions.x86_virt_register_emergency_callback)(Some(Self::emergency)) };
        Ok(Self(PhantomData))
    }

    /// # Safety
    ///
    /// Called by the kernel in a crash, with interrupts off.
    unsafe extern "C" fn emergency() {
        T::emergency();
    }
}

impl<T: Power> Drop for EmergencyRegistration<T> {
    fn drop(&mut self) {
        if let Some(functions) = symbols::functions() {
            // SAFETY: `new` registered it.
            unsafe { (functions.x86_virt_unregister_emergency_callback)(Some(Self::emergency)) };
        }
    }
}
