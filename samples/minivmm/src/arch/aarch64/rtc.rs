// SPDX-License-Identifier: GPL-2.0
//! The real-time clock (PL031): the time of day in seconds since 1970. Its alarm is not there.

use serde::{Deserialize, Serialize};
use vm_superio::rtc_pl031::{NoEvents, RtcState};

use crate::bus::Device;

/// [`RtcState`] in a form that can be stored.
#[derive(Serialize, Deserialize)]
#[serde(remote = "RtcState")]
pub struct RtcStateFields {
    lr: u32,
    offset: i64,
    mr: u32,
    imsc: u32,
    ris: u32,
}

pub struct Rtc(vm_superio::Rtc<NoEvents>);

impl Rtc {
    /// A clock of the host's time.
    pub fn new() -> Self {
        Self(vm_superio::Rtc::new())
    }

    pub fn state(&self) -> RtcState {
        self.0.state()
    }

    pub fn restore(&mut self, state: &RtcState) {
        self.0 = vm_superio::Rtc::from_state(state, NoEvents);
    }
}

impl Device for Rtc {
    /// Registers are words; what is read of them otherwise is 0.
    fn read(&mut self, offset: u64, data: &mut [u8]) {
        match data.try_into() {
            Ok(word) => self.0.read(offset as u16, word),
            Err(_) => data.fill(0),
        }
    }

    fn write(&mut self, offset: u64, data: &[u8]) {
        if let Ok(word) = data.try_into() {
            self.0.write(offset as u16, word);
        }
    }
}
