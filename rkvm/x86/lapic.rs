// SPDX-License-Identifier: GPL-2.0

//! The local APIC of a vCPU (Intel SDM volume 3, chapter 12).
//!
//! A [`Lapic`] is private to its vCPU's thread. It calls nobody: what an operation means for others comes back as an
//! [`Effect`], and time comes in as a [`Clock`]. What is not register contents (highest vectors, when the timer is
//! due) is kept beside the page, for the look before each entry; a processor that virtualizes the APIC changes
//! the page alone, and [`Lapic::after_guest`] catches up with it.

mod access;
mod lvt;
mod register;
mod state;
mod timer;

pub use access::Gp;
pub use register::{Access, Register, RegisterPage, VectorSet, FIRST_MSR, LAST_MSR};
pub use state::{IdFormat, STATE_BYTES};
pub use timer::{Clock, TimerMode};

use crate::types::Gpa;
use crate::x86::message::{x2apic_logical_id, ApicMode, Identity, Message, Model, Trigger};
use crate::x86::msr::{Initiator, Role};
use kernel::alloc::AllocError;
use kernel::prelude::*;
use timer::Timer;

/// IA32_APIC_BASE after power-up, but for the flag of the bootstrap processor.
const BASE_RESET: u64 = 0xfee0_0000 | BASE_ENABLE;
const BASE_BOOTSTRAP: u64 = 1 << 8;
const BASE_X2APIC: u64 = 1 << 10;
const BASE_ENABLE: u64 = 1 << 11;
const BASE_ADDRESS: u64 = !0xfff;
/// Bits 7:0 and 9.
const BASE_RESERVED: u64 = 0x2ff;

/// An integrated APIC of the Pentium 4 and later.
const VERSION: u32 = 0x14;
const VERSION_MAX_LVT_SHIFT: u32 = 16;
/// EOI broadcasts can be suppressed.
const VERSION_DIRECTED_EOI: u32 = 1 << 24;

/// The id in the registers of xAPIC mode, and the logical id.
const XAPIC_ID_SHIFT: u32 = 24;

const SVR_RESET: u32 = 0xff;
const SVR_ENABLED: u32 = 1 << 8;
/// Vector, enabled, focus checking off.
const SVR_WRITABLE: u32 = 0x3ff;
const SVR_NO_EOI_BROADCAST: u32 = 1 << 12;

const DFR_RESET: u32 = 0xffff_ffff;

/// The part of a vector and of a priority that is compared.
const CLASS: u8 = 0xf0;
/// Vectors below belong to exceptions; no APIC delivers them.
const FIRST_VECTOR: u8 = 16;
/// How CR8 is found in the TPR.
const CR8_SHIFT: u32 = 4;

/// Errors (SDM figure 12-9).
mod error {
    /// An IPI with a vector below 16.
    pub const SEND_ILLEGAL_VECTOR: u32 = 1 << 5;
    /// A request for a vector below 16.
    pub const RECEIVE_ILLEGAL_VECTOR: u32 = 1 << 6;
    /// A register that there is not, in xAPIC mode.
    pub const ILLEGAL_REGISTER: u32 = 1 << 7;
}

/// Whether the guest can keep its EOIs from the I/O APICs (SVR bit 12, "directed EOI").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectedEoi {
    /// It cannot, and is told so.
    Absent,
    /// It can.
    Offered,
    /// It is told that it can, but EOIs are broadcast all the same: KVM's default where the VMM has the I/O APIC.
    Ignored,
}

/// What LINT0 of the bootstrap processor is after a reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lint0Reset {
    /// Masked, as the manual says.
    Masked,
    /// It takes the interrupts of an external controller (KVM_X86_QUIRK_LINT0_REENABLED, on by default).
    ExtInt,
}

/// What kind of APIC it is; some of it follows from the guest's CPUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Which processor it belongs to.
    pub role: Role,
    /// LINT0 after a reset.
    pub lint0: Lint0Reset,
    /// Directed EOI.
    pub directed_eoi: DirectedEoi,
    /// Whether the timer can work by the TSC.
    pub tsc_deadline: bool,
    /// Whether there is an LVT entry for corrected machine checks.
    pub cmci: bool,
    /// A cycle of the timer's bus, in nanoseconds; KVM's has 1.
    pub bus_cycle_ns: u32,
}

/// How an APIC is reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// Everything.
    PowerUp,
    /// By INIT: the id and the mode stay.
    Init,
}

/// An interrupt whose handler has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Eoi {
    /// Its vector.
    pub vector: u8,
    /// How it was triggered.
    pub trigger: Trigger,
}

/// What an operation means for others.
#[must_use]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    /// Send it; it may be for this very APIC.
    pub message: Option<Message>,
    /// Tell the I/O APICs.
    pub eoi: Option<Eoi>,
    /// [`Lapic::deadline`] may have changed.
    pub timer: bool,
    /// [`Lapic::identity`] or [`Lapic::lint0_takes_extint`] may have changed.
    pub identity: bool,
}

impl Effect {
    /// Nothing.
    pub const NONE: Self = Self {
        message: None,
        eoi: None,
        timer: false,
        identity: false,
    };
    const TIMER: Self = Self {
        timer: true,
        ..Self::NONE
    };
    const IDENTITY: Self = Self {
        identity: true,
        ..Self::NONE
    };
}

/// A local APIC.
#[derive(Debug)]
pub struct Lapic {
    page: KBox<RegisterPage>,
    id: u32,
    base: u64,
    config: Config,
    timer: Timer,
    /// The highest vectors in IRR and ISR.
    requested: Option<u8>,
    in_service: Option<u8>,
    /// As in the page.
    priority: u8,
    /// Errors since the last write to the ESR.
    errors: u32,
}

impl Lapic {
    /// The APIC of the vCPU with x2APIC id `id`, after power-up.
    ///
    /// # Errors
    /// When memory is short.
    pub fn new(id: u32, config: Config) -> Result<Self, AllocError> {
        let mut lapic = Self {
            page: KBox::new(RegisterPage::zeroed(), GFP_KERNEL_ACCOUNT)?,
            id,
            base: 0,
            config,
            timer: Timer::new(config.bus_cycle_ns),
            requested: None,
            in_service: None,
            priority: 0,
            errors: 0,
        };
        lapic.reset(Reset::PowerUp);
        Ok(lapic)
    }

    /// Changes what kind of APIC it is: the guest's CPUID has changed, say. The version register follows; an LVT entry
    /// that is new is masked.
    pub fn configure(&mut self, config: Config) {
        if config.cmci && !self.config.cmci {
            self.page.set(Register::LVT_CMCI, lvt::MASKED);
        }
        self.config = config;
        self.set_version();
    }

    /// Resets it (SDM 12.4.7.1, 12.4.7.3; 12.12.5.1 for x2APIC mode). Identity and deadline may have changed.
    pub fn reset(&mut self, reset: Reset) {
        if reset == Reset::PowerUp {
            let role = match self.config.role {
                Role::Bootstrap => BASE_BOOTSTRAP,
                Role::Application => 0,
            };
            self.base = BASE_RESET | role;
            self.set_xapic_id();
        }
        self.set_version();
        for entry in lvt::ENTRIES {
            self.page.set(entry, lvt::MASKED);
        }
        if !self.config.cmci {
            self.page.set(Register::LVT_CMCI, 0);
        }
        if (self.config.role, self.config.lint0) == (Role::Bootstrap, Lint0Reset::ExtInt) {
            self.page.set(Register::LVT_LINT0, lvt::EXT_INT);
        }
        self.page.set(Register::DFR, DFR_RESET);
        self.page.set(Register::SVR, SVR_RESET);
        if self.mode() != ApicMode::X2Apic {
            self.page.set(Register::LDR, 0);
            self.page.set(Register::ICR_HIGH, 0);
        }
        self.page.set_wide(Register::ICR, 0);
        for register in [
            Register::TPR,
            Register::ESR,
            Register::INITIAL_COUNT,
            Register::DIVIDE,
        ] {
            self.page.set(register, 0);
        }
        for set in [VectorSet::Requested, VectorSet::InService, VectorSet::Level] {
            self.page.clear(set);
        }
        self.errors = 0;
        self.timer = Timer::new(self.config.bus_cycle_ns);
        self.after_guest();
    }

    /// The x2APIC id, which is the vCPU's for good.
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// The registers, for a processor that works on them while the vCPU runs.
    pub fn page(&self) -> &KBox<RegisterPage> {
        &self.page
    }

    fn set_version(&mut self) {
        let entries = match self.config.cmci {
            true => lvt::ENTRIES.len(),
            false => lvt::ENTRIES.len() - 1,
        };
        let directed = match self.config.directed_eoi {
            DirectedEoi::Absent => 0,
            DirectedEoi::Offered | DirectedEoi::Ignored => VERSION_DIRECTED_EOI,
        };
        let max_lvt = (entries as u32 - 1) << VERSION_MAX_LVT_SHIFT;
        self.page
            .set(Register::VERSION, VERSION | max_lvt | directed);
    }

    /// The low 8 bits of the id, as it is after a reset.
    fn set_xapic_id(&mut self) {
        self.page.set(Register::ID, self.id << XAPIC_ID_SHIFT);
    }

    fn set_x2apic_id(&mut self) {
        self.page.set(Register::ID, self.id);
        self.page.set(Register::LDR, x2apic_logical_id(self.id));
    }
}

/// Modes and identity.
impl Lapic {
    /// IA32_APIC_BASE.
    pub const fn base(&self) -> u64 {
        self.base
    }

    /// Where the registers are in xAPIC mode.
    pub const fn address(&self) -> Gpa {
        Gpa::new(self.base & BASE_ADDRESS)
    }

    /// The mode.
    pub const fn mode(&self) -> ApicMode {
        mode_of(self.base)
    }

    /// Writes IA32_APIC_BASE. `reserved` are the bits that this processor reserves beyond what all do: those of
    /// addresses that are too large, and bit 10 without x2APIC. A VMM may change between any two modes, a guest
    /// as SDM figure 12-27 says.
    ///
    /// # Errors
    /// [`Gp`] for a reserved bit, x2APIC mode without the enable bit, and a change of mode that is not allowed.
    pub fn set_base(
        &mut self,
        value: u64,
        reserved: u64,
        initiator: Initiator,
    ) -> Result<Effect, Gp> {
        if value == self.base {
            return Ok(Effect::NONE);
        }
        let (old, new) = (self.mode(), mode_of(value));
        let legal = match (old, new) {
            (ApicMode::X2Apic, ApicMode::XApic) | (ApicMode::Disabled, ApicMode::X2Apic) => {
                initiator == Initiator::Vmm
            }
            _ => true,
        };
        let disabled_x2apic = value & (BASE_X2APIC | BASE_ENABLE) == BASE_X2APIC;
        if value & (reserved | BASE_RESERVED) != 0 || disabled_x2apic || !legal {
            return Err(Gp);
        }
        self.base = value;
        if old != new {
            match new {
                ApicMode::Disabled => {}
                ApicMode::XApic => self.set_xapic_id(),
                ApicMode::X2Apic => self.set_x2apic_id(),
            }
        }
        Ok(Effect {
            timer: true,
            ..Effect::IDENTITY
        })
    }

    /// What messages are matched with.
    pub fn identity(&self) -> Identity {
        let identity = match self.mode() {
            ApicMode::Disabled => return Identity::disabled(self.id),
            ApicMode::X2Apic => Identity::x2apic(self.id),
            ApicMode::XApic => Identity::xapic(
                self.id,
                (self.page.get(Register::ID) >> XAPIC_ID_SHIFT) as u8,
                (self.page.get(Register::LDR) >> XAPIC_ID_SHIFT) as u8,
                Model::from_register(self.page.get(Register::DFR)),
            ),
        };
        match self.is_software_enabled() {
            true => identity.enabled(),
            false => identity,
        }
    }

    fn is_software_enabled(&self) -> bool {
        self.page.get(Register::SVR) & SVR_ENABLED != 0
    }
}

const fn mode_of(base: u64) -> ApicMode {
    match (base & BASE_ENABLE, base & BASE_X2APIC) {
        (0, _) => ApicMode::Disabled,
        (_, 0) => ApicMode::XApic,
        _ => ApicMode::X2Apic,
    }
}

/// Interrupts.
impl Lapic {
    /// Requests an interrupt; an APIC that is disabled drops it.
    pub fn accept(&mut self, vector: u8, trigger: Trigger) {
        if self.mode() == ApicMode::Disabled || !self.is_software_enabled() {
            return;
        }
        if vector < FIRST_VECTOR {
            self.report(error::RECEIVE_ILLEGAL_VECTOR);
            return;
        }
        match trigger {
            Trigger::Edge => self.page.remove(VectorSet::Level, vector),
            Trigger::Level => self.page.insert(VectorSet::Level, vector),
        }
        self.page.insert(VectorSet::Requested, vector);
        self.requested = self.requested.max(Some(vector));
    }

    /// The interrupt that the processor can take now: the highest that is requested, if its class is above the
    /// processor priority.
    pub fn highest(&self) -> Option<u8> {
        let above = |vector: &u8| vector & CLASS > self.priority & CLASS;
        self.requested
            .filter(above)
            .filter(|_| self.mode() != ApicMode::Disabled)
    }

    /// The processor takes the interrupt that [`Self::highest`] names: it is in service now.
    pub fn acknowledge(&mut self) -> Option<u8> {
        let vector = self.highest()?;
        self.page.remove(VectorSet::Requested, vector);
        self.requested = self.page.highest_up_to(VectorSet::Requested, vector);
        self.page.insert(VectorSet::InService, vector);
        self.in_service = Some(vector);
        self.update_priority();
        Some(vector)
    }

    /// The interrupt in service was not delivered: it is requested again. Whether there was one.
    pub fn undo_delivery(&mut self) -> bool {
        let Some(vector) = self.in_service else {
            return false;
        };
        self.page.remove(VectorSet::InService, vector);
        self.in_service = self.page.highest_up_to(VectorSet::InService, vector);
        self.page.insert(VectorSet::Requested, vector);
        self.requested = self.requested.max(Some(vector));
        self.update_priority();
        true
    }

    /// Ends the interrupt in service, and says what it was if the I/O APICs are to know. They are not if the guest
    /// has asked so, and there is none if the EOI was one too many.
    pub fn eoi(&mut self) -> Option<Eoi> {
        let vector = self.in_service?;
        self.page.remove(VectorSet::InService, vector);
        self.in_service = self.page.highest_up_to(VectorSet::InService, vector);
        self.update_priority();
        self.ended(vector)
    }

    /// What the I/O APICs are to know of an EOI that the processor has virtualized (SDM 31.1.4).
    pub fn ended(&self, vector: u8) -> Option<Eoi> {
        let trigger = match self.page.contains(VectorSet::Level, vector) {
            true => Trigger::Level,
            false => Trigger::Edge,
        };
        let silent = self.config.directed_eoi == DirectedEoi::Offered
            && self.page.get(Register::SVR) & SVR_NO_EOI_BROADCAST != 0;
        (!silent).then_some(Eoi { vector, trigger })
    }

    /// The highest vector requested: RVI for a processor that delivers interrupts itself.
    pub const fn highest_requested(&self) -> Option<u8> {
        self.requested
    }

    /// The highest vector in service: SVI.
    pub const fn highest_in_service(&self) -> Option<u8> {
        self.in_service
    }

    /// The vectors that were level-triggered when they were last requested.
    pub fn level_triggered(&self) -> [u64; 4] {
        self.page.bits(VectorSet::Level)
    }

    /// The task priority.
    pub fn tpr(&self) -> u8 {
        self.page.get(Register::TPR) as u8
    }

    /// Sets the task priority.
    pub fn set_tpr(&mut self, tpr: u8) {
        self.page.set(Register::TPR, u32::from(tpr));
        self.update_priority();
    }

    /// CR8, the class of the task priority.
    pub fn cr8(&self) -> u64 {
        u64::from(self.tpr() >> CR8_SHIFT)
    }

    /// Writes CR8; bits beyond 3:0, which are #GP(0) to a guest, are ignored.
    pub fn set_cr8(&mut self, value: u64) {
        self.set_tpr((value << CR8_SHIFT) as u8);
    }

    /// The processor may have changed anything in the page.
    pub fn after_guest(&mut self) {
        self.requested = self.page.highest(VectorSet::Requested);
        self.in_service = self.page.highest(VectorSet::InService);
        self.update_priority();
    }

    /// Processor priority (SDM 12.8.3.1): the task priority, or the class in service if that is higher.
    fn update_priority(&mut self) {
        let tpr = self.tpr();
        let class = self.in_service.unwrap_or(0) & CLASS;
        self.priority = match tpr & CLASS >= class {
            true => tpr,
            false => class,
        };
        self.page.set(Register::PPR, u32::from(self.priority));
    }

    /// Notes an error; the first since the last write to the ESR raises the error interrupt.
    fn report(&mut self, error: u32) {
        let first = self.errors == 0;
        self.errors |= error;
        if first {
            // An illegal vector in the LVT entry is noted as another error, which is not the first.
            self.raise(Register::LVT_ERROR);
        }
    }
}

/// The timer.
impl Lapic {
    /// When [`Self::expire`] is to be called, in ticks of the host's TSC. `None` also if it would raise no interrupt.
    pub fn deadline(&self) -> Option<u64> {
        let wanted = self.page.get(Register::LVT_TIMER) & lvt::MASKED == 0;
        self.timer
            .due()
            .filter(|_| wanted && self.mode() != ApicMode::Disabled)
    }

    /// Does what the timer does if it is due, and says whether an interrupt was raised.
    pub fn expire(&mut self, clock: &Clock) -> bool {
        self.timer.expire(clock) && self.raise(Register::LVT_TIMER)
    }

    /// IA32_TSC_DEADLINE; 0 outside of its mode.
    pub fn tsc_deadline(&mut self, clock: &Clock) -> u64 {
        if !self.has_tsc_deadline() {
            return 0;
        }
        self.expire(clock);
        self.timer.tsc_deadline()
    }

    /// Writes IA32_TSC_DEADLINE, which does nothing outside of its mode. A deadline in the past is due at once. It
    /// leaves interrupts as they are, so that what is known of them may be out of date.
    pub fn set_tsc_deadline(&mut self, deadline: u64, clock: &Clock) -> Effect {
        if !self.has_tsc_deadline() {
            return Effect::NONE;
        }
        self.timer.arm(deadline, clock);
        Effect::TIMER
    }

    /// The guest's TSC was set to something else; [`Self::deadline`] may have changed.
    pub fn tsc_changed(&mut self, clock: &Clock) {
        self.timer.tsc_changed(clock);
    }

    fn has_tsc_deadline(&self) -> bool {
        self.mode() != ApicMode::Disabled && self.timer.mode() == TimerMode::TscDeadline
    }
}
