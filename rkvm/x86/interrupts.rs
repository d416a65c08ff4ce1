// SPDX-License-Identifier: GPL-2.0

//! The interrupt controllers of a VM outside of its vCPUs, and the way of an interrupt through them.
//!
//! ```text
//!  KVM_IRQ_LINE, irqfd ──gsi──▶ routes ──pin──▶ 8259s ──────────ExtINT─▶ LINT0 of a vCPU
//!  8254 ──────────────gsi 0──▶   │ └───pin──▶ I/O APIC ──message─┐
//!  KVM_SIGNAL_MSI, MSI routes ───┴───────────────────────message─┴▶ targets ▶ inboxes of vCPUs
//! ```
//!
//! Lock order: an eventfd's wait queue, the chips, the list of targets. Nothing here sleeps, since eventfds
//! call from their wake-up path; what may call an eventfd back is done after the chips are unlocked.

mod chips;
mod ioctl;
mod settings;

pub use ioctl::{enable_split, has_ioctl, serve};
pub use settings::{Kind, Settings, BUS_CYCLE_NS, X2APIC_API};

use crate::{
    host::{clock, irq_lock::IrqLock, x86::timer::Expire},
    irqfd::{IrqSink, Resamplers},
    types::Gpa,
    x86::{
        line::{Level, LineOutcome, Source},
        message::{Message, Trigger},
        routing::Routes,
        target::Targets,
    },
};
use chips::{Acknowledged, Chips};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use kernel::{prelude::*, static_lock_class, sync::Arc};

/// The interrupt controllers of a VM outside of its vCPUs.
#[pin_data]
pub struct Interrupts {
    settings: Settings,
    #[pin]
    targets: Targets,
    #[pin]
    chips: IrqLock<Chips>,
    /// Those who hear of acknowledged interrupts.
    #[pin]
    resamplers: Resamplers,
    /// The 8259s ask for an interrupt. Changed with the chips locked.
    extint: AtomicBool,
    /// The vectors whose end somebody outside of the local APICs waits for. Changed with the chips locked.
    eoi_vectors: [AtomicU64; 4],
    /// Counts changes of `eoi_vectors`. Changed with the chips locked.
    eoi_generation: AtomicU64,
}

/// The GSI of every interrupt of the 8254.
const PIT_GSI: u32 = crate::x86::pit::GSI;

impl Interrupts {
    /// No chips: those are the VMM's, until it says otherwise. `ENOMEM`.
    pub fn new() -> Result<Arc<Self>> {
        let none = Chips::none()?;
        Arc::pin_init(
            pin_init!(Self {
                settings: Settings::new(),
                targets <- Targets::new(),
                chips <- IrqLock::new(none, static_lock_class!()),
                resamplers <- Resamplers::new(),
                extint: AtomicBool::new(false),
                eoi_vectors: Default::default(),
                eoi_generation: AtomicU64::new(0),
            }),
            GFP_KERNEL_ACCOUNT,
        )
    }

    /// What the VMM has chosen.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Which controllers are in the kernel.
    #[inline]
    pub fn kind(&self) -> Kind {
        self.settings.kind()
    }

    /// The vCPUs.
    pub fn targets(&self) -> &Targets {
        &self.targets
    }

    /// Does something to the chips, and what follows from it.
    fn with_chips<T>(&self, change: impl FnOnce(&mut Chips, &mut Wires<'_>) -> T) -> T {
        let mut wires = Wires {
            interrupts: self,
            acknowledged: Acknowledged::default(),
        };
        let result = {
            let mut chips = self.chips.lock();
            let result = change(&mut chips, &mut wires);
            let extint = chips.has_extint();
            if self.extint.swap(extint, Ordering::SeqCst) != extint && extint {
                self.targets.rouse_for_extint();
            }
            if chips.take_vectors_changed() {
                self.publish_eoi_vectors(chips.eoi_vectors(&self.settings).words());
            }
            result
        };
        if !wires.acknowledged.is_empty() && !self.resamplers.is_empty() {
            self.resample(&wires.acknowledged);
        }
        result
    }

    /// Says whose end somebody waits for. vCPUs that run with other vectors in their VMCS take up these ones. Pins that
    /// are not set up have vector 0, which no local APIC delivers, and which a processor takes for the one in service
    /// when there is none.
    fn publish_eoi_vectors(&self, mut vectors: [u64; 4]) {
        const OF_EXCEPTIONS: u64 = 0xffff;
        vectors[0] &= !OF_EXCEPTIONS;
        let mut same = true;
        for (word, value) in self.eoi_vectors.iter().zip(vectors) {
            same &= word.swap(value, Ordering::SeqCst) == value;
        }
        if !same {
            self.eoi_generation.fetch_add(1, Ordering::SeqCst);
            self.targets.rouse_all();
        }
    }

    /// Tells those who wait for it that interrupts were acknowledged.
    #[cold]
    fn resample(&self, acknowledged: &Acknowledged) {
        for (chip, pin) in acknowledged.pins() {
            let gsi = self.chips.lock().routes().gsi_of(chip, pin);
            if let Some(gsi) = gsi {
                self.resamplers.acknowledged(gsi);
            }
        }
    }

    /// Changes what `source` does to the line of `gsi`.
    pub fn set_line(&self, gsi: u32, source: Source, level: Level) -> LineOutcome {
        self.with_chips(|chips, wires| chips.set_line(gsi, source, level, wires))
    }

    /// Raises the line of `gsi` and lets it go.
    fn pulse_line(&self, gsi: u32) {
        self.with_chips(|chips, wires| {
            chips.set_line(gsi, Source::User, Level::High, wires);
            chips.set_line(gsi, Source::User, Level::Low, wires);
        });
    }

    /// Delivers a message-signalled interrupt.
    pub fn send_msi(&self, address: u64, data: u32) -> LineOutcome {
        self.targets.send(&self.settings.msi(address, data))
    }

    /// Whether the 8259s ask for an interrupt.
    #[inline(always)]
    pub fn has_extint(&self) -> bool {
        self.extint.load(Ordering::SeqCst)
    }

    /// A processor takes the interrupt of the 8259s: its vector. `None` if another one was faster.
    pub fn acknowledge_extint(&self) -> Option<u8> {
        self.with_chips(|chips, wires| chips.acknowledge_extint(wires))
    }

    /// Whether somebody outside of the local APICs waits for the end of this vector's interrupt.
    #[inline]
    pub fn awaits_eoi(&self, vector: u8) -> bool {
        let word = &self.eoi_vectors[usize::from(vector / 64) % self.eoi_vectors.len()];
        word.load(Ordering::Relaxed) & 1 << (vector % 64) != 0
    }

    /// The vectors whose end somebody waits for.
    pub fn eoi_vectors(&self) -> [u64; 4] {
        self.eoi_vectors
            .each_ref()
            .map(|word| word.load(Ordering::Relaxed))
    }

    /// Steps when [`Interrupts::eoi_vectors`] change.
    #[inline]
    pub fn eoi_generation(&self) -> u64 {
        self.eoi_generation.load(Ordering::SeqCst)
    }

    /// A local APIC has ended the interrupt of a vector that [`Interrupts::awaits_eoi`].
    pub fn end(&self, vector: u8, trigger: Trigger) {
        self.with_chips(|chips, wires| chips.end(vector, trigger, wires));
    }

    /// Whether the chips are at `port`, and what they answer.
    pub fn port_read(&self, port: u16, data: &mut [u8]) -> bool {
        self.kind() == Kind::Full
            && Chips::claims(port)
            && self.with_chips(|chips, wires| chips.port_read(port, data, clock::now, wires))
    }

    /// Whether the chips are at `port` and take the write. `start` sets the timer of the 8254.
    pub fn port_write(&self, port: u16, data: &[u8], start: impl FnOnce(u64)) -> bool {
        self.kind() == Kind::Full
            && Chips::claims(port)
            && self
                .with_chips(|chips, wires| chips.port_write(port, data, clock::now, start, wires))
    }

    /// Whether the I/O APIC is at this address, and what it answers.
    pub fn mmio_read(&self, gpa: Gpa, data: &mut [u8]) -> bool {
        self.kind() == Kind::Full && self.with_chips(|chips, _| chips.mmio_read(gpa, data))
    }

    /// Whether the I/O APIC is at this address and takes the write.
    pub fn mmio_write(&self, gpa: Gpa, data: &[u8]) -> bool {
        self.kind() == Kind::Full
            && self.with_chips(|chips, wires| chips.mmio_write(gpa, data, wires))
    }
}

/// What the chips' outputs are connected to.
struct Wires<'a> {
    interrupts: &'a Interrupts,
    /// Pins whose interrupts were acknowledged.
    acknowledged: Acknowledged,
}

impl Wires<'_> {
    fn send(&self, message: &Message) -> LineOutcome {
        self.interrupts.targets.send(message)
    }

    fn settings(&self) -> &Settings {
        &self.interrupts.settings
    }
}

impl Expire for Interrupts {
    fn expire(&self, start: impl FnOnce(u64)) {
        self.with_chips(|chips, wires| chips.tick(clock::now(), start, wires));
    }
}

impl IrqSink for Interrupts {
    fn pulse(&self, gsi: u32) {
        self.pulse_line(gsi);
    }

    fn assert_resample(&self, gsi: u32) {
        self.set_line(gsi, Source::Resample, Level::High);
    }

    fn deassert_resample(&self, gsi: u32) {
        self.set_line(gsi, Source::Resample, Level::Low);
    }

    fn resamplers(&self) -> &Resamplers {
        &self.resamplers
    }
}

impl Interrupts {
    /// Replaces the routes; the old ones are freed after the chips are unlocked.
    fn set_routes(&self, routes: Routes) -> Result {
        let routes = KBox::new(routes, GFP_KERNEL_ACCOUNT)?;
        let old = self.with_chips(|chips, _| chips.set_routes(routes));
        drop(old);
        Ok(())
    }
}
