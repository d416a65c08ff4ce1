// SPDX-License-Identifier: GPL-2.0

//! A single chip against a model.

use crate::pair::*;
use proptest::prelude::*;
use rkvm_host::x86::pic::{Pic, PicState, Which};

/// A single chip as the datasheet tells it: a list of inputs by priority.
#[derive(Default)]
struct Model {
    order: Vec<u8>,
    requests: Vec<u8>,
    in_service: Vec<u8>,
    masked: Vec<u8>,
}

impl Model {
    fn new() -> Self {
        Self {
            order: (0..8).collect(),
            ..Self::default()
        }
    }

    fn request(&self) -> Option<u8> {
        for input in &self.order {
            if self.in_service.contains(input) {
                return None;
            }
            if self.requests.contains(input) && !self.masked.contains(input) {
                return Some(*input);
            }
        }
        None
    }

    /// Ends the highest in service, and tells which that was.
    fn end(&mut self) -> Option<u8> {
        let found = |input: &&u8| self.in_service.contains(input);
        let input = *self.order.iter().find(found)?;
        self.in_service.retain(|other| *other != input);
        Some(input)
    }

    fn make_lowest(&mut self, input: u8) {
        while self.order.last() != Some(&input) {
            self.order.rotate_left(1);
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Pulse(u8),
    Mask(u8),
    Acknowledge,
    Eoi,
    RotatingEoi,
    SpecificEoi(u8),
    SetLowest(u8),
    Copy,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0u8..8).prop_filter("the cascade", |pin| *pin != 2).prop_map(Op::Pulse),
        1 => any::<u8>().prop_map(Op::Mask),
        4 => Just(Op::Acknowledge),
        2 => Just(Op::Eoi),
        1 => Just(Op::RotatingEoi),
        1 => (0u8..8).prop_map(Op::SpecificEoi),
        1 => (0u8..8).prop_map(Op::SetLowest),
        1 => Just(Op::Copy),
    ]
}

proptest! {
    #[test]
    fn the_master_is_the_model(ops in prop::collection::vec(op(), 1..200)) {
        let mut pics = by_firmware();
        let mut model = Model::new();
        for op in ops {
            match op {
                Op::Pulse(pin) => {
                    pulse(&mut pics, pin);
                    model.requests.push(pin);
                }
                Op::Mask(mask) => {
                    command(&mut pics, MASTER + 1, &[mask]);
                    model.masked = (0..8).filter(|pin| mask & 1 << pin != 0).collect();
                }
                Op::Acknowledge => {
                    let vector = acknowledge(&mut pics);
                    match model.request() {
                        Some(pin) => {
                            prop_assert_eq!(vector, 0x08 + pin);
                            model.requests.retain(|other| *other != pin);
                            model.in_service.push(pin);
                        }
                        None => prop_assert_eq!(vector, 0x0f),
                    }
                }
                Op::Eoi => {
                    command(&mut pics, MASTER, &[0x20]);
                    model.end();
                }
                Op::RotatingEoi => {
                    command(&mut pics, MASTER, &[0xa0]);
                    if let Some(input) = model.end() {
                        model.make_lowest(input);
                    }
                }
                Op::SpecificEoi(pin) => {
                    command(&mut pics, MASTER, &[0x60 | pin]);
                    model.in_service.retain(|other| *other != pin);
                }
                Op::SetLowest(pin) => {
                    command(&mut pics, MASTER, &[0xc0 | pin]);
                    model.make_lowest(pin);
                }
                Op::Copy => {
                    let mut other = Pic::new();
                    for which in [Which::Master, Which::Slave] {
                        other.restore(which, &pics.save(which));
                        prop_assert_eq!(other.save(which), pics.save(which));
                    }
                    pics = other;
                }
            }
            prop_assert_eq!(pics.output(), model.request().is_some());
            let mask = |inputs: &[u8]| inputs.iter().fold(0u8, |mask, pin| mask | 1 << pin);
            prop_assert_eq!(isr(&mut pics, MASTER), mask(&model.in_service));
            prop_assert_eq!(irr(&mut pics, MASTER), mask(&model.requests));
        }
    }

    #[test]
    fn anything_can_be_written(
        ops in prop::collection::vec((0usize..8, any::<u8>(), 0u8..18), 0..300),
        states in any::<[[u8; 16]; 2]>(),
    ) {
        let mut pics = Pic::new();
        for (which, bytes) in [Which::Master, Which::Slave].into_iter().zip(states) {
            let [last_irr, irr, imr, isr, priority_add, irq_base, read_reg_select, poll, special_mask, init_state,
                auto_eoi, rotate_on_auto_eoi, special_fully_nested_mode, init4, elcr, elcr_mask] = bytes;
            pics.restore(which, &PicState {
                last_irr, irr, imr, isr, priority_add, irq_base, read_reg_select, poll, special_mask, init_state,
                auto_eoi, rotate_on_auto_eoi, special_fully_nested_mode, init4, elcr, elcr_mask,
            });
        }
        for (what, value, pin) in ops {
            match what {
                0 => drop(raise(&mut pics, pin)),
                1 => lower(&mut pics, pin),
                2 => drop(acknowledge(&mut pics)),
                3 => drop(read(&mut pics, [0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1][usize::from(pin) % 6])),
                _ => command(&mut pics, [0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1][usize::from(pin) % 6], &[value]),
            }
            // The cascade follows the slave.
            let (master, slave) = (pics.save(Which::Master), pics.save(Which::Slave));
            if slave.irr & !slave.imr == 0 {
                prop_assert_eq!(master.irr & 1 << 2, 0);
            }
            // Whatever is asked for is given out.
            if pics.output() {
                let before = (master, slave);
                let vector = pics.clone().acknowledge().0;
                let (base, pin) = (vector & 0xf8, vector & 7);
                let (chip, other) = if base == before.0.irq_base { before } else { (before.1, before.0) };
                let asked = chip.irr & !chip.imr & 1 << pin != 0 || other.irr & !other.imr & 1 << pin != 0;
                prop_assert!(asked);
            }
        }
    }
}
