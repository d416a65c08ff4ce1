// SPDX-License-Identifier: GPL-2.0

//! The ioctls of an x86 vCPU but for KVM_RUN, and those on the device that have the same form.

mod debugregs;
mod events;
mod fpu;
mod lapic;
mod machine_check;
mod pre_fault;
mod sregs;
pub mod sync_regs;
mod tsc;
pub mod xsave;

use crate::{
    host::bindings as uapi,
    uapi::UserAddress,
    x86::{
        cpuid::{guest::GuestCpuid, CpuidEntry, MAX_ENTRIES},
        insn::Gpr,
        lapic::STATE_BYTES,
        msr::{index, Initiator},
        pv::{
            self,
            features::{Enforcement, Feature},
        },
        vcpu::{Core, Vcpu},
    },
};
use kernel::prelude::*;

/// Whether `cmd` is one of the ioctls that [`serve`] knows.
pub fn is_vcpu_ioctl(cmd: u32) -> bool {
    matches!(
        cmd,
        uapi::RKVM_GET_REGS
            | uapi::RKVM_SET_REGS
            | uapi::RKVM_GET_SREGS
            | uapi::RKVM_SET_SREGS
            | uapi::RKVM_GET_FPU
            | uapi::RKVM_SET_FPU
            | uapi::RKVM_GET_MSRS
            | uapi::RKVM_SET_MSRS
            | uapi::RKVM_SET_CPUID2
            | uapi::RKVM_GET_CPUID2
            | uapi::RKVM_INTERRUPT
            | uapi::RKVM_NMI
            | uapi::RKVM_GET_XSAVE
            | uapi::RKVM_SET_XSAVE
            | uapi::RKVM_GET_XCRS
            | uapi::RKVM_SET_XCRS
            | uapi::RKVM_GET_DEBUGREGS
            | uapi::RKVM_SET_DEBUGREGS
            | uapi::RKVM_GET_VCPU_EVENTS
            | uapi::RKVM_SET_VCPU_EVENTS
            | uapi::RKVM_GET_SREGS2
            | uapi::RKVM_SET_SREGS2
            | uapi::RKVM_GET_XSAVE2
            | uapi::RKVM_GET_TSC_KHZ
            | uapi::RKVM_SET_TSC_KHZ
            | uapi::RKVM_SET_GUEST_DEBUG
            | uapi::RKVM_X86_SETUP_MCE
            | uapi::RKVM_X86_SET_MCE
            | uapi::RKVM_HAS_DEVICE_ATTR
            | uapi::RKVM_GET_DEVICE_ATTR
            | uapi::RKVM_SET_DEVICE_ATTR
            | uapi::RKVM_ENABLE_CAP
            | uapi::RKVM_PRE_FAULT_MEMORY
            | uapi::RKVM_SMI
            | uapi::RKVM_KVMCLOCK_CTRL
            | uapi::RKVM_GET_LAPIC
            | uapi::RKVM_SET_VAPIC_ADDR
            | uapi::RKVM_SET_LAPIC
            | uapi::RKVM_GET_MP_STATE
            | uapi::RKVM_SET_MP_STATE
    )
}

/// Serves a vCPU ioctl.
pub fn serve(vcpu: &mut Vcpu, cmd: u32, argument: UserAddress) -> Result<isize> {
    let core = &mut vcpu.core;
    match cmd {
        uapi::RKVM_GET_REGS => argument.write(&get_regs(core))?,
        uapi::RKVM_SET_REGS => set_regs(core, &argument.read()?),
        uapi::RKVM_GET_SREGS => argument.write(&sregs::get(core))?,
        uapi::RKVM_SET_SREGS => sregs::set(core, &argument.read()?)?,
        uapi::RKVM_GET_FPU => argument.write(&fpu::get(&vcpu.fpu))?,
        uapi::RKVM_SET_FPU => fpu::set(&mut vcpu.fpu, &argument.read()?)?,
        uapi::RKVM_SET_CPUID2 => set_cpuid(core, argument)?,
        uapi::RKVM_GET_CPUID2 => get_cpuid(core, argument)?,
        uapi::RKVM_INTERRUPT => interrupt(core, argument.read::<uapi::kvm_interrupt>()?.irq)?,
        uapi::RKVM_NMI => core.events.add_nmi(),
        uapi::RKVM_GET_XSAVE => xsave::get(&mut vcpu.fpu, core, argument)?,
        uapi::RKVM_SET_XSAVE => xsave::set(&mut vcpu.fpu, core, argument)?,
        uapi::RKVM_GET_XCRS => argument.write(&xsave::get_xcrs(core))?,
        uapi::RKVM_SET_XCRS => xsave::set_xcrs(core, &argument.read()?)?,
        uapi::RKVM_GET_DEBUGREGS => argument.write(&debugregs::get(core))?,
        uapi::RKVM_SET_DEBUGREGS => debugregs::set(core, &argument.read()?)?,
        uapi::RKVM_GET_VCPU_EVENTS => argument.write(&events::get(core))?,
        uapi::RKVM_SET_VCPU_EVENTS => events::set(core, &argument.read()?)?,
        uapi::RKVM_GET_SREGS2 => argument.write(&sregs::get2(core))?,
        uapi::RKVM_SET_SREGS2 => sregs::set2(core, &argument.read()?)?,
        uapi::RKVM_GET_XSAVE2 => xsave::get2(&mut vcpu.fpu, core, argument)?,
        uapi::RKVM_GET_TSC_KHZ => return Ok(core.tsc_khz as isize),
        // The frequency is the argument's lower half, as for C KVM.
        uapi::RKVM_SET_TSC_KHZ => tsc::set_khz(core, usize::from(argument) as u32)?,
        uapi::RKVM_SET_GUEST_DEBUG => core.set_guest_debug(&argument.read()?)?,
        uapi::RKVM_X86_SETUP_MCE => machine_check::setup(core, argument.read()?)?,
        uapi::RKVM_X86_SET_MCE => machine_check::inject(core, &argument.read()?)?,
        uapi::RKVM_HAS_DEVICE_ATTR | uapi::RKVM_GET_DEVICE_ATTR | uapi::RKVM_SET_DEVICE_ATTR => {
            tsc::attribute(core, cmd, &argument.read()?)?;
        }
        uapi::RKVM_ENABLE_CAP => {
            enable_cap(core, &argument.read()?)?;
        }
        uapi::RKVM_PRE_FAULT_MEMORY => pre_fault::serve(core, argument)?,
        uapi::RKVM_KVMCLOCK_CTRL => core.stop_clock()?,
        uapi::RKVM_GET_LAPIC => argument.write_bytes(&lapic::get(core)?)?,
        uapi::RKVM_SET_LAPIC => {
            let mut state = [0; STATE_BYTES];
            argument.read_bytes(&mut state)?;
            lapic::set(core, &state)?;
        }
        uapi::RKVM_SET_VAPIC_ADDR => lapic::set_vapic(core, argument.read()?)?,
        uapi::RKVM_GET_MP_STATE => argument.write(&lapic::mp_state(core))?,
        uapi::RKVM_SET_MP_STATE => lapic::set_mp_state(core, &argument.read()?)?,
        uapi::RKVM_GET_MSRS => {
            return get_msrs(argument, |index| {
                let loaded = core.load();
                core.read_msr(&loaded, index, Initiator::Vmm).ok()
            });
        }
        uapi::RKVM_SET_MSRS => return set_msrs(core, argument),
        _ => return Err(ENOTTY),
    }
    Ok(0)
}

/// KVM_ENABLE_CAP on a vCPU. `EINVAL` for flags, and for capabilities that a vCPU cannot turn on.
fn enable_cap(core: &mut Core, request: &uapi::kvm_enable_cap) -> Result {
    let [value, ..] = request.args;
    match (request.flags, request.cap) {
        (0, uapi::KVM_CAP_ENFORCE_PV_FEATURE_CPUID) => core.enforce_pv_features(match value {
            0 => Enforcement::Off,
            _ => Enforcement::On,
        }),
        _ => return Err(EINVAL),
    }
    Ok(())
}

/// KVM_GET_REGS.
fn get_regs(core: &mut Core) -> uapi::kvm_regs {
    let loaded = core.load();
    let guest = &mut core.guest;
    let mut gpr = |number| guest.gpr(&loaded, Gpr::new(number));
    let mut regs = uapi::kvm_regs {
        rax: gpr(0),
        rcx: gpr(1),
        rdx: gpr(2),
        rbx: gpr(3),
        rsp: gpr(4),
        rbp: gpr(5),
        rsi: gpr(6),
        rdi: gpr(7),
        r8: gpr(8),
        r9: gpr(9),
        r10: gpr(10),
        r11: gpr(11),
        r12: gpr(12),
        r13: gpr(13),
        r14: gpr(14),
        r15: gpr(15),
        rip: 0,
        rflags: 0,
    };
    regs.rip = guest.rip(&loaded);
    regs.rflags = guest.rflags(&loaded).raw();
    regs
}

/// KVM_SET_REGS. An exception that was about to be delivered is dropped with the state it belonged to.
fn set_regs(core: &mut Core, regs: &uapi::kvm_regs) {
    let values = [
        regs.rax, regs.rcx, regs.rdx, regs.rbx, regs.rsp, regs.rbp, regs.rsi, regs.rdi, regs.r8,
        regs.r9, regs.r10, regs.r11, regs.r12, regs.r13, regs.r14, regs.r15,
    ];
    let loaded = core.load();
    for (number, value) in (0..).zip(values) {
        core.guest.set_gpr(Gpr::new(number), value);
    }
    core.guest.set_rip(regs.rip);
    core.guest.set_rflags(regs.rflags);
    core.events.drop_exception();
    if !core.guest_debug.is_stepping() {
        core.drop_step(&loaded);
    }
    core.guest.flush(&loaded);
}

/// KVM_INTERRUPT: the VMM's interrupt controller delivers a vector. `EINVAL` for a number above
/// 255, `ENXIO` where the kernel has the 8259s. One that waits already is replaced; where the kernel has the local APIC,
/// which passes it on, `EEXIST`.
fn interrupt(core: &mut Core, irq: u32) -> Result {
    let vector = u8::try_from(irq).map_err(|_| EINVAL)?;
    if core.has_pics() {
        return Err(ENXIO);
    }
    match &mut core.apic {
        Some(apic) if apic.vmm_extint.is_some() => return Err(EEXIST),
        Some(apic) => apic.vmm_extint = Some(vector),
        None => core.events.interrupt = Some(vector),
    }
    Ok(())
}

/// The header of `struct kvm_msrs`, `kvm_msr_list`, `kvm_cpuid2`: a count, and 4 bytes before the array
/// where its items hold 8-byte values.
const COUNT_SIZE: usize = size_of::<u32>();
const PADDED_COUNT_SIZE: usize = size_of::<u64>();

/// Reads a header of [`PADDED_COUNT_SIZE`] bytes, whose second half means nothing.
fn read_padded_count(argument: UserAddress) -> Result<usize> {
    let header = argument.read::<u64>()?;
    Ok(header as u32 as usize)
}

/// The most entries of KVM_GET_MSRS and KVM_SET_MSRS.
const MAX_MSR_ENTRIES: usize = 256;

/// KVM_GET_MSRS: reads until one is refused, and returns how many were read. `E2BIG` for too many entries.
pub fn get_msrs(argument: UserAddress, mut read: impl FnMut(u32) -> Option<u64>) -> Result<isize> {
    let mut entries = read_msr_entries(argument)?;
    let mut count = 0isize;
    for entry in entries.iter_mut() {
        match read(entry.index) {
            Some(value) => entry.data = value,
            None => break,
        }
        count += 1;
    }
    argument.offset(PADDED_COUNT_SIZE).write_array(&entries)?;
    Ok(count)
}

/// KVM_SET_MSRS: writes until one is refused, and returns how many were written. What tells the guest about its
/// processor cannot change once the vCPU has run, as its CPUID cannot.
fn set_msrs(core: &mut Core, argument: UserAddress) -> Result<isize> {
    let entries = read_msr_entries(argument)?;
    let loaded = core.load();
    let mut count = 0;
    for entry in entries.iter() {
        let (index, value) = (entry.index, entry.data);
        if core.has_run && index::FIXED_BY_RUN.contains(&index) {
            // The same value is no change, so that a reset can write all that was saved.
            if core.read_msr(&loaded, index, Initiator::Vmm) != Ok(value) {
                break;
            }
        } else if core
            .write_msr(&loaded, index, value, Initiator::Vmm)
            .is_err()
        {
            break;
        }
        count += 1;
    }
    let cr4 = core.guest.cr4(&loaded);
    core.refresh_cpuid(cr4);
    drop(loaded);
    core.agree_on_tsc();
    Ok(count)
}

fn read_msr_entries(argument: UserAddress) -> Result<KVVec<uapi::kvm_msr_entry>> {
    let count = read_padded_count(argument)?;
    if count >= MAX_MSR_ENTRIES {
        return Err(E2BIG);
    }
    argument.offset(PADDED_COUNT_SIZE).read_array(count)
}

/// KVM_GET_MSR_INDEX_LIST and KVM_GET_MSR_FEATURE_INDEX_LIST. `E2BIG` with the count written back where the
/// VMM has too little room.
pub fn get_msr_list(list: &[u32], argument: UserAddress) -> Result<isize> {
    let room = argument.read::<u32>()? as usize;
    argument.write(&(list.len() as u32))?;
    if room < list.len() {
        return Err(E2BIG);
    }
    argument.offset(COUNT_SIZE).write_array(list)?;
    Ok(0)
}

/// KVM_GET_SUPPORTED_CPUID. `E2BIG` where the VMM has too little room.
pub fn get_supported_cpuid(entries: &[CpuidEntry], argument: UserAddress) -> Result<isize> {
    let room = read_padded_count(argument)?;
    if room < entries.len() {
        return Err(E2BIG);
    }
    argument.write(&(entries.len() as u32))?;
    argument.offset(PADDED_COUNT_SIZE).write_array(entries)?;
    Ok(0)
}

/// KVM_SET_CPUID2. `E2BIG` for more than [`MAX_ENTRIES`]; `EINVAL` for another CPUID once the vCPU has run.
fn set_cpuid(core: &mut Core, argument: UserAddress) -> Result {
    let count = read_padded_count(argument)?;
    if count > MAX_ENTRIES {
        return Err(E2BIG);
    }
    let read = argument
        .offset(PADDED_COUNT_SIZE)
        .read_array::<CpuidEntry>(count)?;
    let mut entries = KVec::with_capacity(count, GFP_KERNEL_ACCOUNT)?;
    entries.extend_from_slice(&read, GFP_KERNEL_ACCOUNT)?;
    if core.halts_without_exit() {
        // Nobody would see that it halts.
        pv::features::withdraw(&mut entries, Feature::PV_UNHALT);
    }
    if core.has_run {
        let runtime = {
            let loaded = core.load();
            core.runtime(core.guest.cr4(&loaded))
        };
        let layout = &core.vm.platform().xsave_layout;
        let same = core.cpuid.is_same(entries, &runtime, layout)?;
        return same.then_some(()).ok_or(EINVAL);
    }
    let cpuid = GuestCpuid::new(entries)?;
    let loaded = core.load();
    core.set_cpuid(&loaded, cpuid);
    Ok(())
}

/// KVM_GET_CPUID2. `E2BIG` where the VMM has too little room.
fn get_cpuid(core: &mut Core, argument: UserAddress) -> Result {
    let room = read_padded_count(argument)?;
    let entries = core.cpuid.entries();
    if room < entries.len() {
        return Err(E2BIG);
    }
    argument.write(&(entries.len() as u32))?;
    argument.offset(PADDED_COUNT_SIZE).write_array(entries)
}
