// SPDX-License-Identifier: GPL-2.0

//! An access to an address without memory, as the syndrome of its data abort tells it.
//!
//! Source: Arm ARM (DDI 0487), D24.2.45 "ISS encoding for an exception from a Data Abort".

use crate::arm64::exit::Abort;

/// Which way a value goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the device to a register.
    Load,
    /// From a register to the device.
    Store,
}

/// A load or store of one general register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegisterAccess {
    /// Load or store.
    pub direction: Direction,
    /// 1, 2, 4 or 8 bytes.
    pub bytes: usize,
    /// The register's number; 31 is XZR.
    pub register: u8,
    signed: bool,
    wide: bool,
}

impl RegisterAccess {
    /// What an abort's ISS tells. `None` for instructions that it does not describe: those with several
    /// registers, or that write the address back.
    pub fn from_abort(abort: Abort) -> Option<Self> {
        if !abort.valid().into_bool() {
            return None;
        }
        Some(Self {
            direction: if abort.write().into_bool() {
                Direction::Store
            } else {
                Direction::Load
            },
            bytes: 1 << abort.size().get(),
            register: abort.register().get() as u8,
            signed: abort.signed().into_bool(),
            wide: abort.wide().into_bool(),
        })
    }

    /// What the register holds after a load of `data`, of which the first [`bytes`](Self::bytes) count.
    pub fn loaded(&self, data: [u8; 8]) -> u64 {
        let unused = 64 - 8 * self.bytes.clamp(1, 8) as u32;
        let value = u64::from_le_bytes(data) << unused;
        let extended = if self.signed {
            (value as i64 >> unused) as u64
        } else {
            value >> unused
        };
        if self.wide {
            extended
        } else {
            extended & u64::from(u32::MAX)
        }
    }

    /// What a store of a register's `value` puts on the bus: the first [`bytes`](Self::bytes) count, the others are 0.
    pub fn stored(&self, value: u64) -> [u8; 8] {
        let unused = 64 - 8 * self.bytes.clamp(1, 8) as u32;
        (value << unused >> unused).to_le_bytes()
    }
}
