// SPDX-License-Identifier: GPL-2.0

//! The page-table engine with the EPT format, against a model and against a walker of its own.

#![allow(clippy::reversed_empty_ranges, reason = "the kernel can ask for them")]

mod arena;
mod cases;
mod model;
