// SPDX-License-Identifier: GPL-2.0
//! The devices of a PC that are not in the kernel: real-time clock, power registers, keyboard controller.

use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};

use super::device::cmos::{Cmos, CmosState};
use super::device::i8042::I8042;
use super::device::power::{Power, PowerState};
use super::layout;
use crate::bus::{Buses, Device};
use crate::console::Console;
use crate::end::Ending;
use crate::sync::{lock, shared};

pub struct Platform {
    cmos: Arc<Mutex<Cmos>>,
    power: Arc<Mutex<Power>>,
}

#[derive(Serialize, Deserialize)]
pub struct PlatformState {
    cmos: CmosState,
    power: PowerState,
}

impl Platform {
    /// Makes the devices, and puts them and the console where the guest finds them.
    pub fn new(console: &Arc<Mutex<Console>>, ending: &Ending, buses: &mut Buses) -> Self {
        let cmos = shared(Cmos::new());
        let power = shared(Power::new(ending.clone()));
        let i8042 = shared(I8042::new(ending.clone()));
        let mut at = |port: u16, size, device: Arc<Mutex<dyn Device>>| {
            buses.ports.insert(port.into(), size, device);
        };
        at(layout::COM1, Console::SIZE, console.clone());
        at(layout::CMOS, Cmos::SIZE, cmos.clone());
        at(layout::PM1A_EVENT, Power::SIZE, power.clone());
        at(layout::I8042, I8042::SIZE, i8042);
        Self { cmos, power }
    }

    pub fn state(&self) -> PlatformState {
        PlatformState {
            cmos: lock(&self.cmos).state.clone(),
            power: lock(&self.power).state.clone(),
        }
    }

    pub fn restore(&self, state: &PlatformState) {
        lock(&self.cmos).state = state.cmos.clone();
        lock(&self.power).state = state.power.clone();
    }
}
