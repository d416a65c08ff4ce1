// SPDX-License-Identifier: GPL-2.0

//! The ITSs of a VM: their devices, their frames, and messages to them.
//!
//! A message is translated with interrupts off, as an eventfd may send it. Commands, saving and restoring take turns
//! by a mutex, since they sleep.
//!
//! Source: Linux Documentation/virt/kvm/devices/arm-vgic-its.rst.

use super::{
    gic::{
        intid::{Intid, IrqRef, VcpuIndex},
        Gic,
    },
    its::{
        register::{self, Effect, DOORBELL, FRAME, FRAMES},
        service::{self, Surroundings},
        Event, Its,
    },
    layout::{check_range, NOWHERE},
    mmio::{self, Access, Memory, Served},
    Claim, Vgic,
};
use crate::{
    device::{Attribute, Request},
    gsi_routing::Message,
    host::{bindings as uapi, cpu, irq_lock::IrqLock},
    types::Gpa,
};
use core::sync::atomic::{AtomicU64, Ordering};
use kernel::{
    prelude::*,
    static_lock_class,
    sync::{new_mutex, Arc, Mutex},
};

/// The most ITSs of a VM: a message is looked for among them.
const MAX_ITSS: usize = 128;

/// An ITS of a VM.
#[pin_data]
pub struct ItsDevice {
    /// Where its frames are, or [`NOWHERE`].
    base: AtomicU64,
    /// Commands and tables in guest memory are one's at a time.
    #[pin]
    work: Mutex<()>,
    #[pin]
    state: IrqLock<Its>,
}

impl ItsDevice {
    /// An ITS without an address. `ENOMEM`.
    pub fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                base: AtomicU64::new(NOWHERE),
                work <- new_mutex!(()),
                state <- IrqLock::new(Its::default(), static_lock_class!()),
            }),
            GFP_KERNEL_ACCOUNT,
        )
    }

    fn base(&self) -> u64 {
        self.base.load(Ordering::SeqCst)
    }

    /// The offset of an address in its frames, if it is there.
    fn offset_of(&self, gpa: Gpa) -> Option<u64> {
        let base = self.base();
        let offset = gpa.raw().checked_sub(base)?;
        (base != NOWHERE && offset < FRAMES).then_some(offset)
    }

    /// Carries out what waits in the queue of commands.
    fn run_commands(&self, vgic: &Vgic, memory: &mut dyn Memory) {
        let _work = self.work.lock();
        service::run_commands(&mut Environment {
            vgic,
            its: self,
            memory,
        });
    }

    /// The guest's access to its frames.
    fn access(&self, vgic: &Vgic, offset: u64, access: Access<'_>, memory: &mut dyn Memory) {
        // The doorbell, in the second frame, is the devices' alone.
        let register = u32::try_from(offset)
            .ok()
            .filter(|offset| u64::from(*offset) < FRAME);
        match (access, register) {
            (Access::Read(data), Some(offset)) => {
                let value = self.state.lock().read(offset, data.len() as u32);
                mmio::answer(data, value);
            }
            (Access::Read(data), None) => mmio::answer(data, 0),
            (Access::Write(data), Some(offset)) => {
                let (bytes, value) = (data.len() as u32, mmio::number(data));
                let effect = vgic.with_gic(|gic| {
                    let mut its = self.state.lock();
                    its.write(offset, bytes, value, gic)
                });
                if effect == Some(Effect::Commands) {
                    self.run_commands(vgic, memory);
                }
            }
            (Access::Write(_), None) => (),
        }
    }

    /// Serves an attribute ioctl on the ITS's device. `ENXIO` for an attribute that there is none of.
    pub fn attribute(
        &self,
        vgic: &Vgic,
        request: Request,
        attribute: &Attribute,
        memory: &mut dyn Memory,
    ) -> Result {
        match attribute.group {
            uapi::KVM_DEV_ARM_VGIC_GRP_ADDR => self.address(vgic, request, attribute),
            uapi::KVM_DEV_ARM_VGIC_GRP_CTRL => self.control(vgic, request, attribute, memory),
            uapi::KVM_DEV_ARM_VGIC_GRP_ITS_REGS => self.register(vgic, request, attribute, memory),
            _ => Err(ENXIO),
        }
    }

    /// KVM_DEV_ARM_VGIC_GRP_ADDR. `ENODEV` for another attribute (`ENXIO` where that is asked), `EEXIST` if it has an
    /// address, and as [`check_range`] has it.
    fn address(&self, vgic: &Vgic, request: Request, attribute: &Attribute) -> Result {
        let known = attribute.number == u64::from(uapi::KVM_VGIC_ITS_ADDR_TYPE);
        match request {
            Request::Has if known => Ok(()),
            Request::Has => Err(ENXIO),
            _ if !known => Err(ENODEV),
            Request::Get => attribute.value.write(&self.base()),
            Request::Set => {
                let base: u64 = attribute.value.read()?;
                let setup = vgic.setup.lock();
                if self.base() != NOWHERE {
                    return Err(EEXIST);
                }
                let base = check_range(base, FRAMES, setup.layout.limit())?;
                self.base.store(base, Ordering::SeqCst);
                Ok(())
            }
        }
    }

    /// KVM_DEV_ARM_VGIC_GRP_CTRL. `EBUSY` if a vCPU runs, `ENXIO` if the GIC is not initialised.
    fn control(
        &self,
        vgic: &Vgic,
        request: Request,
        attribute: &Attribute,
        memory: &mut dyn Memory,
    ) -> Result {
        let number = u32::try_from(attribute.number).map_err(|_| ENXIO)?;
        let known = matches!(
            number,
            uapi::KVM_DEV_ARM_VGIC_CTRL_INIT
                | uapi::KVM_DEV_ARM_ITS_CTRL_RESET
                | uapi::KVM_DEV_ARM_ITS_SAVE_TABLES
                | uapi::KVM_DEV_ARM_ITS_RESTORE_TABLES
        );
        match request {
            _ if !known => return Err(ENXIO),
            Request::Has => return Ok(()),
            Request::Get => return Err(ENXIO),
            Request::Set => (),
        }
        if number == uapi::KVM_DEV_ARM_VGIC_CTRL_INIT {
            return Ok(());
        }
        let setup = vgic.setup.lock();
        let _all = Claim::of(&setup.vcpus)?;
        let _work = self.work.lock();
        let mut environment = Environment {
            vgic,
            its: self,
            memory,
        };
        match number {
            uapi::KVM_DEV_ARM_ITS_CTRL_RESET => environment.with(|its, gic| its.reset(gic)),
            uapi::KVM_DEV_ARM_ITS_SAVE_TABLES => service::save(&mut environment),
            _ => service::restore(&mut environment),
        }
    }

    /// KVM_DEV_ARM_VGIC_GRP_ITS_REGS. `EBUSY` if a vCPU runs, `ENXIO` without an address or if the GIC is not initialised.
    fn register(
        &self,
        vgic: &Vgic,
        request: Request,
        attribute: &Attribute,
        memory: &mut dyn Memory,
    ) -> Result {
        let offset = attribute.number;
        if request == Request::Has {
            return register::check(offset).map(|_| ());
        }
        let value = match request {
            Request::Set => attribute.value.read()?,
            _ => 0u64,
        };
        let setup = vgic.setup.lock();
        register::check(offset)?;
        let _all = Claim::of(&setup.vcpus)?;
        if self.base() == NOWHERE {
            return Err(ENXIO);
        }
        if request == Request::Get {
            let value = self.state.lock().get_whole(offset)?;
            return attribute.value.write(&value);
        }
        let set = vgic.with_gic(|gic| self.state.lock().set_whole(offset, value, gic));
        if set.unwrap_or(Err(ENXIO))? == Effect::Commands {
            self.run_commands(vgic, memory);
        }
        Ok(())
    }
}

/// What an ITS works with, here.
struct Environment<'a> {
    vgic: &'a Vgic,
    its: &'a ItsDevice,
    memory: &'a mut dyn Memory,
}

impl Surroundings for Environment<'_> {
    fn with<T>(&mut self, change: impl FnOnce(&mut Its, &mut Gic) -> T) -> Result<T> {
        let changed = self
            .vgic
            .with_gic(|gic| change(&mut self.its.state.lock(), gic));
        changed.ok_or(ENXIO)
    }

    /// `EINTR` for a thread that is being killed: commands and tables can be millions of reads long.
    fn read(&mut self, gpa: Gpa) -> Result<u64> {
        if cpu::is_dying() {
            return Err(EINTR);
        }
        let mut bytes = [0; 8];
        self.memory.read(gpa, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn write(&mut self, gpa: Gpa, value: u64) -> Result {
        self.memory.write(gpa, &value.to_le_bytes())
    }

    fn make_lpi_room(&mut self, lpi: Intid) -> Result {
        self.vgic.make_room(lpi)
    }

    fn read_property(&mut self, lpi: Intid) {
        self.vgic.read_property(lpi, self.memory);
    }

    fn read_properties(&mut self, vcpu: VcpuIndex) {
        self.vgic.read_properties(vcpu, self.memory);
    }

    fn read_pending(&mut self, lpi: Intid) {
        let target = self
            .vgic
            .with_gic(|gic| gic.irq(IrqRef::shared(lpi))?.target)
            .flatten();
        if let Some(vcpu) = target {
            self.vgic.read_pending_bit(vcpu, lpi, self.memory);
        }
    }
}

impl Vgic {
    /// KVM_CREATE_DEVICE of an ITS; the GIC may be created after it. `ENOSPC` for more than [`MAX_ITSS`], `ENOMEM`.
    pub fn add_its(&self) -> Result<Arc<ItsDevice>> {
        let its = ItsDevice::new()?;
        let mut setup = self.setup.lock();
        let count = self.itss.lock().len();
        if count >= MAX_ITSS {
            return Err(ENOSPC);
        }
        let mut longer = KVec::with_capacity(count.saturating_add(1), GFP_KERNEL_ACCOUNT)?;
        let mut itss = self.itss.lock();
        for other in itss.iter() {
            longer.push_within_capacity(other.clone())?;
        }
        longer.push_within_capacity(its.clone())?;
        let old = core::mem::replace(&mut *itss, longer);
        // Unlocked before memory is freed.
        drop(itss);
        drop(old);
        setup.has_its = true;
        self.with_gic(Gic::add_its);
        Ok(its)
    }

    /// Whether an ITS is at an address.
    pub fn has_its_at(&self, gpa: Gpa) -> bool {
        let is_there = |its: &Arc<ItsDevice>| its.offset_of(gpa).is_some();
        self.is_initialised() && self.itss.lock().iter().any(is_there)
    }

    /// The guest's access to an ITS.
    pub fn access_its(&self, gpa: Gpa, access: Access<'_>, memory: &mut dyn Memory) -> Served {
        if !self.is_initialised() {
            return Served::Elsewhere;
        }
        let Some((its, offset)) = self.find_its(|its| its.offset_of(gpa)) else {
            return Served::Elsewhere;
        };
        its.access(self, offset, access, memory);
        Served::Done
    }

    fn find_its<T>(&self, find: impl Fn(&ItsDevice) -> Option<T>) -> Option<(Arc<ItsDevice>, T)> {
        let itss = self.itss.lock();
        itss.iter()
            .find_map(|its| find(its).map(|found| (its.clone(), found)))
    }

    /// Delivers a message: 1 if an LPI has become pending, 0 if the guest blocks it. `ENODEV` without an ITS, `EINVAL` if
    /// none has its doorbell there or the device is not told, `EBUSY` if that is off or the processor takes no LPIs.
    pub fn send_message(&self, message: &Message) -> Result<isize> {
        use super::its::Blocked;

        let itss = self.itss.lock();
        if itss.is_empty() {
            return Err(ENODEV);
        }
        let doorbell = Gpa::new(message.address);
        let mut its = itss.iter();
        let its = its.find(|its| its.offset_of(doorbell) == Some(DOORBELL));
        let its = its.ok_or(EINVAL)?;
        let event = Event {
            device: message.device.ok_or(EINVAL)?,
            number: message.data,
        };
        match self.with_gic(|gic| its.state.lock().signal(event, gic)) {
            Some(Ok(())) => Ok(1),
            Some(Err(Blocked::Unmapped)) => Ok(0),
            Some(Err(Blocked::Off | Blocked::Refused)) | None => Err(EBUSY),
        }
    }
}
