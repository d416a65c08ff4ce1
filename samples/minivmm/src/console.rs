// SPDX-License-Identifier: GPL-2.0
//! The serial console: a 16550 whose line ends at this process's terminal, a file, or nowhere.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd};

use anyhow::{anyhow, Result};
use event_manager::{EventOps, Events, MutEventSubscriber};
use vm_superio::serial::{SerialEvents, SerialState};
use vm_superio::{Serial, Trigger};
use vmm_sys_util::epoll::EventSet;
use vmm_sys_util::eventfd::{EventFd, EFD_NONBLOCK};
use vmm_sys_util::terminal::Terminal;

use crate::bus::Device;
use crate::end::{End, Ending};

/// The person leaves the machine with Ctrl-A x.
const ESCAPE: u8 = 1;
const ESCAPE_QUIT: u8 = b'x';

/// The interrupt line: an irqfd.
struct Interrupt(EventFd);

impl Trigger for Interrupt {
    type E = io::Error;

    fn trigger(&self) -> io::Result<()> {
        self.0.write(1)
    }
}

/// Tells the event loop when the guest has emptied the receiver's FIFO.
struct Emptied(EventFd);

impl SerialEvents for Emptied {
    fn buffer_read(&self) {}
    fn out_byte(&self) {}
    fn tx_lost_byte(&self) {}
    fn in_buffer_empty(&self) {
        // If the counter is full it is readable all the same.
        let _ = self.0.write(1);
    }
}

/// Calls `action` once, when `text` has come out of the guest.
pub struct Watch {
    pub text: String,
    pub action: Box<dyn FnMut() + Send>,
}

/// The guest's output, and the texts that are looked for in its lines.
pub struct Output {
    sink: Box<dyn Write + Send>,
    watches: Vec<Watch>,
    line: Vec<u8>,
}

impl Output {
    pub fn new(sink: Box<dyn Write + Send>, watches: Vec<Watch>) -> Self {
        Self {
            sink,
            watches,
            line: Vec::new(),
        }
    }

    fn look(&mut self, byte: u8) {
        if self.watches.is_empty() {
            return;
        }
        if byte == b'\n' {
            self.line.clear();
            return;
        }
        self.line.push(byte);
        let line = &self.line;
        self.watches.retain_mut(|watch| {
            let found = line.ends_with(watch.text.as_bytes());
            if found {
                (watch.action)();
            }
            !found
        });
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.sink.write(bytes)?;
        self.sink.flush()?;
        for byte in &bytes[..written] {
            self.look(*byte);
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

pub struct Console {
    serial: Serial<Interrupt, Emptied, Output>,
    emptied: EventFd,
    input: Option<File>,
    escaped: Option<u8>,
    ending: Ending,
}

impl Console {
    /// The 16550's ports.
    pub const SIZE: u64 = 8;

    /// A console with the registers in `state`, whose interrupt is the irqfd given.
    pub fn new(
        state: &SerialState,
        interrupt: EventFd,
        output: Output,
        ending: Ending,
    ) -> Result<Self> {
        let emptied = EventFd::new(EFD_NONBLOCK)?;
        let events = Emptied(emptied.try_clone()?);
        let serial = Serial::from_state(state, Interrupt(interrupt), events, output)
            .map_err(|error| anyhow!("serial console: {error:?}"))?;
        Ok(Self {
            serial,
            emptied,
            input: None,
            escaped: None,
            ending,
        })
    }

    /// Gives the console this process's standard input; a terminal goes into raw mode until the process ends.
    pub fn attach_input(&mut self) -> Result<()> {
        let stdin = io::stdin();
        self.input = Some(File::from(stdin.as_fd().try_clone_to_owned()?));
        // Fails where standard input is no terminal, which needs no raw mode.
        let _ = stdin.lock().set_raw_mode();
        Ok(())
    }

    pub fn state(&self) -> SerialState {
        self.serial.state()
    }

    /// Takes as much input as the guest has room for. With none left, its FIFO's emptying starts the input again.
    fn receive(&mut self, ops: &mut EventOps) {
        let Some(input) = &mut self.input else { return };
        let mut bytes = [0; 64];
        let room = self.serial.fifo_capacity().min(bytes.len());
        if room == 0 {
            let _ = ops.remove(Events::new(input, EventSet::IN));
            return;
        }
        match input.read(&mut bytes[..room]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => {
                let _ = ops.remove(Events::new(input, EventSet::IN));
                self.input = None;
            }
            Ok(count) => self.type_in(&bytes[..count]),
        }
    }

    fn type_in(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match (self.escaped.take(), *byte) {
                (None, ESCAPE) => self.escaped = Some(ESCAPE),
                (Some(_), ESCAPE_QUIT) => self.ending.tell(End::Quit),
                // There was room for as many bytes as came.
                _ => drop(self.serial.enqueue_raw_bytes(&[*byte])),
            }
        }
    }
}

impl Device for Console {
    fn read(&mut self, offset: u64, data: &mut [u8]) {
        for byte in data {
            *byte = self.serial.read(offset as u8);
        }
    }

    fn write(&mut self, offset: u64, data: &[u8]) {
        for byte in data {
            // Output that cannot be written is lost, as on a line that nobody listens to.
            let _ = self.serial.write(offset as u8, *byte);
        }
    }
}

impl MutEventSubscriber for Console {
    fn init(&mut self, ops: &mut EventOps) {
        let Some(input) = &self.input else { return };
        // A file or /dev/null cannot be waited for: no input then.
        if ops.add(Events::new(input, EventSet::IN)).is_err() {
            self.input = None;
        } else if ops.add(Events::new(&self.emptied, EventSet::IN)).is_err() {
            self.ending
                .tell(End::Failure("cannot wait for the console".into()));
        }
    }

    fn process(&mut self, events: Events, ops: &mut EventOps) {
        if events.fd() == self.emptied.as_raw_fd() {
            let _ = self.emptied.read();
            if let Some(input) = &self.input {
                // Fails where the input was not removed in between.
                let _ = ops.add(Events::new(input, EventSet::IN));
            }
        } else {
            self.receive(ops);
        }
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        let _ = io::stdin().lock().set_canon_mode();
    }
}
