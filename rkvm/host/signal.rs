// SPDX-License-Identifier: GPL-2.0

//! The signals that KVM_RUN lets through.

// UNSAFETY: changes the current task's blocked signals, in pairs.
#![expect(unsafe_code)]

use super::bindings;
use kernel::types::NotThreadSafe;

/// The size of a kernel signal set in bytes.
pub const SIGSET_SIZE: usize = size_of::<kernel::bindings::sigset_t>();

/// A set of blocked signals, as user space writes it.
#[derive(Clone, Copy)]
pub struct SignalMask(pub [u8; SIGSET_SIZE]);

/// The task's blocked signals are replaced until this is dropped.
pub struct MaskedSignals {
    saved: kernel::bindings::sigset_t,
    _task: NotThreadSafe,
}

impl MaskedSignals {
    /// Blocks just the signals of `mask`.
    pub fn new(mask: &SignalMask) -> Self {
        let mut saved = kernel::bindings::sigset_t::default();
        // SAFETY: the mask has the size of a sigset, and `saved` is valid for the old one.
        unsafe { bindings::rkvm_sigmask_set(mask.0.as_ptr(), &mut saved) };
        Self {
            saved,
            _task: NotThreadSafe,
        }
    }
}

impl Drop for MaskedSignals {
    fn drop(&mut self) {
        // SAFETY: `saved` is what the task had before.
        unsafe { bindings::rkvm_sigmask_restore(&self.saved) };
    }
}
