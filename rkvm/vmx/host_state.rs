// SPDX-License-Identifier: GPL-2.0

//! The host-state area of a VMCS: what an exit loads (SDM volume 3, section 26.5).
//!
//! Most of it never changes; what depends on the CPU is written when the VMCS comes to one, and what
//! depends on the thread when that is another one.

use crate::{
    host::{
        cpu::IrqOff,
        x86::{
            registers,
            segments::{self, CpuBases, ThreadSegments},
        },
    },
    vmx::{
        enter,
        field::*,
        vmcs::{Loaded, Residence},
    },
    x86::msr::index::{
        IA32_EFER, IA32_PAT, IA32_SYSENTER_CS, IA32_SYSENTER_EIP, IA32_SYSENTER_ESP,
    },
};

/// __KERNEL_CS and __KERNEL_DS (asm/segment.h).
const KERNEL_CS: u16 = 0x10;
const KERNEL_DS: u16 = 0x18;

/// What was last written of the fields that change.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostState {
    cpu: CpuBases,
    sysenter_esp: u64,
    cr3: u64,
    cr4: u64,
    fs_base: u64,
}

impl HostState {
    /// Writes what never changes.
    pub fn init(loaded: &Loaded) {
        loaded.write(HOST_CR0, registers::cr0());
        loaded.write(HOST_CS_SELECTOR, KERNEL_CS);
        loaded.write(HOST_SS_SELECTOR, KERNEL_DS);
        loaded.write(HOST_DS_SELECTOR, 0);
        loaded.write(HOST_ES_SELECTOR, 0);
        loaded.write(HOST_FS_SELECTOR, 0);
        loaded.write(HOST_GS_SELECTOR, 0);
        loaded.write(HOST_TR_SELECTOR, segments::tr_selector());
        loaded.write(HOST_IDTR_BASE, segments::idt_base());
        loaded.write(HOST_RIP, enter::exit_address());
        let msr = |index| registers::read_msr(index).unwrap_or(0);
        loaded.write(HOST_SYSENTER_CS, msr(IA32_SYSENTER_CS) as u32);
        loaded.write(HOST_SYSENTER_EIP, msr(IA32_SYSENTER_EIP));
        loaded.write(HOST_EFER, msr(IA32_EFER));
        loaded.write(HOST_PAT, msr(IA32_PAT));
        // What `HostState::default` says was written.
        for field in [
            HOST_GS_BASE,
            HOST_TR_BASE,
            HOST_GDTR_BASE,
            HOST_SYSENTER_ESP,
            HOST_CR3,
            HOST_CR4,
            HOST_FS_BASE,
        ] {
            loaded.write(field, 0);
        }
    }

    /// Brings the area up to date for this CPU and this thread.
    #[inline]
    pub fn refresh(&mut self, loaded: &Loaded, residence: Residence, thread: &ThreadSegments) {
        if residence == Residence::Moved {
            self.refresh_cpu(loaded);
        }
        update(loaded, HOST_FS_BASE, &mut self.fs_base, thread.fs_base());
    }

    /// Brings the control registers up to date, which an interrupt may change.
    #[inline]
    pub fn refresh_controls(&mut self, loaded: &Loaded, _irq_off: &IrqOff<'_>) {
        update(loaded, HOST_CR3, &mut self.cr3, registers::cr3());
        update(loaded, HOST_CR4, &mut self.cr4, registers::cr4());
    }

    #[cold]
    fn refresh_cpu(&mut self, loaded: &Loaded) {
        let cpu = CpuBases::read(loaded.here());
        update(loaded, HOST_GS_BASE, &mut self.cpu.gs, cpu.gs);
        update(loaded, HOST_TR_BASE, &mut self.cpu.tr, cpu.tr);
        update(loaded, HOST_GDTR_BASE, &mut self.cpu.gdtr, cpu.gdtr);
        let sysenter_esp = registers::read_msr(IA32_SYSENTER_ESP).unwrap_or(0);
        update(
            loaded,
            HOST_SYSENTER_ESP,
            &mut self.sysenter_esp,
            sysenter_esp,
        );
    }
}

/// Writes a field if its value is not what was written last.
#[inline(always)]
fn update(loaded: &Loaded, field: Field<u64>, known: &mut u64, value: u64) {
    if *known != value {
        *known = value;
        loaded.write(field, value);
    }
}
