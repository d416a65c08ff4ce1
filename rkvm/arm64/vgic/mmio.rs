// SPDX-License-Identifier: GPL-2.0

//! The guest's accesses to the frames of the GIC.
//!
//! Most need the lock of the GIC alone, so that they are served where the vCPU's registers still are in the processor.
//! Those that read what is in list registers, or guest memory, are served in process context.

use super::{
    gic::{
        distributor,
        intid::VcpuIndex,
        redistributor::{self, Effect},
    },
    layout::Frame,
    Vgic,
};
use crate::types::Gpa;
use kernel::prelude::*;

/// Where an access is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// Nothing may sleep, and the vCPU's list registers may be loaded.
    Atomic,
    /// The thread may sleep, and nothing of the vCPU is in the processor.
    Process,
}

/// What has come of an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// It is done.
    Done,
    /// The context is not enough.
    Later,
    /// No frame is there.
    Elsewhere,
}

/// What an access does.
pub enum Access<'a> {
    /// Reads so many bytes: at most 8, of which all are written.
    Read(&'a mut [u8]),
    /// Writes them.
    Write(&'a [u8]),
}

/// Guest memory, where tables of LPIs and of ITSs are. An access stays within a page.
pub trait Memory {
    /// Reads bytes. `EFAULT` where there is no memory.
    fn read(&mut self, gpa: Gpa, data: &mut [u8]) -> Result;

    /// Writes bytes. `EFAULT` where there is no memory.
    fn write(&mut self, gpa: Gpa, data: &[u8]) -> Result;
}

/// Gives a read its value.
pub fn answer(data: &mut [u8], value: u64) {
    for (byte, value) in data.iter_mut().zip(value.to_le_bytes()) {
        *byte = value;
    }
}

/// The value of a write.
pub fn number(data: &[u8]) -> u64 {
    let bytes = data.iter().rev();
    bytes.fold(0, |value, byte| value << 8 | u64::from(*byte))
}

impl Vgic {
    /// The guest's access to an address. ITSs are found in process context alone.
    pub fn access(
        &self,
        gpa: Gpa,
        access: Access<'_>,
        context: Context,
        memory: &mut dyn Memory,
    ) -> Served {
        let Some(layout) = self.mapped.as_ref() else {
            return Served::Elsewhere;
        };
        let Some(frame) = layout.find(gpa, self.vcpus()) else {
            return match context {
                Context::Atomic => Served::Elsewhere,
                Context::Process => self.access_its(gpa, access, memory),
            };
        };
        let tells_state = match frame {
            Frame::Distributor(offset) => distributor::tells_state(offset),
            Frame::Redistributor { offset, .. } => redistributor::tells_state(offset),
        };
        match access {
            Access::Read(data) => {
                if tells_state {
                    if context == Context::Atomic {
                        return Served::Later;
                    }
                    self.unload_others();
                }
                let value = self.read_frame(frame, data.len() as u32);
                answer(data, value);
            }
            Access::Write(data) => {
                if context == Context::Atomic && may_need_memory(frame) {
                    return Served::Later;
                }
                self.write_frame(frame, data.len() as u32, number(data), memory);
            }
        }
        Served::Done
    }

    fn read_frame(&self, frame: Frame, bytes: u32) -> u64 {
        let value = self.with_gic(|gic| match frame {
            Frame::Distributor(offset) => gic.distributor_read(offset, bytes),
            Frame::Redistributor {
                vcpu,
                offset,
                position,
            } => gic.redistributor_read(vcpu, position, offset, bytes),
        });
        value.unwrap_or(0)
    }

    fn write_frame(&self, frame: Frame, bytes: u32, value: u64, memory: &mut dyn Memory) {
        match frame {
            Frame::Distributor(offset) => {
                self.with_gic(|gic| gic.distributor_write(offset, bytes, value));
            }
            Frame::Redistributor { vcpu, offset, .. } => {
                let effect =
                    self.with_gic(|gic| gic.redistributor_write(vcpu, offset, bytes, value));
                self.finish(vcpu, effect.unwrap_or(Effect::None), memory);
            }
        }
    }

    /// Does what a write to a redistributor wants done with guest memory.
    pub fn finish(&self, vcpu: VcpuIndex, effect: Effect, memory: &mut dyn Memory) {
        match effect {
            Effect::None => (),
            Effect::ReadPending => self.read_pending_table(vcpu, memory),
            Effect::ReadProperty(intid) => self.read_property(intid, memory),
            Effect::ReadProperties => self.read_properties(vcpu, memory),
        }
    }
}

/// Whether a write may lead to an access of guest memory: those to the first frame of a redistributor.
fn may_need_memory(frame: Frame) -> bool {
    match frame {
        Frame::Distributor(_) => false,
        Frame::Redistributor { offset, .. } => u64::from(offset) < redistributor::FRAME,
    }
}
