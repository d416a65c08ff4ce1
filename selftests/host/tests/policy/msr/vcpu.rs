// SPDX-License-Identifier: GPL-2.0

//! A vCPU's MSRs, as the tests use them.

use crate::cpuid::full_features;
use crate::models::TIGERLAKE;
use rkvm_host::x86::cpuid::guest::GuestFeatures;
use rkvm_host::x86::msr::speculation::{Command, Support};
use rkvm_host::x86::msr::*;
use rkvm_host::x86::regs::rules::PagingState;
use std::collections::HashMap;

/// The processor as MSRs reach it.
#[derive(Default)]
pub struct Cpu {
    registers: HashMap<u8, u64>,
    pub paging: PagingState,
    pub host_tsc: u64,
    tsc_offset: u64,
    wall_clock: u64,
    pub speculation: Support,
    pub commands: Vec<Command>,
}

impl Backing for Cpu {
    fn get(&self, register: Register) -> u64 {
        self.registers.get(&(register as u8)).copied().unwrap_or(0)
    }

    fn set(&mut self, register: Register, value: u64) {
        self.registers.insert(register as u8, value);
    }

    fn paging(&self) -> PagingState {
        self.paging
    }

    fn tsc(&self) -> u64 {
        self.host_tsc.wrapping_add(self.tsc_offset)
    }

    fn set_tsc(&mut self, value: u64) {
        self.tsc_offset = value.wrapping_sub(self.host_tsc);
    }

    fn shift_tsc(&mut self, delta: u64) {
        self.tsc_offset = self.tsc_offset.wrapping_add(delta);
    }

    fn wall_clock(&self) -> u64 {
        self.wall_clock
    }

    fn set_wall_clock(&mut self, address: u64) {
        self.wall_clock = address;
    }

    fn speculation(&self) -> Support {
        self.speculation
    }

    fn command(&mut self, command: Command) {
        self.commands.push(command);
    }
}

/// The MSRs of a vCPU, and a processor behind them.
pub struct Vcpu {
    pub msrs: Msrs,
    pub features: GuestFeatures,
    pub cpu: Cpu,
}

impl Vcpu {
    pub fn new(features: GuestFeatures) -> Self {
        Self {
            msrs: Msrs::new(Role::Bootstrap, &FeatureMsrs::default()),
            features,
            cpu: Cpu::default(),
        }
    }

    pub fn full() -> Self {
        Self::new(full_features(&TIGERLAKE))
    }

    pub fn read(&self, msr: u32, initiator: Initiator) -> Result<u64, Refusal> {
        self.msrs.read(msr, initiator, &self.features, &self.cpu)
    }

    pub fn write(&mut self, msr: u32, value: u64, initiator: Initiator) -> Result<(), Refusal> {
        self.msrs
            .write(msr, value, initiator, &self.features, &mut self.cpu)
    }

    /// The guest writes, and reads back what it wrote.
    pub fn keeps(&mut self, msr: u32, value: u64) {
        self.write(msr, value, Initiator::Guest).unwrap();
        assert_eq!(self.read(msr, Initiator::Guest), Ok(value), "{msr:#x}");
    }

    pub fn faults(&mut self, msr: u32, value: u64) {
        let refused = self.write(msr, value, Initiator::Guest).is_err();
        assert!(refused, "{msr:#x} <- {value:#x}");
    }
}
