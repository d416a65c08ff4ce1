// SPDX-License-Identifier: GPL-2.0

//! A guest's processors: the virtual CPU interface works on the list registers as IHI 0069 has it.

use rkvm_host::arm64::vgic::gic::cpu_interface::Groups;
use rkvm_host::arm64::vgic::gic::intid::{Intid, IrqRef, Kind, VcpuIndex};
use rkvm_host::arm64::vgic::gic::irq::{Group, Level};
use rkvm_host::arm64::vgic::gic::list_register::{ListRegister, ListRegisters};
use rkvm_host::arm64::vgic::gic::sync::Ended;
use rkvm_host::arm64::vgic::gic::Gic;

const GROUP1: u64 = 1 << 60;
const PENDING: u64 = 1 << 62;
const ACTIVE: u64 = 1 << 63;

/// The interrupt in a list register (IHI 0069, ICH_LR<n>_EL2, vINTID).
pub fn intid(register: &ListRegister) -> Intid {
    Intid::new(register.raw() as u32)
}

/// Its priority (the same, Priority).
pub fn priority(register: &ListRegister) -> u8 {
    (register.raw() >> 48) as u8
}

/// Its group (the same, Group).
pub fn group(register: &ListRegister) -> Group {
    if register.raw() & GROUP1 != 0 {
        Group::One
    } else {
        Group::Zero
    }
}

/// A vCPU in the guest.
pub struct Processor {
    pub index: VcpuIndex,
    pub lists: ListRegisters,
    /// Acknowledged interrupts with their priorities, the running one last.
    pub running: Vec<(Intid, u8)>,
}

pub struct Machine {
    pub gic: Gic,
    pub processors: Vec<Processor>,
}

pub fn vcpu(index: usize) -> VcpuIndex {
    VcpuIndex::new(index).unwrap()
}

impl Machine {
    /// vCPUs with the ids 0, 1, ... and a GIC with everything off.
    pub fn new(vcpus: usize, list_registers: usize) -> Self {
        let ids: Vec<u32> = (0..vcpus as u32).collect();
        let processor = |index| Processor {
            index: vcpu(index),
            lists: ListRegisters::new(list_registers),
            running: Vec::new(),
        };
        let mut this = Self {
            gic: Gic::new(&ids, 64).unwrap(),
            processors: (0..vcpus).map(processor).collect(),
        };
        for index in 0..vcpus {
            // Both groups, no mask.
            this.gic.interface_mut(vcpu(index)).unwrap().vmcr = 0xff << 24 | 0b11;
        }
        this.make_levels();
        this
    }

    /// SPIs follow their lines.
    pub fn make_levels(&mut self) {
        self.gic.distributor_write(0xc08, 4, 0);
        self.gic.distributor_write(0xc0c, 4, 0);
    }

    /// GICD_CTLR.EnableGrp1, and all interrupts enabled.
    pub fn open(&mut self) {
        self.gic.distributor_write(0, 4, 0b10);
        self.gic.distributor_write(0x104, 4, 0xffff_ffff);
        for index in 0..self.processors.len() {
            let _ = self
                .gic
                .redistributor_write(vcpu(index), 0x1_0100, 4, 0xffff_ffff);
        }
    }

    /// The vCPU exits and enters again.
    pub fn sync(&mut self, index: usize) {
        let _ = self.sync_ended(index);
    }

    /// The same, and what the guest has ended.
    pub fn sync_ended(&mut self, index: usize) -> Ended {
        let groups = self.groups(index);
        let processor = &mut self.processors[index];
        self.gic
            .sync(processor.index, &mut processor.lists, || groups)
    }

    /// The guest writes ICC_IGRPEN0_EL1 (bit 0) and ICC_IGRPEN1_EL1 (bit 1).
    pub fn set_groups(&mut self, index: usize, groups: u8) {
        let interface = self.gic.interface_mut(vcpu(index)).unwrap();
        interface.vmcr = interface.vmcr & !0b11 | u64::from(groups);
    }

    /// What the guest has on in ICC_IGRPEN0_EL1 and ICC_IGRPEN1_EL1.
    pub fn groups(&self, index: usize) -> Groups {
        self.gic.cpu(vcpu(index)).unwrap().interface.groups()
    }

    /// The vCPU exits.
    pub fn fold(&mut self, index: usize) {
        let processor = &mut self.processors[index];
        let _ = self.gic.fold(processor.index, &mut processor.lists);
    }

    pub fn fold_all(&mut self) {
        for index in 0..self.processors.len() {
            self.fold(index);
        }
    }

    pub fn set_line(&mut self, at: IrqRef, level: Level) {
        self.gic.set_line(at, level).unwrap();
    }

    /// The guest reads ICC_IAR1_EL1.
    pub fn acknowledge(&mut self, index: usize) -> Option<Intid> {
        let groups = self.groups(index);
        let processor = &mut self.processors[index];
        let running = processor
            .running
            .last()
            .map_or(0x100, |(_, p)| u32::from(*p));
        let register = processor
            .lists
            .values_mut()
            .iter_mut()
            .filter(|register| register.state().pending && !register.state().active)
            .filter(|register| groups.has(group(register)))
            .min_by_key(|register| priority(register))
            .filter(|register| u32::from(priority(register)) < running)?;
        let (intid, priority) = (intid(register), priority(register));
        *register = ListRegister::from_raw(register.raw() & !PENDING | ACTIVE);
        processor.running.push((intid, priority));
        Some(intid)
    }

    /// The guest writes the running interrupt to ICC_EOIR1_EL1.
    pub fn end(&mut self, index: usize) -> Option<Intid> {
        let processor = &mut self.processors[index];
        let (ended, _) = processor.running.pop()?;
        let mut registers = processor.lists.values_mut().iter_mut();
        match registers.find(|register| intid(register) == ended && register.state().active) {
            Some(register) => *register = ListRegister::from_raw(register.raw() & !ACTIVE),
            None if ended.kind() == Kind::Lpi => (),
            None => processor.lists.eoi_count += 1,
        }
        Some(ended)
    }

    /// Whether the processor raises the maintenance interrupt.
    pub fn maintenance(&self, index: usize) -> bool {
        let lists = &self.processors[index].lists;
        let pending = |register: &ListRegister| register.state().pending;
        lists.values().iter().any(|register| register.has_ended())
            || lists.requests.no_pending && !lists.values().iter().any(pending)
            || lists.requests.ended_elsewhere && lists.eoi_count > 0
            || lists
                .requests
                .other_groups
                .is_some_and(|groups| groups != self.groups(index))
    }

    /// The guest takes interrupts until there are none, with every exit that they lead to.
    pub fn drain(&mut self, index: usize, mut handle: impl FnMut(&mut Self, Intid)) {
        for _ in 0..1000 {
            self.sync(index);
            while let Some(intid) = self.acknowledge(index) {
                handle(self, intid);
                self.end(index);
            }
            while self.end(index).is_some() {}
            if !self.maintenance(index) && !self.has_news(index) {
                self.sync(index);
                if self.processors[index].lists.used() == 0 {
                    return;
                }
            }
        }
        panic!("interrupts without end");
    }

    fn has_news(&mut self, index: usize) -> bool {
        let mut found = false;
        self.gic.news.take(|vcpu| found |= vcpu.get() == index);
        found
    }
}
