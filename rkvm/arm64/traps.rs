// SPDX-License-Identifier: GPL-2.0

//! What a guest may do by itself, and what traps to EL2; and the host's values of the same registers.
//!
//! Two guards lie inside each other. [`Stage2`] is what does not disturb the host's own work: stage 2, identity,
//! traps of debug registers. [`InGuestWorld`] is what does: with HCR_EL2.TGE clear the kernel can neither reach user
//! memory nor flush its own translations, so that all exceptions are masked in it.
//!
//! Source: Arm ARM (DDI 0487), D24.2 "HCR_EL2", "MDCR_EL2", "CPTR_EL2", "HSTR_EL2".

use crate::{
    arm64::registers::*,
    host::{
        arm64::{
            exceptions,
            world_switch::{self, MonitorRights},
        },
        cpu::{IrqOff, PreemptOff},
    },
};

/// Bits of HCR_EL2.
pub mod hcr {
    /// Stage 2 translates.
    pub const VM: u64 = 1 << 0;
    /// Invalidating by set and way also cleans.
    pub const SWIO: u64 = 1 << 1;
    /// A table walk that stage 2 maps to device memory faults.
    pub const PTW: u64 = 1 << 2;
    /// Physical FIQs go to EL2.
    pub const FMO: u64 = 1 << 3;
    /// Physical IRQs go to EL2.
    pub const IMO: u64 = 1 << 4;
    /// Physical SErrors go to EL2.
    pub const AMO: u64 = 1 << 5;
    /// A virtual FIQ is pending.
    pub const VF: u64 = 1 << 6;
    /// A virtual IRQ is pending.
    pub const VI: u64 = 1 << 7;
    /// A virtual SError is pending; the processor clears it when the guest takes it.
    pub const VSE: u64 = 1 << 8;
    /// Maintenance of this CPU alone reaches all of them: a guest may have moved.
    pub const FB: u64 = 1 << 9;
    /// Barriers reach the inner shareable domain at least.
    pub const BSU_INNER: u64 = 1 << 10;
    /// WFI traps.
    pub const TWI: u64 = 1 << 13;
    /// WFE traps.
    pub const TWE: u64 = 1 << 14;
    /// AIDR_EL1, REVIDR_EL1 and SMIDR_EL1 trap.
    pub const TID1: u64 = 1 << 16;
    /// Cache identification registers trap.
    pub const TID2: u64 = 1 << 17;
    /// Identification registers trap.
    pub const TID3: u64 = 1 << 18;
    /// SMC traps.
    pub const TSC: u64 = 1 << 19;
    /// Implementation defined registers trap.
    pub const TIDCP: u64 = 1 << 20;
    /// ACTLR_EL1 traps.
    pub const TACR: u64 = 1 << 21;
    /// Cache maintenance by set and way traps.
    pub const TSW: u64 = 1 << 22;
    /// Writes to registers that control virtual memory trap.
    pub const TVM: u64 = 1 << 26;
    /// EL1 is AArch64.
    pub const RW: u64 = 1 << 31;
    /// The host is at EL2.
    pub const E2H: u64 = 1 << 34;
    /// LORegion registers trap.
    pub const TLOR: u64 = 1 << 35;
    /// Error record registers trap.
    pub const TERR: u64 = 1 << 36;
    /// Synchronous external aborts go to EL2.
    pub const TEA: u64 = 1 << 37;

    /// Keys of pointer authentication do not trap.
    pub const APK: u64 = 1 << 40;
    /// Instructions of pointer authentication do not trap.
    pub const API: u64 = 1 << 41;
    /// Stage 2 decides how memory is cached.
    pub const FWB: u64 = 1 << 46;
    /// Cache identification registers but CTR_EL0 trap.
    pub const TID4: u64 = 1 << 49;
    /// GMID_EL1, of memory tags, traps.
    pub const TID5: u64 = 1 << 58;

    /// What every guest runs with.
    pub const GUEST: u64 = VM
        | SWIO
        | PTW
        | FMO
        | IMO
        | AMO
        | FB
        | BSU_INNER
        | TWI
        | TWE
        | TID1
        | TID2
        | TID3
        | TSC
        | TIDCP
        | TACR
        | TSW
        | RW
        | E2H
        | TLOR
        | TERR
        | TEA
        | TID5;
}

/// Bits of CPTR_EL2 with HCR_EL2.E2H set, the layout of CPACR_EL1.
mod cptr {
    /// SVE does not trap, at EL1 and EL0.
    pub(super) const ZEN: u64 = 0b11 << 16;
    /// The floating point unit does not trap, at EL1 and EL0.
    pub(super) const FPEN: u64 = 0b11 << 20;
    /// Trace registers trap.
    pub(super) const TTA: u64 = 1 << 28;
    /// Activity monitors trap.
    pub(super) const TAM: u64 = 1 << 30;
}

/// Bits of MDCR_EL2.
pub mod mdcr {
    /// How many counters guests could have: the host's.
    pub(super) const HPMN: u64 = 0x1f;
    /// PMCR_EL0 traps.
    pub(super) const TPMCR: u64 = 1 << 5;
    /// Performance counters trap.
    pub(super) const TPM: u64 = 1 << 6;
    /// Debug exceptions go to EL2.
    pub const TDE: u64 = 1 << 8;
    /// Debug registers trap.
    pub(super) const TDA: u64 = 1 << 9;
    /// OS lock and power-down registers trap.
    pub(super) const TDOSA: u64 = 1 << 10;
    /// Debug ROM registers trap.
    pub(super) const TDRA: u64 = 1 << 11;
    /// Statistical profiling traps.
    pub(super) const TPMS: u64 = 1 << 14;
    /// Trace filter registers trap.
    pub(super) const TTRF: u64 = 1 << 19;

    /// What traps in every guest.
    pub(super) const GUEST: u64 = TPMCR | TPM | TDA | TDOSA | TDRA | TPMS | TTRF;
}

/// HSTR_EL2.T15: coprocessor registers with CRn 15, which are implementation defined, trap in AArch32.
const HSTR_T15: u64 = 1 << 15;

/// What stage 2 translates by, and who the guest takes itself for.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// VTCR_EL2.
    pub vtcr: u64,
    /// VTTBR_EL2.
    pub vttbr: u64,
    /// MIDR_EL1.
    pub midr: u64,
    /// MPIDR_EL1.
    pub mpidr: u64,
}

/// Stage 2 and traps that the host does not notice.
pub struct Stage2 {
    host_mdcr: u64,
}

impl Stage2 {
    /// Sets them up on this CPU.
    pub fn enter(here: &PreemptOff, identity: &Identity) -> Self {
        let host_mdcr = MdcrEl2::read();
        VtcrEl2::write(here, identity.vtcr);
        VttbrEl2::write(here, identity.vttbr);
        VpidrEl2::write(here, identity.midr);
        VmpidrEl2::write(here, identity.mpidr);
        MdcrEl2::write(here, host_mdcr & mdcr::HPMN | mdcr::GUEST);
        HstrEl2::write(here, HSTR_T15);
        Self { host_mdcr }
    }

    /// Puts the host's values back. The host has no stage 2.
    pub fn leave(self, here: &PreemptOff) {
        VttbrEl2::write(here, 0);
        MdcrEl2::write(here, self.host_mdcr);
        HstrEl2::write(here, 0);
    }
}

/// Whose the floating point unit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FloatingPoint {
    /// The guest's, which has no SVE.
    Guest,
    /// The guest's, which has.
    GuestWithSve,
    /// The host's; the guest traps.
    Host,
}

/// The proof that EL1 and EL0 are the guest's: HCR_EL2.TGE is clear, and all exceptions are masked.
pub struct InGuestWorld<'a> {
    here: &'a PreemptOff,
    host_hcr: u64,
    host_cptr: u64,
    rights: MonitorRights,
}

impl<'a> InGuestWorld<'a> {
    /// Gives EL1 and EL0 to the guest, whose HCR_EL2 is `hcr`.
    #[inline]
    pub fn enter(
        here: &'a PreemptOff,
        irq_off: &IrqOff<'_>,
        hcr: u64,
        floating_point: FloatingPoint,
    ) -> Self {
        exceptions::mask(irq_off);
        let world = Self {
            here,
            host_hcr: HcrEl2::read(),
            host_cptr: CptrEl2::read(),
            rights: world_switch::monitors_enter(here),
        };
        let enabled = match floating_point {
            FloatingPoint::Guest => cptr::FPEN,
            FloatingPoint::GuestWithSve => cptr::FPEN | cptr::ZEN,
            FloatingPoint::Host => 0,
        };
        world_switch::mpam_enter(here);
        CptrEl2::write(here, enabled | cptr::TTA | cptr::TAM);
        world_switch::write_hcr(here, hcr);
        isb();
        world
    }

    /// Where it is.
    pub fn here(&self) -> &PreemptOff {
        self.here
    }

    /// Changes the guest's HCR_EL2, of which `hcr` is the copy in memory. It is read from the processor first, which
    /// clears VSE when the guest takes its SError: what is in memory may be older.
    pub fn change_hcr(&self, hcr: &mut u64, change: impl FnOnce(u64) -> u64) {
        *hcr = change(HcrEl2::read());
        world_switch::write_hcr(self.here, *hcr);
        isb();
    }

    /// Takes EL1 and EL0 back. The guest's HCR_EL2, where the processor may have cleared VSE.
    #[inline]
    pub fn leave(self, irq_off: &IrqOff<'_>) -> u64 {
        let hcr = HcrEl2::read();
        world_switch::write_hcr(self.here, self.host_hcr);
        CptrEl2::write(self.here, self.host_cptr);
        world_switch::mpam_leave(self.here);
        world_switch::monitors_leave(self.here, self.rights);
        isb();
        exceptions::unmask(irq_off);
        hcr
    }
}
