// SPDX-License-Identifier: GPL-2.0

//! A vCPU's interrupts: its place in the GIC, its list registers, and its timers.
//!
//! While the vCPU's registers are in the processor, so are its timers and its part of the GIC. The list registers stay
//! there from one exit to the next: they are taken back and loaded anew when there is news, when a timer's line is
//! high or has changed, when the processor asks for it by the maintenance interrupt, and when the vCPU leaves.

use crate::{
    arm64::{
        running_timers::{self, Offsets, PhysicalPpis, Running},
        sysreg::role::TimerPart,
        time::VmTime,
        timer::{nanoseconds, Count, Ppis, Timer, Which},
        traps::hcr,
        vgic::{
            gic::{
                cpu_interface::Features,
                intid::{IrqRef, VcpuIndex},
                irq::Level,
                list_register::ListRegisters,
                sgi, Gic,
            },
            host::{self, Absent, Interface, Resident},
            Lowered, Target, Vgic,
        },
    },
    halt::{Looked, Wait},
    halt_poll::HaltPoll,
    host::{
        arm64::guest_irqs,
        cpu::{self, PreemptOff},
        waiter::Woken,
    },
    request::Kick,
    vm::Vm,
};
use core::time::Duration;
use kernel::{prelude::*, sync::Arc};

/// What of a vCPU is in the processor.
struct Hardware {
    timers: Running,
    interface: Interface,
}

/// The interrupts of a vCPU.
pub struct Interrupts {
    vm: Arc<Vm>,
    target: Arc<Target>,
    /// The vCPU's place in the GIC, once that can take interrupts.
    index: Option<VcpuIndex>,
    features: Features,
    lists: ListRegisters,
    /// How many list registers of the processor are not empty.
    written: usize,
    timers: [Timer; 2],
    ppis: Ppis,
    physical: PhysicalPpis,
    /// The timers' lines as they were last passed on to the GIC, or told to the VMM that has the interrupt controller.
    lines: [Level; 2],
    /// The physical interrupt of a timer was taken for the guest on this processor.
    fired: [bool; 2],
    /// The list registers are to be loaded anew.
    stale: bool,
    /// They have been loaded since the guest ran last.
    fresh: bool,
    hardware: Option<Hardware>,
    poll: HaltPoll,
}

impl Interrupts {
    /// Those of a new vCPU. `EBUSY` once the GIC is initialised, `ENOMEM`.
    pub fn new(vm: &Arc<Vm>, kick: Arc<Kick>, id: u32) -> Result<Self> {
        let target = Arc::new(Target::new(id, kick), GFP_KERNEL_ACCOUNT)?;
        vm.arch().vgic().add_vcpu(target.clone())?;
        let platform = vm.platform();
        let features = platform.gic;
        Ok(Self {
            vm: vm.clone(),
            target,
            index: None,
            features,
            lists: ListRegisters::new(features.list_registers()),
            written: 0,
            timers: [Timer::OFF; 2],
            ppis: Ppis::default(),
            physical: platform.timers,
            lines: [Level::Low; 2],
            fired: [false; 2],
            stale: false,
            fresh: false,
            hardware: None,
            poll: HaltPoll::default(),
        })
    }

    fn vgic(&self) -> &Arc<Vgic> {
        self.vm.arch().vgic()
    }

    fn time(&self) -> &VmTime {
        self.vm.arch().time()
    }

    /// The vCPU's place in the GIC, once that can take interrupts.
    pub fn index(&self) -> Option<VcpuIndex> {
        self.index
    }

    /// A timer's registers. The vCPU must not be in the processor.
    pub fn timer(&self, which: Which) -> &Timer {
        let [virtual_timer, physical_timer] = &self.timers;
        match which {
            Which::Virtual => virtual_timer,
            Which::Physical => physical_timer,
        }
    }

    /// [`Interrupts::timer`] to be changed.
    pub fn timer_mut(&mut self, which: Which) -> &mut Timer {
        let [virtual_timer, physical_timer] = &mut self.timers;
        match which {
            Which::Virtual => virtual_timer,
            Which::Physical => physical_timer,
        }
    }

    /// The timers are off, as after a reset, and nothing is left of their interrupts.
    pub fn reset(&mut self) {
        self.timers = [Timer::OFF; 2];
        if let Some(index) = self.index {
            self.lines = [Level::Low; 2];
            let (ppis, lines) = (self.ppis, self.lines);
            self.vgic().with_gic(|gic| {
                set_lines(gic, index, ppis, lines);
                for which in Which::ALL {
                    gic.forget(IrqRef::private(index, ppis.get(which)));
                }
            });
        }
    }

    /// The VMM has changed MPIDR_EL1.
    pub fn rename(&self, mpidr: u64) {
        self.vgic().rename(&self.target, mpidr);
    }

    /// KVM_RUN begins; [`Interrupts::finish`] ends it. `EBUSY` if the GIC is not initialised, `ENXIO` if a frame of it has
    /// no address, `EINVAL` if frames overlap or timers share an interrupt.
    pub fn begin(&mut self) -> Result {
        if self.index.is_none() {
            self.take_place()?;
        }
        while !self.target.run() {
            if cpu::is_dying() {
                return Err(EINTR);
            }
            cpu::nap();
        }
        Ok(())
    }

    #[cold]
    fn take_place(&mut self) -> Result {
        self.vgic().map()?;
        self.ppis = self.time().fix_ppis()?;
        self.index = self.vgic().index_of(&self.target);
        self.lists.traps_end = self.vgic().vcpus() > 1;
        if let Some(index) = self.index {
            let (ppis, physical) = (self.ppis, self.physical);
            self.vgic().with_gic(|gic| {
                for which in Which::ALL {
                    gic.set_hardware(index, ppis.get(which), Some(physical.get(which)));
                }
            });
        }
        Ok(())
    }

    /// KVM_RUN ends.
    pub fn finish(&self) {
        self.target.stop();
    }

    /// The vCPU's registers come into the processor.
    pub fn enter(&mut self, here: &PreemptOff) {
        self.hold_timers(here);
        let time = self.time();
        let offsets = Offsets {
            virtual_counter: time.offset(Which::Virtual),
            physical_counter: time.offset(Which::Physical),
        };
        let timers = Running::enter(here, self.timers, offsets);
        let lines = timers.lines();
        self.target.arrive();
        self.target.take_news();
        let interface = self.index.and_then(|index| {
            let (ppis, lists) = (self.ppis, &mut self.lists);
            let interface = self.vm.arch().vgic().with_gic_for(index, |gic| {
                set_lines(gic, index, ppis, lines);
                let interface = *gic.interface_mut(index)?;
                gic.fill(index, lists, || interface.groups());
                Some(interface)
            })??;
            Some(Resident::enter(here, &interface, self.features))
        });
        let interface = match interface {
            Some(resident) => Interface::Resident(resident),
            None => Interface::Absent(Absent::enter(here)),
        };
        if let Interface::Resident(_) = interface {
            // The others may hold anything: a processor that slept deeply has forgotten that they were empty.
            host::load_lists(here, &self.lists, self.lists.count());
            self.written = self.lists.used();
            self.lines = lines;
        }
        self.stale = false;
        self.fresh = true;
        self.note_fired(lines);
        self.hardware = Some(Hardware { timers, interface });
    }

    /// The physical interrupts of timers whose lines are up already need not come to tell of it.
    fn hold_timers(&mut self, here: &PreemptOff) {
        for which in Which::ALL {
            if self.line_now(which) == Level::High {
                guest_irqs::hold(here, which);
                *self.fired_mut(which) = true;
            }
        }
    }

    /// They leave it again.
    pub fn leave(&mut self, here: &PreemptOff) {
        let Some(Hardware { timers, interface }) = self.hardware.take() else {
            return;
        };
        let lines = timers.lines();
        let resident = match interface {
            Interface::Resident(resident) => Some(resident),
            Interface::Absent(absent) => {
                absent.leave(here);
                None
            }
        };
        if let (Some(index), Some(resident)) = (self.index, resident) {
            host::read_lists(&mut self.lists);
            let (lists, ppis, features) = (&mut self.lists, self.ppis, self.features);
            let vgic = self.vm.arch().vgic();
            let ended = vgic.with_gic_for(index, |gic| {
                if let Some(registers) = gic.interface_mut(index) {
                    resident.leave(here, registers, features);
                }
                set_lines(gic, index, ppis, lines);
                gic.fold(index, lists)
            });
            if let Some(ended) = ended {
                vgic.tell_ended(&ended);
            }
            self.lines = lines;
        }
        self.target.depart();
        self.timers = timers.leave(here);
        for which in Which::ALL {
            // It may have fired, and been taken, until the moment when it was turned off.
            let fired = core::mem::take(self.fired_mut(which));
            if fired || self.line_now(which) == Level::High {
                host::deactivate(here, self.physical.get(which));
            }
        }
    }

    fn fired_mut(&mut self, which: Which) -> &mut bool {
        let [virtual_timer, physical_timer] = &mut self.fired;
        match which {
            Which::Virtual => virtual_timer,
            Which::Physical => physical_timer,
        }
    }

    /// A section begins: interrupts are off. What the host's handlers may have taken meanwhile is noticed. Whether there
    /// is a change that the VMM has to be told of first, as the interrupt controller is its.
    #[inline]
    pub fn begin_section(&mut self) -> bool {
        let Some(hardware) = &self.hardware else {
            return false;
        };
        let lines = hardware.timers.lines();
        let was_loaded = core::mem::take(&mut self.fresh);
        if lines == self.lines && (was_loaded || lines == [Level::Low; 2]) {
            return false;
        }
        let is_resident = matches!(hardware.interface, Interface::Resident(_));
        self.stale |= is_resident;
        self.note_fired(lines);
        !is_resident && lines != self.lines
    }

    /// HCR_EL2 with the lines of a VMM that has the interrupt controller.
    #[inline(always)]
    pub fn with_lines(&self, hcr: u64) -> u64 {
        match self.index {
            Some(_) => hcr,
            None => hcr & !(hcr::VI | hcr::VF) | self.target.lines(),
        }
    }

    /// KVM_RUN returns to a VMM that has the interrupt controller: the timers' lines, of which it has been told then.
    /// `None` if the kernel has it.
    pub fn tell_lines(&mut self) -> Option<[Level; 2]> {
        if self.index.is_some() {
            return None;
        }
        self.lines = self.lines_now();
        Some(self.lines)
    }

    fn note_fired(&mut self, lines: [Level; 2]) {
        let [virtual_line, physical_line] = lines;
        *self.fired_mut(Which::Virtual) |= virtual_line == Level::High;
        *self.fired_mut(Which::Physical) |= physical_line == Level::High;
    }

    /// The guest is about to be entered.
    #[inline(always)]
    pub fn prepare(&mut self, here: &PreemptOff) {
        if self.stale || self.target.has_news() {
            self.sync(here);
        }
    }

    /// Takes the list registers back and loads them anew.
    fn sync(&mut self, here: &PreemptOff) {
        self.stale = false;
        let (Some(index), Some(hardware)) = (self.index, &self.hardware) else {
            self.target.take_news();
            return;
        };
        if let Interface::Absent(_) = hardware.interface {
            self.target.take_news();
            return;
        }
        let lines = hardware.timers.lines();
        host::read_lists(&mut self.lists);
        let (lists, ppis, target) = (&mut self.lists, self.ppis, &self.target);
        let vgic = self.vm.arch().vgic();
        let ended = vgic.with_gic_for(index, |gic| {
            // With the GIC locked, so that who waits for that finds the list registers taken back.
            target.take_news();
            set_lines(gic, index, ppis, lines);
            gic.sync(index, lists, host::groups)
        });
        host::load_lists(here, &self.lists, self.written);
        self.written = self.lists.used();
        self.lines = lines;
        self.note_fired(lines);
        self.release_timers(here, index, lines);
        if ended.is_some_and(|ended| self.vgic().tell_ended(&ended) == Lowered::Some) {
            // What is loaded was so with the line still high.
            self.sync(here);
        }
    }

    /// Physical interrupts of timers that the guest will not deactivate any more, since their lines have fallen, are
    /// deactivated for it.
    fn release_timers(&mut self, here: &PreemptOff, index: VcpuIndex, lines: [Level; 2]) {
        for (which, line) in Which::ALL.into_iter().zip(lines) {
            let at = IrqRef::private(index, self.ppis.get(which));
            if line == Level::Low && *self.fired_mut(which) && !self.lists.holds(at) {
                *self.fired_mut(which) = false;
                host::deactivate(here, self.physical.get(which));
            }
        }
    }

    /// A section ends: interrupts are still off. The maintenance interrupt is for the guest's sake alone, and must
    /// not reach the host.
    #[inline]
    pub fn end_section(&mut self, here: &PreemptOff) {
        if self.lists.may_want_maintenance() && host::wants_maintenance() {
            host::silence(here);
            self.stale = true;
        }
    }

    /// The guest writes a register that sends SGIs.
    pub fn send_sgi(&self, register: sgi::Register, value: u64) {
        if let Some(index) = self.index {
            self.vgic()
                .with_gic(|gic| gic.send_sgi(index, register, value));
        }
    }

    /// The guest writes ICC_DIR_EL1, which traps while active interrupts are in no list register.
    pub fn write_dir(&mut self, value: u64) {
        let Some(index) = self.index.filter(|_| host::ends_in_two_steps()) else {
            return;
        };
        host::read_lists(&mut self.lists);
        let lists = &mut self.lists;
        let vgic = self.vm.arch().vgic();
        let ended = vgic.with_gic_for(index, |gic| {
            let folded = gic.fold(index, lists);
            (folded, gic.write_dir(index, value))
        });
        self.stale = true;
        if let Some((folded, ended)) = ended {
            vgic.tell_ended(&folded);
            vgic.tell_ended(&ended);
        }
    }

    /// The guest reads a register of the physical timer or its counter, which trap while that has an offset. 0 for what
    /// does not trap.
    pub fn read_physical(&self, part: TimerPart) -> u64 {
        let Some(Hardware { timers, .. }) = &self.hardware else {
            return 0;
        };
        let (timer, now) = (timers.physical(), timers.physical_count());
        match part {
            TimerPart::Control => timer.control_at(now),
            TimerPart::Compare => timer.compare(),
            TimerPart::Distance => timer.value_at(now),
            TimerPart::Counter | TimerPart::OrderedCounter => now.0,
        }
    }

    /// The guest writes such a register; counters cannot be written.
    pub fn write_physical(&mut self, here: &PreemptOff, part: TimerPart, value: u64) {
        let Some(Hardware { timers, .. }) = &mut self.hardware else {
            return;
        };
        let (mut timer, now) = (timers.physical(), timers.physical_count());
        match part {
            TimerPart::Control => timer.set_control(value),
            TimerPart::Compare => timer.set_compare(value),
            TimerPart::Distance => timer.set_value_at(now, value),
            TimerPart::Counter | TimerPart::OrderedCounter => return,
        }
        timers.set_physical(here, timer);
        self.stale = true;
    }

    /// A timer's line as it is now, while the timers are not in the processor.
    fn line_now(&self, which: Which) -> Level {
        let timer = self.timer(which);
        if timer.is_armed() {
            timer.line(self.time().now(which))
        } else {
            Level::Low
        }
    }

    /// The lines of both.
    fn lines_now(&self) -> [Level; 2] {
        Which::ALL.map(|which| self.line_now(which))
    }

    /// Ticks until the virtual counter is there.
    fn left(&self, until: Option<Count>) -> Option<u64> {
        let now = self.time().now(Which::Virtual);
        until.map(|until| until.0.saturating_sub(now.0))
    }

    /// How long it takes until a timer fires whose line is low, or `left` ticks are over. `None` for ever.
    fn remaining(&self, left: Option<u64>) -> Option<Duration> {
        let lines = Which::ALL.into_iter().zip(self.lines);
        let timers = lines
            .filter(|(_, line)| *line == Level::Low)
            .filter_map(|(which, _)| self.timer(which).remaining(self.time().now(which)));
        let ticks = Iterator::chain(timers, left).min()?;
        Some(Duration::from_nanos(nanoseconds(
            ticks,
            running_timers::hertz(),
        )))
    }

    /// Whether there is an interrupt for the guest, as far as its own PSTATE allows it. The vCPU must not be in the
    /// processor.
    pub fn has_interrupt(&mut self) -> bool {
        self.target.take_news();
        let lines = self.lines_now();
        let ppis = self.ppis;
        match self.index {
            Some(index) => {
                self.lines = lines;
                let has = self.vgic().with_gic_for(index, |gic| {
                    set_lines(gic, index, ppis, lines);
                    gic.has_deliverable(index)
                });
                has.unwrap_or(false)
            }
            // The VMM has the interrupt controller, and has to be told of the timers.
            None => lines != self.lines || self.target.lines() != 0,
        }
    }

    /// Sleeps until there is an interrupt for the guest, or its virtual counter is at `until`, or `other` is true, which
    /// is to be made so before the vCPU is roused. For how many nanoseconds, and whether looking for one was of use.
    /// `EINTR` if the thread has a signal.
    pub fn sleep(
        &mut self,
        until: Option<Count>,
        mut other: impl FnMut() -> bool,
    ) -> Result<(u64, Looked)> {
        let mut wait = Wait::begin(&self.poll, self.vm.longest_poll());
        while !self.has_interrupt() && !other() {
            let left = self.left(until);
            if left == Some(0) {
                break;
            }
            let (target, limit) = (&self.target, self.remaining(left));
            let ready = || target.has_news() || other();
            if wait.rest(target.waiter(), limit, ready) == Woken::Signal {
                return Err(EINTR);
            }
        }
        Ok(wait.end(&mut self.poll))
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        self.vgic().remove_vcpu(&self.target);
    }
}

/// Passes the lines of a vCPU's timers on.
fn set_lines(gic: &mut Gic, index: VcpuIndex, ppis: Ppis, lines: [Level; 2]) {
    for (which, line) in Which::ALL.into_iter().zip(lines) {
        // Every GIC has all PPIs.
        let _ = gic.set_line(IrqRef::private(index, ppis.get(which)), line);
    }
}
