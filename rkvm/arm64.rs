// SPDX-License-Identifier: GPL-2.0

//! arm64: no guests yet. The module says so when it is loaded.
//!
//! [`Platform`] has no value, and every VM holds one, so that nothing else here can be reached.

pub mod one_reg;
pub mod regs;
pub mod stage2;
pub mod sysreg;
pub mod timer;
pub mod vgic;

pub use stage2::{Descriptor as EntryFormat, MemoryType};

use crate::{
    host::not_supported,
    irqfd::{IrqSink, Style},
    mmu::entry::{EntryFormat as _, Level},
    request::Kick,
    run_page::RunPage,
    stats::{Name, Source},
    types::{Gfn, PAGE_SHIFT},
    uapi::UserAddress,
    vm::Vm,
};
use kernel::{prelude::*, sync::Arc};

/// Pages of its own that a vCPU shares with its VMM: kvm_run.
pub const OWN_RUN_PAGES: usize = 1;
/// Memory slots of a VM.
pub const MEMORY_SLOTS: u32 = crate::memslot::MAX_SLOTS;
/// vCPUs of a VM: as many as C KVM allows with a GICv3.
pub const MAX_VCPUS: usize = 512;
/// One more than the largest vCPU id.
pub const MAX_VCPU_ID: u32 = 512;

/// log2 of the bytes of guest physical memory of a VM of machine type 0.
const DEFAULT_IPA_BITS: u32 = 40;

/// KVM_CREATE_VM: machine type 0, 40 bits of guest physical address, is the only one. `EINVAL` for
/// others.
pub fn check_machine_type(kind: usize) -> Result {
    if kind == 0 {
        Ok(())
    } else {
        Err(EINVAL)
    }
}

/// Processor support. There is none, so that there is no value.
pub enum Platform {}

impl Platform {
    /// `EOPNOTSUPP`; the log says why.
    pub fn enable() -> Result<Arc<Self>> {
        pr_err!("guests cannot run here: this version has no support for arm64\n");
        Err(not_supported())
    }

    /// How guest memory is mapped.
    pub fn memory_format(&self) -> MemoryFormat {
        match *self {}
    }

    /// Serves an ioctl on the device.
    pub fn system_ioctl(&self, _cmd: u32, _argument: UserAddress) -> Result<isize> {
        match *self {}
    }

    /// KVM_CHECK_EXTENSION for what arm64 has.
    pub fn check_extension(&self, _extension: u32) -> isize {
        match *self {}
    }
}

/// How guest memory is mapped with stage-2 tables.
#[derive(Clone, Copy, Debug)]
pub struct MemoryFormat;

impl MemoryFormat {
    /// The largest leaf: every processor has all sizes of the granule.
    pub fn largest_leaf(&self) -> Level {
        EntryFormat::MAX_LEAF
    }

    /// The first frame that guests cannot have.
    pub fn limit(&self) -> Gfn {
        Gfn::new(1 << (DEFAULT_IPA_BITS - PAGE_SHIFT))
    }

    /// The memory type of RAM.
    pub fn ordinary_memory(&self) -> MemoryType {
        MemoryType::WRITE_BACK
    }
}

/// A virtual CPU.
pub struct Vcpu {
    vm: Arc<Vm>,
}

impl Vcpu {
    /// A vCPU of a VM.
    pub fn new(vm: &Arc<Vm>, _kick: Arc<Kick>, _id: u32, _stats_name: Name) -> Result<Self> {
        match **vm.platform() {}
    }

    /// What is counted about it.
    pub fn stats(&self) -> Arc<dyn Source> {
        match **self.vm.platform() {}
    }

    /// Whether `cmd` is an ioctl of an arm64 vCPU: none is.
    pub fn has_ioctl(_cmd: u32) -> bool {
        false
    }

    /// Serves an ioctl other than KVM_RUN.
    pub fn ioctl(&mut self, _cmd: u32, _argument: UserAddress) -> Result<isize> {
        match **self.vm.platform() {}
    }

    /// KVM_RUN.
    pub fn run(&mut self, _page: &RunPage) -> Result {
        match **self.vm.platform() {}
    }
}

/// What a VM has besides memory and vCPUs.
pub struct VmState;

impl VmState {
    /// Nothing yet.
    pub fn new() -> Result<impl PinInit<Self>> {
        Ok(Self)
    }

    /// The interrupt controller, for an irqfd. `EAGAIN` while there is none.
    pub fn irq_sink(&self, _style: Style) -> Result<Arc<dyn IrqSink>> {
        Err(EAGAIN)
    }

    /// Whether `cmd` is an ioctl of an arm64 VM: none is.
    pub fn has_ioctl(_cmd: u32) -> bool {
        false
    }

    /// Serves an ioctl of an arm64 VM.
    pub fn ioctl(vm: &Vm, _cmd: u32, _argument: UserAddress) -> Result<isize> {
        match **vm.platform() {}
    }
}
