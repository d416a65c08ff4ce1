// SPDX-License-Identifier: GPL-2.0

//! The chips of a VM, wired to each other. Everything happens under one lock, which
//! [`Interrupts`](super::Interrupts) holds.

use super::{Kind, Settings, Wires, PIT_GSI};
use crate::{
    types::Gpa,
    x86::{
        ioapic::{Ioapic, IoapicState, RedirectionEntry},
        line::{Effects, Level, LineOutcome, Pins, Source, VectorSet, Vectors},
        message::{Message, Trigger},
        pic::{Pic, PicState, Which},
        pit::{Deadline, Pit, PitState, Pulse, Reinject},
        routing::{Chip, Route, Routes},
    },
};
use kernel::prelude::*;

/// Pins whose interrupts were acknowledged.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Acknowledged {
    pics: Pins,
    ioapic: Pins,
}

impl Acknowledged {
    pub(super) fn is_empty(&self) -> bool {
        self.pics.is_empty() && self.ioapic.is_empty()
    }

    pub(super) fn pins(&self) -> impl Iterator<Item = (Chip, u8)> {
        let pics = self.pics.iter().map(|pin| (Chip::Pics, pin));
        let ioapic = self.ioapic.iter().map(|pin| (Chip::Ioapic, pin));
        Iterator::chain(pics, ioapic)
    }
}

/// What KVM_CREATE_IRQCHIP makes.
#[derive(Default)]
pub(super) struct Controllers {
    pub(super) pic: Pic,
    pub(super) ioapic: Ioapic,
}

/// What KVM_CREATE_PIT2 makes.
pub(super) struct Timer {
    pub(super) pit: Pit,
    /// Whether port 0x61 is in the kernel.
    pub(super) speaker: Speaker,
}

/// Whether the speaker's port is in the kernel (KVM_PIT_SPEAKER_DUMMY).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaker {
    Absent,
    Present,
}

/// The chips that there are.
pub(super) struct Chips {
    routes: KBox<Routes>,
    controllers: Option<KBox<Controllers>>,
    timer: Option<KBox<Timer>>,
    vectors: Vectors,
}

impl Chips {
    pub(super) fn none() -> Result<Self> {
        Ok(Self {
            routes: KBox::new(Routes::new(), GFP_KERNEL_ACCOUNT)?,
            controllers: None,
            timer: None,
            vectors: Vectors::Same,
        })
    }

    pub(super) fn routes(&self) -> &Routes {
        &self.routes
    }

    /// Returns the old ones, to be freed later.
    pub(super) fn set_routes(&mut self, routes: KBox<Routes>) -> KBox<Routes> {
        self.vectors = Vectors::Changed;
        core::mem::replace(&mut self.routes, routes)
    }

    pub(super) fn set_controllers(&mut self, controllers: KBox<Controllers>) {
        self.controllers = Some(controllers);
    }

    /// Gives the timer back if there is one already.
    pub(super) fn set_timer(&mut self, timer: KBox<Timer>) -> Option<KBox<Timer>> {
        if self.timer.is_some() {
            return Some(timer);
        }
        self.vectors = Vectors::Changed;
        self.timer = Some(timer);
        None
    }

    pub(super) fn has_extint(&self) -> bool {
        self.controllers
            .as_ref()
            .is_some_and(|controllers| controllers.pic.output())
    }

    /// Whether the set of vectors whose end matters has changed since the last call.
    pub(super) fn take_vectors_changed(&mut self) -> bool {
        core::mem::take(&mut self.vectors) == Vectors::Changed
    }

    pub(super) fn eoi_vectors(&self, settings: &Settings) -> VectorSet {
        match (&self.controllers, settings.kind()) {
            (Some(controllers), _) => controllers.ioapic.eoi_vectors(self.watched()),
            (None, Kind::Split) => self.routes.eoi_vectors(settings.split_pins()),
            (None, _) => VectorSet::default(),
        }
    }

    /// Pins of the I/O APIC whose acknowledgement the 8254 waits for.
    fn watched(&self) -> Pins {
        let mut pins = Pins::NONE;
        let timer = self.timer.as_ref();
        if timer.is_some_and(|timer| timer.pit.reinject() == Reinject::Yes) {
            if let Route::Wires(wires) = self.routes.get(PIT_GSI) {
                for (_, pin) in wires.pins().filter(|(chip, _)| *chip == Chip::Ioapic) {
                    pins.insert(pin);
                }
            }
        }
        pins
    }

    pub(super) fn set_line(
        &mut self,
        gsi: u32,
        source: Source,
        level: Level,
        wires: &mut Wires<'_>,
    ) -> LineOutcome {
        match self.routes.get(gsi) {
            Route::None => LineOutcome::Ignored,
            Route::Msi { .. } if level == Level::Low => LineOutcome::Ignored,
            Route::Msi { address, data } => wires.send(&wires.settings().msi(address, data)),
            Route::Wires(pins) => {
                let Some(controllers) = &mut self.controllers else {
                    return LineOutcome::Ignored;
                };
                let mut outcome = LineOutcome::Ignored;
                for (chip, pin) in pins.pins() {
                    outcome = outcome.and(match chip {
                        Chip::Pics => controllers.pic.set_line(pin, source, level),
                        Chip::Ioapic => {
                            let mut deliver = sender(wires);
                            controllers
                                .ioapic
                                .set_line(pin, source, level, &mut deliver)
                        }
                    });
                }
                outcome
            }
        }
    }

    pub(super) fn acknowledge_extint(&mut self, wires: &mut Wires<'_>) -> Option<u8> {
        let controllers = self.controllers.as_mut()?;
        if !controllers.pic.output() {
            return None;
        }
        let (vector, effects) = controllers.pic.acknowledge();
        self.settle(Chip::Pics, effects, wires);
        Some(vector)
    }

    pub(super) fn end(&mut self, vector: u8, trigger: Trigger, wires: &mut Wires<'_>) {
        if let Some(controllers) = &mut self.controllers {
            let effects = controllers.ioapic.eoi(vector, trigger, &mut sender(wires));
            self.settle(Chip::Ioapic, effects, wires);
        }
    }

    /// Sees to what an access to a chip has led to.
    fn settle(&mut self, chip: Chip, effects: Effects, wires: &mut Wires<'_>) {
        if effects.vectors == Vectors::Changed {
            self.vectors = Vectors::Changed;
        }
        match chip {
            Chip::Pics => wires.acknowledged.pics.extend(effects.acknowledged),
            Chip::Ioapic => wires.acknowledged.ioapic.extend(effects.acknowledged),
        }
        let Some(timer) = &mut self.timer else {
            return;
        };
        let routes = &self.routes;
        let concerns_timer = |pins: Pins| {
            pins.iter()
                .any(|pin| routes.gsi_of(chip, pin) == Some(PIT_GSI))
        };
        if concerns_timer(effects.unmasked) {
            timer.pit.unmasked();
        }
        if concerns_timer(effects.acknowledged) && timer.pit.acknowledged() == Pulse::Now {
            self.pulse_timer(wires);
        }
    }

    fn pulse_timer(&mut self, wires: &mut Wires<'_>) {
        self.set_line(PIT_GSI, Source::Pit, Level::High, wires);
        self.set_line(PIT_GSI, Source::Pit, Level::Low, wires);
    }

    /// The time of the 8254 has come.
    pub(super) fn tick(&mut self, now: u64, start: impl FnOnce(u64), wires: &mut Wires<'_>) {
        let Some(timer) = &mut self.timer else {
            return;
        };
        let pulse = timer.pit.expire(now);
        if let Some(at) = timer.pit.deadline() {
            start(at);
        }
        if pulse == Pulse::Now {
            self.pulse_timer(wires);
        }
    }

    /// Whether a chip may be at `port`.
    pub(super) fn claims(port: u16) -> bool {
        Pic::claims(port, 1) || Pit::claims(port, 1) || Pit::claims_speaker(port, 1)
    }

    fn timer_at(&mut self, port: u16, size: usize) -> Option<&mut Pit> {
        let timer = self.timer.as_mut()?;
        let speaker = timer.speaker == Speaker::Present && Pit::claims_speaker(port, size);
        (speaker || Pit::claims(port, size)).then_some(&mut timer.pit)
    }

    pub(super) fn port_read(
        &mut self,
        port: u16,
        data: &mut [u8],
        now: impl FnOnce() -> u64,
        wires: &mut Wires<'_>,
    ) -> bool {
        let size = data.len();
        if Pic::claims(port, size) {
            let Some(controllers) = &mut self.controllers else {
                return false;
            };
            let effects = controllers.pic.io_read(port, data);
            self.settle(Chip::Pics, effects, wires);
            return true;
        }
        match self.timer_at(port, size) {
            Some(pit) => {
                pit.io_read(port, data, now());
                true
            }
            None => false,
        }
    }

    pub(super) fn port_write(
        &mut self,
        port: u16,
        data: &[u8],
        now: impl FnOnce() -> u64,
        start: impl FnOnce(u64),
        wires: &mut Wires<'_>,
    ) -> bool {
        let size = data.len();
        if Pic::claims(port, size) {
            let Some(controllers) = &mut self.controllers else {
                return false;
            };
            let effects = controllers.pic.io_write(port, data);
            self.settle(Chip::Pics, effects, wires);
            return true;
        }
        let Some(pit) = self.timer_at(port, size) else {
            return false;
        };
        if pit.io_write(port, data, now()) == Deadline::Changed {
            if let Some(at) = pit.deadline() {
                start(at);
            }
        }
        true
    }

    pub(super) fn mmio_read(&mut self, gpa: Gpa, data: &mut [u8]) -> bool {
        let ioapic = self.controllers.as_ref().map(|chips| &chips.ioapic);
        match ioapic.and_then(|ioapic| Some((ioapic, ioapic.offset_of(gpa)?))) {
            Some((ioapic, offset)) => {
                ioapic.mmio_read(offset, data);
                true
            }
            None => false,
        }
    }

    pub(super) fn mmio_write(&mut self, gpa: Gpa, data: &[u8], wires: &mut Wires<'_>) -> bool {
        let Some(controllers) = &mut self.controllers else {
            return false;
        };
        let Some(offset) = controllers.ioapic.offset_of(gpa) else {
            return false;
        };
        let effects = controllers
            .ioapic
            .mmio_write(offset, data, &mut sender(wires));
        self.settle(Chip::Ioapic, effects, wires);
        true
    }
}

/// State for the VMM.
impl Chips {
    pub(super) fn save_pic(&self, which: Which) -> Option<PicState> {
        Some(self.controllers.as_ref()?.pic.save(which))
    }

    pub(super) fn save_ioapic(&self) -> Option<IoapicState> {
        Some(self.controllers.as_ref()?.ioapic.save())
    }

    pub(super) fn restore_pic(&mut self, which: Which, state: &PicState) {
        if let Some(controllers) = &mut self.controllers {
            controllers.pic.restore(which, state);
        }
    }

    pub(super) fn restore_ioapic(&mut self, state: &IoapicState, wires: &mut Wires<'_>) {
        if let Some(controllers) = &mut self.controllers {
            let effects = controllers.ioapic.restore(state, &mut sender(wires));
            self.settle(Chip::Ioapic, effects, wires);
        }
    }

    pub(super) fn save_pit(&self) -> Option<PitState> {
        Some(self.timer.as_ref()?.pit.save())
    }

    /// Whether there is a timer.
    pub(super) fn restore_pit(
        &mut self,
        state: &PitState,
        now: u64,
        start: impl FnOnce(u64),
    ) -> bool {
        let Some(timer) = &mut self.timer else {
            return false;
        };
        let deadline = timer.pit.restore(state, now);
        if let (Deadline::Changed, Some(at)) = (deadline, timer.pit.deadline()) {
            start(at);
        }
        true
    }

    /// Whether there is a timer.
    pub(super) fn set_reinject(&mut self, reinject: Reinject) -> bool {
        let Some(timer) = &mut self.timer else {
            return false;
        };
        timer.pit.set_reinject(reinject);
        self.vectors = Vectors::Changed;
        true
    }
}

/// Sends what the I/O APIC has.
fn sender<'a>(wires: &'a Wires<'_>) -> impl FnMut(RedirectionEntry) -> LineOutcome + 'a {
    let broadcast = wires.settings().broadcast();
    move |entry| wires.send(&Message::from_redirection(entry.raw(), broadcast))
}
