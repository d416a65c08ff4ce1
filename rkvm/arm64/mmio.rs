// SPDX-License-Identifier: GPL-2.0

//! An access to an address without memory, as the syndrome of its data abort tells it.
//!
//! Source: Arm ARM (DDI 0487), D24.2.45 "ISS encoding for an exception from a Data Abort".

use crate::arm64::{exit::Abort, regs::pstate};

/// Which way a value goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the device to a register.
    Load,
    /// From a register to the device.
    Store,
}

/// Which byte of a value comes first in memory, and on the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteOrder {
    /// The lowest.
    Little,
    /// The highest.
    Big,
}

/// SCTLR_EL1.E0E: data accesses at EL0 are big-endian.
const SCTLR_E0E: u64 = 1 << 24;
/// SCTLR_EL1.EE: those at EL1 are.
const SCTLR_EE: u64 = 1 << 25;
/// PSTATE.E, in AArch32: they are.
const PSTATE_E: u64 = 1 << 9;

impl ByteOrder {
    /// That of a guest's data accesses.
    pub fn of_guest(state: u64, sctlr: u64) -> Self {
        let is_big = match state & pstate::MODE {
            pstate::EL1T | pstate::EL1H => sctlr & SCTLR_EE != 0,
            mode if mode & pstate::AARCH32 != 0 => state & PSTATE_E != 0,
            _ => sctlr & SCTLR_E0E != 0,
        };
        if is_big {
            Self::Big
        } else {
            Self::Little
        }
    }
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
    order: ByteOrder,
    signed: bool,
    wide: bool,
}

impl RegisterAccess {
    /// What an abort's ISS tells. `None` for instructions that it does not describe: those with several
    /// registers, or that write the address back.
    pub fn from_abort(abort: Abort, order: ByteOrder) -> Option<Self> {
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
            order,
            signed: abort.signed().into_bool(),
            wide: abort.wide().into_bool(),
        })
    }

    /// What the register holds after a load of `data`, of which the first [`bytes`](Self::bytes) count.
    pub fn loaded(&self, data: [u8; 8]) -> u64 {
        let unused = 64 - 8 * self.bytes.clamp(1, 8) as u32;
        let value = u64::from_le_bytes(self.in_order(data)) << unused;
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
        self.in_order((value << unused >> unused).to_le_bytes())
    }

    /// Turns the bytes that count from little-endian to the guest's order, or back.
    fn in_order(&self, mut data: [u8; 8]) -> [u8; 8] {
        if let (ByteOrder::Big, Some(bytes)) = (self.order, data.get_mut(..self.bytes)) {
            bytes.reverse();
        }
        data
    }
}
