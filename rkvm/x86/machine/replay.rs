// SPDX-License-Identifier: GPL-2.0

//! The answers of the VMM to the accesses of one instruction.

use super::Stop;
use crate::{
    run_page::{Direction, PortAccess, RunPage, UserExit, MMIO_BYTES},
    types::Gpa,
};

/// The most accesses that one instruction makes, by far.
const MAX_ACCESSES: usize = 8;

/// An answer that is waited for.
#[derive(Clone, Copy)]
enum Question {
    MmioRead,
    PortIn(u8),
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
}

impl Replay {
    /// Forgets all: another instruction begins.
    pub(super) fn clear(&mut self) {
        self.count = 0;
        self.next = 0;
        self.question = None;
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
            Question::Write => [0; MMIO_BYTES],
        };
        if let Some(slot) = self.answers.get_mut(self.count) {
            *slot = answer;
            self.count += 1;
        }
    }

    /// The answer to the next access, if there is one; else the question to ask is noted.
    fn recall(&mut self, question: Question) -> Result<Option<[u8; MMIO_BYTES]>, Stop> {
        if self.next < self.count {
            let answer = self.answers.get(self.next).copied();
            self.next += 1;
            return Ok(answer);
        }
        if self.count == MAX_ACCESSES {
            return Err(Stop::Unhandleable);
        }
        self.question = Some(question);
        Ok(None)
    }

    /// Reads a device; 8 bytes at a time.
    pub(super) fn mmio_read(&mut self, gpa: Gpa, data: &mut [u8]) -> Result<(), Stop> {
        let mut address = gpa;
        for part in data.chunks_mut(MMIO_BYTES) {
            match self.recall(Question::MmioRead)? {
                Some(answer) => part.copy_from_slice(&answer[..part.len()]),
                None => {
                    return Err(Stop::Exit(UserExit::MmioRead {
                        gpa: address,
                        len: part.len(),
                    }));
                }
            }
            address = address
                .checked_add(part.len() as u64)
                .ok_or(Stop::Unhandleable)?;
        }
        Ok(())
    }

    /// Writes a device; 8 bytes at a time.
    pub(super) fn mmio_write(&mut self, gpa: Gpa, data: &[u8]) -> Result<(), Stop> {
        let mut address = gpa;
        for part in data.chunks(MMIO_BYTES) {
            if self.recall(Question::Write)?.is_none() {
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

    /// Reads an item from a port.
    pub(super) fn port_in(&mut self, port: u16, item: &mut [u8]) -> Result<(), Stop> {
        let size = item.len() as u8;
        match self.recall(Question::PortIn(size))? {
            Some(answer) => {
                item.copy_from_slice(&answer[..item.len()]);
                Ok(())
            }
            None => Err(port_exit(Direction::In, port, size)),
        }
    }

    /// Writes an item to a port.
    pub(super) fn port_out(&mut self, port: u16, item: &[u8], page: &RunPage) -> Result<(), Stop> {
        let size = item.len() as u8;
        if self.recall(Question::Write)?.is_some() {
            return Ok(());
        }
        let mut value = [0; 4];
        for (to, from) in value.iter_mut().zip(item) {
            *to = *from;
        }
        page.write_io(u32::from_le_bytes(value), size);
        Err(port_exit(Direction::Out, port, size))
    }
}

fn port_exit(direction: Direction, port: u16, size: u8) -> Stop {
    Stop::Exit(UserExit::Io(PortAccess {
        direction,
        size,
        port,
        count: 1,
    }))
}
