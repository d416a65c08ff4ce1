// SPDX-License-Identifier: GPL-2.0
//! Devices on ports.

pub mod cmos;
pub mod i8042;
pub mod power;
