// SPDX-License-Identifier: GPL-2.0

//! Accesses of the guest to addresses without memory: devices in the kernel, then the VMM.

use crate::{
    arm64::{
        counters::Event,
        el1::{El1Access, El1Reg},
        exception::{self, status, Aborted},
        exit::{Abort, Syndrome},
        guest_memory::GuestMemory,
        loaded::Loaded,
        mmio::{ByteOrder, Direction, RegisterAccess},
        options::VmOption,
        processors::Endianness,
        run::FaultInfo,
        stage1::Regime,
        user_exit::UserExit,
        vcpu::Core,
        vgic::mmio::{Access, Context, Served},
    },
    bus::{Handled, Space},
    host::arm64::not_implemented,
    run_page::RunPage,
    types::Gpa,
};
use kernel::prelude::*;

/// An access of the guest that the VMM is carrying out.
#[derive(Clone, Copy, Debug)]
pub enum Pending {
    /// None.
    None,
    /// A load or store, whose instruction is done when the VMM calls again.
    Mmio(RegisterAccess, Syndrome),
}

/// Who an access to a device is for.
pub enum Answer {
    /// A device in the kernel, which has taken it: the instruction is done.
    Done,
    /// It is not known yet: it takes process context.
    Later,
    /// The VMM.
    Vmm(UserExit),
}

impl Core {
    /// An access that stage 2 finds no memory for.
    pub fn access_device(&mut self, loaded: &Loaded, fault: &FaultInfo) -> Answer {
        let iss = Abort::from(fault.syndrome.iss());
        let is_data = Aborted::of(fault.syndrome) == Aborted::Data;
        if !is_data || iss.table_walk().into_bool() || iss.maintenance().into_bool() {
            return Answer::Later;
        }
        let order = ByteOrder::of_guest(self.regs.pstate, loaded.get(El1Reg::Sctlr));
        let Some(access) = RegisterAccess::from_abort(iss, order) else {
            return Answer::Later;
        };
        match self.access_gic(fault.gpa, &access, Context::Atomic) {
            Served::Done => (),
            Served::Later => return Answer::Later,
            Served::Elsewhere if self.write_bus(loaded, fault.gpa, &access) == Handled::Yes => (),
            Served::Elsewhere if self.vm.arch().vgic().has_its_at(fault.gpa) => {
                return Answer::Later
            }
            Served::Elsewhere => return Answer::Vmm(self.ask_vmm(fault, access)),
        }
        self.counters.count(Event::MmioInKernel);
        self.regs.skip_instruction(fault.syndrome);
        Answer::Done
    }

    /// Lets eventfds and coalesced zones take a store.
    fn write_bus(&mut self, loaded: &Loaded, gpa: Gpa, access: &RegisterAccess) -> Handled {
        if access.direction == Direction::Load {
            return Handled::No;
        }
        let data = access.stored(self.regs.get(access.register));
        let data = data.get(..access.bytes).unwrap_or(&data);
        self.io.write(loaded.here(), Space::Memory, gpa.raw(), data)
    }

    /// The exit by which the VMM is to carry an access out.
    fn ask_vmm(&mut self, fault: &FaultInfo, access: RegisterAccess) -> UserExit {
        self.counters.count(Event::MmioExit);
        self.pending = Pending::Mmio(access, fault.syndrome);
        let (gpa, len) = (fault.gpa, access.bytes);
        match access.direction {
            Direction::Load => UserExit::MmioRead { gpa, len },
            Direction::Store => UserExit::MmioWrite {
                gpa,
                data: access.stored(self.regs.get(access.register)),
                len,
            },
        }
    }

    /// Lets the GIC take an access.
    fn access_gic(&mut self, gpa: Gpa, access: &RegisterAccess, context: Context) -> Served {
        let mut data = access.stored(self.regs.get(access.register));
        let vgic = self.vm.arch().vgic();
        let mut memory = GuestMemory {
            view: &mut self.view,
            mmu: self.vm.mmu(),
        };
        let bytes = data.get_mut(..access.bytes).unwrap_or_default();
        let request = match access.direction {
            Direction::Load => Access::Read(bytes),
            Direction::Store => Access::Write(bytes),
        };
        let served = vgic.access(gpa, request, context, &mut memory);
        if served == Served::Done && access.direction == Direction::Load {
            self.regs.set(access.register, access.loaded(data));
        }
        served
    }

    /// An access that no device in the kernel takes. `ENOSYS` if the syndrome does not describe the instruction, and
    /// the VMM has not asked for those.
    pub fn mmio(&mut self, fault: &FaultInfo) -> Result<Option<UserExit>> {
        let iss = Abort::from(fault.syndrome.iss());
        // Neither instructions nor the guest's tables can lie there.
        if iss.table_walk().into_bool() {
            if let Some(level) = self.level_of_table(fault) {
                self.refuse(fault, status::external_on_walk(level));
            }
            return Ok(None);
        }
        if Aborted::of(fault.syndrome) == Aborted::Fetch {
            self.refuse(fault, status::EXTERNAL);
            return Ok(None);
        }
        if iss.maintenance().into_bool() {
            // Nothing is cached of it.
            self.regs.skip_instruction(fault.syndrome);
            return Ok(None);
        }
        let order = ByteOrder::of_guest(self.regs.pstate, self.el1.get(El1Reg::Sctlr));
        let Some(access) = RegisterAccess::from_abort(iss, order) else {
            if !self.vm.arch().options().has(VmOption::UndescribedToVmm) {
                return Err(not_implemented());
            }
            return Ok(Some(UserExit::Undescribed {
                gpa: fault.gpa,
                iss: (fault.syndrome.iss() & Abort::UNDESCRIBED).into(),
            }));
        };
        if self.access_gic(fault.gpa, &access, Context::Process) == Served::Done {
            self.regs.skip_instruction(fault.syndrome);
            return Ok(None);
        }
        Ok(Some(self.ask_vmm(fault, access)))
    }

    /// The access fails in the guest.
    fn refuse(&mut self, fault: &FaultInfo, status: u64) {
        exception::abort(
            &mut self.regs,
            &mut self.el1,
            Aborted::of(fault.syndrome),
            fault.far,
            status,
            fault.syndrome,
        );
    }

    /// The level of the guest's table that could not be read. `None` if the guest has changed its tables meanwhile: it
    /// will fault again.
    fn level_of_table(&mut self, fault: &FaultInfo) -> Option<i8> {
        let regime = Regime {
            tcr: self.el1.get(El1Reg::Tcr),
            ttbr0: self.el1.get(El1Reg::Ttbr0),
            ttbr1: self.el1.get(El1Reg::Ttbr1),
        };
        let is_big = self.endianness() == Endianness::Big;
        let mmu = self.vm.mmu();
        regime.level_of_table(fault.far, fault.gpa.frame().base().raw(), |at| {
            let mut bytes = [0; size_of::<u64>()];
            self.view.read(mmu, Gpa::new(at), &mut bytes).ok()?;
            Some(if is_big {
                u64::from_be_bytes(bytes)
            } else {
                u64::from_le_bytes(bytes)
            })
        })
    }

    /// The VMM has carried out what was pending.
    pub fn complete(&mut self, page: &RunPage) {
        match core::mem::replace(&mut self.pending, Pending::None) {
            Pending::None => (),
            Pending::Mmio(access, syndrome) => {
                if access.direction == Direction::Load {
                    let value = access.loaded(page.mmio_data());
                    self.regs.set(access.register, value);
                }
                self.regs.skip_instruction(syndrome);
            }
        }
    }
}
