// SPDX-License-Identifier: GPL-2.0

//! The MSR filter of a VM, and how its vCPUs take it up: each has its own reference, and the VM's generation of
//! mappings, which every entry compares, steps with a change.

use crate::{
    host::page::KernelPage,
    types::Hpa,
    uapi::UserAddress,
    vm::Vm,
    vmx::{field::MSR_BITMAP, platform::msr_bitmap_page, vmcs::Loaded},
    x86::{
        msr::{
            bitmap,
            filter::{Accesses, FilterRequest, MsrFilter, Range, Verdict, MAX_RANGES},
        },
        vcpu::Core,
    },
};
use core::sync::atomic::{AtomicU32, Ordering};
use kernel::{
    prelude::*,
    sync::{new_spinlock, Arc, SpinLock},
};

/// A filter in force.
struct Active {
    filter: MsrFilter,
    /// The MSR bitmap of the VM's vCPUs.
    bitmap: KernelPage,
    /// That of those whose local APIC the processor has.
    x2apic_bitmap: KernelPage,
}

/// The filter of a VM.
#[pin_data]
pub struct VmFilter {
    #[pin]
    active: SpinLock<Option<Arc<Active>>>,
    /// Steps with each change.
    generation: AtomicU32,
}

impl VmFilter {
    /// None yet.
    pub fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            active <- new_spinlock!(None),
            generation: AtomicU32::new(0),
        })
    }
}

/// A vCPU's copy.
#[derive(Default)]
pub struct VcpuFilter {
    active: Option<Arc<Active>>,
    generation: u32,
}

impl VcpuFilter {
    /// Whether the VMM wants to answer for this access.
    #[inline]
    pub fn denies(&self, msr: u32, access: Accesses) -> bool {
        match &self.active {
            Some(active) => active.filter.verdict(msr, access) == Verdict::Deny,
            None => false,
        }
    }
}

/// KVM_X86_SET_MSR_FILTER. `EINVAL` for flags that do not exist, for a range with too many MSRs and for a filter that
/// denies everything; `EFAULT`; `ENOMEM`.
pub fn set(vm: &Vm, argument: UserAddress) -> Result {
    let request = argument.read::<FilterRequest>()?;
    let default = request.default_verdict()?;
    let mut ranges = KVec::with_capacity(MAX_RANGES, GFP_KERNEL_ACCOUNT)?;
    for range in request.ranges.iter().filter(|range| range.count != 0) {
        let accesses = range.accesses()?;
        let mut allowed = KVec::from_elem(0, range.bitmap_bytes()?, GFP_KERNEL_ACCOUNT)?;
        UserAddress::new(range.bitmap as usize).read_bytes(&mut allowed)?;
        ranges.push_within_capacity(Range {
            accesses,
            base: range.base,
            count: range.count,
            allowed,
        })?;
    }
    let filter = MsrFilter { default, ranges };
    let page = |fill: fn(&mut [u8; bitmap::SIZE])| {
        msr_bitmap_page(|bits| {
            fill(bits);
            filter.restrict(bits);
        })
    };
    let bitmap = page(bitmap::fill)?;
    let x2apic_bitmap = page(bitmap::fill_virtual_x2apic)?;
    let active = Active {
        filter,
        bitmap,
        x2apic_bitmap,
    };
    let active = Arc::new(active, GFP_KERNEL_ACCOUNT)?;
    let state = vm.arch().msr_filter();
    let previous = {
        let mut current = state.active.lock();
        state.generation.fetch_add(1, Ordering::SeqCst);
        current.replace(active)
    };
    vm.mmu().vcpus().expel();
    drop(previous);
    Ok(())
}

impl Core {
    /// Whether the VMM has set another filter than the vCPU's.
    pub fn has_stale_msr_filter(&self) -> bool {
        let current = self.vm.arch().msr_filter();
        self.msr_filter.generation != current.generation.load(Ordering::SeqCst)
    }

    /// Takes up the VM's filter.
    pub fn refresh_msr_filter(&mut self) {
        let vm = self.vm.clone();
        let state = vm.arch().msr_filter();
        self.msr_filter = {
            let active = state.active.lock();
            VcpuFilter {
                active: active.clone(),
                generation: state.generation.load(Ordering::SeqCst),
            }
        };
        let loaded = self.load();
        self.set_msr_bitmap(&loaded);
    }

    /// Tells the processor which MSRs do not exit.
    pub fn set_msr_bitmap(&self, loaded: &Loaded) {
        loaded.write(MSR_BITMAP, self.msr_bitmap().raw());
    }

    fn msr_bitmap(&self) -> Hpa {
        let x2apic = self.platform().x2apic_msr_bitmap();
        match (&self.msr_filter.active, x2apic) {
            (Some(active), Some(_)) if self.has_virtual_x2apic() => active.x2apic_bitmap.hpa(),
            (Some(active), _) => active.bitmap.hpa(),
            (None, Some(page)) if self.has_virtual_x2apic() => page,
            (None, _) => self.platform().msr_bitmap(),
        }
    }
}
