// SPDX-License-Identifier: GPL-2.0

//! The system registers of a vCPU that are in memory alone.

use kernel::prelude::*;

use super::{
    cache::{self, Sizes},
    role::{Bank, Kept},
};
use crate::arm64::psci;

/// Breakpoints and watchpoints that there can be of each.
pub const DEBUG_REGISTERS: usize = 16;

/// OSLSR_EL1.OSLM: there is an OS lock; OSLK: it is taken.
const OS_LOCK_THERE: u64 = 1 << 3;
const OS_LOCK_TAKEN: u64 = 1 << 1;
/// OSLAR_EL1.OSLK: take it.
const TAKE_OS_LOCK: u64 = 1 << 0;
/// FPEXC32_EL2 after a reset.
const FPEXC32_RESET: u64 = 0x700;

/// Breakpoints and watchpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DebugRegs {
    /// DBGBCR, DBGBVR, DBGWCR, DBGWVR.
    banks: [[u64; DEBUG_REGISTERS]; 4],
}

impl DebugRegs {
    /// None in use.
    pub const RESET: Self = Self {
        banks: [[0; DEBUG_REGISTERS]; 4],
    };

    /// The values of a bank.
    pub const fn bank(&self, bank: Bank) -> &[u64; DEBUG_REGISTERS] {
        &self.banks[bank as usize]
    }

    /// The values of a bank, to change.
    pub fn bank_mut(&mut self, bank: Bank) -> &mut [u64; DEBUG_REGISTERS] {
        &mut self.banks[bank as usize]
    }

    /// A register; 0 beyond the last.
    pub fn get(&self, bank: Bank, number: u8) -> u64 {
        let register = self.bank(bank).get(usize::from(number));
        register.copied().unwrap_or(0)
    }

    /// Writes a register.
    pub fn set(&mut self, bank: Bank, number: u8, value: u64) {
        if let Some(register) = self.bank_mut(bank).get_mut(usize::from(number)) {
            *register = value;
        }
    }
}

/// The registers.
pub struct KeptRegs {
    values: [u64; Kept::COUNT],
    /// Breakpoints and watchpoints of the guest itself.
    pub debug: DebugRegs,
    sizes: Sizes,
    /// CTR_EL0 of the host, which the caches follow from.
    ctr: u64,
}

impl KeptRegs {
    /// Those of a vCPU with an id on a host whose CTR_EL0 is `ctr`, which has not been reset.
    pub fn new(vcpu: u32, ctr: u64) -> Self {
        let mut regs = Self {
            values: [0; Kept::COUNT],
            debug: DebugRegs::RESET,
            sizes: Sizes::DEFAULT,
            ctr,
        };
        *regs.slot(Kept::Clidr) = cache::levels(ctr);
        *regs.slot(Kept::Mpidr) = psci::mpidr(vcpu);
        regs.reset();
        regs
    }

    /// Resets them. Its name and the caches are as they were: they are part of the machine.
    pub fn reset(&mut self) {
        let (levels, name) = (self.get(Kept::Clidr), self.get(Kept::Mpidr));
        self.values = [0; Kept::COUNT];
        *self.slot(Kept::Clidr) = levels;
        *self.slot(Kept::Mpidr) = name;
        *self.slot(Kept::OsLock) = OS_LOCK_THERE;
        *self.slot(Kept::Fpexc32) = FPEXC32_RESET;
        self.debug = DebugRegs::RESET;
    }

    fn slot(&mut self, register: Kept) -> &mut u64 {
        &mut self.values[register as usize]
    }

    /// A register's value.
    pub const fn get(&self, register: Kept) -> u64 {
        self.values[register as usize]
    }

    /// What a VMM writes. `EINVAL` for a value that the register cannot have.
    pub fn set(&mut self, register: Kept, value: u64) -> Result {
        match register {
            Kept::Clidr => cache::check_levels(value, self.ctr)?,
            Kept::OsLock if (value ^ OS_LOCK_THERE) & !OS_LOCK_TAKEN != 0 => return Err(EINVAL),
            _ => (),
        }
        *self.slot(register) = value;
        Ok(())
    }

    /// What a guest writes. Writes to ACTLR_EL1 are ignored; `EINVAL` for a register that can only be read.
    pub fn guest_write(&mut self, register: Kept, value: u64) -> Result {
        match register {
            Kept::Csselr | Kept::Mdscr | Kept::Mdccint | Kept::Disr => *self.slot(register) = value,
            Kept::Actlr => (),
            Kept::Mpidr
            | Kept::Clidr
            | Kept::OsLock
            | Kept::Dbgvcr32
            | Kept::Dacr32
            | Kept::Ifsr32
            | Kept::Fpexc32 => return Err(EINVAL),
        }
        Ok(())
    }

    /// What the guest has in DISR_EL1, which it does not trap for.
    pub fn note_deferred(&mut self, disr: u64) {
        *self.slot(Kept::Disr) = disr;
    }

    /// A write to OSLAR_EL1.
    pub fn lock_os(&mut self, value: u64) {
        let lock = self.slot(Kept::OsLock);
        if value & TAKE_OS_LOCK != 0 {
            *lock |= OS_LOCK_TAKEN;
        } else {
            *lock &= !OS_LOCK_TAKEN;
        }
    }

    /// Whether the OS lock is taken: breakpoints, watchpoints and steps of the guest itself do nothing.
    pub const fn os_lock_is_taken(&self) -> bool {
        self.get(Kept::OsLock) & OS_LOCK_TAKEN != 0
    }

    /// CCSIDR_EL1 as the guest reads it.
    pub fn selected_cache(&self) -> u32 {
        self.sizes.selected(self.get(Kept::Csselr), self.ctr)
    }

    /// CCSIDR_EL1 for a selection.
    pub fn cache(&self, selection: u8) -> u32 {
        self.sizes.get(selection, self.ctr)
    }

    /// What a VMM has CCSIDR_EL1 tell of a selection. `EINVAL`, `ENOMEM` as [`Sizes::set`] has them.
    pub fn set_cache(&mut self, selection: u8, value: u32) -> Result {
        self.sizes.set(selection, value, self.ctr)
    }
}
