// SPDX-License-Identifier: GPL-2.0

//! The registers of a CPU interface, as hardware keeps them for a guest and as a VMM names them.
//!
//! Source: IHI 0069, ICH_VMCR_EL2, ICH_VTR_EL2, ICC_CTLR_EL1 and the other ICC_*_EL1.

use super::irq::{Group, Priority};
use kernel::prelude::*;

/// What the processors' virtual CPU interfaces are like: ICH_VTR_EL2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features(u64);

impl Features {
    /// ICH_VTR_EL2.
    pub const fn from_raw(vtr: u64) -> Self {
        Self(vtr)
    }

    /// The number of list registers.
    pub const fn list_registers(self) -> usize {
        (self.0 & 0x1f) as usize + 1
    }

    /// PRIbits: implemented bits of a priority, less 1.
    const fn priority_bits(self) -> u32 {
        (self.0 >> 29 & 0x7) as u32
    }

    /// PREbits: bits of a priority that decide on preemption.
    const fn preemption_bits(self) -> u32 {
        (self.0 >> 26 & 0x7) as u32 + 1
    }

    /// The number of registers ICC_AP0R<n>_EL1 and of ICC_AP1R<n>_EL1.
    pub const fn active_priorities(self) -> usize {
        match self.preemption_bits() {
            7.. => 4,
            6 => 2,
            _ => 1,
        }
    }

    /// The fields of ICC_CTLR_EL1 that tell what is implemented: PRIbits, IDbits, SEIS, A3V.
    const fn control(self) -> u64 {
        let id_bits = self.0 >> 23 & 0x7;
        let seis = self.0 >> 22 & 1;
        let a3v = self.0 >> 21 & 1;
        (self.priority_bits() as u64) << CTLR_PRIBITS_SHIFT
            | id_bits << CTLR_IDBITS_SHIFT
            | seis << 14
            | a3v << 15
    }
}

const CTLR_CBPR: u64 = 1 << 0;
const CTLR_EOI_MODE: u64 = 1 << 1;
const CTLR_PRIBITS_SHIFT: u32 = 8;
const CTLR_IDBITS_SHIFT: u32 = 11;
const CTLR_SEIS_A3V: u64 = 0b11 << 14;

/// ICC_SRE_EL1: system registers, no bypass; it cannot be changed.
const SRE: u64 = 0b111;
const SRE_ENABLED: u64 = 1 << 0;

/// ICH_VMCR_EL2.
mod vmcr {
    pub(super) const GROUP0: u64 = 1 << 0;
    pub(super) const GROUP1: u64 = 1 << 1;
    pub(super) const CBPR: u64 = 1 << 4;
    pub(super) const EOI_MODE: u64 = 1 << 9;
    pub(super) const BPR1_SHIFT: u32 = 18;
    pub(super) const BPR0_SHIFT: u32 = 21;
    pub(super) const BPR: u64 = 0b111;
    pub(super) const PMR_SHIFT: u32 = 24;
    pub(super) const PMR: u64 = 0xff;
}

/// A register that a VMM can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// ICC_PMR_EL1.
    PriorityMask,
    /// ICC_BPR0_EL1 or ICC_BPR1_EL1.
    BinaryPoint(Group),
    /// ICC_AP0R<n>_EL1 or ICC_AP1R<n>_EL1.
    ActivePriorities(Group, usize),
    /// ICC_CTLR_EL1.
    Control,
    /// ICC_SRE_EL1.
    SystemRegisters,
    /// ICC_IGRPEN0_EL1 or ICC_IGRPEN1_EL1.
    Enable(Group),
}

impl Name {
    /// From Op0, Op1, CRn, CRm, Op2 in 16 bits, as KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS has them.
    pub fn from_encoding(encoding: u16) -> Option<Self> {
        let (op2, crm) = (encoding & 0x7, encoding >> 3 & 0xf);
        let crn = encoding >> 7 & 0xf;
        // Op0 is 3 and Op1 is 0 for all of them.
        if encoding >> 11 != 0b11_000 {
            return None;
        }
        Some(match (crn, crm, op2) {
            (4, 6, 0) => Self::PriorityMask,
            (12, 8, 3) => Self::BinaryPoint(Group::Zero),
            (12, 8, 4..) => Self::ActivePriorities(Group::Zero, usize::from(op2 & 0b11)),
            (12, 9, 0..=3) => Self::ActivePriorities(Group::One, usize::from(op2)),
            (12, 12, 3) => Self::BinaryPoint(Group::One),
            (12, 12, 4) => Self::Control,
            (12, 12, 5) => Self::SystemRegisters,
            (12, 12, 6) => Self::Enable(Group::Zero),
            (12, 12, 7) => Self::Enable(Group::One),
            _ => return None,
        })
    }
}

/// Which groups a CPU interface lets through: ICC_IGRPEN0_EL1 and ICC_IGRPEN1_EL1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Groups {
    vmcr: u64,
}

impl Groups {
    /// From ICH_VMCR_EL2.
    pub const fn from_vmcr(vmcr: u64) -> Self {
        Self { vmcr }
    }

    /// Whether a group is one of them.
    pub const fn has(self, group: Group) -> bool {
        let enabled = match group {
            Group::Zero => vmcr::GROUP0,
            Group::One => vmcr::GROUP1,
        };
        self.vmcr & enabled != 0
    }
}

/// ICC_CTLR_EL1.EOImode, from ICH_VMCR_EL2: the end of an interrupt only drops the priority, and ICC_DIR_EL1 deactivates;
/// else that does nothing.
pub const fn ends_in_two_steps(vmcr: u64) -> bool {
    vmcr & vmcr::EOI_MODE != 0
}

/// The registers of a guest's CPU interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuInterface {
    /// ICH_VMCR_EL2.
    pub vmcr: u64,
    /// ICH_AP0R<n>_EL2.
    pub active0: [u32; 4],
    /// ICH_AP1R<n>_EL2.
    pub active1: [u32; 4],
    /// PRIbits and IDbits of ICC_CTLR_EL1, if the VMM has set them lower than the processor's.
    lowered: Option<u64>,
}

const CTLR_SIZES: u64 = 0x7 << CTLR_PRIBITS_SHIFT | 0x7 << CTLR_IDBITS_SHIFT;

impl CpuInterface {
    /// Whether an interrupt is signalled to the processor, unless one of the same or a higher priority is active.
    pub fn lets_through(&self, group: Group, priority: Priority) -> bool {
        let mask = (self.vmcr >> vmcr::PMR_SHIFT & vmcr::PMR) as u8;
        self.groups().has(group) && priority.raw() < mask
    }

    /// The groups that are let through.
    pub const fn groups(&self) -> Groups {
        Groups::from_vmcr(self.vmcr)
    }

    fn field(&self, shift: u32, mask: u64) -> u64 {
        self.vmcr >> shift & mask
    }

    fn set_field(&mut self, shift: u32, mask: u64, value: u64) {
        self.vmcr = self.vmcr & !(mask << shift) | (value & mask) << shift;
    }

    fn control(&self, features: Features) -> u64 {
        let mut value = features.control();
        if let Some(sizes) = self.lowered {
            value = value & !CTLR_SIZES | sizes;
        }
        if self.vmcr & vmcr::CBPR != 0 {
            value |= CTLR_CBPR;
        }
        if self.vmcr & vmcr::EOI_MODE != 0 {
            value |= CTLR_EOI_MODE;
        }
        value
    }

    fn set_control(&mut self, features: Features, value: u64) -> Result {
        let now = self.control(features);
        let size = |value: u64, shift: u32| value >> shift & 0x7;
        let larger = |shift| size(value, shift) > size(now, shift);
        if larger(CTLR_PRIBITS_SHIFT)
            || larger(CTLR_IDBITS_SHIFT)
            || (value ^ now) & CTLR_SEIS_A3V != 0
        {
            return Err(EINVAL);
        }
        self.lowered = Some(value & CTLR_SIZES);
        self.vmcr &= !(vmcr::CBPR | vmcr::EOI_MODE);
        if value & CTLR_CBPR != 0 {
            self.vmcr |= vmcr::CBPR;
        }
        if value & CTLR_EOI_MODE != 0 {
            self.vmcr |= vmcr::EOI_MODE;
        }
        Ok(())
    }

    /// Reads a register for the VMM. `EINVAL` for active priorities that are not implemented.
    pub fn get(&self, features: Features, name: Name) -> Result<u64> {
        Ok(match name {
            Name::PriorityMask => self.field(vmcr::PMR_SHIFT, vmcr::PMR),
            Name::BinaryPoint(Group::Zero) => self.field(vmcr::BPR0_SHIFT, vmcr::BPR),
            Name::BinaryPoint(Group::One) if self.vmcr & vmcr::CBPR != 0 => {
                let common = self.field(vmcr::BPR0_SHIFT, vmcr::BPR);
                common.saturating_add(1).min(vmcr::BPR)
            }
            Name::BinaryPoint(Group::One) => self.field(vmcr::BPR1_SHIFT, vmcr::BPR),
            Name::ActivePriorities(group, index) => {
                (*self.active_priorities(features, group, index)?).into()
            }
            Name::Control => self.control(features),
            Name::SystemRegisters => SRE,
            Name::Enable(Group::Zero) => u64::from(self.vmcr & vmcr::GROUP0 != 0),
            Name::Enable(Group::One) => u64::from(self.vmcr & vmcr::GROUP1 != 0),
        })
    }

    fn active_priorities(&self, features: Features, group: Group, index: usize) -> Result<&u32> {
        if index >= features.active_priorities() {
            return Err(EINVAL);
        }
        let registers = match group {
            Group::Zero => &self.active0,
            Group::One => &self.active1,
        };
        registers.get(index).ok_or(EINVAL)
    }

    /// Writes a register for the VMM. `EINVAL` for active priorities that are not implemented, for an ICC_CTLR_EL1
    /// with more than the processor has, and for an ICC_SRE_EL1 without system registers.
    pub fn set(&mut self, features: Features, name: Name, value: u64) -> Result {
        match name {
            Name::PriorityMask => self.set_field(vmcr::PMR_SHIFT, vmcr::PMR, value),
            Name::BinaryPoint(Group::Zero) => self.set_field(vmcr::BPR0_SHIFT, vmcr::BPR, value),
            Name::BinaryPoint(Group::One) => {
                if self.vmcr & vmcr::CBPR == 0 {
                    self.set_field(vmcr::BPR1_SHIFT, vmcr::BPR, value);
                }
            }
            Name::ActivePriorities(group, index) => {
                self.active_priorities(features, group, index)?;
                let registers = match group {
                    Group::Zero => &mut self.active0,
                    Group::One => &mut self.active1,
                };
                *registers.get_mut(index).ok_or(EINVAL)? = value as u32;
            }
            Name::Control => self.set_control(features, value)?,
            Name::SystemRegisters if value & SRE_ENABLED == 0 => return Err(EINVAL),
            Name::SystemRegisters => (),
            Name::Enable(Group::Zero) => self.set_field(0, vmcr::GROUP0, value & 1),
            Name::Enable(Group::One) => self.set_field(0, vmcr::GROUP1, (value & 1) << 1),
        }
        Ok(())
    }
}
