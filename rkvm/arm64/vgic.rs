// SPDX-License-Identifier: GPL-2.0

//! The interrupt controller of a VM.

pub mod gic;
pub mod layout;
