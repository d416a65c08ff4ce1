// SPDX-License-Identifier: GPL-2.0

//! The 8259A pair, by its datasheet, by what firmware and Linux do with it, and against a model.

mod cases;
mod model;
mod pair;
