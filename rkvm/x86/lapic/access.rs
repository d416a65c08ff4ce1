// SPDX-License-Identifier: GPL-2.0

//! Access to the registers: in memory in xAPIC mode, by MSRs in x2APIC mode (Intel SDM volume 3, 12.4.1, 12.12.1).

use super::register::{Access, Register, PAGE_BYTES};
use super::timer::{Clock, TimerMode};
use super::{error, DirectedEoi, Effect, Lapic, FIRST_VECTOR};
use super::{DFR_RESET, SVR_ENABLED, SVR_NO_EOI_BROADCAST, SVR_WRITABLE};
use crate::x86::message::{Action, ApicMode, DeliveryMode, Message, Shorthand};

/// The access is #GP(0) to a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gp;

/// Bytes of a register, which lies at the beginning of 16.
const REGISTER_BYTES: usize = 4;
const OFFSET_IN_REGISTER: u64 = 0xf;

const ICR_BUSY: u64 = 1 << 12;
/// In x2APIC mode: bits 31:20, 17:16 and 13.
const ICR_RESERVED: u64 = 0xfff3_2000;
const ICR_SHORTHAND_SELF: u64 = 1 << 18;
const ICR_HIGH_WRITABLE: u32 = 0xff00_0000;
const ID_WRITABLE: u32 = 0xff00_0000;
const LDR_WRITABLE: u32 = 0xff00_0000;
const DFR_WRITABLE: u32 = 0xf000_0000;
const TPR_WRITABLE: u32 = 0xff;
const DIVIDE_WRITABLE: u32 = 0xb;
const VECTOR: u32 = 0xff;

/// What reads where no device answers.
const NOTHING: u8 = 0xff;

impl Lapic {
    /// Reads memory at `offset` of the register page. A register can be read in parts of its four bytes; what is no
    /// register reads as 0. Outside of xAPIC mode there are no registers in memory, and all reads as ones.
    pub fn mmio_read(&mut self, offset: u64, data: &mut [u8], clock: &Clock) {
        if self.mode() != ApicMode::XApic {
            data.fill(NOTHING);
            return;
        }
        data.fill(0);
        let begin = (offset & OFFSET_IN_REGISTER) as usize;
        let Some(register) = Register::from_offset(offset) else {
            return;
        };
        let access = self.access(register);
        if access == Access::None {
            self.report(error::ILLEGAL_REGISTER);
        }
        let bytes: [u8; REGISTER_BYTES] = match access {
            Access::Read | Access::ReadWrite => self.read(register, clock).to_le_bytes(),
            Access::None | Access::Write => return,
        };
        let end = begin.saturating_add(data.len());
        if let Some(part) = bytes.get(begin..end) {
            data.copy_from_slice(part);
        }
    }

    /// Writes memory at `offset` of the register page. Nothing but all four bytes of a register at once is taken, and
    /// nothing outside of xAPIC mode.
    pub fn mmio_write(&mut self, offset: u64, data: &[u8], clock: &Clock) -> Effect {
        let aligned = offset & OFFSET_IN_REGISTER == 0 && offset < PAGE_BYTES as u64;
        let (Some(register), Ok(bytes)) = (
            Register::from_offset(offset).filter(|_| aligned),
            <[u8; REGISTER_BYTES]>::try_from(data),
        ) else {
            return Effect::NONE;
        };
        if self.mode() != ApicMode::XApic {
            return Effect::NONE;
        }
        match self.access(register) {
            Access::None => {
                self.report(error::ILLEGAL_REGISTER);
                Effect::NONE
            }
            Access::Read => Effect::NONE,
            Access::Write | Access::ReadWrite => {
                self.write(register, u32::from_le_bytes(bytes), clock)
            }
        }
    }

    /// Reads an MSR of x2APIC mode.
    ///
    /// # Errors
    /// [`Gp`] in another mode, and where there is no register to read.
    pub fn read_msr(&mut self, msr: u32, clock: &Clock) -> Result<u64, Gp> {
        let register = self.msr_register(msr)?;
        match self.access(register) {
            Access::Read | Access::ReadWrite if register == Register::ICR => {
                Ok(self.page.get_wide(register))
            }
            Access::Read | Access::ReadWrite => Ok(u64::from(self.read(register, clock))),
            Access::None | Access::Write => Err(Gp),
        }
    }

    /// Writes an MSR of x2APIC mode.
    ///
    /// # Errors
    /// [`Gp`] in another mode, where there is no register to write, and for reserved bits where processors that
    /// virtualize the access see them: of TPR, EOI, ESR, ICR and SELF_IPI. Other registers drop them.
    pub fn write_msr(&mut self, msr: u32, value: u64, clock: &Clock) -> Result<Effect, Gp> {
        let register = self.msr_register(msr)?;
        if matches!(self.access(register), Access::None | Access::Read) {
            return Err(Gp);
        }
        let reserved = match register {
            Register::ICR => ICR_RESERVED,
            Register::EOI | Register::ESR => u64::MAX,
            Register::TPR | Register::SELF_IPI => !u64::from(VECTOR),
            _ => !u64::from(u32::MAX),
        };
        if value & reserved != 0 {
            return Err(Gp);
        }
        Ok(match register {
            Register::ICR => self.write_icr(value),
            _ => self.write(register, value as u32, clock),
        })
    }

    /// The processor has written a register of the page by itself, and leaves the rest to be done (an APIC-write
    /// exit, SDM 31.4.3.3).
    pub fn written(&mut self, offset: u64, clock: &Clock) -> Effect {
        let Some(register) = Register::from_offset(offset) else {
            return Effect::NONE;
        };
        match (register, self.mode()) {
            (Register::ICR, ApicMode::X2Apic) => self.write_icr(self.page.get_wide(register)),
            _ => match self.access(register) {
                Access::Write | Access::ReadWrite => {
                    self.write(register, self.page.get(register), clock)
                }
                Access::None | Access::Read => Effect::NONE,
            },
        }
    }

    fn msr_register(&self, msr: u32) -> Result<Register, Gp> {
        match self.mode() {
            ApicMode::X2Apic => Register::from_msr(msr).ok_or(Gp),
            ApicMode::XApic | ApicMode::Disabled => Err(Gp),
        }
    }

    fn access(&self, register: Register) -> Access {
        match register {
            Register::LVT_CMCI if !self.config.cmci => Access::None,
            _ => register.access(self.mode()),
        }
    }

    fn read(&mut self, register: Register, clock: &Clock) -> u32 {
        match register {
            Register::CURRENT_COUNT => {
                self.expire(clock);
                self.timer.current(clock)
            }
            Register::APR | Register::RRD => 0,
            _ => self.page.get(register),
        }
    }

    /// Writes a register that can be written in this mode.
    fn write(&mut self, register: Register, value: u32, clock: &Clock) -> Effect {
        match register {
            Register::TPR => {
                self.set_tpr((value & TPR_WRITABLE) as u8);
                Effect::NONE
            }
            Register::EOI => Effect {
                eoi: self.eoi(),
                ..Effect::NONE
            },
            Register::ID => self.write_identity(register, value & ID_WRITABLE),
            Register::LDR => self.write_identity(register, value & LDR_WRITABLE),
            Register::DFR => {
                self.write_identity(register, value & DFR_WRITABLE | DFR_RESET & !DFR_WRITABLE)
            }
            Register::SVR => self.write_svr(value, clock),
            Register::ESR => {
                self.page.set(register, self.errors);
                self.errors = 0;
                Effect::NONE
            }
            Register::ICR => {
                let high = u64::from(self.page.get(Register::ICR_HIGH)) << u32::BITS;
                self.write_icr(u64::from(value) | high)
            }
            Register::ICR_HIGH => {
                self.page.set(register, value & ICR_HIGH_WRITABLE);
                Effect::NONE
            }
            Register::LVT_TIMER => {
                self.expire(clock);
                let value = self.lvt_value(register, value);
                self.page.set(register, value);
                self.update_timer_mode();
                Effect::TIMER
            }
            Register::INITIAL_COUNT => self.write_initial_count(value, clock),
            Register::DIVIDE => {
                self.expire(clock);
                self.page.set(register, value & DIVIDE_WRITABLE);
                self.timer.set_divide(value & DIVIDE_WRITABLE, clock);
                Effect::TIMER
            }
            Register::SELF_IPI => self.write_icr(ICR_SHORTHAND_SELF | u64::from(value & VECTOR)),
            // What is left are LVT entries. LINT0's says whether the 8259s' interrupts are for this APIC.
            _ => {
                let value = self.lvt_value(register, value);
                self.page.set(register, value);
                Effect {
                    identity: register == Register::LVT_LINT0,
                    ..Effect::NONE
                }
            }
        }
    }

    fn write_identity(&mut self, register: Register, value: u32) -> Effect {
        self.page.set(register, value);
        Effect::IDENTITY
    }

    fn write_svr(&mut self, value: u32, clock: &Clock) -> Effect {
        let directed = match self.config.directed_eoi {
            DirectedEoi::Absent => 0,
            DirectedEoi::Offered | DirectedEoi::Ignored => SVR_NO_EOI_BROADCAST,
        };
        self.expire(clock);
        self.page
            .set(Register::SVR, value & (SVR_WRITABLE | directed));
        if value & SVR_ENABLED == 0 {
            self.mask_all();
        }
        Effect {
            timer: true,
            ..Effect::IDENTITY
        }
    }

    /// The timer's entry has changed.
    fn update_timer_mode(&mut self) {
        self.timer.set_mode(self.lvt_timer_mode());
        self.page.set(Register::INITIAL_COUNT, self.timer.initial());
    }

    fn write_initial_count(&mut self, value: u32, clock: &Clock) -> Effect {
        if self.timer.mode() == TimerMode::TscDeadline {
            return Effect::NONE;
        }
        self.expire(clock);
        self.page.set(Register::INITIAL_COUNT, value);
        self.timer.start(value, clock);
        Effect::TIMER
    }

    /// Writes the interrupt command register, which sends a message. A fixed interrupt to itself needs none.
    fn write_icr(&mut self, value: u64) -> Effect {
        // Messages never wait to be sent.
        let icr = value & !ICR_BUSY;
        let mode = self.mode();
        match mode {
            ApicMode::X2Apic => self.page.set_wide(Register::ICR, icr),
            ApicMode::XApic | ApicMode::Disabled => self.page.set(Register::ICR, icr as u32),
        }
        let message = Message::from_icr(icr, mode, self.id);
        let vectored = matches!(
            message.delivery,
            DeliveryMode::Fixed | DeliveryMode::LowestPriority
        );
        if vectored && message.vector < FIRST_VECTOR {
            self.report(error::SEND_ILLEGAL_VECTOR);
            return Effect::NONE;
        }
        match (message.action(), message.shorthand) {
            (Action::None, _) => Effect::NONE,
            (Action::Interrupt { vector, trigger }, Shorthand::Itself) => {
                self.accept(vector, trigger);
                Effect::NONE
            }
            _ => Effect {
                message: Some(message),
                ..Effect::NONE
            },
        }
    }
}
