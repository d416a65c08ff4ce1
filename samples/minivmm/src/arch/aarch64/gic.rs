// SPDX-License-Identifier: GPL-2.0
//! The GICv3 in the kernel, and its state (Arm IHI 0069; the kernel's virt/kvm/devices/arm-vgic-v3.rst).

use anyhow::Result;
use kvm_bindings::{
    kvm_device_type_KVM_DEV_TYPE_ARM_VGIC_V3 as TYPE_VGIC_V3, KVM_DEV_ARM_VGIC_CTRL_INIT,
    KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, KVM_DEV_ARM_VGIC_GRP_CTRL,
    KVM_DEV_ARM_VGIC_GRP_DIST_REGS, KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO, KVM_DEV_ARM_VGIC_GRP_NR_IRQS,
    KVM_DEV_ARM_VGIC_GRP_REDIST_REGS, KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES,
    KVM_DEV_ARM_VGIC_V3_MPIDR_SHIFT, KVM_VGIC_V3_ADDR_TYPE_DIST, KVM_VGIC_V3_ADDR_TYPE_REDIST,
};
use kvm_ioctls::VmFd;
use serde::{Deserialize, Serialize};

use super::attribute::Device;
use super::layout::{DISTRIBUTOR, INTERRUPTS, REDISTRIBUTORS};

/// The interrupts that each processor has of its own, and those in a register of a bit for each.
const PRIVATE: u32 = 32;
const BITS: u32 = 32;
const WORD: u32 = size_of::<u32>() as u32;

/// A register for each group of interrupts: its offset for interrupt 0, and the bits of an interrupt.
struct Array {
    offset: u32,
    bits: u32,
}

impl Array {
    /// The offsets of the words that hold interrupts `from..to`.
    fn words(&self, from: u32, to: u32) -> impl Iterator<Item = u32> {
        let word = |interrupt| interrupt * self.bits / BITS;
        let offset = self.offset;
        (word(from)..word(to)).map(move |index| offset + index * WORD)
    }
}

/// What distributor and redistributors have of each interrupt: group, enable, pending, active, priority, trigger.
/// Those that set and clear by ones are read by the first of both, and KVM sets them as a whole.
const ARRAYS: [Array; 6] = [
    Array {
        offset: 0x80,
        bits: 1,
    },
    Array {
        offset: 0x100,
        bits: 1,
    },
    Array {
        offset: 0xc00,
        bits: 2,
    },
    Array {
        offset: 0x200,
        bits: 1,
    },
    Array {
        offset: 0x300,
        bits: 1,
    },
    Array {
        offset: 0x400,
        bits: 8,
    },
];
/// GICD_IROUTERn, to which processor a shared interrupt goes.
const ROUTERS: Array = Array {
    offset: 0x6000,
    bits: 64,
};

const GICD_CTLR: u32 = 0x0;
const GICD_IIDR: u32 = 0x8;
const GICR_CTLR: u32 = 0x0;
const GICR_WAKER: u32 = 0x14;
/// Two words each: the tables of messages' interrupts, which CTLR turns on.
const GICR_PROPBASER: u32 = 0x70;
const GICR_PENDBASER: u32 = 0x78;
/// The redistributor's second frame, with the processor's own interrupts.
const GICR_SGI: u32 = 0x1_0000;

/// System registers as KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS names them: op0, op1, CRn, CRm, op2.
const fn sysreg(op0: u64, op1: u64, crn: u64, crm: u64, op2: u64) -> u64 {
    op0 << 14 | op1 << 11 | crn << 7 | crm << 3 | op2
}
const ICC_SRE: u64 = sysreg(3, 0, 12, 12, 5);
const ICC_CTLR: u64 = sysreg(3, 0, 12, 12, 4);
const ICC_IGRPEN0: u64 = sysreg(3, 0, 12, 12, 6);
const ICC_IGRPEN1: u64 = sysreg(3, 0, 12, 12, 7);
const ICC_PMR: u64 = sysreg(3, 0, 4, 6, 0);
const ICC_BPR0: u64 = sysreg(3, 0, 12, 8, 3);
const ICC_BPR1: u64 = sysreg(3, 0, 12, 12, 3);
/// Active priorities of group 0 and group 1; how many there are depends on the bits of a priority (ICC_CTLR.PRIbits).
const ICC_AP0R0: u64 = sysreg(3, 0, 12, 8, 4);
const ICC_AP1R0: u64 = sysreg(3, 0, 12, 9, 0);
const CTLR_PRIBITS_SHIFT: u64 = 8;
const CTLR_PRIBITS_MASK: u64 = 7;
/// Bits of a priority with which one such register is enough.
const PRIORITY_BITS_LEAST: u64 = 5;

pub struct Gic(Device);

/// What a GIC holds, in the order in which it is set.
#[derive(Serialize, Deserialize)]
pub struct GicState {
    /// Group, attribute and value of words of the distributor and the redistributors.
    registers: Vec<(u32, u64, u32)>,
    /// Attribute and value of the CPU interfaces' registers.
    cpu_interfaces: Vec<(u64, u64)>,
}

/// A vCPU's affinity, as attributes name it.
fn of_vcpu(affinity: u32) -> u64 {
    u64::from(affinity) << KVM_DEV_ARM_VGIC_V3_MPIDR_SHIFT
}

impl Gic {
    /// Creates the GIC of a VM whose vCPUs are there.
    pub fn create(vm: &VmFd) -> Result<Self> {
        let device = Device::create(vm, TYPE_VGIC_V3)?;
        for (kind, address) in [
            (KVM_VGIC_V3_ADDR_TYPE_DIST, &DISTRIBUTOR),
            (KVM_VGIC_V3_ADDR_TYPE_REDIST, &REDISTRIBUTORS),
        ] {
            device.set(KVM_DEV_ARM_VGIC_GRP_ADDR, kind.into(), address)?;
        }
        device.set(KVM_DEV_ARM_VGIC_GRP_NR_IRQS, 0, &INTERRUPTS)?;
        device.command(KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT.into())?;
        Ok(Self(device))
    }

    /// Gets the state, for vCPUs with these affinities. KVM writes which messages' interrupts are pending to guest
    /// memory, which is saved afterwards.
    pub fn state(&self, affinities: &[u32]) -> Result<GicState> {
        self.0.command(
            KVM_DEV_ARM_VGIC_GRP_CTRL,
            KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES.into(),
        )?;
        let mut registers = Vec::new();
        for (group, attribute) in attributes(affinities) {
            registers.push((group, attribute, self.0.get_u32(group, attribute)?));
        }
        let mut cpu_interfaces = Vec::new();
        for affinity in affinities {
            let attribute = |register| of_vcpu(*affinity) | register;
            let get = |register| {
                let attribute = attribute(register);
                let value = self
                    .0
                    .get_u64(KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, attribute)?;
                Ok::<_, anyhow::Error>((attribute, value))
            };
            let (_, control) = get(ICC_CTLR)?;
            for register in cpu_registers(control) {
                cpu_interfaces.push(get(register)?);
            }
        }
        Ok(GicState {
            registers,
            cpu_interfaces,
        })
    }

    /// Sets a new GIC to `state`. Guest memory is what it was already.
    pub fn restore(&self, state: &GicState) -> Result<()> {
        for (group, attribute, value) in &state.registers {
            self.0.set(*group, *attribute, value)?;
        }
        for (attribute, value) in &state.cpu_interfaces {
            self.0
                .set(KVM_DEV_ARM_VGIC_GRP_CPU_SYSREGS, *attribute, value)?;
        }
        Ok(())
    }
}

/// Group and attribute of all words of the distributor and the redistributors: first what the meaning of others
/// depends on, a trigger before its pending state, tables before CTLR.
fn attributes(affinities: &[u32]) -> Vec<(u32, u64)> {
    let of_distributor = |offset: u32| (KVM_DEV_ARM_VGIC_GRP_DIST_REGS, u64::from(offset));
    let shared = |array: &Array| array.words(PRIVATE, INTERRUPTS);
    let mut attributes = vec![of_distributor(GICD_IIDR), of_distributor(GICD_CTLR)];
    attributes.extend(ARRAYS.iter().flat_map(shared).map(of_distributor));
    attributes.extend(shared(&ROUTERS).map(of_distributor));
    // Levels of lines come in words, each named by its first interrupt.
    let lines = (PRIVATE..INTERRUPTS).step_by(BITS as usize);
    attributes.extend(lines.map(|first| (KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO, u64::from(first))));
    for affinity in affinities {
        let of_redistributor = |offset: u32| {
            let attribute = of_vcpu(*affinity) | u64::from(offset);
            (KVM_DEV_ARM_VGIC_GRP_REDIST_REGS, attribute)
        };
        let tables = [GICR_PROPBASER, GICR_PENDBASER]
            .into_iter()
            .flat_map(|offset| [offset, offset + WORD]);
        attributes.extend(tables.map(of_redistributor));
        attributes.extend([GICR_WAKER, GICR_CTLR].map(of_redistributor));
        let own = ARRAYS.iter().flat_map(|array| array.words(0, PRIVATE));
        attributes.extend(own.map(|offset| of_redistributor(GICR_SGI + offset)));
        attributes.push((KVM_DEV_ARM_VGIC_GRP_LEVEL_INFO, of_vcpu(*affinity)));
    }
    attributes
}

/// The registers of a CPU interface with that ICC_CTLR.
fn cpu_registers(control: u64) -> impl Iterator<Item = u64> {
    let priority_bits = (control >> CTLR_PRIBITS_SHIFT & CTLR_PRIBITS_MASK) + 1;
    let active = 1 << priority_bits.saturating_sub(PRIORITY_BITS_LEAST);
    let first = [ICC_SRE, ICC_CTLR, ICC_PMR, ICC_BPR0, ICC_BPR1];
    let last = [ICC_IGRPEN0, ICC_IGRPEN1];
    let active = (0..active).flat_map(|index| [ICC_AP0R0 + index, ICC_AP1R0 + index]);
    first.into_iter().chain(active).chain(last)
}
