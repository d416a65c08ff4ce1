// SPDX-License-Identifier: GPL-2.0

//! Interrupts that processors send each other.
//!
//! Source: IHI 0069, ICC_SGI1R_EL1, ICC_SGI0R_EL1, ICC_ASGI1R_EL1.

use super::{
    intid::{Intid, IrqRef, VcpuIndex},
    irq::Group,
    Gic,
};

/// Which register was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Register {
    /// ICC_SGI1R_EL1: sends SGIs of both groups, as there is one security state.
    Sgi1,
    /// ICC_SGI0R_EL1, and ICC_ASGI1R_EL1, which is for the other security state: SGIs of group 0.
    Sgi0,
}

/// The value of one of these registers.
#[derive(Clone, Copy, Debug)]
struct Request(u64);

impl Request {
    const BROADCAST: u64 = 1 << 40;

    fn intid(self) -> Intid {
        Intid::new((self.0 >> 24 & 0xf) as u32)
    }

    fn is_broadcast(self) -> bool {
        self.0 & Self::BROADCAST != 0
    }

    /// The affinities of the targets; a fourth level other than 0, and a range of the first level other than the
    /// first, name no vCPU.
    fn affinities(self) -> impl Iterator<Item = u32> {
        const UNREACHABLE: u64 = 0xff << 48 | 0xf << 44;
        let upper = (self.0 >> 16 & 0xff) as u32 * 0x100 | (self.0 >> 32 & 0xff) as u32 * 0x1_0000;
        let list = if self.0 & UNREACHABLE == 0 {
            self.0 as u16
        } else {
            0
        };
        (0..u16::BITS)
            .filter(move |bit| list >> bit & 1 != 0)
            .map(move |bit| upper | bit)
    }
}

impl Gic {
    /// A vCPU sends an SGI.
    pub fn send_sgi(&mut self, sender: VcpuIndex, register: Register, value: u64) {
        let request = Request(value);
        if request.is_broadcast() {
            for vcpu in self.vcpus() {
                if vcpu != sender {
                    self.raise_sgi(vcpu, register, request.intid());
                }
            }
            return;
        }
        for affinity in request.affinities() {
            if let Some(vcpu) = self.find_affinity(affinity) {
                self.raise_sgi(vcpu, register, request.intid());
            }
        }
    }

    fn raise_sgi(&mut self, vcpu: VcpuIndex, register: Register, intid: Intid) {
        let at = IrqRef::private(vcpu, intid);
        let reached = |group| register == Register::Sgi1 || group == Group::Zero;
        if self.irq(at).is_some_and(|irq| reached(irq.group)) {
            self.change(at, |irq| irq.latch = true);
        }
    }
}
