// SPDX-License-Identifier: GPL-2.0

//! A guest's debug registers.
//!
//! MOV to and from them exits. They are in the processor's registers only while the guest runs with
//! a breakpoint enabled; DR7 is switched by VMX.

// UNSAFETY: loads debug registers, and puts the host's back.
#![expect(unsafe_code)]

use crate::{
    host::{
        cpu::IrqOff,
        x86::{breakpoints, registers::DebugAddresses},
    },
    x86::regs::{reset, Dr6, Dr7},
};

/// Where the guest's DR0 to DR3 and DR6 are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// In memory only.
    #[default]
    Memory,
    /// In the processor's registers, where DR6 may change.
    Registers,
    /// In the processor's registers, but memory has a newer DR6.
    RegistersButStatus,
}

/// What the processor watches for.
#[derive(Clone, Copy, Debug)]
pub struct Breakpoints {
    /// DR0 to DR3: linear addresses.
    pub address: [u64; 4],
    /// DR7.
    pub control: Dr7,
}

/// DR0 to DR3, DR6 and DR7.
#[derive(Clone, Copy, Debug)]
pub struct DebugRegisters {
    /// DR0 to DR3: linear addresses.
    pub address: [u64; 4],
    dr6: Dr6,
    /// DR7.
    pub dr7: Dr7,
    /// Breakpoints of the VMM's, which take the place of the guest's.
    foreign: Option<Breakpoints>,
    place: Place,
}

impl Default for DebugRegisters {
    fn default() -> Self {
        Self {
            address: [0; 4],
            dr6: reset::DR6,
            dr7: reset::DR7,
            foreign: None,
            place: Place::Memory,
        }
    }
}

impl DebugRegisters {
    /// L0 to G3 of DR7.
    const ENABLED: Dr7 = Dr7::new(0xff);

    /// DR6.
    pub fn dr6(&mut self) -> Dr6 {
        if self.place == Place::Registers {
            self.dr6 = Dr6::new(DebugAddresses::read_status());
        }
        self.dr6
    }

    /// Sets DR6. Whoever does, between an exit and an entry, ends the section.
    pub fn set_dr6(&mut self, dr6: Dr6) {
        self.dr6 = dr6;
        if self.place == Place::Registers {
            self.place = Place::RegistersButStatus;
        }
    }

    /// Resets the guest's. What the processor has is taken back, and the VMM's breakpoints stay.
    pub fn reset(&mut self) {
        self.address = [0; 4];
        self.set_dr6(reset::DR6);
        self.dr7 = reset::DR7;
    }

    /// Puts breakpoints of the VMM's in the place of the guest's, or takes them away.
    pub fn set_foreign(&mut self, foreign: Option<Breakpoints>) {
        self.foreign = foreign;
    }

    /// The breakpoints that the processor watches for while the guest runs; the VMCS has this DR7.
    #[inline]
    pub fn effective(&self) -> Breakpoints {
        self.foreign.unwrap_or(Breakpoints {
            address: self.address,
            control: self.dr7,
        })
    }

    /// Before an entry.
    #[inline]
    pub fn enter(&mut self, _irq_off: &IrqOff<'_>) {
        let breakpoints = self.effective();
        if breakpoints.control.intersects(Self::ENABLED) {
            let registers = DebugAddresses {
                address: breakpoints.address,
                status: self.dr6.raw(),
            };
            // SAFETY: interrupts stay off until `leave`; DR6 went through `write_dr6`, or was read
            // from the register.
            unsafe { registers.load() };
            self.place = Place::Registers;
        }
    }

    /// After the last exit before interrupts are let in.
    ///
    /// An exit turns breakpoints off in DR7, so that the host's have to come back in any case.
    #[inline]
    pub fn leave(&mut self, irq_off: &IrqOff<'_>) {
        if self.place != Place::Memory {
            self.dr6();
            self.place = Place::Memory;
            DebugAddresses::reset_status();
        }
        breakpoints::restore(irq_off);
    }
}
