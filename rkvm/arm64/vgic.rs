// SPDX-License-Identifier: GPL-2.0

//! The interrupt controller of a VM, and the way of an interrupt through it.
//!
//! ```text
//!  KVM_IRQ_LINE ─────────────────────────SPI, PPI──▶ ┌─────┐ queue ┌────────────────┐
//!  irqfd ──gsi──▶ routes ──────────────────────SPI─▶ │ Gic │──────▶│ list registers │──▶ the guest
//!  KVM_SIGNAL_MSI, MSI routes ──▶ ITS ─────────LPI─▶ │     │ news  │ of a vCPU      │
//!  timers, SGIs of vCPUs ─────────────────PPI, SGI─▶ └─────┘       └────────────────┘
//! ```
//!
//! One [`Gic`] of a VM lies behind one lock, which is taken with interrupts off and held for as long as a few
//! list operations take. A vCPU takes it when it has news, not at each exit: its list registers stay in the
//! processor meanwhile. Whoever leaves a vCPU news sets a flag of its [`Target`] and rouses it.
//!
//! Lock order: the set-up, the commands of an ITS, an eventfd's wait queue, the routes, the list of ITSs, the Gic, an ITS. What may call an eventfd back (resampling) is
//! done after the Gic is unlocked.

pub mod attributes;
pub mod gic;
pub mod host;
pub mod its;
pub mod its_device;
pub mod layout;
pub mod lines;
pub mod lpis;
pub mod mmio;

use crate::{
    arm64::routing::Routes,
    host::{cpu, irq_lock::IrqLock, waiter::Waiter},
    irqfd::{IrqSink, Resamplers},
    request::Kick,
};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use gic::{intid::VcpuIndex, irq::Level, sync::Ended, Gic, Revision};
use its_device::ItsDevice;
use kernel::{
    prelude::*,
    static_lock_class,
    sync::{new_mutex, Arc, Mutex, SetOnce},
};
use layout::Layout;

/// A vCPU as interrupts reach it.
pub struct Target {
    /// The id that the VMM gave it.
    id: u32,
    kick: Arc<Kick>,
    /// Something has changed for it since it looked last.
    news: AtomicBool,
    /// Its part of the GIC is in a processor.
    resident: AtomicBool,
    /// Who uses it: [`FREE`], [`RUNNING`] or [`CLAIMED`].
    user: AtomicU32,
    /// Aff2, Aff1, Aff0 of MPIDR_EL1.
    affinity: AtomicU32,
    /// IRQ and FIQ of a VMM that has the interrupt controller, as bits of HCR_EL2.
    lines: AtomicU64,
}

/// Aff2, Aff1 and Aff0 in MPIDR_EL1. A GIC without a fourth level knows no more.
const AFFINITY: u32 = 0xff_ffff;

/// Nobody runs the vCPU.
const FREE: u32 = 0;
/// It is in KVM_RUN.
const RUNNING: u32 = 1;
/// The VMM accesses state of all vCPUs.
const CLAIMED: u32 = 2;

impl Target {
    /// A vCPU that does not run.
    pub fn new(id: u32, kick: Arc<Kick>) -> Self {
        Self {
            id,
            kick,
            news: AtomicBool::new(false),
            resident: AtomicBool::new(false),
            user: AtomicU32::new(FREE),
            affinity: AtomicU32::new(gic::affinity(id)),
            lines: AtomicU64::new(0),
        }
    }

    fn affinity(&self) -> u32 {
        self.affinity.load(Ordering::SeqCst)
    }

    /// HCR_EL2.VI and VF as the VMM has them, if the interrupt controller is its.
    #[inline]
    pub fn lines(&self) -> u64 {
        self.lines.load(Ordering::SeqCst)
    }

    /// The VMM changes one of them.
    fn set_line(&self, line: u64, level: Level) {
        match level {
            Level::High => self.lines.fetch_or(line, Ordering::SeqCst),
            Level::Low => self.lines.fetch_and(!line, Ordering::SeqCst),
        };
        self.ring();
    }

    /// There is news.
    fn ring(&self) {
        self.news.store(true, Ordering::SeqCst);
        self.kick.rouse();
    }

    /// Whether there is news.
    #[inline(always)]
    pub fn has_news(&self) -> bool {
        self.news.load(Ordering::SeqCst)
    }

    /// The vCPU takes the news up: it looks after this.
    #[inline]
    pub fn take_news(&self) {
        self.news.store(false, Ordering::SeqCst);
    }

    /// Where the vCPU's thread sleeps.
    pub fn waiter(&self) -> &Waiter {
        self.kick.waiter()
    }

    /// The vCPU is about to run. Whether it may: the VMM may have claimed it for a moment.
    pub fn run(&self) -> bool {
        let taken = self
            .user
            .compare_exchange(FREE, RUNNING, Ordering::SeqCst, Ordering::SeqCst);
        taken.is_ok()
    }

    /// It does not run any more.
    pub fn stop(&self) {
        self.user.store(FREE, Ordering::SeqCst);
    }

    /// Its part of the GIC comes into a processor.
    pub fn arrive(&self) {
        self.resident.store(true, Ordering::SeqCst);
    }

    /// Its part of the GIC has left the processor.
    pub fn depart(&self) {
        self.resident.store(false, Ordering::SeqCst);
    }

    fn is_resident(&self) -> bool {
        self.resident.load(Ordering::SeqCst)
    }
}

/// Whether lines have been lowered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lowered {
    /// None has.
    None,
    /// At least one.
    Some,
}

/// What the VMM sets up before the guest runs.
pub struct Setup {
    /// Where the frames are.
    layout: Layout,
    /// KVM_DEV_ARM_VGIC_GRP_NR_IRQS.
    irqs: Option<u32>,
    revision: Revision,
    has_its: bool,
    /// KVM_DEV_ARM_VGIC_GRP_MAINT_IRQ, which only nested guests would use.
    maintenance: u32,
    /// The vCPUs in the order of their creation.
    vcpus: KVec<Arc<Target>>,
}

/// What is fixed once the GIC is initialised.
struct Fixed {
    vcpus: KVec<Arc<Target>>,
}

/// The interrupt controller of a VM; there is none yet until the VMM creates it.
#[pin_data]
pub struct Vgic {
    #[pin]
    setup: Mutex<Setup>,
    /// Set when the GIC is initialised.
    fixed: SetOnce<Fixed>,
    #[pin]
    gic: IrqLock<Option<KBox<Gic>>>,
    #[pin]
    routes: IrqLock<Routes>,
    /// The frames have been found to be right, as a vCPU is about to run: the layout does not change any more.
    mapped: SetOnce<Layout>,
    created: AtomicBool,
    /// A vCPU has run and found that there is none, so that there will be none. Set with the set-up locked.
    has_run_without: AtomicBool,
    /// The ITSs. Changed with the set-up locked.
    #[pin]
    itss: IrqLock<KVec<Arc<ItsDevice>>>,
    #[pin]
    resamplers: Resamplers,
}

impl Vgic {
    /// No controller, for a VM with `limit` bytes of guest physical memory. `ENOMEM`.
    pub fn new(limit: u64) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                setup <- new_mutex!(Setup {
                    layout: Layout::new(limit),
                    irqs: None,
                    revision: Revision::Three,
                    has_its: false,
                    maintenance: 0,
                    vcpus: KVec::new(),
                }),
                fixed: SetOnce::new(),
                gic <- IrqLock::new(None, static_lock_class!()),
                routes <- IrqLock::new(Routes::new(), static_lock_class!()),
                mapped: SetOnce::new(),
                created: AtomicBool::new(false),
                has_run_without: AtomicBool::new(false),
                itss <- IrqLock::new(KVec::new(), static_lock_class!()),
                resamplers <- Resamplers::new(),
            }),
            GFP_KERNEL_ACCOUNT,
        )
    }

    /// KVM_CREATE_DEVICE of the GIC. `EEXIST` if there is one, `EBUSY` if a vCPU runs, or has run.
    pub fn create(&self) -> Result {
        let setup = self.setup.lock();
        if self.is_created() {
            return Err(EEXIST);
        }
        if self.has_run_without.load(Ordering::SeqCst) {
            return Err(EBUSY);
        }
        let _all = Claim::of(&setup.vcpus)?;
        self.created.store(true, Ordering::SeqCst);
        Ok(())
    }

    /// Whether the VM has a controller in the kernel.
    pub fn is_created(&self) -> bool {
        self.created.load(Ordering::SeqCst)
    }

    /// Whether the VM has an ITS.
    pub fn has_its(&self) -> bool {
        self.setup.lock().has_its
    }

    /// Whether it can take interrupts.
    #[inline]
    pub fn is_initialised(&self) -> bool {
        self.fixed.as_ref().is_some()
    }

    /// Adds a vCPU. `EBUSY` once the GIC is initialised, `ENOMEM`.
    pub fn add_vcpu(&self, target: Arc<Target>) -> Result {
        let mut setup = self.setup.lock();
        if self.is_initialised() {
            return Err(EBUSY);
        }
        Ok(setup.vcpus.push(target, GFP_KERNEL_ACCOUNT)?)
    }

    /// The VMM has changed MPIDR_EL1 of a vCPU, by which others and the VMM find it.
    pub fn rename(&self, target: &Arc<Target>, mpidr: u64) {
        let affinity = mpidr as u32 & AFFINITY;
        let _setup = self.setup.lock();
        target.affinity.store(affinity, Ordering::SeqCst);
        if let Some(vcpu) = self.index_of(target) {
            self.with_gic(|gic| gic.set_affinity(vcpu, affinity));
        }
    }

    /// Does something while no vCPU runs. `EBUSY` if one does.
    pub fn while_stopped(&self, act: impl FnOnce()) -> Result {
        let setup = self.setup.lock();
        let _all = Claim::of(&setup.vcpus)?;
        act();
        Ok(())
    }

    /// A vCPU has gone; if the GIC is initialised it keeps the vCPU's place.
    pub fn remove_vcpu(&self, target: &Arc<Target>) {
        let mut setup = self.setup.lock();
        if !self.is_initialised() {
            setup.vcpus.retain(|other| !Arc::ptr_eq(other, target));
        }
    }

    /// KVM_DEV_ARM_VGIC_CTRL_INIT: nothing if it is done. `ENODEV` without a vCPU, `ENOMEM`.
    pub fn initialise(&self) -> Result {
        let mut setup = self.setup.lock();
        self.initialise_locked(&mut setup)
    }

    fn initialise_locked(&self, setup: &mut Setup) -> Result {
        if self.is_initialised() {
            return Ok(());
        }
        if setup.vcpus.is_empty() {
            return Err(ENODEV);
        }
        let count = setup.vcpus.len();
        let mut ids = KVec::with_capacity(count, GFP_KERNEL_ACCOUNT)?;
        let mut vcpus = KVec::with_capacity(count, GFP_KERNEL_ACCOUNT)?;
        for target in &setup.vcpus {
            ids.push(target.id, GFP_KERNEL_ACCOUNT)?;
            vcpus.push(target.clone(), GFP_KERNEL_ACCOUNT)?;
        }
        let irqs = *setup.irqs.get_or_insert(gic::IRQS_DEFAULT);
        let mut gic = Gic::new(&ids, irqs)?;
        gic.set_revision(setup.revision);
        for (number, target) in vcpus.iter().enumerate() {
            if let Some(vcpu) = VcpuIndex::new(number) {
                gic.set_affinity(vcpu, target.affinity());
            }
        }
        if setup.has_its {
            gic.add_its();
        }
        let routes = Routes::of_spis(irqs);
        let gic = KBox::new(gic, GFP_KERNEL_ACCOUNT)?;
        *self.gic.lock() = Some(gic);
        let previous = core::mem::replace(&mut *self.routes.lock(), routes);
        drop(previous);
        self.fixed.populate(Fixed { vcpus });
        Ok(())
    }

    /// A vCPU is about to run. `EBUSY` if there is a controller that is not initialised, `ENXIO` if a frame of it has no
    /// address, `EINVAL` if frames overlap.
    pub fn map(&self) -> Result {
        if self.mapped.as_ref().is_some() || self.has_run_without.load(Ordering::SeqCst) {
            return Ok(());
        }
        let setup = self.setup.lock();
        if !self.is_created() {
            self.has_run_without.store(true, Ordering::SeqCst);
            return Ok(());
        }
        setup.layout.check(setup.vcpus.len())?;
        if !self.is_initialised() {
            return Err(EBUSY);
        }
        let layout = setup.layout.try_clone()?;
        self.mapped.populate(layout);
        Ok(())
    }

    /// Does something to the GIC, and tells the vCPUs that it concerns. `None` if there is no GIC that is initialised.
    pub fn with_gic<T>(&self, change: impl FnOnce(&mut Gic) -> T) -> Option<T> {
        self.change_gic(None, change)
    }

    /// [`Vgic::with_gic`] for a vCPU that looks at its queue itself.
    pub fn with_gic_for<T>(
        &self,
        vcpu: VcpuIndex,
        change: impl FnOnce(&mut Gic) -> T,
    ) -> Option<T> {
        self.change_gic(Some(vcpu), change)
    }

    fn change_gic<T>(
        &self,
        caller: Option<VcpuIndex>,
        change: impl FnOnce(&mut Gic) -> T,
    ) -> Option<T> {
        let fixed = self.fixed.as_ref()?;
        let mut guard = self.gic.lock();
        let gic = guard.as_mut()?;
        let result = change(gic);
        gic.news.take(|vcpu| {
            if Some(vcpu) == caller {
                return;
            }
            if let Some(target) = fixed.vcpus.get(vcpu.get()) {
                target.ring();
            }
        });
        Some(result)
    }

    /// The number of vCPUs that the GIC was initialised for.
    pub fn vcpus(&self) -> usize {
        self.fixed.as_ref().map_or(0, |fixed| fixed.vcpus.len())
    }

    /// The place of a vCPU among those that the GIC was initialised for.
    pub fn index_of(&self, target: &Arc<Target>) -> Option<VcpuIndex> {
        let vcpus = &self.fixed.as_ref()?.vcpus;
        let position = vcpus.iter().position(|other| Arc::ptr_eq(other, target))?;
        VcpuIndex::new(position)
    }

    /// Lowers the lines that are to be sampled again as the guest has ended their interrupts, and tells those who do that.
    /// Called without the lock of the GIC.
    pub fn tell_ended(&self, ended: &Ended) -> Lowered {
        let mut lowered = Lowered::None;
        if ended.is_empty() || self.resamplers.is_empty() {
            return lowered;
        }
        for at in ended.iter() {
            let gsi = self.routes.lock().gsi_of(at.intid());
            if let Some(gsi) = gsi.filter(|gsi| self.resamplers.has(*gsi)) {
                self.deassert_resample(gsi);
                lowered = Lowered::Some;
                self.resamplers.acknowledged(gsi);
            }
        }
        lowered
    }

    /// Waits until what was loaded in list registers before the call has been taken back at least once: a vCPU takes its
    /// news up with the GIC locked. The caller has nothing loaded itself, and may sleep.
    fn unload_others(&self) {
        let Some(fixed) = self.fixed.as_ref() else {
            return;
        };
        for target in &fixed.vcpus {
            if target.is_resident() {
                target.ring();
            }
        }
        for target in &fixed.vcpus {
            while target.is_resident() && target.has_news() {
                cpu::nap();
            }
        }
    }
}

/// The VMM has all vCPUs to itself: none runs until this is dropped.
pub struct Claim<'a> {
    vcpus: &'a [Arc<Target>],
}

impl<'a> Claim<'a> {
    /// `EBUSY` if one runs.
    pub fn of(vcpus: &'a [Arc<Target>]) -> Result<Self> {
        for (number, target) in vcpus.iter().enumerate() {
            let claim =
                target
                    .user
                    .compare_exchange(FREE, CLAIMED, Ordering::SeqCst, Ordering::SeqCst);
            if claim.is_err() {
                drop(Self {
                    vcpus: vcpus.get(..number).unwrap_or_default(),
                });
                return Err(EBUSY);
            }
        }
        Ok(Self { vcpus })
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        for target in self.vcpus {
            target.user.store(FREE, Ordering::SeqCst);
        }
    }
}
