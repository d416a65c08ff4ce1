// SPDX-License-Identifier: GPL-2.0
//! The keyboard controller, of which only the reset of the machine is there.

use vm_superio::I8042Device;

use crate::bus::Device;
use crate::end::Ending;

pub struct I8042(I8042Device<Ending>);

impl I8042 {
    /// Ports from the data register to the command register.
    pub const SIZE: u64 = 5;

    pub fn new(ending: Ending) -> Self {
        Self(I8042Device::new(ending))
    }
}

impl Device for I8042 {
    fn read(&mut self, offset: u64, data: &mut [u8]) {
        data.fill(self.0.read(offset as u8));
    }

    fn write(&mut self, offset: u64, data: &[u8]) {
        for byte in data {
            let Ok(()) = self.0.write(offset as u8, *byte) else {
                return;
            };
        }
    }
}
