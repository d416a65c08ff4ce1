// SPDX-License-Identifier: GPL-2.0

//! Between the GIC and the tables of LPIs in guest memory. All of this sleeps.

use super::{
    gic::{
        intid::{Intid, VcpuIndex, FIRST_LPI},
        lpi::{Pending, Property, Room},
    },
    mmio::Memory,
    Vgic,
};
use kernel::prelude::*;

impl Vgic {
    /// Makes sure that an LPI can be mapped. `ENOMEM`.
    pub fn make_room(&self, intid: Intid) -> Result {
        while let Some(count) = self.with_gic(|gic| gic.room_wanted(intid)).flatten() {
            let room = Room::new(count)?;
            let surplus = self.with_gic(|gic| gic.make_room(room));
            drop(surplus);
        }
        Ok(())
    }

    /// Reads the property of an LPI.
    pub fn read_property(&self, intid: Intid, memory: &mut dyn Memory) {
        let address = self.with_gic(|gic| gic.property_address(intid)).flatten();
        if let Some(address) = address {
            let mut byte = [0];
            // Where there is no memory it stays as it is.
            if memory.read(address, &mut byte).is_ok() {
                let [property] = byte;
                self.with_gic(|gic| gic.set_property(intid, Property::from_raw(property)));
            }
        }
    }

    /// Calls `act` for each LPI that goes to a vCPU, without the lock of the GIC.
    fn for_each_lpi_of(&self, vcpu: VcpuIndex, mut act: impl FnMut(Intid)) {
        let mut from = Intid::new(FIRST_LPI);
        while let Some((intid, target)) = self.with_gic(|gic| gic.next_lpi(from)).flatten() {
            if target == vcpu {
                act(intid);
            }
            from = Intid::new(intid.raw().wrapping_add(1));
        }
    }

    /// Reads the properties of all LPIs of a vCPU.
    pub fn read_properties(&self, vcpu: VcpuIndex, memory: &mut dyn Memory) {
        self.for_each_lpi_of(vcpu, |intid| self.read_property(intid, memory));
    }

    /// A vCPU's LPIs are on from now on: those that its table says are pending.
    pub fn read_pending_table(&self, vcpu: VcpuIndex, memory: &mut dyn Memory) {
        let empty = self.with_gic(|gic| gic.has_empty_pending_table(vcpu));
        if empty.unwrap_or(true) {
            return;
        }
        self.for_each_lpi_of(vcpu, |intid| self.read_pending_bit(vcpu, intid, memory));
    }

    /// Takes over whether an LPI is pending.
    pub fn read_pending_bit(&self, vcpu: VcpuIndex, intid: Intid, memory: &mut dyn Memory) {
        let bit = self.with_gic(|gic| gic.pending_bit(vcpu, intid)).flatten();
        if let Some(bit) = bit {
            let mut byte = [0];
            let read = memory.read(bit.gpa, &mut byte);
            let [byte] = byte;
            if read.is_ok() && byte & bit.mask != 0 {
                self.with_gic(|gic| gic.set_lpi_pending(intid, Pending::Yes));
            }
        }
    }

    /// KVM_DEV_ARM_VGIC_SAVE_PENDING_TABLES, while no vCPU runs. `EFAULT` where guest memory is missing.
    pub fn save_pending_tables(&self, memory: &mut dyn Memory) -> Result {
        let mut from = Intid::new(FIRST_LPI);
        loop {
            let found = self.with_gic(|gic| {
                let (intid, vcpu) = gic.next_lpi(from)?;
                let bit = gic.pending_bit(vcpu, intid)?;
                Some((intid, bit, gic.is_lpi_pending(intid)))
            });
            let Some((intid, bit, pending)) = found.flatten() else {
                return Ok(());
            };
            let mut byte = [0];
            memory.read(bit.gpa, &mut byte)?;
            let [old] = byte;
            let new = match pending {
                Pending::Yes => old | bit.mask,
                Pending::No => old & !bit.mask,
            };
            if new != old {
                memory.write(bit.gpa, &[new])?;
            }
            from = Intid::new(intid.raw().wrapping_add(1));
        }
    }
}
