// SPDX-License-Identifier: GPL-2.0
//! The ACPI fixed hardware's PM1 registers (ACPI 6.5, 4.8.3), of which only power-off does something.

use serde::{Deserialize, Serialize};

use crate::arch::layout::{PM1A_CONTROL, PM1A_EVENT};
use crate::bus::Device;
use crate::end::{End, Ending};

const STATUS: u64 = 0;
const ENABLE: u64 = 2;
const CONTROL: u64 = (PM1A_CONTROL - PM1A_EVENT) as u64;
/// Of the control register: ACPI is on; go to sleep now.
const SCI_EN: u16 = 1 << 0;
const SLP_EN: u16 = 1 << 13;

/// The registers that keep a value.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct PowerState {
    enable: u16,
    control: u16,
}

pub struct Power {
    pub state: PowerState,
    ending: Ending,
}

impl Power {
    /// Ports of both register blocks.
    pub const SIZE: u64 = CONTROL + 2;

    pub fn new(ending: Ending) -> Self {
        Self {
            state: PowerState::default(),
            ending,
        }
    }
}

impl Device for Power {
    fn read(&mut self, offset: u64, data: &mut [u8]) {
        let value = match offset {
            ENABLE => self.state.enable,
            CONTROL => self.state.control | SCI_EN,
            // No event of the fixed hardware ever happens.
            _ => 0,
        };
        data.fill(0);
        for (to, from) in data.iter_mut().zip(value.to_le_bytes()) {
            *to = from;
        }
    }

    fn write(&mut self, offset: u64, data: &[u8]) {
        let [low, high] = data else { return };
        let value = u16::from_le_bytes([*low, *high]);
        match offset {
            STATUS => {}
            ENABLE => self.state.enable = value,
            CONTROL if value & SLP_EN != 0 => self.ending.tell(End::PowerOff),
            CONTROL => self.state.control = value,
            _ => {}
        }
    }
}
