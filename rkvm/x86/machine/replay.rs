// SPDX-License-Identifier: GPL-2.0

//! The answers of devices to the accesses of one instruction: of those in the kernel, which have them at once,
//! and of the VMM's.

use super::Stop;
use crate::{
    bus::Handled,
    host::cpu::PreemptOff,
    run_page::{RunPage, MMIO_BYTES},
    types::Gpa,
    x86::{
        devices::Address,
        user_exit::{Direction, PortAccess, UserExit},
        vcpu::Core,
    },
};

/// The most accesses that one instruction makes, by far.
const MAX_ACCESSES: usize = 8;

/// An answer that is waited for.
#[derive(Clone, Copy)]
enum Question {
    MmioRead,
    PortIn(u8),
    /// So many items, which stay in the page.
    PortItems(u32),
    /// A write needs no answer but that it was taken.
    Write,
}

/// The accesses so far, in the order that the instruction makes them.
#[derive(Default)]
pub(super) struct Replay {
    answers: [[u8; MMIO_BYTES]; MAX_ACCESSES],
    count: usize,
    next: usize,
    question: Option<Question>,
    items: Option<u32>,
}

impl Replay {
    /// Forgets all: another instruction begins.
    pub(super) fn clear(&mut self) {
        self.count = 0;
        self.next = 0;
        self.question = None;
        self.items = None;
    }

    /// The instruction starts from its beginning.
    pub(super) fn rewind(&mut self) {
        self.next = 0;
    }

    /// Takes the VMM's answer to the last question.
    pub(super) fn answer(&mut self, page: &RunPage) {
        let Some(question) = self.question.take() else {
            return;
        };
        let answer = match question {
            Question::MmioRead => page.mmio_data(),
            Question::PortIn(size) => u64::from(page.read_io(size)).to_le_bytes(),
            Question::PortItems(count) => {
                self.items = Some(count);
                return;
            }
            Question::Write => [0; MMIO_BYTES],
        };
        self.note(answer);
    }

    /// How many items the VMM has put into the page, if it was asked for more than one.
    pub(super) fn take_items(&mut self) -> Option<u32> {
        self.items.take()
    }

    /// Keeps an answer for when the instruction is executed again.
    fn note(&mut self, answer: [u8; MMIO_BYTES]) {
        if let Some(slot) = self.answers.get_mut(self.count) {
            *slot = answer;
            self.count += 1;
        }
    }

    /// Asks the devices in the kernel; the question to ask the VMM is noted if none answers.
    fn read(
        &mut self,
        core: &mut Core,
        address: Address,
        data: &mut [u8],
        question: Question,
    ) -> Result<Handled, Stop> {
        if let Some(answer) = self.recall()? {
            data.copy_from_slice(&answer[..data.len()]);
            return Ok(Handled::Yes);
        }
        let handled = core.device_read(&PreemptOff::new(), address, data);
        match handled {
            Handled::Yes => {
                let mut answer = [0; MMIO_BYTES];
                answer[..data.len()].copy_from_slice(data);
                self.take(answer);
            }
            Handled::No => self.question = Some(question),
        }
        Ok(handled)
    }

    /// [`Replay::read`] for a write.
    fn write(&mut self, core: &mut Core, address: Address, data: &[u8]) -> Result<Handled, Stop> {
        if self.recall()?.is_some() {
            return Ok(Handled::Yes);
        }
        let handled = core.device_write(&PreemptOff::new(), address, data);
        match handled {
            Handled::Yes => self.take([0; MMIO_BYTES]),
            Handled::No => self.question = Some(Question::Write),
        }
        Ok(handled)
    }

    /// An answer that came at once.
    fn take(&mut self, answer: [u8; MMIO_BYTES]) {
        self.note(answer);
        self.next = self.count;
    }

    /// The answer to the next access, if there is one.
    fn recall(&mut self) -> Result<Option<[u8; MMIO_BYTES]>, Stop> {
        if self.next < self.count {
            let answer = self.answers.get(self.next).copied();
            self.next += 1;
            return Ok(answer);
        }
        if self.count == MAX_ACCESSES {
            return Err(Stop::Unhandleable);
        }
        Ok(None)
    }

    /// Reads a device; 8 bytes at a time.
    pub(super) fn mmio_read(
        &mut self,
        core: &mut Core,
        gpa: Gpa,
        data: &mut [u8],
    ) -> Result<(), Stop> {
        let mut address = gpa;
        for part in data.chunks_mut(MMIO_BYTES) {
            let at = Address::Memory(address);
            if self.read(core, at, part, Question::MmioRead)? == Handled::No {
                return Err(Stop::Exit(UserExit::MmioRead {
                    gpa: address,
                    len: part.len(),
                }));
            }
            address = address
                .checked_add(part.len() as u64)
                .ok_or(Stop::Unhandleable)?;
        }
        Ok(())
    }

    /// Writes a device; 8 bytes at a time.
    pub(super) fn mmio_write(
        &mut self,
        core: &mut Core,
        gpa: Gpa,
        data: &[u8],
    ) -> Result<(), Stop> {
        let mut address = gpa;
        for part in data.chunks(MMIO_BYTES) {
            if self.write(core, Address::Memory(address), part)? == Handled::No {
                let mut bytes = [0; MMIO_BYTES];
                bytes[..part.len()].copy_from_slice(part);
                return Err(Stop::Exit(UserExit::MmioWrite {
                    gpa: address,
                    data: bytes,
                    len: part.len(),
                }));
            }
            address = address
                .checked_add(part.len() as u64)
                .ok_or(Stop::Unhandleable)?;
        }
        Ok(())
    }

    /// Reads an item from a port. If the VMM has to answer, it is asked for `count` of them.
    pub(super) fn port_in(
        &mut self,
        core: &mut Core,
        port: u16,
        item: &mut [u8],
        count: u32,
    ) -> Result<(), Stop> {
        let size = item.len() as u8;
        let question = match count {
            1 => Question::PortIn(size),
            _ => Question::PortItems(count),
        };
        match self.read(core, Address::Port(port), item, question)? {
            Handled::Yes => Ok(()),
            Handled::No => Err(port_exit(Direction::In, port, size, count)),
        }
    }

    /// Writes an item to a port.
    pub(super) fn port_out(
        &mut self,
        core: &mut Core,
        port: u16,
        item: &[u8],
        page: &RunPage,
    ) -> Result<(), Stop> {
        let size = item.len() as u8;
        if self.write(core, Address::Port(port), item)? == Handled::Yes {
            return Ok(());
        }
        let mut value = [0; 4];
        for (to, from) in value.iter_mut().zip(item) {
            *to = *from;
        }
        page.write_io(u32::from_le_bytes(value), size);
        Err(port_exit(Direction::Out, port, size, 1))
    }
}

fn port_exit(direction: Direction, port: u16, size: u8, count: u32) -> Stop {
    Stop::Exit(UserExit::Io(PortAccess {
        direction,
        size,
        port,
        count,
    }))
}
