// SPDX-License-Identifier: GPL-2.0

//! The processor's breakpoints and watchpoints.
//!
//! Source: Arm ARM (DDI 0487), D24.3 "DBGBCR<n>_EL1" and the like.

// UNSAFETY: reads and writes debug registers.
#![expect(unsafe_code)]

use crate::arm64::{
    sysreg::{
        kept::DebugRegs,
        role::Bank::{
            self, BreakpointControl, BreakpointValue, WatchpointControl, WatchpointValue,
        },
    },
    traps::InGuestWorld,
};
use core::arch::asm;

/// DBGBCR and DBGWCR: HMC and SSC, by which one could match at EL2.
const BEYOND_EL1: u64 = 1 << 13 | 0b11 << 14;

/// How many a processor has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Breakpoints.
    pub breakpoints: u8,
    /// Watchpoints.
    pub watchpoints: u8,
}

impl Counts {
    /// From ID_AA64DFR0_EL1.
    pub const fn new(dfr0: u64) -> Self {
        const BRPS: u32 = 12;
        const WRPS: u32 = 20;
        Self {
            breakpoints: (dfr0 >> BRPS & 0xf) as u8 + 1,
            watchpoints: (dfr0 >> WRPS & 0xf) as u8 + 1,
        }
    }

    /// Every register that there is, values first.
    fn registers(self) -> impl Iterator<Item = (Bank, u8)> {
        let bank = |bank, count| (0..count).map(move |number| (bank, number));
        let [first, second] =
            [BreakpointValue, BreakpointControl].map(|name| bank(name, self.breakpoints));
        let [third, fourth] =
            [WatchpointValue, WatchpointControl].map(|name| bank(name, self.watchpoints));
        Iterator::chain(
            Iterator::chain(first, second),
            Iterator::chain(third, fourth),
        )
    }
}

macro_rules! define_access {
    ($($number:literal)*) => {
        fn read(bank: Bank, number: u8) -> u64 {
            let value: u64;
            match (bank, number) {
                $(
                    // SAFETY: reading the register changes nothing.
                    (BreakpointValue, $number) => unsafe {
                        asm!(concat!("mrs {}, S2_0_C0_C", $number, "_4"), out(reg) value, options(nomem, nostack, preserves_flags));
                    },
                    // SAFETY: likewise.
                    (BreakpointControl, $number) => unsafe {
                        asm!(concat!("mrs {}, S2_0_C0_C", $number, "_5"), out(reg) value, options(nomem, nostack, preserves_flags));
                    },
                    // SAFETY: likewise.
                    (WatchpointValue, $number) => unsafe {
                        asm!(concat!("mrs {}, S2_0_C0_C", $number, "_6"), out(reg) value, options(nomem, nostack, preserves_flags));
                    },
                    // SAFETY: likewise.
                    (WatchpointControl, $number) => unsafe {
                        asm!(concat!("mrs {}, S2_0_C0_C", $number, "_7"), out(reg) value, options(nomem, nostack, preserves_flags));
                    },
                )*
                _ => value = 0,
            }
            value
        }

        fn write(_world: &InGuestWorld<'_>, bank: Bank, number: u8, value: u64) {
            match (bank, number) {
                $(
                    // SAFETY: debug exceptions are masked; `exchange` is called again before they are not.
                    (BreakpointValue, $number) => unsafe {
                        asm!(concat!("msr S2_0_C0_C", $number, "_4, {}"), in(reg) value, options(nomem, nostack, preserves_flags));
                    },
                    // SAFETY: likewise.
                    (BreakpointControl, $number) => unsafe {
                        asm!(concat!("msr S2_0_C0_C", $number, "_5, {}"), in(reg) value, options(nomem, nostack, preserves_flags));
                    },
                    // SAFETY: likewise.
                    (WatchpointValue, $number) => unsafe {
                        asm!(concat!("msr S2_0_C0_C", $number, "_6, {}"), in(reg) value, options(nomem, nostack, preserves_flags));
                    },
                    // SAFETY: likewise.
                    (WatchpointControl, $number) => unsafe {
                        asm!(concat!("msr S2_0_C0_C", $number, "_7, {}"), in(reg) value, options(nomem, nostack, preserves_flags));
                    },
                )*
                _ => (),
            }
        }
    };
}

define_access!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);

/// Loads a guest's registers, which then match at EL1 and EL0 alone. `host` becomes the host's, for [`restore`].
#[cold]
pub fn exchange(world: &InGuestWorld<'_>, counts: Counts, guest: &DebugRegs, host: &mut DebugRegs) {
    for (bank, number) in counts.registers() {
        host.set(bank, number, read(bank, number));
        let value = guest.get(bank, number);
        let value = match bank {
            BreakpointControl | WatchpointControl => value & !BEYOND_EL1,
            BreakpointValue | WatchpointValue => value,
        };
        write(world, bank, number, value);
    }
}

/// Loads the host's registers again.
#[cold]
pub fn restore(world: &InGuestWorld<'_>, counts: Counts, host: &DebugRegs) {
    for (bank, number) in counts.registers() {
        write(world, bank, number, host.get(bank, number));
    }
}
