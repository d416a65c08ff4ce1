// SPDX-License-Identifier: GPL-2.0

//! The two 8259A interrupt controllers of a PC.
//!
//! Pins 0 to 7 are the inputs of the master, 8 to 15 those of the slave. The slave's output is the master's input 2,
//! which follows it as a level: it asks as long as the slave does, and no longer.
//!
//! They call nobody: after each operation their owner looks at [`Pic::output`], the master's wire to the processors.
//! Not there, as in KVM: single mode, level triggering by ICW1 (ELCR is for that), 8085 mode, buffers.
//!
//! Sources: Intel 8259A datasheet; Intel 82371AB (PIIX4) datasheet, 4.2.5, for ELCR.

mod chip;

pub use chip::PicState;

use chip::{Changes, Chip, INPUTS};

use crate::x86::line::{Effects, Level, LineOutcome, Pins, Source, Sources};

/// The number of pins.
pub const PINS: usize = 16;

/// The master's input that is the slave's output.
const CASCADE: u8 = 2;
/// Inputs of the master that can be level-triggered: not timer, keyboard and cascade.
const MASTER_ELCR_MASK: u8 = 0xf8;
/// Inputs of the slave that can be level-triggered: not the clock and the FPU.
const SLAVE_ELCR_MASK: u8 = 0xde;

/// I/O ports.
mod port {
    pub(super) const MASTER_COMMAND: u16 = 0x20;
    pub(super) const MASTER_DATA: u16 = 0x21;
    pub(super) const SLAVE_COMMAND: u16 = 0xa0;
    pub(super) const SLAVE_DATA: u16 = 0xa1;
    pub(super) const MASTER_ELCR: u16 = 0x4d0;
    pub(super) const SLAVE_ELCR: u16 = 0x4d1;
}

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The one that is wired to the processors.
    Master,
    /// The other.
    Slave,
}

impl Which {
    /// The pin of an input from 0 to 7; `None` for others.
    pub const fn pin_of(self, input: u8) -> Option<u8> {
        if input >= INPUTS {
            return None;
        }
        Some(self.pin(input))
    }

    const fn pin(self, input: u8) -> u8 {
        match self {
            Self::Master => input,
            Self::Slave => input.wrapping_add(INPUTS),
        }
    }

    /// The chip and the input of a pin.
    const fn of(pin: u8) -> (Self, u8) {
        match pin.checked_sub(INPUTS) {
            None => (Self::Master, pin),
            Some(input) => (Self::Slave, input),
        }
    }
}

/// The pair.
#[derive(Clone, Debug)]
pub struct Pic {
    master: Chip,
    slave: Chip,
    sources: [Sources; PINS],
}

impl Default for Pic {
    fn default() -> Self {
        Self::new()
    }
}

impl Pic {
    /// Both as they are before initialization.
    pub const fn new() -> Self {
        Self {
            master: Chip::new(MASTER_ELCR_MASK, 1 << CASCADE),
            slave: Chip::new(SLAVE_ELCR_MASK, 0),
            sources: [Sources::NONE; PINS],
        }
    }

    fn chip(&mut self, which: Which) -> &mut Chip {
        match which {
            Which::Master => &mut self.master,
            Which::Slave => &mut self.slave,
        }
    }

    /// Changes what `source` does to a pin. Other pins than 0 to 15 ignore it, and so does pin 2, which has no wire.
    pub fn set_line(&mut self, pin: u8, source: Source, level: Level) -> LineOutcome {
        let Some(sources) = self.sources.get_mut(usize::from(pin)) else {
            return LineOutcome::Ignored;
        };
        if pin == CASCADE {
            return LineOutcome::Ignored;
        }
        let level = sources.set(source, level);
        let (which, input) = Which::of(pin);
        let chip = self.chip(which);
        let is_new = chip.set_input(input, level);
        let outcome = if chip.is_masked(input) {
            LineOutcome::Ignored
        } else if is_new {
            LineOutcome::Delivered(1)
        } else {
            LineOutcome::Coalesced
        };
        self.update_cascade();
        outcome
    }

    /// Whether an interrupt is asked for.
    pub fn output(&self) -> bool {
        self.master.request().is_some()
    }

    /// The processor's acknowledge cycle: the vector of the interrupt of highest priority; without any, the
    /// master's input 7.
    pub fn acknowledge(&mut self) -> (u8, Effects) {
        let (input, changes) = self.master.acknowledge();
        let mut effects = self.settle(Which::Master, changes);
        let vector = if input == CASCADE {
            let (input, changes) = self.slave.acknowledge();
            let slave_effects = self.settle(Which::Slave, changes);
            effects.acknowledged.extend(slave_effects.acknowledged);
            self.slave.vector(input)
        } else {
            self.master.vector(input)
        };
        (vector, effects)
    }

    /// Whether an access of `size` bytes at `port` is to the pair.
    pub fn claims(port: u16, size: usize) -> bool {
        let Ok(size) = u16::try_from(size) else {
            return false;
        };
        [port::MASTER_COMMAND, port::SLAVE_COMMAND, port::MASTER_ELCR]
            .into_iter()
            .any(|first| {
                port.checked_sub(first)
                    .and_then(|offset| offset.checked_add(size))
                    .is_some_and(|end| end <= 2)
            })
    }

    /// A read of the guest's. Registers have one byte; other sizes read as 0.
    pub fn io_read(&mut self, port: u16, data: &mut [u8]) -> Effects {
        data.fill(0);
        let [byte] = data else {
            return Effects::default();
        };
        let (which, (value, changes)) = match port {
            port::MASTER_COMMAND => (Which::Master, self.master.read_command()),
            port::MASTER_DATA => (Which::Master, self.master.read_data()),
            port::SLAVE_COMMAND => (Which::Slave, self.slave.read_command()),
            port::SLAVE_DATA => (Which::Slave, self.slave.read_data()),
            port::MASTER_ELCR => (Which::Master, (self.master.elcr(), Changes::default())),
            port::SLAVE_ELCR => (Which::Slave, (self.slave.elcr(), Changes::default())),
            _ => return Effects::default(),
        };
        *byte = value;
        self.settle(which, changes)
    }

    /// A write of the guest's. Registers have one byte; other sizes are ignored.
    pub fn io_write(&mut self, port: u16, data: &[u8]) -> Effects {
        let &[value] = data else {
            return Effects::default();
        };
        let (which, changes) = match port {
            port::MASTER_COMMAND => (Which::Master, self.master.write_command(value)),
            port::MASTER_DATA => (Which::Master, self.master.write_data(value)),
            port::SLAVE_COMMAND => (Which::Slave, self.slave.write_command(value)),
            port::SLAVE_DATA => (Which::Slave, self.slave.write_data(value)),
            port::MASTER_ELCR | port::SLAVE_ELCR => {
                let which = if port == port::MASTER_ELCR {
                    Which::Master
                } else {
                    Which::Slave
                };
                self.chip(which).set_elcr(value);
                (which, Changes::default())
            }
            _ => return Effects::default(),
        };
        self.settle(which, changes)
    }

    /// The state of one of them for KVM_GET_IRQCHIP.
    pub fn save(&self, which: Which) -> PicState {
        match which {
            Which::Master => self.master.save(),
            Which::Slave => self.slave.save(),
        }
    }

    /// Takes the state of KVM_SET_IRQCHIP over. The lines' sources stay.
    pub fn restore(&mut self, which: Which, state: &PicState) {
        self.chip(which).restore(state);
        self.update_cascade();
    }

    /// Lets go of the lines whose interrupts were acknowledged, and tells which they are.
    fn settle(&mut self, which: Which, changes: Changes) -> Effects {
        let mut effects = Effects::default();
        let changed = Pins::from_mask(u32::from(changes.unmasked | changes.acknowledged));
        for input in changed.iter() {
            let pin = which.pin(input);
            if changes.unmasked & 1 << input != 0 {
                effects.unmasked.insert(pin);
            }
            if changes.acknowledged & 1 << input == 0 || pin == CASCADE {
                continue;
            }
            effects.acknowledged.insert(pin);
            let Some(sources) = self.sources.get_mut(usize::from(pin)) else {
                continue;
            };
            let was = sources.level();
            let is = sources.set(Source::Resample, Level::Low);
            if was != is {
                self.chip(which).set_input(input, is);
            }
        }
        self.update_cascade();
        effects
    }

    fn update_cascade(&mut self) {
        let level = match self.slave.request() {
            Some(_) => Level::High,
            None => Level::Low,
        };
        self.master.set_input(CASCADE, level);
    }
}
