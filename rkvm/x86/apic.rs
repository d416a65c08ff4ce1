// SPDX-License-Identifier: GPL-2.0

//! A vCPU's local APIC in its surroundings: what others left in the inbox goes into it, what it has goes into
//! the guest, and what the guest does with it goes out to other vCPUs and to the VM's chips.

mod delivery;

use crate::{
    halt_poll::HaltPoll,
    host::x86::{registers, tsc_frequency},
    request::Kick,
    types::{Gpa, PAGE_SIZE},
    vm::Vm,
    vmx::{field::PREEMPTION_TIMER_VALUE, run::Leave, vmcs::Loaded},
    x86::{
        inbox::{News, Signals},
        interrupts::{Interrupts, Kind},
        lapic::{Clock, Effect, Gp, Lapic, FIRST_MSR, LAST_MSR},
        message::{ApicMode, Trigger},
        msr::{
            index::{IA32_APIC_BASE, IA32_TSC_DEADLINE},
            Initiator, Refusal, Role,
        },
        target::Target,
        vcpu::Core,
    },
};
use delivery::Delivery;
use kernel::{prelude::*, sync::Arc};

/// The local APIC of a vCPU, where it is in the kernel.
pub struct Apic {
    lapic: Lapic,
    delivery: Delivery,
    /// Where others reach it.
    pub target: Arc<Target>,
    /// The VM's other chips.
    pub interrupts: Arc<Interrupts>,
    /// The preemption timer has been given a time, which lasts until it is given another.
    timer_set: bool,
    /// The vector that the VMM's 8259s have for the vCPU (KVM_INTERRUPT), taken as those in the kernel are.
    pub vmm_extint: Option<u8>,
    /// KVM_HC_KICK_CPU was for this vCPU, which has not halted since.
    pub unhalted: bool,
    /// How long the vCPU looks for an interrupt before it sleeps.
    pub poll: HaltPoll,
}

impl Apic {
    /// The local APIC of a new vCPU; `None` where the VMM has it. `ENOMEM`.
    pub fn for_vcpu(vm: &Vm, kick: &Arc<Kick>, id: u32) -> Result<Option<Self>> {
        let interrupts = vm.arch().interrupts();
        if interrupts.kind() == Kind::Userspace {
            return Ok(None);
        }
        let lapic = Lapic::new(
            id,
            interrupts
                .settings()
                .lapic(id, false, vm.arch().settings.lint0()),
        )?;
        let target = Arc::new(
            Target::new(lapic.identity(), kick.clone())?,
            GFP_KERNEL_ACCOUNT,
        )?;
        target.publish_extint(lapic.lint0_takes_extint());
        interrupts.targets().add(target.clone())?;
        Ok(Some(Self {
            lapic,
            delivery: Delivery::Software,
            target,
            interrupts: interrupts.clone(),
            timer_set: false,
            vmm_extint: None,
            unhalted: false,
            poll: HaltPoll::default(),
        }))
    }

    /// The chip.
    #[inline]
    pub fn lapic(&mut self) -> &mut Lapic {
        if self.delivery.makes_exact() {
            self.lapic.after_guest();
        }
        &mut self.lapic
    }

    /// The chip, for what the guest does not change without an exit: all but interrupts and priorities.
    #[inline]
    pub fn registers(&self) -> &Lapic {
        &self.lapic
    }

    /// Whether the vCPU starts the guest.
    pub fn is_bootstrap(&self) -> bool {
        self.interrupts.settings().role(self.lapic.id()) == Role::Bootstrap
    }

    /// Tells others what has changed about it.
    pub fn publish(&self) {
        self.target.inbox.publish(self.lapic.identity());
        self.target.publish_extint(self.lapic.lint0_takes_extint());
    }

    /// Takes interrupts that others have requested.
    fn accept(&mut self, news: &News) {
        let words = news.vectors.iter().zip(&news.level);
        for (base, (requested, level)) in (0..=u8::MAX).step_by(64).zip(words) {
            let mut rest = *requested;
            while rest != 0 {
                let bit = rest.trailing_zeros() as u8;
                rest &= rest - 1;
                let trigger = if level & 1 << bit != 0 {
                    Trigger::Level
                } else {
                    Trigger::Edge
                };
                self.lapic().accept(base | bit, trigger);
            }
        }
    }

    /// Whether the 8259s ask for an interrupt that this APIC lets through.
    #[inline]
    pub fn has_extint(&self) -> bool {
        (self.interrupts.has_extint() || self.vmm_extint.is_some())
            && self.lapic.lint0_takes_extint()
    }
}

/// TSC ticks that a guest is left after, at the latest: `u64::MAX`, unless the module parameter `longest_stay` says
/// otherwise.
pub fn longest_stay() -> u64 {
    const MICROSECONDS: u64 = 1_000_000;
    match *crate::module_parameters::longest_stay.value() {
        0 => u64::MAX,
        wanted => (tsc_frequency::hz() / MICROSECONDS).saturating_mul(wanted.into()),
    }
}

impl Drop for Apic {
    fn drop(&mut self) {
        self.interrupts.targets().remove(&self.target);
    }
}

impl Core {
    /// The time as the local APIC sees it.
    #[inline]
    pub fn clock(&self) -> Clock {
        Clock {
            tsc: registers::tsc(),
            hz: tsc_frequency::hz(),
            offset: self.tsc_offset,
        }
    }

    /// Before an entry: takes what others have left, and sets the timer.
    #[inline(always)]
    pub fn prepare_apic(&mut self, loaded: &Loaded) -> Option<Leave> {
        let apic = self.apic.as_mut()?;
        if apic.target.inbox.has_news() {
            if let Some(leave) = self.take_news(loaded) {
                return Some(leave);
            }
        }
        self.prepare_timer(loaded);
        if self.has_offered_eoi() && self.has_requested_interrupt() {
            if self.settle_eoi().is_err() {
                return Some(Leave::Paravirtual);
            }
            if self.ended.is_some() {
                return Some(Leave::Reload);
            }
        }
        if let Some(apic) = &mut self.apic {
            apic.hand_over(loaded);
        }
        None
    }

    /// Whether an interrupt waits in the local APIC, of whatever priority.
    fn has_requested_interrupt(&mut self) -> bool {
        let apic = self.apic.as_mut();
        apic.is_some_and(|apic| apic.lapic().highest_requested().is_some())
    }

    /// Has the processor exit when the local APIC's timer is due.
    #[inline(always)]
    fn prepare_timer(&mut self, loaded: &Loaded) {
        let now = registers::tsc();
        let Some(apic) = &self.apic else {
            return;
        };
        let mut due = apic.registers().deadline();
        if due.is_some_and(|due| due <= now) {
            due = self.expire_timer();
        }
        let Some(apic) = &mut self.apic else {
            return;
        };
        let bounded = self.longest_stay != u64::MAX;
        if due.is_none() && !apic.timer_set && !bounded {
            return;
        }
        apic.timer_set = due.is_some();
        let ticks = due.map_or(u64::MAX, |due| due.saturating_sub(now));
        let ticks = ticks.min(self.longest_stay);
        let shift = self.timer_shift;
        // Rounded up: a time that is over exits before the guest has executed anything. One that does not
        // fit exits early, and is set again.
        let value = (ticks >> shift).saturating_add(1);
        loaded.write(
            PREEMPTION_TIMER_VALUE,
            u32::try_from(value).unwrap_or(u32::MAX),
        );
    }

    /// The local APIC's timer is due. When it is due again.
    #[cold]
    fn expire_timer(&mut self) -> Option<u64> {
        let clock = self.clock();
        let apic = self.apic.as_mut()?;
        apic.lapic().expire(&clock);
        apic.registers().deadline()
    }

    /// Takes what others have left. `Some` if the vCPU has to be left for it.
    #[cold]
    pub fn take_news(&mut self, loaded: &Loaded) -> Option<Leave> {
        let apic = self.apic.as_mut()?;
        let news = apic.target.inbox.take();
        apic.accept(&news);
        if news.signals.contains(Signals::UNHALT) {
            apic.unhalted = true;
        }
        if news.signals.contains(Signals::NMI) {
            self.events.add_nmi();
        }
        if news.signals.contains(Signals::SECOND_NMI) {
            self.events.add_nmi();
        }
        let mut leave = None;
        if news.signals.contains(Signals::INIT) {
            self.init(loaded);
            leave = Some(Leave::Reload);
        }
        if news.signals.contains(Signals::SIPI) && self.start(loaded, news.sipi) {
            leave = Some(Leave::Reload);
        }
        leave
    }

    /// Whether the local APIC or the 8259s have an interrupt to be injected. Those of a local APIC that the processor
    /// works on are not.
    #[inline(always)]
    pub fn has_apic_interrupt(&self) -> bool {
        self.apic.as_ref().is_some_and(|apic| {
            !apic.delivery.is_virtual() && apic.lapic.highest().is_some() || apic.has_extint()
        })
    }

    /// Whether there is an interrupt to be injected.
    pub fn has_interrupt(&self) -> bool {
        self.events.interrupt.is_some() || self.has_apic_interrupt()
    }

    /// Whether there is an interrupt for the guest, whoever delivers it.
    pub fn awaits_interrupt(&mut self) -> bool {
        self.has_interrupt()
            || self
                .apic
                .as_mut()
                .is_some_and(|apic| apic.lapic().highest().is_some())
    }

    /// Acknowledges the interrupt that is to be injected: the 8259s' first.
    pub fn next_interrupt(&mut self) -> Option<u8> {
        if let Some(vector) = self.events.interrupt.take() {
            return Some(vector);
        }
        let apic = self.apic.as_mut()?;
        if apic.has_extint() {
            let vector = apic.vmm_extint.take();
            if let Some(vector) = vector.or_else(|| apic.interrupts.acknowledge_extint()) {
                return Some(vector);
            }
        }
        if apic.delivery.is_virtual() {
            return None;
        }
        let vector = apic.lapic.acknowledge()?;
        self.offer_eoi(vector);
        Some(vector)
    }

    /// The processor has ended an interrupt by itself.
    pub fn apic_ended(&mut self, vector: u8) {
        if let Some(apic) = &self.apic {
            let eoi = apic.registers().ended(vector);
            self.apply(Effect {
                eoi,
                ..Effect::NONE
            });
        }
    }

    /// The processor has written the register at `offset` by itself.
    pub fn apic_written(&mut self, offset: u64) {
        let clock = self.clock();
        if let Some(apic) = &mut self.apic {
            let effect = apic.lapic().written(offset, &clock);
            self.apply(effect);
        }
    }

    /// Passes on what was done with the local APIC. The timer is looked at before the next entry anyway.
    #[inline]
    pub fn apply(&mut self, effect: Effect) {
        let Some(apic) = &mut self.apic else {
            return;
        };
        if effect.identity {
            apic.publish();
        }
        if let Some(message) = &effect.message {
            apic.interrupts.targets().send(message);
        }
        if let Some(eoi) = effect.eoi {
            if apic.interrupts.awaits_eoi(eoi.vector) {
                match apic.interrupts.kind() {
                    Kind::Split => self.ended = Some(eoi.vector),
                    _ => apic.interrupts.end(eoi.vector, eoi.trigger),
                }
            }
        }
    }

    /// The guest reads its local APIC, if that is at this address.
    pub fn apic_mmio_read(&mut self, gpa: Gpa, data: &mut [u8]) -> bool {
        let clock = self.clock();
        match apic_at(&mut self.apic, gpa) {
            Some((lapic, offset)) => {
                lapic.mmio_read(offset, data, &clock);
                true
            }
            None => false,
        }
    }

    /// The guest writes its local APIC, if that is at this address.
    pub fn apic_mmio_write(&mut self, gpa: Gpa, data: &[u8]) -> bool {
        let clock = self.clock();
        match apic_at(&mut self.apic, gpa) {
            Some((lapic, offset)) => {
                let effect = lapic.mmio_write(offset, data, &clock);
                self.apply(effect);
                true
            }
            None => false,
        }
    }

    /// Reads an MSR of the local APIC's; `None` for another one.
    pub fn read_apic_msr(&mut self, index: u32) -> Option<Result<u64, Refusal>> {
        if !is_apic_msr(index) {
            return None;
        }
        let clock = self.clock();
        let apic = self.apic.as_mut()?;
        match index {
            FIRST_MSR..=LAST_MSR => Some(
                apic.lapic()
                    .read_msr(index, &clock)
                    .map_err(|Gp| Refusal::Unsupported),
            ),
            IA32_TSC_DEADLINE => Some(Ok(apic.lapic().tsc_deadline(&clock))),
            IA32_APIC_BASE => Some(Ok(apic.registers().base())),
            _ => None,
        }
    }

    /// Writes an MSR of the local APIC's; `None` for another one.
    pub fn write_apic_msr(
        &mut self,
        index: u32,
        value: u64,
        initiator: Initiator,
    ) -> Option<Result<(), Refusal>> {
        if !is_apic_msr(index) {
            return None;
        }
        let clock = self.clock();
        let apic = self.apic.as_mut()?;
        let effect = match index {
            FIRST_MSR..=LAST_MSR => apic.lapic().write_msr(index, value, &clock),
            IA32_TSC_DEADLINE => Ok(apic.lapic.set_tsc_deadline(value, &clock)),
            IA32_APIC_BASE => {
                let reserved = self.features.apic_base_reserved();
                apic.lapic().set_base(value, reserved, initiator)
            }
            _ => return None,
        };
        Some(match effect {
            Ok(effect) => {
                self.apply(effect);
                Ok(())
            }
            Err(Gp) => Err(Refusal::Invalid),
        })
    }

    /// The guest's TSC was set to something else: a deadline is at another time now.
    pub fn refresh_deadline(&mut self) {
        let clock = self.clock();
        if let Some(apic) = &mut self.apic {
            apic.lapic.tsc_changed(&clock);
        }
    }

    /// Makes the local APIC what the guest's CPUID says.
    pub fn configure_apic(&mut self) {
        if let Some(apic) = &mut self.apic {
            let settings = apic.interrupts.settings();
            let config = settings.lapic(
                apic.registers().id(),
                self.features.has_tsc_deadline(),
                self.vm.arch().settings.lint0(),
            );
            apic.lapic().configure(config);
        }
    }

    /// IA32_APIC_BASE, wherever the local APIC is.
    pub fn apic_base(&self) -> u64 {
        match &self.apic {
            Some(apic) => apic.registers().base(),
            None => self.msrs.apic_base(),
        }
    }

    /// Sets IA32_APIC_BASE as a VMM does. `EINVAL` for a value that it cannot hold.
    pub fn set_apic_base(&mut self, value: u64) -> Result {
        let result = match self.write_apic_msr(IA32_APIC_BASE, value, Initiator::Vmm) {
            Some(result) => result,
            None => self.msrs.set_apic_base(value, &self.features),
        };
        result.map_err(|_| EINVAL)
    }

    /// CR8, wherever the local APIC is.
    pub fn cr8(&self) -> u64 {
        match &self.apic {
            Some(apic) => apic.registers().cr8(),
            None => self.cr8,
        }
    }

    /// Sets CR8.
    pub fn set_cr8(&mut self, value: u64) {
        match &mut self.apic {
            Some(apic) => apic.lapic().set_cr8(value),
            None => self.cr8 = value,
        }
    }
}

/// Whether the local APIC answers for an MSR, where it is in the kernel.
#[inline]
const fn is_apic_msr(index: u32) -> bool {
    matches!(
        index,
        FIRST_MSR..=LAST_MSR | IA32_TSC_DEADLINE | IA32_APIC_BASE
    )
}

/// The local APIC and the offset into its registers, if those are at `gpa`.
fn apic_at(apic: &mut Option<Apic>, gpa: Gpa) -> Option<(&mut Lapic, u64)> {
    let lapic = apic.as_mut()?.lapic();
    if lapic.mode() != ApicMode::XApic {
        return None;
    }
    let offset = gpa.raw().checked_sub(lapic.address().raw())?;
    (offset < PAGE_SIZE as u64).then_some((lapic, offset))
}
