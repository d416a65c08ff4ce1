// SPDX-License-Identifier: GPL-2.0

//! Machine-check MSRs: banks that report the errors which a VMM makes up, and none of the host's (Intel SDM
//! volume 3, section 17.3).

use crate::x86::msr::index::{IA32_MCG_CAP, IA32_MCG_CTL, IA32_MCG_STATUS};
use crate::x86::msr::{Initiator, Refusal};
use crate::x86::regs::Cr4;

/// The most banks; a vCPU whose VMM says nothing about them has them all.
pub const BANKS: usize = 32;
const IA32_MC0_CTL: u32 = 0x400;
const MSRS_PER_BANK: u32 = 4;
const IA32_MCI_LAST: u32 = IA32_MC0_CTL + MSRS_PER_BANK * BANKS as u32 - 1;
const IA32_MC0_CTL2: u32 = 0x280;
const IA32_MCI_CTL2_LAST: u32 = IA32_MC0_CTL2 + BANKS as u32 - 1;

/// IA32_MCG_CAP: the number of banks.
const CAP_BANKS: u64 = 0xff;
/// IA32_MCG_CTL exists.
const CAP_CTL: u64 = 1 << 8;
/// Number of extended state registers, which software only reads.
const CAP_EXTENDED_COUNT: u64 = 0xff << 16;
/// Software can recover from errors.
const CAP_SOFTWARE_RECOVERY: u64 = 1 << 24;

/// KVM_X86_GET_MCE_CAP_SUPPORTED: the features that a VMM can give IA32_MCG_CAP.
pub const SUPPORTED: u64 = CAP_CTL | CAP_SOFTWARE_RECOVERY;

/// IA32_MCG_STATUS: a machine check is being handled.
const STATUS_IN_PROGRESS: u64 = 1 << 2;

/// IA32_MCi_STATUS: it tells of an error.
const BANK_VALID: u64 = 1 << 63;
/// There has been another error since.
const BANK_OVERFLOW: u64 = 1 << 62;
/// The error was not corrected.
const BANK_UNCORRECTED: u64 = 1 << 61;
/// The processor's context is corrupt.
const BANK_CONTEXT_CORRUPT: u64 = 1 << 57;
/// It was signalled as a machine check.
const BANK_SIGNALLED: u64 = 1 << 56;
/// Software has to act.
const BANK_ACTION_REQUIRED: u64 = 1 << 55;

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

/// One bank.
#[derive(Clone, Copy, Debug)]
struct Bank {
    control: u64,
    status: u64,
    address: u64,
    miscellaneous: u64,
}

/// The machine-check registers of a vCPU.
#[derive(Debug)]
pub struct MachineCheck {
    capabilities: u64,
    control: u64,
    status: u64,
    banks: [Bank; BANKS],
}

/// An error that a VMM reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// The bank that reports it.
    pub bank: usize,
    /// IA32_MCi_STATUS.
    pub status: u64,
    /// IA32_MCi_ADDR.
    pub address: u64,
    /// IA32_MCi_MISC.
    pub miscellaneous: u64,
    /// IA32_MCG_STATUS, where the error raises #MC.
    pub global_status: u64,
}

/// How a guest hears of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Only by the bank.
    Silent,
    /// By #MC.
    Exception,
    /// It cannot take #MC: the processor shuts down.
    Shutdown,
}

/// What a bank's MSR is.
enum BankRegister {
    /// IA32_MCi_CTL.
    Control,
    /// IA32_MCi_STATUS.
    Status,
    /// IA32_MCi_ADDR.
    Address,
    /// IA32_MCi_MISC.
    Miscellaneous,
}

impl BankRegister {
    /// The bank and the register of it that an MSR is, if the number is of a bank at all.
    const fn of(msr: u32) -> Option<(usize, Self)> {
        let Some(offset) = msr.checked_sub(IA32_MC0_CTL) else {
            return None;
        };
        let register = match offset % MSRS_PER_BANK {
            0 => Self::Control,
            1 => Self::Status,
            2 => Self::Address,
            _ => Self::Miscellaneous,
        };
        Some(((offset / MSRS_PER_BANK) as usize, register))
    }
}

impl MachineCheck {
    /// All banks, disabled, and no feature.
    pub const fn reset() -> Self {
        const DISABLED: Bank = Bank {
            control: 0,
            status: 0,
            address: 0,
            miscellaneous: 0,
        };
        Self {
            capabilities: BANKS as u64,
            control: 0,
            status: 0,
            banks: [DISABLED; BANKS],
        }
    }

    /// Sets IA32_MCG_CAP and enables all banks, as firmware leaves them.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for no bank, more than [`BANKS`], and features outside of [`SUPPORTED`].
    pub fn setup(&mut self, capabilities: u64) -> Result<(), Refusal> {
        let count = (capabilities & CAP_BANKS) as usize;
        let known = SUPPORTED | CAP_BANKS | CAP_EXTENDED_COUNT;
        if count == 0 || count > BANKS || capabilities & !known != 0 {
            return Err(Refusal::Invalid);
        }
        self.capabilities = capabilities;
        if self.has_control() {
            self.control = u64::MAX;
        }
        for bank in self.banks.iter_mut().take(count) {
            bank.control = u64::MAX;
        }
        Ok(())
    }

    /// Takes an error that a VMM reports, to a guest with this CR4.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for a bank that is not there and a status that is not valid.
    pub fn report(&mut self, error: &Error, cr4: Cr4) -> Result<Delivery, Refusal> {
        const EXCEPTION: u64 = BANK_CONTEXT_CORRUPT | BANK_SIGNALLED | BANK_ACTION_REQUIRED;
        let enabled = !self.has_control() || self.control == u64::MAX;
        let in_progress = self.status & STATUS_IN_PROGRESS != 0;
        let bank = self.bank_mut(error.bank).ok_or(Refusal::Invalid)?;
        if error.status & BANK_VALID == 0 {
            return Err(Refusal::Invalid);
        }
        let uncorrected = error.status & BANK_UNCORRECTED != 0;
        // An error that was found before anything used it.
        let no_action = uncorrected && error.status & EXCEPTION == 0 && error.global_status == 0;
        if no_action {
            bank.record(error, error.status);
            self.status = error.global_status;
            return Ok(Delivery::Silent);
        }
        if !uncorrected {
            bank.record_corrected(error);
            return Ok(Delivery::Silent);
        }
        if !enabled || bank.control != u64::MAX {
            return Ok(Delivery::Silent);
        }
        if in_progress || !cr4.contains(Cr4::MCE) {
            return Ok(Delivery::Shutdown);
        }
        bank.record(error, error.status | bank.overflow());
        self.status = error.global_status;
        Ok(Delivery::Exception)
    }

    const fn has_control(&self) -> bool {
        self.capabilities & CAP_CTL != 0
    }

    const fn count(&self) -> usize {
        (self.capabilities & CAP_BANKS) as usize
    }

    fn bank_mut(&mut self, number: usize) -> Option<&mut Bank> {
        let count = self.count();
        self.banks.get_mut(number).filter(|_| number < count)
    }

    /// Reads one of the MSRs of [`is_machine_check`]. A VMM may read those that the features of
    /// IA32_MCG_CAP leave out.
    ///
    /// # Errors
    /// [`Refusal::Unsupported`] for any other.
    pub fn read(&self, msr: u32, initiator: Initiator) -> Result<u64, Refusal> {
        let by_vmm = initiator == Initiator::Vmm;
        match msr {
            IA32_MCG_CAP => Ok(self.capabilities),
            IA32_MCG_STATUS => Ok(self.status),
            IA32_MCG_CTL if by_vmm || self.has_control() => Ok(self.control),
            IA32_MC0_CTL2..=IA32_MCI_CTL2_LAST if by_vmm => Ok(0),
            _ => {
                let (number, register) = BankRegister::of(msr).ok_or(Refusal::Unsupported)?;
                let bank = self.banks.get(number).filter(|_| number < self.count());
                let bank = bank.ok_or(Refusal::Unsupported)?;
                Ok(match register {
                    BankRegister::Control => bank.control,
                    BankRegister::Status => bank.status,
                    BankRegister::Address => bank.address,
                    BankRegister::Miscellaneous => bank.miscellaneous,
                })
            }
        }
    }

    /// Writes one of the MSRs of [`is_machine_check`].
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for IA32_MCG_CAP, which is read-only; for IA32_MCG_CTL and the CTL2
    /// registers where IA32_MCG_CAP does not announce them, unless a VMM writes 0; for values of
    /// control registers that are neither all zeros nor all ones; and for a guest's writes of other
    /// values than 0 to the registers that report errors. [`Refusal::Unsupported`] for banks that are not there.
    pub fn write(&mut self, msr: u32, value: u64, initiator: Initiator) -> Result<(), Refusal> {
        let clears = initiator == Initiator::Vmm && value == 0;
        match msr {
            IA32_MCG_CAP => return Err(Refusal::Invalid),
            IA32_MCG_STATUS => self.status = value,
            IA32_MCG_CTL if self.has_control() && (value == 0 || value == u64::MAX) => {
                self.control = value;
            }
            IA32_MCG_CTL | IA32_MC0_CTL2..=IA32_MCI_CTL2_LAST if clears => (),
            _ => {
                let (number, register) = BankRegister::of(msr).ok_or(Refusal::Invalid)?;
                let bank = self.bank_mut(number).ok_or(Refusal::Unsupported)?;
                bank.write(register, value, initiator)?;
            }
        }
        Ok(())
    }
}

impl Bank {
    fn write(
        &mut self,
        register: BankRegister,
        value: u64,
        initiator: Initiator,
    ) -> Result<(), Refusal> {
        let field = match register {
            BankRegister::Control if value != 0 && value | CTL_TOLERATED != u64::MAX => {
                return Err(Refusal::Invalid);
            }
            BankRegister::Control => &mut self.control,
            _ if value != 0 && initiator == Initiator::Guest => return Err(Refusal::Invalid),
            BankRegister::Status => &mut self.status,
            BankRegister::Address => &mut self.address,
            BankRegister::Miscellaneous => &mut self.miscellaneous,
        };
        *field = value;
        Ok(())
    }

    /// What an error replaces shows as an overflow.
    const fn overflow(&self) -> u64 {
        if self.status & BANK_VALID != 0 {
            BANK_OVERFLOW
        } else {
            0
        }
    }

    fn record(&mut self, error: &Error, status: u64) {
        self.status = status;
        self.address = error.address;
        self.miscellaneous = error.miscellaneous;
    }

    /// A corrected error does not replace an uncorrected one.
    fn record_corrected(&mut self, error: &Error) {
        const KEPT: u64 = BANK_VALID | BANK_UNCORRECTED;
        if self.status & KEPT == KEPT {
            self.status |= BANK_OVERFLOW;
        } else {
            self.record(error, error.status | self.overflow());
        }
    }
}
