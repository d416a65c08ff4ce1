// SPDX-License-Identifier: GPL-2.0
//! The MMIO transport (virtio 1.2, 4.2): a page of registers, an ioeventfd for each queue, an irqfd.

use std::os::fd::AsRawFd;

use anyhow::{Context, Result};
use event_manager::{EventOps, Events, MutEventSubscriber};
use kvm_ioctls::{IoEventAddress, VmFd};
use serde::{Deserialize, Serialize};
use virtio_bindings::bindings::virtio_config as status;
use virtio_bindings::bindings::virtio_config::VIRTIO_F_VERSION_1;
use virtio_bindings::bindings::virtio_mmio as register;
use virtio_bindings::bindings::virtio_ring::VIRTIO_RING_F_EVENT_IDX;
use virtio_queue::{Queue, QueueState, QueueT};
use vm_memory::GuestMemoryMmap;
use vmm_sys_util::epoll::EventSet;
use vmm_sys_util::eventfd::{EventFd, EFD_NONBLOCK};

use super::VirtioDevice;
use crate::bus::Device;

const MAGIC: u32 = u32::from_le_bytes(*b"virt");
const VERSION: u32 = 2;
const VENDOR: u32 = u32::from_le_bytes(*b"rkvm");
const QUEUE_SIZE: u16 = 256;
const FEATURE_BITS: u32 = 32;
const REGISTER_SIZE: usize = 4;

/// What the driver has set, apart from the queues.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Registers {
    device_features_select: u32,
    driver_features_select: u32,
    driver_features: u64,
    queue_select: u32,
    interrupt_status: u32,
    status: u32,
}

/// [`QueueState`] in a form that can be stored.
#[derive(Clone, Serialize, Deserialize)]
#[serde(remote = "QueueState")]
struct QueueStateFields {
    max_size: u16,
    next_avail: u16,
    next_used: u16,
    event_idx_enabled: bool,
    size: u16,
    ready: bool,
    desc_table: u64,
    avail_ring: u64,
    used_ring: u64,
}

#[derive(Clone, Serialize, Deserialize)]
struct StoredQueue(#[serde(with = "QueueStateFields")] QueueState);

/// A device's state in a snapshot.
#[derive(Clone, Serialize, Deserialize)]
pub struct TransportState {
    registers: Registers,
    queues: Vec<StoredQueue>,
}

pub struct Transport {
    device: Box<dyn VirtioDevice>,
    memory: GuestMemoryMmap,
    registers: Registers,
    queues: Vec<Queue>,
    /// Readable when the driver has put something into the queue of the same index.
    notifications: Vec<EventFd>,
    interrupt: EventFd,
}

impl Transport {
    /// Connects a device to the VM: its registers begin at `address`, its interrupt is `gsi`.
    pub fn new(
        device: Box<dyn VirtioDevice>,
        memory: GuestMemoryMmap,
        vm: &VmFd,
        address: u64,
        gsi: u32,
    ) -> Result<Self> {
        let interrupt = EventFd::new(EFD_NONBLOCK)?;
        vm.register_irqfd(&interrupt, gsi).context("KVM_IRQFD")?;
        let notify = IoEventAddress::Mmio(address + u64::from(register::VIRTIO_MMIO_QUEUE_NOTIFY));
        let mut queues = Vec::new();
        let mut notifications = Vec::new();
        for index in 0..device.queues() {
            let notification = EventFd::new(EFD_NONBLOCK)?;
            vm.register_ioevent(&notification, &notify, index as u32)
                .context("KVM_IOEVENTFD")?;
            notifications.push(notification);
            queues.push(Queue::new(QUEUE_SIZE)?);
        }
        Ok(Self {
            device,
            memory,
            registers: Registers::default(),
            queues,
            notifications,
            interrupt,
        })
    }

    pub fn state(&self) -> TransportState {
        let queues = self
            .queues
            .iter()
            .map(|queue| StoredQueue(queue.state()))
            .collect();
        TransportState {
            registers: self.registers.clone(),
            queues,
        }
    }

    /// Sets what [`Transport::state`] gave. An interrupt and notifications may have been on their way: they are
    /// given once more.
    pub fn restore(&mut self, state: &TransportState) -> Result<()> {
        self.registers = state.registers.clone();
        self.queues = state
            .queues
            .iter()
            .map(|stored| Queue::try_from(stored.0))
            .collect::<Result<_, _>>()?;
        for notification in &self.notifications {
            notification.write(1)?;
        }
        if self.registers.interrupt_status != 0 {
            self.interrupt.write(1)?;
        }
        Ok(())
    }

    fn features(&self) -> u64 {
        self.device.features() | 1 << VIRTIO_F_VERSION_1 | 1 << VIRTIO_RING_F_EVENT_IDX
    }

    fn queue(&mut self) -> Option<&mut Queue> {
        self.queues.get_mut(self.registers.queue_select as usize)
    }

    fn interrupt(&mut self, reason: u32) {
        self.registers.interrupt_status |= reason;
        // If the counter is full the interrupt is under way.
        let _ = self.interrupt.write(1);
    }

    fn read_register(&mut self, offset: u32) -> u32 {
        match offset {
            register::VIRTIO_MMIO_MAGIC_VALUE => MAGIC,
            register::VIRTIO_MMIO_VERSION => VERSION,
            register::VIRTIO_MMIO_DEVICE_ID => self.device.id(),
            register::VIRTIO_MMIO_VENDOR_ID => VENDOR,
            register::VIRTIO_MMIO_DEVICE_FEATURES => match self.registers.device_features_select {
                0 => self.features() as u32,
                1 => (self.features() >> FEATURE_BITS) as u32,
                _ => 0,
            },
            register::VIRTIO_MMIO_QUEUE_NUM_MAX => {
                self.queue().map_or(0, |queue| u32::from(queue.max_size()))
            }
            register::VIRTIO_MMIO_QUEUE_READY => {
                self.queue().map_or(0, |queue| u32::from(queue.ready()))
            }
            register::VIRTIO_MMIO_INTERRUPT_STATUS => self.registers.interrupt_status,
            register::VIRTIO_MMIO_STATUS => self.registers.status,
            // The configuration never changes, so its generation does not.
            _ => 0,
        }
    }

    fn write_register(&mut self, offset: u32, value: u32) {
        match offset {
            register::VIRTIO_MMIO_DEVICE_FEATURES_SEL => {
                self.registers.device_features_select = value
            }
            register::VIRTIO_MMIO_DRIVER_FEATURES_SEL => {
                self.registers.driver_features_select = value
            }
            register::VIRTIO_MMIO_DRIVER_FEATURES => self.accept(value),
            register::VIRTIO_MMIO_QUEUE_SEL => self.registers.queue_select = value,
            register::VIRTIO_MMIO_QUEUE_NOTIFY => {
                // Only where KVM did not take the write for the ioeventfd.
                if let Some(notification) = self.notifications.get(value as usize) {
                    let _ = notification.write(1);
                }
            }
            register::VIRTIO_MMIO_INTERRUPT_ACK => self.registers.interrupt_status &= !value,
            register::VIRTIO_MMIO_STATUS => self.set_status(value),
            _ => self.write_queue_register(offset, value),
        }
    }

    fn write_queue_register(&mut self, offset: u32, value: u32) {
        let event_idx = self.registers.driver_features & 1 << VIRTIO_RING_F_EVENT_IDX != 0;
        let Some(queue) = self.queue() else { return };
        match offset {
            register::VIRTIO_MMIO_QUEUE_NUM => queue.set_size(value.try_into().unwrap_or(0)),
            register::VIRTIO_MMIO_QUEUE_READY => {
                queue.set_event_idx(event_idx);
                queue.set_ready(value == 1);
            }
            register::VIRTIO_MMIO_QUEUE_DESC_LOW => queue.set_desc_table_address(Some(value), None),
            register::VIRTIO_MMIO_QUEUE_DESC_HIGH => {
                queue.set_desc_table_address(None, Some(value))
            }
            register::VIRTIO_MMIO_QUEUE_AVAIL_LOW => {
                queue.set_avail_ring_address(Some(value), None)
            }
            register::VIRTIO_MMIO_QUEUE_AVAIL_HIGH => {
                queue.set_avail_ring_address(None, Some(value))
            }
            register::VIRTIO_MMIO_QUEUE_USED_LOW => queue.set_used_ring_address(Some(value), None),
            register::VIRTIO_MMIO_QUEUE_USED_HIGH => queue.set_used_ring_address(None, Some(value)),
            _ => {}
        }
    }

    /// Half of the features that the driver accepts.
    fn accept(&mut self, value: u32) {
        let shift = match self.registers.driver_features_select {
            0 => 0,
            1 => FEATURE_BITS,
            _ => return,
        };
        let half = u64::from(u32::MAX) << shift;
        let accepted = u64::from(value) << shift & self.features();
        self.registers.driver_features = self.registers.driver_features & !half | accepted;
    }

    /// Zero resets the device.
    fn set_status(&mut self, value: u32) {
        if value == 0 {
            self.registers = Registers::default();
            for queue in &mut self.queues {
                queue.reset();
            }
        } else {
            self.registers.status = value;
        }
    }

    fn serve(&mut self, index: usize) {
        let Some(queue) = self.queues.get_mut(index) else {
            return;
        };
        if self.registers.status & status::VIRTIO_CONFIG_S_DRIVER_OK == 0 || !queue.ready() {
            return;
        }
        match serve_queue(&mut *self.device, index, queue, &self.memory) {
            Ok(true) => self.interrupt(register::VIRTIO_MMIO_INT_VRING),
            Ok(false) => {}
            Err(error) => {
                eprintln!("minivmm: virtio device {}: {error:#}", self.device.id());
                self.registers.status |= status::VIRTIO_CONFIG_S_NEEDS_RESET;
                self.interrupt(register::VIRTIO_MMIO_INT_CONFIG);
            }
        }
    }
}

/// Serves a queue until it stays empty; whether the driver wants an interrupt.
fn serve_queue(
    device: &mut dyn VirtioDevice,
    index: usize,
    queue: &mut Queue,
    memory: &GuestMemoryMmap,
) -> Result<bool> {
    loop {
        queue.disable_notification(memory)?;
        let before = queue.next_avail();
        device.serve(index, queue, memory)?;
        // More has come meanwhile; a device that takes none of it waits for something else.
        if !queue.enable_notification(memory)? || queue.next_avail() == before {
            break;
        }
    }
    Ok(queue.needs_notification(memory)?)
}

impl Device for Transport {
    fn read(&mut self, offset: u64, data: &mut [u8]) {
        data.fill(0);
        if let Some(start) = offset.checked_sub(register::VIRTIO_MMIO_CONFIG.into()) {
            let config = self.device.config().iter().skip(start as usize);
            for (to, from) in data.iter_mut().zip(config) {
                *to = *from;
            }
        } else if data.len() == REGISTER_SIZE {
            data.copy_from_slice(&self.read_register(offset as u32).to_le_bytes());
        }
    }

    /// Configuration spaces here are read-only.
    fn write(&mut self, offset: u64, data: &[u8]) {
        if let Ok(bytes) = data.try_into() {
            self.write_register(offset as u32, u32::from_le_bytes(bytes));
        }
    }
}

impl MutEventSubscriber for Transport {
    fn init(&mut self, ops: &mut EventOps) {
        let mut events: Vec<Events> = self
            .notifications
            .iter()
            .enumerate()
            .map(|(index, file)| Events::with_data(file, index as u32, EventSet::IN))
            .collect();
        if let Some((file, index)) = self.device.source() {
            // Edge-triggered: what the guest has no room for stays in the source without waking us again.
            let set = EventSet::IN | EventSet::EDGE_TRIGGERED;
            events.push(Events::with_data_raw(file, index as u32, set));
        }
        for event in events {
            if let Err(error) = ops.add(event) {
                eprintln!("minivmm: cannot wait for a virtio device: {error}");
            }
        }
    }

    fn process(&mut self, events: Events, _: &mut EventOps) {
        let index = events.data() as usize;
        if let Some(notification) = self.notifications.get(index) {
            if notification.as_raw_fd() == events.fd() {
                let _ = notification.read();
            }
        }
        self.serve(index);
    }
}
