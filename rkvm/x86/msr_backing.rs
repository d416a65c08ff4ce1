// SPDX-License-Identifier: GPL-2.0

//! MSRs of a vCPU that the processor holds: where [`Msrs`](crate::x86::msr::Msrs) finds them.

use crate::{
    host::x86::{registers, speculation},
    vmx::{field::*, guest_state::GuestState, vmcs::Loaded},
    x86::{
        msr::{
            index::MSR_PLATFORM_INFO,
            speculation::{Command, Support},
            Backing, Initiator, Refusal, Register,
        },
        regs::{rules::PagingState, Efer},
        shared_msrs::GuestMsrs,
        vcpu::Core,
        vm_settings::Switch,
        VmState,
    },
};

/// The registers of one vCPU.
struct Registers<'a> {
    loaded: &'a Loaded,
    guest: &'a mut GuestState,
    shared: &'a mut GuestMsrs,
    kernel_gs_base: &'a mut u64,
    tsc_offset: &'a mut u64,
    vm: &'a VmState,
    speculation: Support,
}

impl Backing for Registers<'_> {
    fn get(&self, register: Register) -> u64 {
        match register {
            Register::FsBase => self.loaded.read(GUEST_FS_BASE),
            Register::GsBase => self.loaded.read(GUEST_GS_BASE),
            Register::KernelGsBase => *self.kernel_gs_base,
            Register::SysenterCs => self.loaded.read(GUEST_SYSENTER_CS).into(),
            Register::SysenterEsp => self.loaded.read(GUEST_SYSENTER_ESP),
            Register::SysenterEip => self.loaded.read(GUEST_SYSENTER_EIP),
            Register::Star => self.shared.syscall.star,
            Register::Lstar => self.shared.syscall.lstar,
            Register::Fmask => self.shared.syscall.fmask,
            Register::TscAux => self.shared.tsc_aux,
            Register::Pat => self.loaded.read(GUEST_PAT),
            Register::Efer => self.guest.efer().raw(),
        }
    }

    fn set(&mut self, register: Register, value: u64) {
        match register {
            Register::FsBase => self.loaded.write(GUEST_FS_BASE, value),
            Register::GsBase => self.loaded.write(GUEST_GS_BASE, value),
            Register::KernelGsBase => *self.kernel_gs_base = value,
            Register::SysenterCs => self.loaded.write(GUEST_SYSENTER_CS, value as u32),
            Register::SysenterEsp => self.loaded.write(GUEST_SYSENTER_ESP, value),
            Register::SysenterEip => self.loaded.write(GUEST_SYSENTER_EIP, value),
            Register::Star => self.shared.syscall.star = value,
            Register::Lstar => self.shared.syscall.lstar = value,
            Register::Fmask => self.shared.syscall.fmask = value,
            Register::TscAux => self.shared.tsc_aux = value,
            Register::Pat => self.loaded.write(GUEST_PAT, value),
            Register::Efer => self.guest.set_efer(self.loaded, Efer::new(value)),
        }
    }

    fn paging(&self) -> PagingState {
        self.guest.paging(self.loaded)
    }

    fn tsc(&self) -> u64 {
        registers::tsc().wrapping_add(*self.tsc_offset)
    }

    fn set_tsc(&mut self, value: u64) {
        *self.tsc_offset = self.vm.clock().set_tsc(value);
        self.loaded.write(TSC_OFFSET, *self.tsc_offset);
    }

    fn shift_tsc(&mut self, delta: u64) {
        *self.tsc_offset = self.tsc_offset.wrapping_add(delta);
        self.loaded.write(TSC_OFFSET, *self.tsc_offset);
    }

    fn wall_clock(&self) -> u64 {
        self.vm.clock().wall_clock()
    }

    fn set_wall_clock(&mut self, address: u64) {
        self.vm.clock().set_wall_clock(address);
    }

    fn speculation(&self) -> Support {
        self.speculation
    }

    fn command(&mut self, command: Command) {
        speculation::command(self.speculation, command);
    }
}

impl Core {
    /// Reads an MSR.
    pub fn read_msr(
        &mut self,
        loaded: &Loaded,
        index: u32,
        initiator: Initiator,
    ) -> Result<u64, Refusal> {
        if let Some(result) = self.read_apic_msr(index) {
            return result;
        }
        if index == MSR_PLATFORM_INFO
            && initiator == Initiator::Guest
            && self.vm.arch().settings.is_on(Switch::HiddenPlatformInfo)
        {
            return Err(Refusal::Unsupported);
        }
        let registers = Registers {
            loaded,
            guest: &mut self.guest,
            shared: &mut self.guest_msrs,
            kernel_gs_base: &mut self.kernel_gs_base,
            tsc_offset: &mut self.tsc_offset,
            vm: self.vm.arch(),
            speculation: self.vm.platform().speculation,
        };
        self.msrs.read(index, initiator, &self.features, &registers)
    }

    /// Writes an MSR.
    pub fn write_msr(
        &mut self,
        loaded: &Loaded,
        index: u32,
        value: u64,
        initiator: Initiator,
    ) -> Result<(), Refusal> {
        if let Some(result) = self.write_apic_msr(index, value, initiator) {
            return result;
        }
        let mut registers = Registers {
            loaded,
            guest: &mut self.guest,
            shared: &mut self.guest_msrs,
            kernel_gs_base: &mut self.kernel_gs_base,
            tsc_offset: &mut self.tsc_offset,
            vm: self.vm.arch(),
            speculation: self.vm.platform().speculation,
        };
        self.msrs
            .write(index, value, initiator, &self.features, &mut registers)
    }
}
