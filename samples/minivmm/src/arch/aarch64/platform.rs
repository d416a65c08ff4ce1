// SPDX-License-Identifier: GPL-2.0
//! The devices that are not in the kernel, beside virtio: the console's registers, and the real-time clock.

use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use vm_superio::rtc_pl031::RtcState;

use super::layout;
use super::rtc::{Rtc, RtcStateFields};
use crate::bus::Buses;
use crate::console::Console;
use crate::end::Ending;
use crate::memory::PAGE;
use crate::sync::{lock, shared};

pub struct Platform {
    rtc: Arc<Mutex<Rtc>>,
}

#[derive(Serialize, Deserialize)]
pub struct PlatformState {
    #[serde(with = "RtcStateFields")]
    rtc: RtcState,
}

impl Platform {
    /// Makes the devices, and puts them and the console where the guest finds them. The machine ends by PSCI, for
    /// which there is no device.
    pub fn new(console: &Arc<Mutex<Console>>, _: &Ending, buses: &mut Buses) -> Self {
        let rtc = shared(Rtc::new());
        buses
            .mmio
            .insert(layout::SERIAL, Console::SIZE, console.clone());
        buses.mmio.insert(layout::RTC, PAGE, rtc.clone());
        Self { rtc }
    }

    pub fn state(&self) -> PlatformState {
        PlatformState {
            rtc: lock(&self.rtc).state(),
        }
    }

    pub fn restore(&self, state: &PlatformState) {
        lock(&self.rtc).restore(&state.rtc);
    }
}
