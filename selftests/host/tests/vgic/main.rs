// SPDX-License-Identifier: GPL-2.0

//! The GICv3, against the architecture specification.

mod anything;
mod its;
mod layout;
mod machine;
mod properties;
mod registers;
mod sequences;
