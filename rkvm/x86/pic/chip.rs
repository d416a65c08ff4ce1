// SPDX-License-Identifier: GPL-2.0

//! One 8259A.
//!
//! Priorities rotate: `first` is the input of highest priority, and the others follow in ascending order modulo 8.

use crate::x86::line::Level;

/// Inputs of a chip.
pub(super) const INPUTS: u8 = 8;
const INPUT_MASK: u8 = INPUTS - 1;
/// The bits of ICW2 that make the vectors' upper part.
const VECTOR_MASK: u8 = 0xf8;

/// Bits and fields of the command words (8259A datasheet, figures 7 and 8).
mod command {
    pub(super) const ICW1: u8 = 1 << 4;
    pub(super) const ICW1_WITH_ICW4: u8 = 1 << 0;
    pub(super) const ICW4_AUTO_EOI: u8 = 1 << 1;
    pub(super) const ICW4_SPECIAL_FULLY_NESTED: u8 = 1 << 4;
    pub(super) const OCW3: u8 = 1 << 3;
    pub(super) const OCW3_ISR: u8 = 1 << 0;
    pub(super) const OCW3_READ: u8 = 1 << 1;
    pub(super) const OCW3_POLL: u8 = 1 << 2;
    pub(super) const OCW3_SPECIAL_MASK: u8 = 1 << 5;
    pub(super) const OCW3_SET_SPECIAL_MASK: u8 = 1 << 6;
    pub(super) const OCW2_SHIFT: u32 = 5;
    pub(super) const CLEAR_AUTO_ROTATION: u8 = 0;
    pub(super) const EOI: u8 = 1;
    pub(super) const SPECIFIC_EOI: u8 = 3;
    pub(super) const SET_AUTO_ROTATION: u8 = 4;
    pub(super) const ROTATING_EOI: u8 = 5;
    pub(super) const SET_PRIORITY: u8 = 6;
    pub(super) const ROTATING_SPECIFIC_EOI: u8 = 7;
}

/// A poll that finds a request.
const POLL_FOUND: u8 = 1 << 7;
/// The input whose vector is given out when there is no request any more.
const SPURIOUS: u8 = 7;

/// `struct kvm_pic_state`.
#[allow(missing_docs, reason = "fields are those of Chip")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct PicState {
    pub last_irr: u8,
    pub irr: u8,
    pub imr: u8,
    pub isr: u8,
    pub priority_add: u8,
    pub irq_base: u8,
    pub read_reg_select: u8,
    pub poll: u8,
    pub special_mask: u8,
    pub init_state: u8,
    pub auto_eoi: u8,
    pub rotate_on_auto_eoi: u8,
    pub special_fully_nested_mode: u8,
    pub init4: u8,
    pub elcr: u8,
    pub elcr_mask: u8,
}

/// Which initialization command word a write to the data port is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expects {
    /// None: it is the mask.
    Mask,
    Icw2,
    Icw3,
    Icw4,
}

/// What an operation has done to the inputs, as masks.
#[must_use]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// Their interrupts have been acknowledged.
    pub(super) acknowledged: u8,
    /// They were masked.
    pub(super) unmasked: u8,
}

impl Changes {
    const fn acknowledged(inputs: u8) -> Self {
        Self {
            acknowledged: inputs,
            unmasked: 0,
        }
    }
}

/// The registers of an 8259A.
#[derive(Clone, Debug)]
pub(super) struct Chip {
    /// Levels of the inputs, to see edges.
    levels: u8,
    /// Interrupt request register.
    irr: u8,
    /// Interrupt mask register.
    imr: u8,
    /// In-service register.
    isr: u8,
    /// The input of highest priority.
    first: u8,
    /// The vector of input 0.
    base: u8,
    /// The command port reads ISR, not IRR.
    reads_isr: bool,
    /// The next read is a poll.
    poll: bool,
    special_mask: bool,
    expects: Expects,
    auto_eoi: bool,
    rotates: bool,
    special_fully_nested: bool,
    with_icw4: bool,
    /// Edge/level control register: set bits are level-triggered inputs.
    elcr: u8,
    /// The inputs that can be level-triggered.
    elcr_mask: u8,
    /// The input that another chip's output is wired to, as a mask: it follows that output.
    cascade: u8,
}

impl Chip {
    pub(super) const fn new(elcr_mask: u8, cascade: u8) -> Self {
        Self {
            levels: 0,
            irr: 0,
            imr: 0,
            isr: 0,
            first: 0,
            base: 0,
            reads_isr: false,
            poll: false,
            special_mask: false,
            expects: Expects::Mask,
            auto_eoi: false,
            rotates: false,
            special_fully_nested: false,
            with_icw4: false,
            elcr: 0,
            elcr_mask,
            cascade,
        }
    }

    /// The input of highest priority in `inputs`, and its place in the order of priorities.
    fn highest(&self, inputs: u8) -> Option<(u8, u32)> {
        if inputs == 0 {
            return None;
        }
        let place = inputs.rotate_right(self.first.into()).trailing_zeros();
        Some((self.first.wrapping_add(place as u8) & INPUT_MASK, place))
    }

    /// Inputs that are level-triggered, or behave so.
    const fn follow_level(&self) -> u8 {
        self.elcr | self.cascade
    }

    /// The input whose interrupt the chip asks for.
    pub(super) fn request(&self) -> Option<u8> {
        let (input, place) = self.highest(self.irr & !self.imr)?;
        let mut holding = self.isr;
        if self.special_mask {
            holding &= !self.imr;
        }
        if self.special_fully_nested {
            holding &= !self.cascade;
        }
        match self.highest(holding) {
            Some((_, current)) if current <= place => None,
            _ => Some(input),
        }
    }

    /// An input has that level now. Returns whether that made a request, or none is made by this level.
    pub(super) fn set_input(&mut self, input: u8, level: Level) -> bool {
        let bit = 1 << (input & INPUT_MASK);
        match level {
            Level::Low => {
                self.levels &= !bit;
                self.irr &= !(bit & self.follow_level());
                true
            }
            Level::High => {
                let edge = self.levels & bit == 0;
                let new = self.irr & bit == 0;
                self.levels |= bit;
                if edge || self.follow_level() & bit != 0 {
                    self.irr |= bit;
                    new
                } else {
                    true
                }
            }
        }
    }

    /// Whether an input is masked.
    pub(super) const fn is_masked(&self, input: u8) -> bool {
        self.imr & 1 << (input & INPUT_MASK) != 0
    }

    /// The vector of an input.
    pub(super) const fn vector(&self, input: u8) -> u8 {
        self.base | input & INPUT_MASK
    }

    /// The processor's acknowledge cycle. The input is [`SPURIOUS`] when the request has gone.
    pub(super) fn acknowledge(&mut self) -> (u8, Changes) {
        match self.request() {
            Some(input) => (input, self.take(input)),
            None => (SPURIOUS, Changes::default()),
        }
    }

    /// The request of `input` becomes one in service.
    fn take(&mut self, input: u8) -> Changes {
        let bit = 1 << input;
        self.irr &= !bit | self.follow_level();
        if self.auto_eoi {
            if self.rotates {
                self.first = input.wrapping_add(1) & INPUT_MASK;
            }
            Changes::acknowledged(bit)
        } else {
            self.isr |= bit;
            Changes::default()
        }
    }

    /// Ends the service of `input`, if it is in service.
    fn end(&mut self, input: u8) -> Changes {
        let ended = self.isr & 1 << input;
        self.isr &= !ended;
        Changes::acknowledged(ended)
    }

    /// A non-specific EOI is for the input of highest priority in service. In special mask mode masked ones do not
    /// count.
    fn end_highest(&mut self) -> Option<(u8, Changes)> {
        let mut ending = self.isr;
        if self.special_mask {
            ending &= !self.imr;
        }
        let (input, _) = self.highest(ending)?;
        Some((input, self.end(input)))
    }

    pub(super) fn write_command(&mut self, value: u8) -> Changes {
        if value & command::ICW1 != 0 {
            self.initialize(value)
        } else if value & command::OCW3 != 0 {
            self.control(value);
            Changes::default()
        } else {
            self.operate(value)
        }
    }

    /// ICW1. Requests by edges and interrupts in service are forgotten, which counts as acknowledged, since nothing
    /// else will be heard of them.
    fn initialize(&mut self, value: u8) -> Changes {
        let forgotten = self.isr | self.irr & !self.follow_level();
        self.with_icw4 = value & command::ICW1_WITH_ICW4 != 0;
        self.levels = 0;
        self.irr &= self.follow_level();
        self.isr = 0;
        self.first = 0;
        self.special_mask = false;
        self.reads_isr = false;
        if !self.with_icw4 {
            self.special_fully_nested = false;
            self.auto_eoi = false;
        }
        self.expects = Expects::Icw2;
        let unmasked = self.imr;
        self.imr = 0;
        Changes {
            acknowledged: forgotten,
            unmasked,
        }
    }

    /// OCW3.
    fn control(&mut self, value: u8) {
        if value & command::OCW3_POLL != 0 {
            self.poll = true;
        }
        if value & command::OCW3_READ != 0 {
            self.reads_isr = value & command::OCW3_ISR != 0;
        }
        if value & command::OCW3_SET_SPECIAL_MASK != 0 {
            self.special_mask = value & command::OCW3_SPECIAL_MASK != 0;
        }
    }

    /// OCW2.
    fn operate(&mut self, value: u8) -> Changes {
        let input = value & INPUT_MASK;
        let after = |input: u8| input.wrapping_add(1) & INPUT_MASK;
        match value >> command::OCW2_SHIFT {
            command::CLEAR_AUTO_ROTATION => self.rotates = false,
            command::SET_AUTO_ROTATION => self.rotates = true,
            command::SET_PRIORITY => self.first = after(input),
            command::EOI => {
                return self
                    .end_highest()
                    .map_or(Changes::default(), |(_, ended)| ended)
            }
            command::ROTATING_EOI => {
                if let Some((input, ended)) = self.end_highest() {
                    self.first = after(input);
                    return ended;
                }
            }
            command::SPECIFIC_EOI => return self.end(input),
            command::ROTATING_SPECIFIC_EOI => {
                self.first = after(input);
                return self.end(input);
            }
            _ => {}
        }
        Changes::default()
    }

    pub(super) fn write_data(&mut self, value: u8) -> Changes {
        match self.expects {
            Expects::Mask => {
                let unmasked = self.imr & !value;
                self.imr = value;
                return Changes {
                    acknowledged: 0,
                    unmasked,
                };
            }
            Expects::Icw2 => {
                self.base = value & VECTOR_MASK;
                self.expects = Expects::Icw3;
            }
            // The wiring of the chips is fixed.
            Expects::Icw3 => {
                self.expects = if self.with_icw4 {
                    Expects::Icw4
                } else {
                    Expects::Mask
                };
            }
            Expects::Icw4 => {
                self.special_fully_nested = value & command::ICW4_SPECIAL_FULLY_NESTED != 0;
                self.auto_eoi = value & command::ICW4_AUTO_EOI != 0;
                self.expects = Expects::Mask;
            }
        }
        Changes::default()
    }

    /// A read of the command port.
    pub(super) fn read_command(&mut self) -> (u8, Changes) {
        let value = if self.reads_isr { self.isr } else { self.irr };
        self.poll_or(value)
    }

    /// A read of the data port.
    pub(super) fn read_data(&mut self) -> (u8, Changes) {
        self.poll_or(self.imr)
    }

    /// After a poll command a read acknowledges the request; the value of others is `value`.
    fn poll_or(&mut self, value: u8) -> (u8, Changes) {
        if !self.poll {
            return (value, Changes::default());
        }
        self.poll = false;
        match self.request() {
            Some(input) => (POLL_FOUND | input, self.take(input)),
            None => (SPURIOUS, Changes::default()),
        }
    }

    pub(super) const fn elcr(&self) -> u8 {
        self.elcr
    }

    /// Makes inputs level-triggered or edge-triggered. Level-triggered ones that are high ask at once.
    pub(super) fn set_elcr(&mut self, value: u8) {
        self.elcr = value & self.elcr_mask;
        self.irr |= self.levels & self.elcr;
    }

    pub(super) fn save(&self) -> PicState {
        PicState {
            last_irr: self.levels,
            irr: self.irr,
            imr: self.imr,
            isr: self.isr,
            priority_add: self.first,
            irq_base: self.base,
            read_reg_select: self.reads_isr.into(),
            poll: self.poll.into(),
            special_mask: self.special_mask.into(),
            init_state: match self.expects {
                Expects::Mask => 0,
                Expects::Icw2 => 1,
                Expects::Icw3 => 2,
                Expects::Icw4 => 3,
            },
            auto_eoi: self.auto_eoi.into(),
            rotate_on_auto_eoi: self.rotates.into(),
            special_fully_nested_mode: self.special_fully_nested.into(),
            init4: self.with_icw4.into(),
            elcr: self.elcr,
            elcr_mask: self.elcr_mask,
        }
    }

    /// Takes a state over; bits that a chip does not have are dropped, and what is wired stays.
    pub(super) fn restore(&mut self, state: &PicState) {
        *self = Self {
            levels: state.last_irr,
            irr: state.irr,
            imr: state.imr,
            isr: state.isr,
            first: state.priority_add & INPUT_MASK,
            base: state.irq_base & VECTOR_MASK,
            reads_isr: state.read_reg_select != 0,
            poll: state.poll != 0,
            special_mask: state.special_mask != 0,
            expects: match state.init_state {
                1 => Expects::Icw2,
                2 => Expects::Icw3,
                3 => Expects::Icw4,
                _ => Expects::Mask,
            },
            auto_eoi: state.auto_eoi != 0,
            rotates: state.rotate_on_auto_eoi != 0,
            special_fully_nested: state.special_fully_nested_mode != 0,
            with_icw4: state.init4 != 0,
            elcr: state.elcr & self.elcr_mask,
            elcr_mask: self.elcr_mask,
            cascade: self.cascade,
        };
    }
}
