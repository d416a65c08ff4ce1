// SPDX-License-Identifier: GPL-2.0

//! An x86 virtual CPU: its FPU state, and a [`Core`] of everything else.

mod cpuid;

use crate::{
    host::{cpu, x86::fpu::GuestFpu},
    io_bus::IoView,
    mmu::View,
    request::Kick,
    run_page::{Reported, RunPage},
    stats::{Owner, Source},
    uapi::UserAddress,
    vm::Vm,
    vmx::{
        controls::{ControlSet, EntryControls, PinControls, PrimaryControls},
        ept::Eptp,
        field,
        guest_state::GuestState,
        host_state::HostState,
        platform::Platform,
        vmcs::{Loaded, Residence, Vmcs},
        vpid::{Vpid, Vpids},
    },
    x86::{
        activity::Activity,
        apic::{longest_stay, Apic},
        counters::{Counters, Event as Counted},
        cpuid::guest::{GuestCpuid, GuestFeatures},
        debug::DebugRegisters,
        doorbell::Store,
        event::{vector, Events},
        guest_debug::GuestDebug,
        interrupts::Kind,
        ioctl::{self, sync_regs},
        machine::Emulation,
        msr::{Msrs, Role, PAT_RESET},
        msr_filter::VcpuFilter,
        msr_io::MsrIo,
        port::PortIo,
        pv::Pv,
        regs::{reset, rules::PagingState, Cr4, Efer, Rflags, Xcr0},
        run_state::{RunReport, RunRequest},
        shared_msrs::{GuestMsrs, InUse},
    },
};
use kernel::{prelude::*, sync::Arc};

/// A virtual CPU.
pub struct Vcpu {
    pub(super) fpu: GuestFpu,
    pub(super) core: Core,
}

/// An access of the guest that the VMM is carrying out.
pub enum Pending {
    /// None.
    None,
    /// IN, OUT, INS or OUTS.
    Port(PortIo),
    /// RDMSR or WRMSR.
    Msr(MsrIo),
    /// An instruction that accesses MMIO.
    Emulation,
}

/// All state of a vCPU but for the FPU's.
pub struct Core {
    /// The VM.
    pub vm: Arc<Vm>,
    /// What is counted.
    pub counters: Arc<Counters>,
    /// Where others see whether the vCPU runs.
    pub kick: Arc<Kick>,
    /// Guest memory.
    pub view: View,
    /// Writes to devices that need no exit to the VMM.
    pub io: IoView,
    pub(crate) vmcs: Vmcs,
    /// The VMCS has come to this CPU since the host state was last refreshed.
    pub(crate) moved: bool,
    /// The generation of mappings that this CPU's TLB has been flushed for.
    pub(crate) flushed: u64,
    pub(crate) controls: ControlSet,
    pub(crate) eptp: Eptp,
    vpid: Option<Vpid>,
    /// Host-state area.
    pub host: HostState,
    /// Registers in the VMCS and general registers.
    pub guest: GuestState,
    /// The MSRs that the VMM answers for.
    pub msr_filter: VcpuFilter,
    /// Stored MSRs.
    pub msrs: KBox<Msrs>,
    /// MSRs that are in the host's registers while the vCPU runs.
    pub guest_msrs: GuestMsrs,
    /// IA32_KERNEL_GS_BASE, likewise.
    pub kernel_gs_base: u64,
    /// What is added to the host's TSC.
    pub tsc_offset: u64,
    /// The frequency of the guest's TSC, in kHz, as the VMM knows it.
    pub tsc_khz: u32,
    /// CPUID.
    pub cpuid: GuestCpuid,
    /// What CPUID allows.
    pub features: GuestFeatures,
    /// Events to deliver.
    pub events: Events,
    /// The local APIC, where it is in the kernel.
    pub apic: Option<Apic>,
    /// Whether the guest runs or waits.
    pub activity: Activity,
    /// A vector whose interrupt has ended, which the VMM's I/O APIC waits for.
    pub ended: Option<u8>,
    /// One tick of the preemption timer is `1 << timer_shift` TSC ticks.
    pub timer_shift: u32,
    /// TSC ticks that the guest is left after, at the latest.
    pub longest_stay: u64,
    /// XCR0.
    pub xcr0: Xcr0,
    /// DR0 to DR3, DR6 and DR7.
    pub debug: DebugRegisters,
    /// How the VMM debugs the guest.
    pub guest_debug: GuestDebug,
    /// CR8, where the VMM has the local APIC.
    pub cr8: u64,
    /// The paravirtual interface.
    pub pv: Pv,
    /// What the VMM is doing for the guest.
    pub pending: Pending,
    /// The instruction that this module executes, or executed last.
    pub emulation: Option<KBox<Emulation>>,
    /// The store that a device in the kernel took last.
    pub last_store: Store,
    /// The guest has been entered.
    pub has_run: bool,
    /// The VMM wants to know when an interrupt can be injected.
    pub window_requested: bool,
}

impl Vcpu {
    /// A vCPU in the state after power-up. `ENOMEM`.
    pub fn new(vm: &Arc<Vm>, kick: Arc<Kick>, id: u32, owner: Owner) -> Result<Self> {
        Ok(Self {
            fpu: GuestFpu::new()?,
            core: Core::new(vm, kick, id, owner)?,
        })
    }

    /// What is counted about it.
    pub fn stats(&self) -> Arc<dyn Source> {
        self.core.counters.clone()
    }

    /// Whether `cmd` is an ioctl of an x86 vCPU.
    pub fn has_ioctl(cmd: u32) -> bool {
        ioctl::is_vcpu_ioctl(cmd)
    }

    /// Serves an ioctl other than KVM_RUN.
    pub fn ioctl(&mut self, cmd: u32, argument: UserAddress) -> Result<isize> {
        ioctl::serve(self, cmd, argument)
    }

    /// KVM_RUN. `EINVAL` for a CR8 that does not exist, and for registers in `kvm_run` that their own ioctls
    /// would refuse.
    pub fn run(&mut self, page: &RunPage) -> Result {
        let result = self.run_synced(page);
        sync_regs::give(self, page);
        result
    }

    fn run_synced(&mut self, page: &RunPage) -> Result {
        sync_regs::take(self, page)?;
        let request = RunRequest::of(page);
        if !self.core.take_request(&request) {
            return Err(EINVAL);
        }
        let stepping = self.core.guest_debug.is_stepping();
        if stepping {
            self.core.begin_step();
        }
        let result = {
            let fpu = self.fpu.enter();
            let done = self.core.complete(&fpu, page);
            match done {
                Ok(Some(Reported { .. })) => Ok(()),
                // What the page tells stays: VMMs look at it once the instruction is complete.
                Ok(None) if request.immediate_exit => Err(EINTR),
                Ok(None) if self.core.activity == Activity::Uninitialized => {
                    report_signal(page, self.core.wait_for_init()).and(Err(EAGAIN))
                }
                Ok(None) => {
                    report_signal(page, self.core.run(&fpu, page).map(|Reported { .. }| ()))
                }
                Err(error) => report_signal(page, Err(error)),
            }
        };
        self.core.fetch_eoi();
        if stepping {
            self.core.end_step();
        }
        self.core.report().give(page);
        result
    }
}

/// Tells the VMM if a signal has ended KVM_RUN.
fn report_signal(page: &RunPage, result: Result) -> Result {
    result.inspect_err(|error| {
        if *error == EINTR {
            let Reported { .. } = page.report_interrupted();
        }
    })
}

impl Core {
    fn new(vm: &Arc<Vm>, kick: Arc<Kick>, id: u32, owner: Owner) -> Result<Self> {
        vm.arch().settings.check_vcpu_id(id)?;
        let platform = vm.platform();
        let role = vm.arch().interrupts().settings().role(id);
        let mut core = Self {
            vm: vm.clone(),
            counters: Arc::new(Counters::new(owner), GFP_KERNEL_ACCOUNT)?,
            kick: kick.clone(),
            view: View::new(vm.mmu()),
            io: IoView::new(vm.io())?,
            vmcs: Vmcs::new(platform.caps.basic.revision())?,
            moved: true,
            flushed: 0,
            controls: platform.controls.initial,
            eptp: Eptp::new(vm.mmu().root(), platform.accessed_dirty()),
            vpid: Vpids::take(&platform.vpids),
            host: HostState::default(),
            guest: GuestState::new(&platform.caps),
            msrs: KBox::new(Msrs::new(role, &platform.feature_msrs), GFP_KERNEL_ACCOUNT)?,
            msr_filter: VcpuFilter::default(),
            guest_msrs: GuestMsrs::default(),
            kernel_gs_base: 0,
            tsc_offset: 0,
            tsc_khz: vm.arch().settings.tsc_khz(),
            cpuid: GuestCpuid::default(),
            features: GuestFeatures::default(),
            events: Events::default(),
            apic: Apic::for_vcpu(vm, &kick, id)?,
            activity: Activity::Running,
            ended: None,
            timer_shift: 0,
            longest_stay: longest_stay(),
            xcr0: reset::XCR0,
            debug: DebugRegisters::default(),
            guest_debug: GuestDebug::default(),
            cr8: 0,
            pv: Pv::new(vm),
            pending: Pending::None,
            emulation: None,
            last_store: Store::default(),
            has_run: false,
            window_requested: false,
        };
        if core.apic.is_some() {
            if let Some(timer) = platform.controls.preemption_timer {
                core.timer_shift = timer.shift;
            }
            core.controls.pin = core
                .controls
                .pin
                .with(PinControls::ACTIVATE_PREEMPTION_TIMER);
            if role == Role::Application {
                core.activity = Activity::Uninitialized;
            }
        }
        let loaded = core.load();
        core.init_vmcs(&loaded);
        drop(loaded);
        core.agree_on_tsc();
        Ok(core)
    }

    /// Processor support.
    pub fn platform(&self) -> &Platform {
        self.vm.platform()
    }

    /// Makes the VMCS current. What has to follow from a move is done by the next entry.
    #[inline]
    pub fn load(&mut self) -> Loaded {
        let (loaded, residence) = self.vmcs.load();
        self.moved |= residence == Residence::Moved;
        loaded
    }

    fn init_vmcs(&mut self, loaded: &Loaded) {
        use crate::vmx::controls::SecondaryControls;
        use field::*;

        if self.vpid.is_none() {
            self.controls.secondary = self
                .controls
                .secondary
                .without(SecondaryControls::ENABLE_VPID);
        }
        self.controls = self.vm.arch().settings.apply(self.controls);
        HostState::init(loaded);
        loaded.write(PIN_BASED_CONTROLS, self.controls.pin.raw());
        loaded.write(PRIMARY_CONTROLS, self.controls.primary.raw());
        loaded.write(SECONDARY_CONTROLS, self.controls.secondary.raw());
        loaded.write(EXIT_CONTROLS, self.controls.exit.raw());
        loaded.write(ENTRY_CONTROLS, self.controls.entry.raw());
        loaded.write(EXCEPTION_BITMAP, EXITING_EXCEPTIONS);
        self.set_msr_bitmap(loaded);
        loaded.write(EPT_POINTER, self.eptp.into());
        loaded.write(VMCS_LINK_POINTER, u64::MAX);
        if self
            .controls
            .secondary
            .contains(SecondaryControls::PAUSE_LOOP_EXITING)
        {
            loaded.write(PLE_GAP, PAUSE_GAP);
            loaded.write(PLE_WINDOW, PAUSE_WINDOW);
        }
        if self.apic.is_some() {
            loaded.write(PREEMPTION_TIMER_VALUE, u32::MAX);
        }
        loaded.write(GUEST_PAT, PAT_RESET);
        // A VMCS is only defined where it was written.
        for field in [
            PAGE_FAULT_ERROR_CODE_MASK,
            PAGE_FAULT_ERROR_CODE_MATCH,
            CR3_TARGET_COUNT,
            EXIT_MSR_STORE_COUNT,
            EXIT_MSR_LOAD_COUNT,
            ENTRY_MSR_LOAD_COUNT,
            ENTRY_INTERRUPTION_INFO,
            GUEST_INTERRUPTIBILITY,
            GUEST_ACTIVITY_STATE,
            GUEST_SYSENTER_CS,
        ] {
            loaded.write(field, 0);
        }
        for field in [
            GUEST_DEBUGCTL,
            GUEST_PENDING_DEBUG_EXCEPTIONS,
            GUEST_SYSENTER_ESP,
            GUEST_SYSENTER_EIP,
        ] {
            loaded.write(field, 0);
        }
        let secondary = self.controls.secondary;
        if let Some(vpid) = &self.vpid {
            loaded.write(VPID, vpid.number());
        }
        if secondary.contains(SecondaryControls::ENABLE_ENCLS_EXITING) {
            loaded.write(ENCLS_EXITING_BITMAP, u64::MAX);
        }
        if secondary.contains(SecondaryControls::ENABLE_XSAVES) {
            loaded.write(XSS_EXITING_BITMAP, 0);
        }
        let offset = self.vm.arch().clock().tsc_offset();
        self.set_tsc_offset(loaded, offset);
        self.guest.reset(loaded);
        let limits = self.features.limits;
        self.guest.set_owned_bits(loaded, &limits);
    }

    /// Sets what is added to the host's TSC.
    pub fn set_tsc_offset(&mut self, loaded: &Loaded, offset: u64) {
        self.tsc_offset = offset;
        loaded.write(field::TSC_OFFSET, offset);
    }

    /// Sets the registers that decide the paging mode, and what follows from them.
    pub fn set_paging(&mut self, loaded: &Loaded, paging: &PagingState) {
        let before = self.guest.efer();
        let osxsave = self
            .guest
            .cr4(loaded)
            .changed(paging.cr4)
            .contains(Cr4::OSXSAVE);
        self.guest.set_paging(loaded, paging);
        if before.changed(paging.efer).contains(Efer::LMA) {
            let controls = if paging.is_long_mode() {
                self.guest.make_tss_busy_64(loaded);
                self.controls.entry.with(EntryControls::IA32E_MODE_GUEST)
            } else {
                self.controls.entry.without(EntryControls::IA32E_MODE_GUEST)
            };
            self.controls.entry = controls;
            loaded.write(field::ENTRY_CONTROLS, controls.raw());
        }
        if osxsave {
            self.refresh_cpuid(paging.cr4);
        }
    }

    /// Which of the guest's shared MSRs have to be in the registers.
    pub fn msrs_in_use(&self) -> InUse {
        InUse {
            syscall: self.guest.efer().contains(Efer::LMA.with(Efer::SCE)),
            tsc_aux: self.features.has_tsc_aux(),
        }
    }

    /// Turns primary controls on or off.
    pub fn set_primary(&mut self, loaded: &Loaded, controls: PrimaryControls) {
        if self.controls.primary != controls {
            self.controls.primary = controls;
            loaded.write(field::PRIMARY_CONTROLS, controls.raw());
        }
    }

    /// Moves RIP behind the instruction that exited, as if it had been executed.
    #[inline]
    pub fn skip(&mut self, loaded: &Loaded) {
        let length = loaded.read(field::EXIT_INSTRUCTION_LENGTH);
        self.skip_bytes(loaded, length);
    }

    /// [`Core::skip`] for an instruction of known length.
    #[inline]
    pub fn skip_bytes(&mut self, loaded: &Loaded, length: u32) {
        let rip = self.guest.rip(loaded);
        let mut next = rip.wrapping_add(u64::from(length));
        if next >> 32 != 0 && !self.guest.code_rights(loaded).is_long() {
            next &= u64::from(u32::MAX);
        }
        self.guest.set_rip(next);
        self.retire(loaded);
    }

    /// An instruction was completed: the shadow of STI and MOV SS is over, and TF traps.
    #[inline]
    pub fn retire(&mut self, loaded: &Loaded) {
        let interruptibility = loaded.read(field::GUEST_INTERRUPTIBILITY);
        if interruptibility & BLOCKING_BY_STI_OR_MOV_SS != 0 {
            loaded.write(
                field::GUEST_INTERRUPTIBILITY,
                interruptibility & !BLOCKING_BY_STI_OR_MOV_SS,
            );
        }
        let rflags = self.guest.rflags(loaded);
        if rflags.contains(Rflags::RF) {
            self.guest.set_rflags(rflags.without(Rflags::RF).raw());
        }
        if rflags.contains(Rflags::TF) {
            let pending = loaded.read(field::GUEST_PENDING_DEBUG_EXCEPTIONS);
            loaded.write(
                field::GUEST_PENDING_DEBUG_EXCEPTIONS,
                pending | PENDING_SINGLE_STEP,
            );
        }
    }

    /// Whether the guest would take an interrupt now.
    pub fn accepts_interrupt(&mut self, loaded: &Loaded) -> bool {
        self.guest.rflags(loaded).contains(Rflags::IF)
            && loaded.read(field::GUEST_INTERRUPTIBILITY) & BLOCKING_BY_STI_OR_MOV_SS == 0
    }

    /// Whether the VMM may inject an interrupt: the guest would take it and nothing is in its way.
    pub fn is_ready_for_interrupt(&mut self, loaded: &Loaded) -> bool {
        !self.events.is_busy() && self.accepts_interrupt(loaded)
    }

    /// Takes what a VMM asks for. Whether its CR8 exists.
    fn take_request(&mut self, request: &RunRequest) -> bool {
        const HIGHEST_PRIORITY: u64 = 15;
        if self.apic.is_none() {
            if request.cr8 > HIGHEST_PRIORITY {
                return false;
            }
            self.cr8 = request.cr8;
        }
        self.window_requested = request.interrupt_window && !self.has_pics();
        true
    }

    /// Whether HLT is the guest's own (KVM_CAP_X86_DISABLE_EXITS).
    pub fn halts_without_exit(&self) -> bool {
        !self.controls.primary.contains(PrimaryControls::HLT_EXITING)
    }

    /// Whether interrupts come from 8259s in the kernel, and not from the VMM.
    pub fn has_pics(&self) -> bool {
        let apic = self.apic.as_ref();
        apic.is_some_and(|apic| apic.interrupts.kind() == Kind::Full)
    }

    /// Whether an interrupt of the VMM's 8259s would reach the guest, once that lets interrupts in. A local APIC in the
    /// kernel has to let it through.
    pub fn takes_vmm_interrupt(&self) -> bool {
        self.apic
            .as_ref()
            .is_none_or(|apic| apic.vmm_extint.is_none() && apic.registers().lint0_takes_extint())
    }

    /// KVM_RUN, once nothing is pending. `EINTR` if the thread has a signal.
    fn run(
        &mut self,
        fpu: &crate::host::x86::fpu::InGuest<'_>,
        page: &RunPage,
    ) -> Result<Reported> {
        self.has_run = true;
        let result = loop {
            match self.run_once(fpu, page) {
                Ok(Some(reported)) => break Ok(reported),
                Ok(None) if cpu::signal_pending() => break Err(EINTR),
                Ok(None) => (),
                Err(error) => break Err(error),
            }
        };
        if matches!(result, Err(error) if error == EINTR) {
            self.counters.count(Counted::SignalExit);
        }
        result
    }

    fn report(&mut self) -> RunReport {
        let loaded = self.load();
        RunReport {
            ready_for_interrupt_injection: self.has_pics()
                || self.takes_vmm_interrupt() && self.is_ready_for_interrupt(&loaded),
            interrupt_flag: self.guest.rflags(&loaded).contains(Rflags::IF),
            cr8: self.cr8(),
            apic_base: self.apic_base(),
        }
    }
}

/// Bits of the guest's interruptibility state (SDM table 26-3).
pub const BLOCKING_BY_STI: u32 = 1 << 0;
/// Blocking by MOV SS or POP SS.
pub const BLOCKING_BY_MOV_SS: u32 = 1 << 1;
/// Either; both at once do not exist.
pub const BLOCKING_BY_STI_OR_MOV_SS: u32 = BLOCKING_BY_STI | BLOCKING_BY_MOV_SS;
/// Blocking by NMI.
pub const BLOCKING_BY_NMI: u32 = 1 << 3;
/// The activity state of a guest that has executed HLT (SDM volume 3, section 26.4.2).
pub const ACTIVITY_HLT: u32 = 1;
/// "Enabled breakpoint" of the pending debug exceptions (SDM table 26-4).
pub const PENDING_BREAKPOINT: u64 = 1 << 12;
/// "BS" of them.
pub const PENDING_SINGLE_STEP: u64 = 1 << 14;

/// PAUSEs no farther apart than this are one loop, in TSC ticks (SDM volume 3, section 26.1.3).
const PAUSE_GAP: u32 = 128;
/// A loop of them that lasts longer exits, in TSC ticks: the thread that it waits for may need the CPU.
const PAUSE_WINDOW: u32 = 4096;

/// Exceptions that exit: a machine check is the host's; #DB and #AC can recur for ever while they are being
/// delivered, with no interrupt let in (CVE-2015-8104, CVE-2015-5307).
pub const EXITING_EXCEPTIONS: u32 =
    1 << vector::DEBUG | 1 << vector::ALIGNMENT_CHECK | 1 << vector::MACHINE_CHECK;
