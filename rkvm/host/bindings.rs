// SPDX-License-Identifier: GPL-2.0

//! What bindgen makes of `include/rkvm_host.h`.

#![allow(
    clippy::all,
    clippy::cast_lossless,
    clippy::ptr_as_ptr,
    clippy::ref_as_ptr,
    clippy::undocumented_unsafe_blocks,
    dead_code,
    improper_ctypes,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unreachable_pub,
    unsafe_code,
    unsafe_op_in_unsafe_fn
)]

use kernel::bindings::{
    file, file_operations, lock_class_key, mm_struct, mmu_notifier, mmu_notifier_ops, mutex, page,
    raw_spinlock_t, rcuwait, sigset_t, wait_queue_entry_t, wait_queue_func_t,
};
#[cfg(CONFIG_X86_64)]
use kernel::bindings::{fpstate, hrtimer, hrtimer_restart};
#[cfg(CONFIG_ARM64)]
use kernel::bindings::{user_fpsimd_state, user_pt_regs};

include!(concat!(
    env!("RKVM_OBJ"),
    "/rkvm/host/bindings_generated.rs"
));
