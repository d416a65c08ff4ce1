// SPDX-License-Identifier: GPL-2.0

//! What bindgen makes of `include/rkvm_host.h`.

#![allow(
    clippy::all,
    dead_code,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unreachable_pub,
    unsafe_code,
    unsafe_op_in_unsafe_fn
)]

use kernel::bindings::{
    file_operations, fpstate, mm_struct, mmu_notifier, mmu_notifier_ops, mutex, page, sigset_t,
};

include!(concat!(env!("RKVM_OBJ"), "/rkvm/host/bindings_generated.rs"));
