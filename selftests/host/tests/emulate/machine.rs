// SPDX-License-Identifier: GPL-2.0

//! A machine in plain memory, which can stop accesses as one with MMIO does.

use rkvm_host::x86::emulate::{execute, AccessKind, Machine, Outcome};
use rkvm_host::x86::insn::{AddressSize, Gpr, Insn, Segment, Xmm};

/// Everything that an instruction can change outside memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    pub gprs: [u64; Gpr::COUNT],
    pub rip: u64,
    pub rflags: u64,
    pub xmms: [[u8; 16]; 16],
}

impl Default for State {
    fn default() -> Self {
        Self {
            gprs: [0; Gpr::COUNT],
            rip: 0,
            rflags: 2,
            xmms: [[0; 16]; 16],
        }
    }
}

/// Why an access was refused.
#[derive(Debug, PartialEq, Eq)]
pub enum Stop {
    /// It lies outside the machine's memory.
    Outside(u64),
    /// It has to be answered first.
    Exit,
}

/// One access, for the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    Read(u64, Vec<u8>),
    Write(u64, Vec<u8>),
}

/// How accesses are answered.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    /// At once.
    Direct,
    /// By a stop at each new access; the next attempt finds the answer in the record.
    Replayed,
}

pub struct MockMachine {
    pub state: State,
    /// What lies at `memory_base` on.
    pub memory: Vec<u8>,
    pub memory_base: u64,
    pub segment_bases: [u64; 6],
    pub stack_size: AddressSize,
    pub answers: Answers,
    /// The accesses that were made, in order.
    pub record: Vec<Access>,
    /// The effective addresses that were checked, in order.
    pub checked: Vec<(Segment, u64, usize, AccessKind)>,
    replayed: usize,
}

impl MockMachine {
    pub fn new(memory_base: u64, memory: Vec<u8>) -> Self {
        Self {
            state: State::default(),
            memory,
            memory_base,
            segment_bases: [0; 6],
            stack_size: AddressSize::Bits64,
            answers: Answers::Direct,
            record: Vec::new(),
            checked: Vec::new(),
            replayed: 0,
        }
    }

    /// Runs an instruction to its end and returns the number of iterations.
    ///
    /// # Panics
    ///
    /// Where a stop leaves a change behind.
    pub fn run(&mut self, insn: &Insn) -> Result<usize, Stop> {
        let mut iterations = 0;
        self.record.clear();
        loop {
            self.replayed = 0;
            let before = self.state.clone();
            match execute(insn, self) {
                Ok(outcome) => {
                    assert!(self.answers == Answers::Direct || self.replayed == self.record.len());
                    iterations += 1;
                    if outcome == Outcome::Done {
                        return Ok(iterations);
                    }
                    assert_eq!(outcome, Outcome::Again);
                    assert_eq!(self.state.rip, before.rip);
                    if self.answers == Answers::Replayed {
                        self.record.clear();
                    }
                }
                Err(stop) => {
                    assert_eq!(self.state, before, "changed by a stopped instruction");
                    if stop != Stop::Exit {
                        return Err(stop);
                    }
                }
            }
        }
    }

    fn range(&self, linear: u64, length: usize) -> Result<std::ops::Range<usize>, Stop> {
        let start = linear.wrapping_sub(self.memory_base);
        match usize::try_from(start) {
            Ok(start) if start < self.memory.len() && length <= self.memory.len() - start => {
                Ok(start..start + length)
            }
            _ => Err(Stop::Outside(linear)),
        }
    }

    /// The recorded access that answers this one, or its number if there is none.
    fn replay(&mut self) -> Option<Access> {
        if self.answers == Answers::Direct {
            return None;
        }
        let access = self.record.get(self.replayed).cloned();
        self.replayed += usize::from(access.is_some());
        access
    }

    fn made(&mut self, access: Access) -> Result<(), Stop> {
        self.record.push(access);
        match self.answers {
            Answers::Direct => Ok(()),
            Answers::Replayed => Err(Stop::Exit),
        }
    }
}

impl Machine for MockMachine {
    type Stop = Stop;

    fn gpr(&mut self, register: Gpr) -> u64 {
        self.state.gprs[register.number()]
    }

    fn set_gpr(&mut self, register: Gpr, value: u64) {
        self.state.gprs[register.number()] = value;
    }

    fn rip(&mut self) -> u64 {
        self.state.rip
    }

    fn set_rip(&mut self, rip: u64) {
        self.state.rip = rip;
    }

    fn rflags(&mut self) -> u64 {
        self.state.rflags
    }

    fn set_rflags(&mut self, rflags: u64) {
        self.state.rflags = rflags;
    }

    fn stack_size(&mut self) -> AddressSize {
        self.stack_size
    }

    fn read_xmm(&mut self, register: Xmm) -> [u8; 16] {
        self.state.xmms[register.number()]
    }

    fn write_xmm(&mut self, register: Xmm, value: [u8; 16]) {
        self.state.xmms[register.number()] = value;
    }

    fn linear(
        &mut self,
        segment: Segment,
        effective: u64,
        size: usize,
        kind: AccessKind,
    ) -> Result<u64, Stop> {
        self.checked.push((segment, effective, size, kind));
        Ok(self.segment_bases[segment as usize].wrapping_add(effective))
    }

    fn read(&mut self, linear: u64, data: &mut [u8]) -> Result<(), Stop> {
        if let Some(access) = self.replay() {
            let Access::Read(address, answer) = access else {
                panic!("a read in place of {access:?}");
            };
            assert_eq!((address, answer.len()), (linear, data.len()));
            data.copy_from_slice(&answer);
            return Ok(());
        }
        let range = self.range(linear, data.len())?;
        data.copy_from_slice(&self.memory[range]);
        self.made(Access::Read(linear, data.to_vec()))
    }

    fn write(&mut self, linear: u64, data: &[u8]) -> Result<(), Stop> {
        if let Some(access) = self.replay() {
            assert_eq!(access, Access::Write(linear, data.to_vec()));
            return Ok(());
        }
        let range = self.range(linear, data.len())?;
        self.memory[range].copy_from_slice(data);
        self.made(Access::Write(linear, data.to_vec()))
    }
}
