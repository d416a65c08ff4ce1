// SPDX-License-Identifier: GPL-2.0

//! The virtual CPU interface of this processor.
//!
//! Source: IHI 0069, section 12.4 "AArch64 virtualization control system registers".

// UNSAFETY: reads and writes the registers of the virtual CPU interface.
#![expect(unsafe_code)]

use super::gic::{
    cpu_interface::{self, CpuInterface, Features, Groups},
    list_register::{ListRegister, ListRegisters, Requests},
};
use crate::{
    arm64::registers::{isb, IccDirEl1, IccSreEl2, IchHcrEl2, IchMisrEl2, IchVmcrEl2, IchVtrEl2},
    host::cpu::PreemptOff,
};
use core::arch::asm;

/// Registers that are told apart by an index.
macro_rules! indexed {
    ($read:ident, $write:ident: $($index:literal = $asm:literal),+ $(,)?) => {
        #[inline(always)]
        fn $read(index: usize) -> u64 {
            let value;
            match index {
                // SAFETY: reading the register changes nothing.
                $($index => unsafe {
                    asm!(
                        concat!("mrs {}, ", $asm),
                        out(reg) value,
                        options(nomem, nostack, preserves_flags),
                    );
                },)+
                _ => value = 0,
            }
            value
        }

        #[inline(always)]
        fn $write(_here: &PreemptOff, index: usize, value: u64) {
            match index {
                // SAFETY: the register matters to guests alone.
                $($index => unsafe {
                    asm!(
                        concat!("msr ", $asm, ", {}"),
                        in(reg) value,
                        options(nostack, preserves_flags),
                    );
                },)+
                _ => (),
            }
        }
    };
}

indexed!(read_list, write_list:
    0 = "S3_4_C12_C12_0", 1 = "S3_4_C12_C12_1", 2 = "S3_4_C12_C12_2", 3 = "S3_4_C12_C12_3",
    4 = "S3_4_C12_C12_4", 5 = "S3_4_C12_C12_5", 6 = "S3_4_C12_C12_6", 7 = "S3_4_C12_C12_7",
    8 = "S3_4_C12_C13_0", 9 = "S3_4_C12_C13_1", 10 = "S3_4_C12_C13_2", 11 = "S3_4_C12_C13_3",
    12 = "S3_4_C12_C13_4", 13 = "S3_4_C12_C13_5", 14 = "S3_4_C12_C13_6", 15 = "S3_4_C12_C13_7",
);
indexed!(read_active0, write_active0:
    0 = "S3_4_C12_C8_0", 1 = "S3_4_C12_C8_1", 2 = "S3_4_C12_C8_2", 3 = "S3_4_C12_C8_3",
);
indexed!(read_active1, write_active1:
    0 = "S3_4_C12_C9_0", 1 = "S3_4_C12_C9_1", 2 = "S3_4_C12_C9_2", 3 = "S3_4_C12_C9_3",
);

/// What this processor's interface is like.
pub fn features() -> Features {
    Features::from_raw(IchVtrEl2::read())
}

/// ICC_SRE_EL2.Enable: EL1 reaches ICC_SRE_EL1, and could turn the system registers off.
const SRE_ENABLE: u64 = 1 << 3;

/// The guest's interface is in the processor.
pub struct Resident {
    host_sre: u64,
}

impl Resident {
    /// Loads the registers of a guest's interface; the list registers follow by [`load_lists`].
    pub fn enter(here: &PreemptOff, interface: &CpuInterface, features: Features) -> Self {
        let host_sre = IccSreEl2::read();
        if host_sre & SRE_ENABLE != 0 {
            IccSreEl2::write(here, host_sre & !SRE_ENABLE);
        }
        IchVmcrEl2::write(here, interface.vmcr);
        let active = interface.active0.iter().zip(&interface.active1);
        for (index, (active0, active1)) in active.take(features.active_priorities()).enumerate() {
            write_active0(here, index, (*active0).into());
            write_active1(here, index, (*active1).into());
        }
        Self { host_sre }
    }

    /// Saves the registers and turns the interface off. The list registers have been [read](read_lists).
    pub fn leave(self, here: &PreemptOff, interface: &mut CpuInterface, features: Features) {
        IchHcrEl2::write(here, 0);
        interface.vmcr = IchVmcrEl2::read();
        let CpuInterface {
            active0, active1, ..
        } = interface;
        let active = active0.iter_mut().zip(active1);
        for (index, (active0, active1)) in active.take(features.active_priorities()).enumerate() {
            *active0 = read_active0(index) as u32;
            *active1 = read_active1(index) as u32;
        }
        if self.host_sre & SRE_ENABLE != 0 {
            IccSreEl2::write(here, self.host_sre);
        }
        isb();
    }
}

/// ICH_HCR_EL2: accesses to the registers of the CPU interface trap.
const TRAP_ALL: u64 = 1 << 10 | 1 << 11 | 1 << 12;

/// A guest without a GIC in the kernel runs: it finds no CPU interface, and nothing of what others have left in it.
pub struct Absent {
    host_sre: u64,
}

impl Absent {
    /// Has the guest's accesses trap.
    pub fn enter(here: &PreemptOff) -> Self {
        let host_sre = IccSreEl2::read();
        IccSreEl2::write(here, host_sre & !SRE_ENABLE);
        IchHcrEl2::write(here, TRAP_ALL);
        Self { host_sre }
    }

    /// Ends that.
    pub fn leave(self, here: &PreemptOff) {
        IchHcrEl2::write(here, 0);
        IccSreEl2::write(here, self.host_sre);
    }
}

/// What a guest has of the CPU interface.
pub enum Interface {
    /// Its own.
    Resident(Resident),
    /// None.
    Absent(Absent),
}

/// Reads the list registers in use, and what the processor has counted.
#[inline]
pub fn read_lists(lists: &mut ListRegisters) {
    for (index, register) in lists.values_mut().iter_mut().enumerate() {
        *register = ListRegister::from_raw(read_list(index));
    }
    if lists.requests.ended_elsewhere {
        lists.eoi_count = Requests::eoi_count(IchHcrEl2::read());
    }
}

/// Which groups the interface lets through.
pub fn groups() -> Groups {
    Groups::from_vmcr(IchVmcrEl2::read())
}

/// Whether the guest ends interrupts in two steps, the second one by ICC_DIR_EL1.
pub fn ends_in_two_steps() -> bool {
    cpu_interface::ends_in_two_steps(IchVmcrEl2::read())
}

/// Writes the list registers in use, empties the others of the first `used_before`, and turns the interface on.
#[inline]
pub fn load_lists(here: &PreemptOff, lists: &ListRegisters, used_before: usize) {
    for (index, register) in lists.values().iter().enumerate() {
        write_list(here, index, register.raw());
    }
    for index in lists.used()..used_before {
        write_list(here, index, 0);
    }
    IchHcrEl2::write(here, lists.hcr());
}

/// Whether the interface raises the maintenance interrupt.
#[inline]
pub fn wants_maintenance() -> bool {
    IchMisrEl2::read() != 0
}

/// Takes the maintenance interrupt back; the next [`load_lists`] allows it again. What the processor has counted stays
/// for [`read_lists`].
pub fn silence(here: &PreemptOff) {
    IchHcrEl2::write(here, Requests::only_count(IchHcrEl2::read()));
    isb();
}

/// Deactivates a physical interrupt that this processor has taken for a guest.
pub fn deactivate(here: &PreemptOff, number: u8) {
    IccDirEl1::write(here, number.into());
    isb();
}
