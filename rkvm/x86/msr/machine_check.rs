// SPDX-License-Identifier: GPL-2.0

//! Machine-check MSRs of a processor that never reports an error: its banks can be enabled, and
//! their status stays 0 (Intel SDM volume 3, section 17.3).

use crate::x86::msr::index::{IA32_MCG_CAP, IA32_MCG_CTL, IA32_MCG_STATUS};
use crate::x86::msr::{Initiator, Refusal};

/// Number of banks, which is all of what IA32_MCG_CAP says.
const BANKS: usize = 32;
const IA32_MC0_CTL: u32 = 0x400;
const MSRS_PER_BANK: u32 = 4;
const IA32_MCI_LAST: u32 = IA32_MC0_CTL + MSRS_PER_BANK * BANKS as u32 - 1;
const IA32_MC0_CTL2: u32 = 0x280;
const IA32_MCI_CTL2_LAST: u32 = IA32_MC0_CTL2 + BANKS as u32 - 1;

/// Bits of IA32_MCi_CTL that some systems clear although only all zeros and all ones are defined.
const CTL_TOLERATED: u64 = 1 << 10 | 1 << 0;

/// Whether an MSR belongs here.
pub const fn is_machine_check(msr: u32) -> bool {
    matches!(
        msr,
        IA32_MCG_CAP..=IA32_MCG_CTL
            | IA32_MC0_CTL2..=IA32_MCI_CTL2_LAST
            | IA32_MC0_CTL..=IA32_MCI_LAST
    )
}

/// The machine-check registers of a vCPU.
#[derive(Debug)]
pub struct MachineCheck {
    status: u64,
    control: [u64; BANKS],
}

/// What a bank's MSR is.
enum BankRegister {
    /// IA32_MCi_CTL of this bank.
    Control(usize),
    /// IA32_MCi_STATUS, ADDR or MISC.
    Report,
}

impl BankRegister {
    fn of(msr: u32) -> Option<Self> {
        let offset = msr.checked_sub(IA32_MC0_CTL)?;
        if msr > IA32_MCI_LAST {
            return None;
        }
        Some(match offset % MSRS_PER_BANK {
            0 => Self::Control((offset / MSRS_PER_BANK) as usize),
            _ => Self::Report,
        })
    }
}

impl MachineCheck {
    /// Every bank disabled.
    pub const fn reset() -> Self {
        Self {
            status: 0,
            control: [0; BANKS],
        }
    }

    /// Reads one of the MSRs of [`is_machine_check`].
    ///
    /// # Errors
    /// [`Refusal::Unsupported`] for any other.
    pub fn read(&self, msr: u32) -> Result<u64, Refusal> {
        match msr {
            IA32_MCG_CAP => Ok(BANKS as u64),
            IA32_MCG_STATUS => Ok(self.status),
            IA32_MCG_CTL | IA32_MC0_CTL2..=IA32_MCI_CTL2_LAST => Ok(0),
            _ => match BankRegister::of(msr) {
                Some(BankRegister::Control(bank)) => {
                    self.control.get(bank).copied().ok_or(Refusal::Unsupported)
                }
                Some(BankRegister::Report) => Ok(0),
                None => Err(Refusal::Unsupported),
            },
        }
    }

    /// Writes one of the MSRs of [`is_machine_check`].
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for IA32_MCG_CAP, which is read-only; for IA32_MCG_CTL and the CTL2
    /// registers, which IA32_MCG_CAP does not announce, unless a VMM writes 0; for values of
    /// IA32_MCi_CTL that are neither all zeros nor all ones; and for other values than 0 in the
    /// registers that report errors.
    pub fn write(&mut self, msr: u32, value: u64, initiator: Initiator) -> Result<(), Refusal> {
        match msr {
            IA32_MCG_STATUS => self.status = value,
            IA32_MCG_CTL | IA32_MC0_CTL2..=IA32_MCI_CTL2_LAST
                if initiator == Initiator::Vmm && value == 0 => {}
            _ => match BankRegister::of(msr) {
                Some(BankRegister::Control(bank))
                    if value == 0 || value | CTL_TOLERATED == u64::MAX =>
                {
                    *self.control.get_mut(bank).ok_or(Refusal::Unsupported)? = value;
                }
                Some(BankRegister::Report) if value == 0 => {}
                _ => return Err(Refusal::Invalid),
            },
        }
        Ok(())
    }
}
