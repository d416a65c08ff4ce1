// SPDX-License-Identifier: GPL-2.0

//! Devices in the kernel: who answers an access to a port, or to an address without memory, before the VMM
//! does.

use crate::{
    bus::{Handled, Space},
    host::cpu::PreemptOff,
    types::Gpa,
    x86::vcpu::Core,
};

/// Where a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    /// At a port.
    Port(u16),
    /// At a guest physical address.
    Memory(Gpa),
}

impl Address {
    fn space(self) -> Space {
        match self {
            Self::Port(_) => Space::Port,
            Self::Memory(_) => Space::Memory,
        }
    }

    fn raw(self) -> u64 {
        match self {
            Self::Port(port) => port.into(),
            Self::Memory(gpa) => gpa.raw(),
        }
    }
}

impl Core {
    /// The guest reads at most 8 bytes. Interrupts may be off.
    pub fn device_read(
        &mut self,
        _here: &PreemptOff,
        address: Address,
        data: &mut [u8],
    ) -> Handled {
        let interrupts = self.vm.arch().interrupts();
        let done = match address {
            Address::Port(port) => interrupts.port_read(port, data),
            Address::Memory(gpa) => {
                interrupts.mmio_read(gpa, data) || self.apic_mmio_read(gpa, data)
            }
        };
        if done {
            Handled::Yes
        } else {
            Handled::No
        }
    }

    /// The guest writes at most 8 bytes. Interrupts may be off.
    pub fn device_write(&mut self, here: &PreemptOff, address: Address, data: &[u8]) -> Handled {
        let arch = self.vm.arch();
        let interrupts = arch.interrupts();
        let done = match address {
            Address::Port(port) => interrupts.port_write(port, data, |at| arch.start_pit(at)),
            Address::Memory(gpa) => {
                interrupts.mmio_write(gpa, data) || self.apic_mmio_write(gpa, data)
            }
        };
        if done {
            return Handled::Yes;
        }
        self.io.write(here, address.space(), address.raw(), data)
    }
}
