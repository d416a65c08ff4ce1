// SPDX-License-Identifier: GPL-2.0

//! Staying on a CPU, shutting interrupts out, and reaching other CPUs.

// UNSAFETY: pairs the kernel's enter and leave calls in guards.
#![expect(unsafe_code)]

use super::bindings;
use core::{ffi::c_void, marker::PhantomData};
use kernel::{current, prelude::*, types::NotThreadSafe};

/// The number of a host CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpu(u32);

impl Cpu {
    /// The raw number.
    pub fn number(self) -> u32 {
        self.0
    }

    /// A CPU by its number; whether it is online shows when it is called.
    pub fn from_number(number: u32) -> Self {
        Self(number)
    }
}

/// Preemption is off: the task stays on this CPU and must not sleep.
pub struct PreemptOff {
    cpu: Cpu,
    _here: NotThreadSafe,
}

impl PreemptOff {
    /// Turns preemption off until the guard is dropped. Guards nest.
    pub fn new() -> Self {
        // SAFETY: paired with the enable in `drop`.
        let number = unsafe { bindings::rkvm_preempt_disable() };
        Self {
            cpu: Cpu(number as u32),
            _here: NotThreadSafe,
        }
    }

    /// The CPU that the task is on.
    pub fn cpu(&self) -> Cpu {
        self.cpu
    }

    /// Shuts interrupts out until the guard is dropped, which leaves them as they were before.
    pub fn irq_off(&self) -> IrqOff<'_> {
        // SAFETY: paired with the restore in `drop`.
        let flags = unsafe { bindings::rkvm_irq_save() };
        IrqOff {
            flags,
            _preempt_off: PhantomData,
        }
    }
}

impl Drop for PreemptOff {
    fn drop(&mut self) {
        // SAFETY: `new` turned preemption off.
        unsafe { bindings::rkvm_preempt_enable() };
    }
}

/// Interrupts are off on this CPU.
pub struct IrqOff<'a> {
    /// The flags register as it was before.
    flags: usize,
    _preempt_off: PhantomData<&'a PreemptOff>,
}

impl IrqOff<'_> {
    /// Whether a signal, a reschedule or task work waits for the current task. Only with interrupts
    /// off does a "no" hold until guest entry.
    pub fn work_pending(&self) -> bool {
        // SAFETY: reads the current task's flags with interrupts off, as the kernel wants it.
        unsafe { bindings::rkvm_work_pending() }
    }

    /// Tells RCU that this CPU holds no reference from before.
    pub fn note_quiescent_state(&self) {
        // SAFETY: interrupts are off, and no RCU reader is ever held across guest entry.
        unsafe { bindings::rkvm_note_quiescent_state() };
    }

    /// Lets pending interrupts in, with the time accounted to the guest, and shuts them out again.
    pub fn take_interrupts(&mut self) {
        self.take_interrupts_after(|_| ());
    }

    /// The same; `first` handles what is not pending any more.
    pub fn take_interrupts_after(&mut self, first: impl FnOnce(&Self)) {
        // SAFETY: interrupts are off before and after; begin and end are paired.
        unsafe { bindings::rkvm_guest_time_begin() };
        first(self);
        // SAFETY: as above.
        unsafe {
            bindings::rkvm_irq_window();
            bindings::rkvm_guest_time_end();
        }
    }
}

impl Drop for IrqOff<'_> {
    fn drop(&mut self) {
        // SAFETY: `irq_off` saved the flags.
        unsafe { bindings::rkvm_irq_restore(self.flags) };
    }
}

/// Handles pending signals, rescheduling and task work. `EINTR` if a signal is pending.
pub fn handle_pending_work() -> Result {
    // SAFETY: called in process context with preemption and interrupts on.
    kernel::error::to_result(unsafe { bindings::rkvm_handle_work() })
}

/// KVM_RUN ends: the kernel does on the return to user space what [`handle_pending_work`] has put off until then, on some
/// architectures the update of restartable sequences.
pub fn note_user_return() {
    // SAFETY: called in process context; it sets a flag of the current task.
    unsafe { bindings::rkvm_user_return() };
}

/// Lets other threads that are ready run first.
pub fn yield_to_others() {
    // SAFETY: called in process context with preemption and interrupts on.
    unsafe { bindings::rkvm_yield() };
}

/// Whether the current task has a signal to handle.
pub fn signal_pending() -> bool {
    current!().signal_pending()
}

/// Whether the current task is being killed: what it does in the kernel is of no use any more.
#[allow(
    dead_code,
    reason = "only arm64 has guests give the kernel long lists of work"
)]
pub fn is_dying() -> bool {
    // SAFETY: reads the current task's flags.
    unsafe { bindings::rkvm_is_dying() }
}

/// The number of CPUs that are online.
pub fn online() -> usize {
    // SAFETY: reads a counter that the kernel updates atomically.
    unsafe { bindings::rkvm_online_cpus() as usize }
}

/// Sleeps for some tens of microseconds, before something is looked at again.
pub fn nap() {
    // SAFETY: process context with preemption on.
    unsafe { bindings::rkvm_nap() };
}

/// Lets others go first, before something is tried again.
pub fn relax() {
    // SAFETY: process context with preemption on.
    unsafe { bindings::rkvm_relax() };
}

/// Runs `call` on `cpu` by interprocessor interrupt and waits for it to finish.
///
/// Interrupts must be on. `ENXIO` if the CPU is offline.
pub fn call_on<F: Fn() + Sync>(cpu: Cpu, call: &F) -> Result {
    /// # Safety
    ///
    /// Called by the kernel's cross-call code for the call below alone: `call` is the address of an
    /// `F` that outlives the call. `F` is `Sync`, since another CPU runs it.
    unsafe extern "C" fn thunk<F: Fn() + Sync>(call: *mut c_void) {
        // SAFETY: `call_on` passes its reference and waits until we return.
        unsafe { (*call.cast::<F>())() }
    }
    let argument = core::ptr::from_ref(call).cast_mut().cast();
    // SAFETY: the call waits for the thunk to return, so that `call` is borrowed no longer than that.
    kernel::error::to_result(unsafe {
        bindings::rkvm_call_on_cpu(cpu.0 as i32, Some(thunk::<F>), argument)
    })
}

/// Makes an online CPU take an interrupt, without waiting for it. Callable from any context but an NMI.
pub fn interrupt(cpu: Cpu) {
    // SAFETY: the kernel sends to an online CPU, and ignores the interrupt there.
    unsafe { bindings::rkvm_interrupt_cpu(cpu.0 as i32) };
}

/// Per-CPU set-up that follows CPU hotplug.
pub trait PerCpu {
    /// Called on each CPU that is or comes online. An error keeps a CPU from coming online.
    fn online() -> Result;
    /// Called on each CPU that goes offline, and on all of them when the registration is dropped.
    fn offline();
}

/// [`PerCpu`] callbacks in force, until it is dropped.
pub struct PerCpuRegistration<T: PerCpu> {
    state: i32,
    _callbacks: PhantomData<T>,
}

impl<T: PerCpu> PerCpuRegistration<T> {
    /// Runs `online` on every online CPU; if one fails, `offline` on those that did not, and returns
    /// the error.
    pub fn new() -> Result<Self> {
        // SAFETY: the callbacks are functions of this module, which outlives the registration.
        let state = unsafe { bindings::rkvm_cpuhp_setup(Some(Self::online), Some(Self::offline)) };
        kernel::error::to_result(state.min(0))?;
        Ok(Self {
            state,
            _callbacks: PhantomData,
        })
    }

    /// # Safety
    ///
    /// Called by the CPU hotplug core alone, on the CPU that comes online, in process context, and not
    /// after `drop` has removed it.
    unsafe extern "C" fn online(_cpu: kernel::ffi::c_uint) -> kernel::ffi::c_int {
        match T::online() {
            Ok(()) => 0,
            Err(error) => error.to_errno(),
        }
    }

    /// # Safety
    ///
    /// Called by the CPU hotplug core alone, on the CPU that goes offline, in process context, and not
    /// after `drop` has removed it.
    unsafe extern "C" fn offline(_cpu: kernel::ffi::c_uint) -> kernel::ffi::c_int {
        T::offline();
        0
    }
}

impl<T: PerCpu> Drop for PerCpuRegistration<T> {
    fn drop(&mut self) {
        // SAFETY: `state` was returned by the set-up, and this is its only removal.
        unsafe { bindings::rkvm_cpuhp_remove(self.state) };
    }
}
