// SPDX-License-Identifier: GPL-2.0

//! Intel VMX: the VMCS, the world switch, and what to do about each VM exit.
//!
//! A run of the guest goes down `run` → `enter` → `world_switch.S` and comes back up through
//! [`exit`], which decodes what happened, and `handle`, which deals with it.

pub mod caps;
pub mod controls;
pub mod enter;
pub mod ept;
pub mod exit;
pub mod field;
pub mod guest_state;
pub mod handle;
pub mod host_state;
mod instructions;
pub mod interrupt_status;
pub mod platform;
pub mod run;
pub mod vmcs;
pub mod vpid;
