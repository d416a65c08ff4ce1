// SPDX-License-Identifier: GPL-2.0

//! A GICv3 as a state machine: distributor, redistributors, and what is kept of the CPU interfaces.
//!
//! An interrupt that a vCPU has to deal with (pending, enabled and routed to it; or active there) is in that
//! vCPU's [queue](queue), also while the distributor forwards none, so that turning it on and off costs nothing for
//! each of thousands of interrupts. When the vCPU enters the guest, the most urgent ones are [loaded](sync) into its
//! list registers, where the processor itself offers them to the guest; from then on the list register has
//! their state, until it is folded back. Whatever changes for a vCPU leaves it *news*, which the owner of
//! this state machine passes on.
//!
//! Nothing here locks, sleeps or touches hardware. Registers that tell what list registers have (ISPENDR, ICPENDR,
//! ISACTIVER, ICACTIVER) are as of when that was last taken back; writes to them hold from then on.
//!
//! Source: Arm GIC architecture specification (IHI 0069).

pub mod access;
pub mod cpu_interface;
pub mod distributor;
pub mod intid;
pub mod irq;
pub mod list_register;
pub mod lpi;
pub mod news;
pub mod queue;
pub mod redistributor;
pub mod sgi;
pub mod sync;
pub mod table_base;

use cpu_interface::CpuInterface;
use intid::{Intid, IrqRef, Kind, VcpuIndex, FIRST_LPI, PRIVATE, SGIS, SPI_END};
use irq::{Irq, Level, Trigger};
use kernel::prelude::*;
use lpi::Redistribution;
use news::News;
use queue::Queue;

/// The least and the most interrupts, apart from LPIs, that a VMM can choose, in steps of 32.
pub const IRQS_MIN: u32 = 64;
/// See [`IRQS_MIN`].
pub const IRQS_MAX: u32 = 1024;
/// If it chooses none.
pub const IRQS_DEFAULT: u32 = 256;

/// GICD_IIDR.Revision: what a guest and a VMM see of this GIC is that of this revision of C KVM's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Revision {
    /// Groups can be configured.
    Two,
    /// LPIs can be invalidated and disabled by a redistributor.
    Three,
}

impl Revision {
    /// From the field. `None` for others.
    pub const fn from_field(field: u32) -> Option<Self> {
        match field {
            2 => Some(Self::Two),
            3 => Some(Self::Three),
            _ => None,
        }
    }

    /// The field.
    pub const fn field(self) -> u32 {
        match self {
            Self::Two => 2,
            Self::Three => 3,
        }
    }
}

/// What a guest sees of MPIDR_EL1, without the uppermost level: Aff2, Aff1, Aff0; unless the VMM changes it.
///
/// 16 vCPUs share a value of Aff1, since an SGI reaches that many at once.
pub const fn affinity(vcpu_id: u32) -> u32 {
    vcpu_id & 0xf | (vcpu_id >> 4 & 0xff) << 8 | (vcpu_id >> 12 & 0xff) << 16
}

/// A vCPU's part.
pub struct Cpu {
    /// The id that the VMM has given.
    id: u32,
    affinity: u32,
    private: [Irq; PRIVATE as usize],
    queue: Queue,
    /// The registers of its CPU interface, while they are not in hardware.
    pub interface: CpuInterface,
    lpis: Redistribution,
}

impl Cpu {
    fn new(id: u32, index: VcpuIndex) -> Self {
        let irq = |number: usize| {
            if number < SGIS as usize {
                Irq {
                    // SGIs cannot be disabled on many implementations; C KVM starts with them on.
                    enabled: true,
                    ..Irq::new(Trigger::Edge, Some(index))
                }
            } else {
                Irq::new(Trigger::Level, Some(index))
            }
        };
        Self {
            id,
            affinity: affinity(id),
            private: core::array::from_fn(irq),
            queue: Queue::default(),
            interface: CpuInterface::default(),
            lpis: Redistribution::default(),
        }
    }

    /// The id that the VMM has given.
    pub fn id(&self) -> u32 {
        self.id
    }
}

/// A GICv3.
pub struct Gic {
    cpus: KVVec<Cpu>,
    spis: KVVec<Irq>,
    /// Indexed by the number from [`FIRST_LPI`] on; as long as the largest that was mapped wants it.
    lpis: KVVec<Irq>,
    /// Interrupts that the VMM has chosen, with private ones.
    irqs: u32,
    /// GICD_CTLR.EnableGrp1: interrupts are forwarded to CPU interfaces. Group 0 follows it.
    forwarding: bool,
    /// There is an ITS, so that LPIs exist.
    has_its: bool,
    propbaser: u64,
    revision: Revision,
    /// Who has to look.
    pub news: News,
}

impl Gic {
    /// A GIC after reset, for the vCPUs with these ids in the order of their creation, and `irqs`
    /// interrupts apart from LPIs. `ENOMEM`.
    pub fn new(vcpu_ids: &[u32], irqs: u32) -> Result<Self> {
        let mut cpus = KVVec::with_capacity(vcpu_ids.len(), GFP_KERNEL_ACCOUNT)?;
        for (number, id) in vcpu_ids.iter().enumerate() {
            let index = VcpuIndex::new(number).ok_or(EINVAL)?;
            cpus.push(Cpu::new(*id, index), GFP_KERNEL_ACCOUNT)?;
        }
        let end = irqs.clamp(IRQS_MIN, SPI_END);
        let mut this = Self {
            cpus,
            spis: KVVec::new(),
            lpis: KVVec::new(),
            irqs,
            forwarding: false,
            has_its: false,
            propbaser: 0,
            revision: Revision::Three,
            news: News::default(),
        };
        // The first vCPU may have an id other than 0, which is the affinity of GICD_IROUTER's reset value.
        let target = this.find_affinity(0);
        // Guests choose; C KVM begins with edges.
        let spi = Irq::new(Trigger::Edge, target);
        let count = end.wrapping_sub(PRIVATE) as usize;
        this.spis = KVVec::from_elem(spi, count, GFP_KERNEL_ACCOUNT)?;
        Ok(this)
    }

    /// There is an ITS from now on.
    pub fn add_its(&mut self) {
        self.has_its = true;
    }

    /// How the VMM or guest sees this GIC.
    pub fn set_revision(&mut self, revision: Revision) {
        self.revision = revision;
    }

    /// A vCPU's part.
    pub fn cpu(&self, vcpu: VcpuIndex) -> Option<&Cpu> {
        self.cpus.get(vcpu.get())
    }

    /// The registers of a vCPU's CPU interface.
    pub fn interface_mut(&mut self, vcpu: VcpuIndex) -> Option<&mut CpuInterface> {
        self.cpus.get_mut(vcpu.get()).map(|cpu| &mut cpu.interface)
    }

    /// The vCPU that has this affinity: Aff2, Aff1, Aff0.
    pub fn find_affinity(&self, affinity: u32) -> Option<VcpuIndex> {
        let matches = |cpu: &Cpu| cpu.affinity == affinity;
        let likely = (affinity & 0xf | affinity >> 4 & 0xff0) as usize;
        if self.cpus.get(likely).is_some_and(matches) {
            return VcpuIndex::new(likely);
        }
        VcpuIndex::new(self.cpus.iter().position(matches)?)
    }

    /// The vCPU with this id.
    pub fn find_id(&self, id: u32) -> Option<VcpuIndex> {
        let matches = |cpu: &Cpu| cpu.id == id;
        let likely = id as usize;
        if self.cpus.get(likely).is_some_and(matches) {
            return VcpuIndex::new(likely);
        }
        VcpuIndex::new(self.cpus.iter().position(matches)?)
    }

    /// The VMM has given a vCPU another affinity: Aff2, Aff1, Aff0.
    pub fn set_affinity(&mut self, vcpu: VcpuIndex, affinity: u32) {
        if let Some(cpu) = self.cpus.get_mut(vcpu.get()) {
            cpu.affinity = affinity;
        }
    }

    /// All vCPUs.
    pub fn vcpus(&self) -> impl Iterator<Item = VcpuIndex> {
        (0..self.cpus.len()).filter_map(VcpuIndex::new)
    }

    /// An interrupt; `None` if there is no such one.
    pub fn irq(&self, at: IrqRef) -> Option<&Irq> {
        let intid = at.intid().raw();
        match at.owner() {
            Some(vcpu) => self.cpus.get(vcpu.get())?.private.get(intid as usize),
            None if intid < FIRST_LPI => self.spis.get(intid.checked_sub(PRIVATE)? as usize),
            None => self.lpis.get(intid.checked_sub(FIRST_LPI)? as usize),
        }
    }

    /// [`Gic::irq`] to be changed.
    fn irq_mut(&mut self, at: IrqRef) -> Option<&mut Irq> {
        let intid = at.intid().raw();
        match at.owner() {
            Some(vcpu) => {
                let cpu = self.cpus.get_mut(vcpu.get())?;
                cpu.private.get_mut(intid as usize)
            }
            None if intid < FIRST_LPI => self.spis.get_mut(intid.checked_sub(PRIVATE)? as usize),
            None => self.lpis.get_mut(intid.checked_sub(FIRST_LPI)? as usize),
        }
    }

    /// Changes an interrupt, and does what follows from it.
    fn change(&mut self, at: IrqRef, change: impl FnOnce(&mut Irq)) {
        if let Some(irq) = self.irq_mut(at) {
            change(irq);
            self.changed(at);
        }
    }

    /// Puts an interrupt into the queue where it belongs now.
    fn changed(&mut self, at: IrqRef) {
        let Some(irq) = self.irq(at) else {
            return;
        };
        let holder = irq.holder;
        if irq.loaded {
            // The holder takes it back first.
            self.leave_news(holder);
            return;
        }
        let wanted = self.wanted(irq);
        if holder != wanted {
            self.dequeue(at);
            if let Some(vcpu) = wanted {
                self.enqueue(at, vcpu);
            }
        }
        self.leave_news(wanted);
    }

    fn leave_news(&mut self, vcpu: Option<VcpuIndex>) {
        if let Some(vcpu) = vcpu {
            self.news.leave(vcpu);
        }
    }

    /// The vCPU that has to deal with an interrupt that is not loaded: an active one stays where it is.
    fn wanted(&self, irq: &Irq) -> Option<VcpuIndex> {
        if irq.active {
            irq.holder.or(irq.target)
        } else if irq.enabled && irq.is_pending() {
            irq.target
        } else {
            None
        }
    }

    /// Whether an interrupt is pending at a CPU interface.
    #[inline]
    fn is_forwarded(&self, irq: &Irq) -> bool {
        self.forwarding && irq.enabled && irq.is_pending()
    }

    /// Changes the line of an SPI or PPI. `EINVAL` if there is no such one.
    pub fn set_line(&mut self, at: IrqRef, level: Level) -> Result {
        if !matches!(at.intid().kind(), Kind::Spi | Kind::Ppi) {
            return Err(EINVAL);
        }
        if self.irq_mut(at).ok_or(EINVAL)?.set_line(level) {
            self.changed(at);
        }
        Ok(())
    }

    /// An eventfd fires. The line of an interrupt that is triggered by its level stays up until the VMM lowers it, as with
    /// C KVM; else its guest might never see it. `EINVAL` if there is no such SPI.
    pub fn pulse(&mut self, at: IrqRef) -> Result {
        self.set_line(at, Level::High)?;
        match self.irq(at).map(|irq| irq.trigger) {
            Some(Trigger::Edge) => self.set_line(at, Level::Low),
            _ => Ok(()),
        }
    }

    /// A PPI follows a physical interrupt, which the guest's deactivation ends; or does no more.
    pub fn set_hardware(&mut self, vcpu: VcpuIndex, intid: Intid, physical: Option<u8>) {
        if intid.kind() == Kind::Ppi {
            if let Some(irq) = self.irq_mut(IrqRef::private(vcpu, intid)) {
                irq.hardware = physical;
            }
        }
    }

    /// An interrupt is neither pending, but for its line, nor active any more.
    pub fn forget(&mut self, at: IrqRef) {
        self.change(at, |irq| {
            irq.clear_latch();
            irq.set_active(false);
        });
    }

    /// Whether something is there that the vCPU would be interrupted by, whatever its PSTATE: it ends a WFI.
    /// Nothing may be loaded.
    pub fn has_deliverable(&self, vcpu: VcpuIndex) -> bool {
        self.cpus.get(vcpu.get()).is_some_and(|cpu| {
            self.queued(vcpu).any(|at| {
                self.irq(at).is_some_and(|irq| {
                    self.is_forwarded(irq)
                        && !irq.active
                        && cpu.interface.lets_through(irq.group, irq.priority)
                })
            })
        })
    }

    /// A vCPU's queue.
    pub fn queued(&self, vcpu: VcpuIndex) -> impl Iterator<Item = IrqRef> + '_ {
        let first = self.cpus.get(vcpu.get()).and_then(|cpu| cpu.queue.first());
        core::iter::successors(first, |at| self.irq(*at)?.next)
    }

    /// Something has changed for all vCPUs.
    fn leave_news_for_all(&mut self) {
        for index in 0..self.cpus.len() {
            self.leave_news(VcpuIndex::new(index));
        }
    }
}
