// SPDX-License-Identifier: GPL-2.0

//! The ioctls of a VM that concern its interrupt controllers.

use super::{
    chips::{Controllers, Speaker, Timer},
    Interrupts, Kind,
};
use crate::{
    gsi_routing::MAX_ROUTES,
    host::{bindings as uapi, clock},
    uapi::UserAddress,
    vm::Vm,
    x86::{
        line::{Level, LineOutcome, Source},
        message::MsiFormat,
        pic::Which,
        pit::{Pit, PitState, Reinject},
        routing::{Irqchip, Routes},
    },
};
use kernel::prelude::*;

/// Whether `cmd` is one of the ioctls that [`serve`] knows.
pub fn has_ioctl(cmd: u32) -> bool {
    matches!(
        cmd,
        uapi::RKVM_CREATE_IRQCHIP
            | uapi::RKVM_GET_IRQCHIP
            | uapi::RKVM_SET_IRQCHIP
            | uapi::RKVM_CREATE_PIT
            | uapi::RKVM_CREATE_PIT2
            | uapi::RKVM_GET_PIT
            | uapi::RKVM_SET_PIT
            | uapi::RKVM_GET_PIT2
            | uapi::RKVM_SET_PIT2
            | uapi::RKVM_REINJECT_CONTROL
            | uapi::RKVM_IRQ_LINE
            | uapi::RKVM_IRQ_LINE_STATUS
            | uapi::RKVM_SIGNAL_MSI
            | uapi::RKVM_SET_GSI_ROUTING
            | uapi::RKVM_SET_BOOT_CPU_ID
    )
}

/// Serves a VM ioctl. `ENOTTY` for any other.
pub fn serve(vm: &Vm, cmd: u32, argument: UserAddress) -> Result<isize> {
    let interrupts = vm.arch().interrupts();
    match cmd {
        uapi::RKVM_CREATE_IRQCHIP => create_irqchip(vm)?,
        uapi::RKVM_GET_IRQCHIP => get_irqchip(interrupts, argument)?,
        uapi::RKVM_SET_IRQCHIP => set_irqchip(interrupts, argument)?,
        uapi::RKVM_CREATE_PIT => create_pit(vm, uapi::KVM_PIT_SPEAKER_DUMMY)?,
        uapi::RKVM_CREATE_PIT2 => {
            let config: uapi::kvm_pit_config = argument.read()?;
            create_pit(vm, config.flags)?;
        }
        // The older structure is the beginning of the newer one.
        uapi::RKVM_GET_PIT => argument.write(&get_pit(interrupts)?.channels)?,
        uapi::RKVM_SET_PIT => {
            let channels = argument.read()?;
            set_pit(vm, &PitState { channels, flags: 0 })?;
        }
        uapi::RKVM_GET_PIT2 => {
            argument.write(&get_pit(interrupts)?)?;
            const RESERVED: usize = size_of::<uapi::kvm_pit_state2>() - size_of::<PitState>();
            argument
                .offset(size_of::<PitState>())
                .write_bytes(&[0; RESERVED])?;
        }
        uapi::RKVM_SET_PIT2 => {
            argument.read::<uapi::kvm_pit_state2>()?;
            set_pit(vm, &argument.read()?)?;
        }
        uapi::RKVM_REINJECT_CONTROL => {
            let control: uapi::kvm_reinject_control = argument.read()?;
            let reinject = if control.pit_reinject != 0 {
                Reinject::Yes
            } else {
                Reinject::No
            };
            if !interrupts.with_chips(|chips, _| chips.set_reinject(reinject)) {
                return Err(ENXIO);
            }
        }
        uapi::RKVM_IRQ_LINE => {
            irq_line(interrupts, argument)?;
        }
        uapi::RKVM_IRQ_LINE_STATUS => {
            let outcome = irq_line(interrupts, argument)?;
            argument.write(&(outcome.status() as u32))?;
        }
        uapi::RKVM_SIGNAL_MSI => return signal_msi(interrupts, argument),
        uapi::RKVM_SET_GSI_ROUTING => set_routing(interrupts, argument)?,
        uapi::RKVM_SET_BOOT_CPU_ID => {
            let id = u32::try_from(usize::from(argument)).map_err(|_| EINVAL)?;
            vm.before_vcpus(EBUSY, || {
                vm.arch().settings.check_bootstrap_id(id)?;
                interrupts.settings.set_bootstrap(id);
                Ok(())
            })?;
        }
        _ => return Err(ENOTTY),
    }
    Ok(0)
}

/// KVM_CREATE_IRQCHIP. `EEXIST` if the local APICs are in the kernel already, `EINVAL` once there are vCPUs.
fn create_irqchip(vm: &Vm) -> Result {
    let interrupts = vm.arch().interrupts();
    if !vm.platform().has_local_apics() {
        return Err(ENOTTY);
    }
    let controllers = KBox::new(Controllers::default(), GFP_KERNEL_ACCOUNT)?;
    let routes = Routes::for_irqchip()?;
    let choose = || {
        if interrupts.kind() != Kind::Userspace {
            return Err(EEXIST);
        }
        interrupts.with_chips(|chips, _| chips.set_controllers(controllers));
        interrupts.set_routes(routes)?;
        interrupts.settings.choose(Kind::Full);
        Ok(())
    };
    match interrupts.kind() {
        Kind::Userspace => vm.before_vcpus(EINVAL, choose),
        Kind::Split | Kind::Full => Err(EEXIST),
    }
}

/// KVM_CAP_SPLIT_IRQCHIP with the number of pins of the VMM's I/O APIC. `EINVAL` for too many, `EEXIST` if the local
/// APICs are in the kernel already or there are vCPUs.
pub fn enable_split(vm: &Vm, pins: u64) -> Result {
    let interrupts = vm.arch().interrupts();
    if !vm.platform().has_local_apics() {
        return Err(EINVAL);
    }
    let pins = u32::try_from(pins)
        .ok()
        .filter(|pins| *pins <= MAX_ROUTES)
        .ok_or(EINVAL)?;
    vm.before_vcpus(EEXIST, || {
        if interrupts.kind() != Kind::Userspace {
            return Err(EEXIST);
        }
        interrupts.settings.set_split_pins(pins);
        interrupts.settings.choose(Kind::Split);
        Ok(())
    })
}

/// Bytes of `struct kvm_irqchip`.
const IRQCHIP_BYTES: usize = 520;
/// Where the state of the chip is in it.
const STATE_OFFSET: usize = 8;

/// Which chip `struct kvm_irqchip` is about.
enum ChipId {
    Pic(Which),
    Ioapic,
}

/// `ENXIO` without chips in the kernel, `EINVAL` for one that does not exist.
fn chip_id(interrupts: &Interrupts, argument: UserAddress) -> Result<ChipId> {
    let mut bytes = [0; IRQCHIP_BYTES];
    argument.read_bytes(&mut bytes)?;
    if interrupts.kind() != Kind::Full {
        return Err(ENXIO);
    }
    let [a, b, c, d, ..] = bytes;
    match u32::from_le_bytes([a, b, c, d]) {
        uapi::KVM_IRQCHIP_PIC_MASTER => Ok(ChipId::Pic(Which::Master)),
        uapi::KVM_IRQCHIP_PIC_SLAVE => Ok(ChipId::Pic(Which::Slave)),
        uapi::KVM_IRQCHIP_IOAPIC => Ok(ChipId::Ioapic),
        _ => Err(EINVAL),
    }
}

/// KVM_GET_IRQCHIP.
fn get_irqchip(interrupts: &Interrupts, argument: UserAddress) -> Result {
    let chip = chip_id(interrupts, argument)?;
    let state = argument.offset(STATE_OFFSET);
    match chip {
        ChipId::Pic(which) => {
            let saved = interrupts.with_chips(|chips, _| chips.save_pic(which));
            state.write(&saved.ok_or(ENXIO)?)
        }
        ChipId::Ioapic => {
            let saved = interrupts.with_chips(|chips, _| chips.save_ioapic());
            state.write(&saved.ok_or(ENXIO)?)
        }
    }
}

/// KVM_SET_IRQCHIP.
fn set_irqchip(interrupts: &Interrupts, argument: UserAddress) -> Result {
    let chip = chip_id(interrupts, argument)?;
    let state = argument.offset(STATE_OFFSET);
    match chip {
        ChipId::Pic(which) => {
            let state = state.read()?;
            interrupts.with_chips(|chips, _| chips.restore_pic(which, &state));
        }
        ChipId::Ioapic => {
            let state = state.read()?;
            interrupts.with_chips(|chips, wires| chips.restore_ioapic(&state, wires));
        }
    }
    Ok(())
}

/// KVM_CREATE_PIT2. `EEXIST` for a second one, `ENOENT` where the 8259s are not in the kernel.
fn create_pit(vm: &Vm, flags: u32) -> Result {
    let interrupts = vm.arch().interrupts();
    let speaker = if flags & uapi::KVM_PIT_SPEAKER_DUMMY != 0 {
        Speaker::Present
    } else {
        Speaker::Absent
    };
    if interrupts.kind() != Kind::Full {
        return Err(ENOENT);
    }
    let timer = KBox::new(
        Timer {
            pit: Pit::new(clock::now()),
            speaker,
        },
        GFP_KERNEL_ACCOUNT,
    )?;
    vm.arch().make_pit_timer()?;
    let surplus = interrupts.with_chips(|chips, _| chips.set_timer(timer));
    drop(surplus);
    Ok(())
}

/// KVM_GET_PIT2. `ENXIO` without one.
fn get_pit(interrupts: &Interrupts) -> Result<PitState> {
    interrupts
        .with_chips(|chips, _| chips.save_pit())
        .ok_or(ENXIO)
}

/// KVM_SET_PIT2. `ENXIO` without one.
fn set_pit(vm: &Vm, state: &PitState) -> Result {
    let arch = vm.arch();
    let done = arch
        .interrupts()
        .with_chips(|chips, _| chips.restore_pit(state, clock::now(), |at| arch.start_pit(at)));
    if done {
        Ok(())
    } else {
        Err(ENXIO)
    }
}

/// KVM_IRQ_LINE. `ENXIO` without local APICs in the kernel.
fn irq_line(interrupts: &Interrupts, argument: UserAddress) -> Result<LineOutcome> {
    let gsi = argument.read()?;
    let level: u32 = argument.offset(size_of::<u32>()).read()?;
    if interrupts.kind() == Kind::Userspace {
        return Err(ENXIO);
    }
    let level = if level == 0 { Level::Low } else { Level::High };
    Ok(interrupts.set_line(gsi, Source::User, level))
}

/// KVM_SIGNAL_MSI: the number of processors that take it. `EINVAL` without local APICs in the kernel, for flags, and for
/// address bits that the format reserves.
fn signal_msi(interrupts: &Interrupts, argument: UserAddress) -> Result<isize> {
    const EXTENDED_RESERVED: u32 = 0xff;
    let msi: uapi::kvm_msi = argument.read()?;
    let extended = interrupts.settings.msi_format() == MsiFormat::Extended;
    if interrupts.kind() == Kind::Userspace
        || msi.flags != 0
        || extended && msi.address_hi & EXTENDED_RESERVED != 0
    {
        return Err(EINVAL);
    }
    let address = u64::from(msi.address_hi) << 32 | u64::from(msi.address_lo);
    Ok(match interrupts.send_msi(address, msi.data) {
        LineOutcome::Delivered(count) => count as isize,
        LineOutcome::Coalesced | LineOutcome::Ignored => 0,
    })
}

/// KVM_SET_GSI_ROUTING. `EINVAL` without local APICs in the kernel, and as [`UserAddress::read_routing`] and
/// [`Routes::from_entries`] have it.
fn set_routing(interrupts: &Interrupts, argument: UserAddress) -> Result {
    let entries = argument.read_routing()?;
    let irqchip = match interrupts.kind() {
        Kind::Userspace => return Err(EINVAL),
        Kind::Split => Irqchip::Split,
        Kind::Full => Irqchip::Full,
    };
    let format = interrupts.settings.msi_format();
    interrupts.set_routes(Routes::from_entries(&entries, irqchip, format)?)
}
