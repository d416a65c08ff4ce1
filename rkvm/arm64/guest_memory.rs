// SPDX-License-Identifier: GPL-2.0

//! Guest memory as the interrupt controllers access it.

use crate::{
    arm64::vgic::mmio::Memory,
    mmu::{Mmu, View},
    types::Gpa,
};
use kernel::prelude::*;

/// Guest memory by somebody's copy of the slots.
pub struct GuestMemory<'a> {
    /// The slots.
    pub view: &'a mut View,
    /// The VM's memory.
    pub mmu: &'a Mmu,
}

impl Memory for GuestMemory<'_> {
    fn read(&mut self, gpa: Gpa, data: &mut [u8]) -> Result {
        self.view.read(self.mmu, gpa, data)
    }

    fn write(&mut self, gpa: Gpa, data: &[u8]) -> Result {
        self.view.write(self.mmu, gpa, data)
    }
}

/// Guest memory for somebody who seldom needs it, and then takes a copy of the slots.
pub struct LateMemory<'a> {
    mmu: &'a Mmu,
    view: Option<View>,
}

impl<'a> LateMemory<'a> {
    /// The VM's memory, of which nothing is looked at yet.
    pub fn new(mmu: &'a Mmu) -> Self {
        Self { mmu, view: None }
    }

    fn view(&mut self) -> &mut View {
        self.view.get_or_insert_with(|| View::new(self.mmu))
    }
}

impl Memory for LateMemory<'_> {
    fn read(&mut self, gpa: Gpa, data: &mut [u8]) -> Result {
        let mmu = self.mmu;
        self.view().read(mmu, gpa, data)
    }

    fn write(&mut self, gpa: Gpa, data: &[u8]) -> Result {
        let mmu = self.mmu;
        self.view().write(mmu, gpa, data)
    }
}
