// SPDX-License-Identifier: GPL-2.0
//! The ITS, which makes interrupts of messages, and its state: registers, and tables that KVM writes to guest memory.

use anyhow::Result;
use kvm_bindings::{
    kvm_device_type_KVM_DEV_TYPE_ARM_VGIC_ITS as TYPE_ITS, KVM_DEV_ARM_ITS_RESTORE_TABLES,
    KVM_DEV_ARM_ITS_SAVE_TABLES, KVM_DEV_ARM_VGIC_CTRL_INIT, KVM_DEV_ARM_VGIC_GRP_ADDR,
    KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_GRP_ITS_REGS, KVM_VGIC_ITS_ADDR_TYPE,
};
use kvm_ioctls::VmFd;
use serde::{Deserialize, Serialize};

use super::attribute::Device;
use super::layout;

/// Registers (Arm IHI 0069, 12.19), in the order in which they are set. Setting CBASER clears the two behind it, and
/// CTLR turns the ITS on, for which its tables have to be there.
const IIDR: u64 = 0x4;
const CBASER: u64 = 0x80;
const CWRITER: u64 = 0x88;
const CREADR: u64 = 0x90;
const BASER: u64 = 0x100;
const BASERS: u64 = 8;
const CTLR: u64 = 0x0;

pub struct Its(Device);

#[derive(Serialize, Deserialize)]
pub struct ItsState {
    /// Offset and value of all registers but CTLR.
    registers: Vec<(u64, u64)>,
    control: u64,
}

impl Its {
    pub fn create(vm: &VmFd) -> Result<Self> {
        let device = Device::create(vm, TYPE_ITS)?;
        device.set(
            KVM_DEV_ARM_VGIC_GRP_ADDR,
            KVM_VGIC_ITS_ADDR_TYPE.into(),
            &layout::ITS,
        )?;
        device.command(KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT.into())?;
        Ok(Self(device))
    }

    /// Gets the state. KVM writes the tables to guest memory, which is saved afterwards.
    pub fn state(&self) -> Result<ItsState> {
        let get = |offset| self.0.get_u64(KVM_DEV_ARM_VGIC_GRP_ITS_REGS, offset);
        self.0.command(
            KVM_DEV_ARM_VGIC_GRP_CTRL,
            KVM_DEV_ARM_ITS_SAVE_TABLES.into(),
        )?;
        let tables = (0..BASERS).map(|index| BASER + index * size_of::<u64>() as u64);
        let registers = [IIDR, CBASER, CREADR, CWRITER]
            .into_iter()
            .chain(tables)
            .map(|offset| Ok((offset, get(offset)?)))
            .collect::<Result<_>>()?;
        Ok(ItsState {
            registers,
            control: get(CTLR)?,
        })
    }

    /// Sets a new ITS to `state`. Guest memory and the redistributors are what they were already.
    pub fn restore(&self, state: &ItsState) -> Result<()> {
        let set = |offset, value| self.0.set(KVM_DEV_ARM_VGIC_GRP_ITS_REGS, offset, value);
        for (offset, value) in &state.registers {
            set(*offset, value)?;
        }
        self.0.command(
            KVM_DEV_ARM_VGIC_GRP_CTRL,
            KVM_DEV_ARM_ITS_RESTORE_TABLES.into(),
        )?;
        set(CTLR, &state.control)
    }
}
