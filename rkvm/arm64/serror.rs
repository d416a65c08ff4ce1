// SPDX-License-Identifier: GPL-2.0

//! SErrors that come while a guest runs: whom they concern.
//!
//! Source: Arm ARM (DDI 0487), D24.2.45 "ISS encoding for an SError exception", D24.5.1 "DISR_EL1".

use crate::arm64::exit::Syndrome;

/// IDS: the syndrome is the processor maker's own.
const OWN: u64 = 1 << 24;
/// AET: how bad it is.
const SEVERITY_SHIFT: u32 = 10;
const SEVERITY: u64 = 0b111 << SEVERITY_SHIFT;
/// Restartable: nothing has been consumed.
const RESTARTABLE: u64 = 0b010 << SEVERITY_SHIFT;
const CORRECTED: u64 = 0b110 << SEVERITY_SHIFT;
const UNRECOVERABLE: u64 = 0b001 << SEVERITY_SHIFT;
const RECOVERABLE: u64 = 0b011 << SEVERITY_SHIFT;
/// DFSC, which has to say "asynchronous SError" for AET to mean anything.
const STATUS: u64 = 0x3f;
const ASYNCHRONOUS: u64 = 0x11;
/// EA of DISR_EL1 and ESR_EL2.
const EXTERNAL: u64 = 1 << 9;

/// A syndrome that the processor's maker defines: what a guest gets where none is given.
pub const ISS_OWN: u64 = OWN;

/// What an SError comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing: all can go on.
    Harmless,
    /// The guest cannot go on as if nothing had been.
    Guest,
    /// Wrong data may be anywhere: the machine cannot go on.
    Uncontained,
}

/// Whether processors tell of errors by the RAS extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ras {
    /// They do.
    Present,
    /// They do not.
    Absent,
}

/// Judges an SError by the syndrome that it has left the guest with.
pub fn judge(syndrome: Syndrome, ras: Ras) -> Outcome {
    let raw = syndrome.raw();
    if ras == Ras::Absent || raw & OWN != 0 {
        return Outcome::Guest;
    }
    if raw & STATUS != ASYNCHRONOUS {
        return Outcome::Uncontained;
    }
    match raw & SEVERITY {
        RESTARTABLE | CORRECTED => Outcome::Harmless,
        UNRECOVERABLE | RECOVERABLE => Outcome::Guest,
        _ => Outcome::Uncontained,
    }
}

/// The syndrome of an SError that an ESB instruction has put into DISR_EL1.
pub const fn deferred(disr: u64) -> Syndrome {
    if disr & OWN != 0 {
        Syndrome::new(disr & Syndrome::ISS)
    } else {
        Syndrome::new(disr & (SEVERITY | EXTERNAL | STATUS))
    }
}
