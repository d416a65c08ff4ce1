// SPDX-License-Identifier: GPL-2.0

//! KVM_GET_LAPIC and KVM_SET_LAPIC: the first KiB of the register page, with the current count of the timer.
//!
//! In x2APIC mode two registers look otherwise to user space than to the processor: the id, by choice of the
//! VMM, and the ICR, whose upper half is where it is in xAPIC mode.

use super::register::Register;
use super::timer::{Clock, Counts};
use super::Lapic;
use crate::x86::message::{x2apic_logical_id, ApicMode};
use kernel::prelude::*;

/// Bytes of `struct kvm_lapic_state`.
pub const STATE_BYTES: usize = 1024;
const WORD_BYTES: usize = 4;
const XAPIC_ID_SHIFT: u32 = 24;

/// How the id register looks to user space in x2APIC mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdFormat {
    /// Its low 8 bits are in bits 31:24, and it is ignored when set.
    Xapic,
    /// It is the whole register (KVM_X2APIC_API_USE_32BIT_IDS).
    X2apic,
}

/// The id in the state is not that of the vCPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalid;

impl From<Invalid> for Error {
    fn from(_: Invalid) -> Self {
        EINVAL
    }
}

impl Lapic {
    /// KVM_GET_LAPIC. A timer that is due expires first, so that its interrupt is in the state.
    pub fn save(&mut self, format: IdFormat, clock: &Clock) -> [u8; STATE_BYTES] {
        self.expire(clock);
        let mut state = [0; STATE_BYTES];
        for (bytes, word) in state.chunks_exact_mut(WORD_BYTES).zip(self.page.words()) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        let counts = self.timer.counts(clock);
        put(&mut state, Register::CURRENT_COUNT, counts.current);
        if self.mode() == ApicMode::X2Apic {
            let icr = self.page.get_wide(Register::ICR);
            put(&mut state, Register::ICR_HIGH, (icr >> u32::BITS) as u32);
            if format == IdFormat::Xapic {
                put(&mut state, Register::ID, self.id << XAPIC_ID_SHIFT);
            }
        }
        state
    }

    /// KVM_SET_LAPIC: replaces the registers and starts the timer from its current count. The version is not the
    /// VMM's to choose, and in x2APIC mode the ids are the vCPU's. Identity and deadline may have changed.
    ///
    /// # Errors
    /// [`Invalid`] for another vCPU's id in x2APIC mode with [`IdFormat::X2apic`]; nothing has changed then.
    pub fn restore(
        &mut self,
        state: &[u8; STATE_BYTES],
        format: IdFormat,
        clock: &Clock,
    ) -> Result<(), Invalid> {
        let x2apic = self.mode() == ApicMode::X2Apic;
        if x2apic && format == IdFormat::X2apic && get(state, Register::ID) != self.id {
            return Err(Invalid);
        }
        let words = state
            .chunks_exact(WORD_BYTES)
            .map(|bytes| <[u8; WORD_BYTES]>::try_from(bytes).map_or(0, u32::from_le_bytes));
        self.page.replace(words);
        if x2apic {
            self.page.set(Register::ID, self.id);
            self.page.set(Register::LDR, x2apic_logical_id(self.id));
            let low = u64::from(get(state, Register::ICR));
            let high = u64::from(get(state, Register::ICR_HIGH)) << u32::BITS;
            self.page.set_wide(Register::ICR, high | low);
        }
        self.page.set(Register::CURRENT_COUNT, 0);
        self.set_version();
        self.errors = 0;
        let counts = Counts {
            initial: self.page.get(Register::INITIAL_COUNT),
            current: get(state, Register::CURRENT_COUNT),
        };
        let divide = self.page.get(Register::DIVIDE);
        self.timer
            .resume(self.lvt_timer_mode(), divide, counts, clock);
        self.after_guest();
        Ok(())
    }
}

const fn position(register: Register) -> usize {
    register.offset() as usize
}

/// The register in a state; 0 for one beyond its end.
fn get(state: &[u8; STATE_BYTES], register: Register) -> u32 {
    state
        .get(position(register)..)
        .and_then(|rest| rest.first_chunk())
        .map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

fn put(state: &mut [u8; STATE_BYTES], register: Register, value: u32) {
    if let Some(bytes) = state
        .get_mut(position(register)..)
        .and_then(|rest| rest.first_chunk_mut())
    {
        *bytes = value.to_le_bytes();
    }
}
