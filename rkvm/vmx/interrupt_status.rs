// SPDX-License-Identifier: GPL-2.0

//! The guest interrupt status: what virtual-interrupt delivery keeps besides the APIC's page (SDM volume 3,
//! section 26.4.2).

/// Requesting and servicing virtual interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterruptStatus(u16);

impl InterruptStatus {
    const SVI_SHIFT: u32 = 8;

    /// For an APIC whose highest vectors requested and in service are these. Vector 0 stands for none, which no
    /// APIC delivers.
    pub const fn new(requested: Option<u8>, in_service: Option<u8>) -> Self {
        let (rvi, svi) = (vector(requested), vector(in_service));
        Self(rvi | svi << Self::SVI_SHIFT)
    }

    /// The field of the VMCS.
    pub const fn raw(self) -> u16 {
        self.0
    }
}

const fn vector(vector: Option<u8>) -> u16 {
    match vector {
        Some(vector) => vector as u16,
        None => 0,
    }
}
