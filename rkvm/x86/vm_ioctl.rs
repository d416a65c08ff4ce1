// SPDX-License-Identifier: GPL-2.0

//! The ioctls that only an x86 VM has.

use crate::{
    host::bindings as uapi,
    types::PAGE_SIZE,
    uapi::UserAddress,
    vm::Vm,
    x86::{
        interrupts, msr_filter,
        vm_settings::{Switch, VmSettings},
    },
};
use kernel::prelude::*;

/// Whether `cmd` is one of the ioctls that [`serve`] knows and a vCPU does not have.
pub fn has_ioctl(cmd: u32) -> bool {
    matches!(
        cmd,
        uapi::RKVM_SET_TSS_ADDR
            | uapi::RKVM_SET_IDENTITY_MAP_ADDR
            | uapi::RKVM_SET_NR_MMU_PAGES
            | uapi::RKVM_X86_SET_MSR_FILTER
    )
}

/// Serves a VM ioctl. `ENOTTY` for one that does not exist.
pub fn serve(vm: &Vm, cmd: u32, argument: UserAddress) -> Result<isize> {
    let settings = &vm.arch().settings;
    match cmd {
        uapi::RKVM_SET_TSS_ADDR => set_tss_addr(argument.into())?,
        uapi::RKVM_SET_IDENTITY_MAP_ADDR => {
            vm.before_vcpus(EINVAL, || set_identity_map_addr(argument))?;
        }
        uapi::RKVM_X86_SET_MSR_FILTER => msr_filter::set(vm, argument)?,
        uapi::RKVM_SET_NR_MMU_PAGES => set_nr_mmu_pages(argument.into())?,
        uapi::RKVM_ENABLE_CAP => enable_cap(vm, &argument.read()?)?,
        uapi::RKVM_GET_TSC_KHZ => return Ok(settings.tsc_khz() as isize),
        uapi::RKVM_SET_TSC_KHZ => {
            vm.before_vcpus(EINVAL, || {
                settings.set_tsc_khz(usize::from(argument) as u32)
            })?;
        }
        _ => return Err(ENOTTY),
    }
    Ok(0)
}

/// KVM_SET_TSS_ADDR: where a VMM leaves three pages free for a processor that cannot run a guest in real mode. Guests
/// here are unrestricted, so that nothing is placed there. `EINVAL` for pages that do not end below 4 GiB.
fn set_tss_addr(address: usize) -> Result {
    const LAST: usize = (1 << 32) - 3 * PAGE_SIZE;
    if address <= LAST {
        Ok(())
    } else {
        Err(EINVAL)
    }
}

/// KVM_SET_IDENTITY_MAP_ADDR: the same for the page table of a guest without paging, at any address. `EFAULT`.
fn set_identity_map_addr(argument: UserAddress) -> Result {
    argument.read::<u64>().map(|_| ())
}

/// KVM_SET_NR_MMU_PAGES: how many pages a VM may have for shadow page tables. There are none with EPT, so that any
/// number will do. `EINVAL` for fewer than no VM can do with.
fn set_nr_mmu_pages(pages: usize) -> Result {
    const FEWEST: usize = 64;
    if pages >= FEWEST {
        Ok(())
    } else {
        Err(EINVAL)
    }
}

/// KVM_ENABLE_CAP on a VM. `EINVAL` for flags, for capabilities that a VM cannot turn on, and for values that they do
/// not take.
fn enable_cap(vm: &Vm, request: &uapi::kvm_enable_cap) -> Result {
    let settings: &VmSettings = &vm.arch().settings;
    if request.flags != 0 {
        return Err(EINVAL);
    }
    let [value, ..] = request.args;
    match request.cap {
        uapi::KVM_CAP_X86_TRIPLE_FAULT_EVENT => {
            match value {
                0 => settings.turn_off(Switch::TripleFaultEvent),
                _ => settings.turn_on(Switch::TripleFaultEvent),
            }
            Ok(())
        }
        uapi::KVM_CAP_MSR_PLATFORM_INFO => {
            match value {
                0 => settings.turn_on(Switch::HiddenPlatformInfo),
                _ => settings.turn_off(Switch::HiddenPlatformInfo),
            }
            Ok(())
        }
        uapi::KVM_CAP_X86_USER_SPACE_MSR => settings.set_msr_exits(value),
        uapi::KVM_CAP_EXIT_ON_EMULATION_FAILURE => match value {
            0 => {
                settings.turn_off(Switch::ExitOnEmulationFailure);
                Ok(())
            }
            1 => {
                settings.turn_on(Switch::ExitOnEmulationFailure);
                Ok(())
            }
            _ => Err(EINVAL),
        },
        uapi::KVM_CAP_X86_DISABLE_EXITS => {
            vm.before_vcpus(EINVAL, || settings.disable_exits(value))
        }
        uapi::KVM_CAP_MAX_VCPU_ID => vm.before_vcpus(EINVAL, || {
            let bootstrap = vm.arch().interrupts().settings().bootstrap();
            settings.limit_vcpu_ids(value, bootstrap)
        }),
        uapi::KVM_CAP_X86_APIC_BUS_CYCLES_NS => {
            let settings = vm.arch().interrupts().settings();
            vm.before_vcpus(EINVAL, || settings.set_bus_cycle_ns(value))
        }
        uapi::KVM_CAP_SPLIT_IRQCHIP => interrupts::enable_split(vm, value),
        uapi::KVM_CAP_DISABLE_QUIRKS2 => settings.disable_quirks(value),
        uapi::KVM_CAP_X2APIC_API => vm.arch().interrupts().settings().set_x2apic_api(value),
        _ => Err(EINVAL),
    }
}
