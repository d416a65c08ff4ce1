// SPDX-License-Identifier: GPL-2.0

//! What the system registers may hold together, and what happens when a guest writes one (Intel
//! SDM volume 3, sections 2.5, 2.6, 5.1.1, 5.1.2, 19.2 and the MOV pages of volume 2).

use crate::x86::regs::{reset, Cr0, Cr4, Dr6, Dr7, Efer, RegisterLimits, Xcr0};
use kernel::error::code::EINVAL;
use kernel::prelude::*;

/// The write faults with #GP(0).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GeneralProtection;

/// Whether the current code segment is a 64-bit one (CS.L).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeSegment {
    /// CS.L is 1.
    Long,
    /// CS.L is 0.
    Other,
}

/// Whether a write makes the processor load the PDPTEs from memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pdptes {
    /// They stay, or paging does not use them.
    Keep,
    /// They are loaded from the page that CR3 points to; an invalid one makes the write fault.
    Load,
}

/// The registers that decide the paging mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PagingState {
    /// CR0.
    pub cr0: Cr0,
    /// CR3.
    pub cr3: u64,
    /// CR4.
    pub cr4: Cr4,
    /// EFER.
    pub efer: Efer,
}

impl PagingState {
    /// Bits 11:0 of CR3, the PCID where CR4.PCIDE is set.
    const CR3_PCID: u64 = 0xfff;

    /// Whether IA-32e mode is active.
    pub const fn is_long_mode(&self) -> bool {
        self.efer.contains(Efer::LMA)
    }

    /// Whether paging is on.
    pub const fn is_paging(&self) -> bool {
        self.cr0.contains(Cr0::PG)
    }

    /// Whether translations that were cached under `before` may be wrong now: the processor drops them itself
    /// on such writes (SDM volume 3, section 5.10.4.1), and an entry with a VPID does not.
    pub const fn invalidates(&self, before: &Self) -> bool {
        const CR0: Cr0 = Cr0::PG.with(Cr0::WP);
        const CR4: Cr4 = Cr4::PSE
            .with(Cr4::PAE)
            .with(Cr4::PGE)
            .with(Cr4::PCIDE)
            .with(Cr4::SMEP)
            .with(Cr4::SMAP);
        self.cr0.changed(before.cr0).intersects(CR0) || self.cr4.changed(before.cr4).intersects(CR4)
    }

    /// Whether paging is PAE paging, which caches four PDPTEs.
    pub const fn is_pae_paging(&self) -> bool {
        self.is_paging() && self.cr4.contains(Cr4::PAE) && !self.is_long_mode()
    }

    /// Checks the state that a VMM wants to set (KVM_SET_SREGS).
    ///
    /// # Errors
    /// EINVAL where a register has bits that `limits` or the architecture forbid, or where the
    /// registers contradict each other about IA-32e mode.
    pub fn validate(&self, code: CodeSegment, limits: &RegisterLimits) -> Result {
        let long = self.efer.contains(Efer::LME) && self.is_paging();
        let consistent = if long {
            self.cr4.contains(Cr4::PAE)
                && self.is_long_mode()
                && self.cr3 & limits.physical_bits.reserved() == 0
        } else {
            !self.is_long_mode() && code == CodeSegment::Other
        };
        let valid = consistent
            && has_valid_bits(self.cr0)
            && limits.cr4.contains(self.cr4)
            && limits.efer.contains(self.efer);
        valid.then_some(()).ok_or(EINVAL)
    }

    /// MOV to CR0, LMSW and CLTS: the state after `value` is written.
    ///
    /// # Errors
    /// #GP(0) where the architecture says so.
    pub fn write_cr0(
        self,
        value: u64,
        code: CodeSegment,
    ) -> Result<(Self, Pdptes), GeneralProtection> {
        let value = Cr0::new(value);
        if !has_valid_bits(value) {
            return Err(GeneralProtection);
        }
        let cr0 = Cr0::new(value.raw() & Cr0::DEFINED.raw()).with(Cr0::ET);
        let turns_on = cr0.contains(Cr0::PG) && !self.is_paging();
        let enters_long_mode = turns_on && self.efer.contains(Efer::LME);
        if enters_long_mode && (!self.cr4.contains(Cr4::PAE) || code == CodeSegment::Long) {
            return Err(GeneralProtection);
        }
        if !cr0.contains(Cr0::PG) {
            let in_64_bit_code = self.is_long_mode() && code == CodeSegment::Long;
            if in_64_bit_code || self.cr4.contains(Cr4::PCIDE) {
                return Err(GeneralProtection);
            }
        }
        let efer = if cr0.contains(Cr0::PG) && self.efer.contains(Efer::LME) {
            self.efer.with(Efer::LMA)
        } else {
            self.efer.without(Efer::LMA)
        };
        let after = Self { cr0, efer, ..self };
        let pdptes = match cr0.changed(self.cr0).intersects(Cr0::PDPTE_RELOADING) {
            true => after.reloaded_pdptes(),
            false => Pdptes::Keep,
        };
        Ok((after, pdptes))
    }

    /// LMSW: the value that CR0 would take. The instruction cannot clear PE.
    pub const fn machine_status_word(&self, source: u16) -> u64 {
        let kept = self.cr0.raw() & !Cr0::MACHINE_STATUS.without(Cr0::PE).raw();
        kept | source as u64 & Cr0::MACHINE_STATUS.raw()
    }

    /// MOV to CR4: the state after `value` is written.
    ///
    /// # Errors
    /// #GP(0) where the architecture or `limits` say so.
    pub fn write_cr4(
        self,
        value: u64,
        limits: &RegisterLimits,
    ) -> Result<(Self, Pdptes), GeneralProtection> {
        let cr4 = Cr4::new(value);
        if !limits.cr4.contains(cr4) || self.is_long_mode() && !cr4.contains(Cr4::PAE) {
            return Err(GeneralProtection);
        }
        let turns_pcid_on = cr4.contains(Cr4::PCIDE) && !self.cr4.contains(Cr4::PCIDE);
        if turns_pcid_on && (!self.is_long_mode() || self.cr3 & Self::CR3_PCID != 0) {
            return Err(GeneralProtection);
        }
        let after = Self { cr4, ..self };
        let pdptes = match cr4.changed(self.cr4).intersects(Cr4::PDPTE_RELOADING) {
            true => after.reloaded_pdptes(),
            false => Pdptes::Keep,
        };
        Ok((after, pdptes))
    }

    /// WRMSR to EFER by the guest: EFER afterwards. LMA is not for software to write.
    ///
    /// # Errors
    /// #GP(0) for bits that `limits` forbid, and for a change of LME while paging is on.
    pub fn write_efer(
        &self,
        value: u64,
        limits: &RegisterLimits,
    ) -> Result<Efer, GeneralProtection> {
        let efer = Efer::new(value);
        let changes_mode = efer.changed(self.efer).contains(Efer::LME);
        if !limits.efer.contains(efer) || self.is_paging() && changes_mode {
            return Err(GeneralProtection);
        }
        Ok(self.with_kept_lma(efer))
    }

    /// A write to EFER by the VMM (KVM_SET_MSRS): EFER afterwards.
    ///
    /// # Errors
    /// #GP(0), in the sense of "refused", for bits that this module does not virtualize.
    pub fn set_efer(&self, value: u64) -> Result<Efer, GeneralProtection> {
        let efer = Efer::new(value);
        if !Efer::SUPPORTED.contains(efer) {
            return Err(GeneralProtection);
        }
        Ok(self.with_kept_lma(efer))
    }

    const fn with_kept_lma(&self, efer: Efer) -> Efer {
        if self.is_long_mode() {
            efer.with(Efer::LMA)
        } else {
            efer.without(Efer::LMA)
        }
    }

    const fn reloaded_pdptes(&self) -> Pdptes {
        if self.is_pae_paging() {
            Pdptes::Load
        } else {
            Pdptes::Keep
        }
    }
}

/// Whether CR0 holds nothing that the architecture forbids on its own.
const fn has_valid_bits(cr0: Cr0) -> bool {
    cr0.raw() >> 32 == 0
        && (cr0.contains(Cr0::CD) || !cr0.contains(Cr0::NW))
        && (cr0.contains(Cr0::PE) || !cr0.contains(Cr0::PG))
}

/// XSETBV, or KVM_SET_XCRS: checks `value` for the extended control register `index`. XCR0 is
/// the only one.
///
/// # Errors
/// #GP(0) for another register, components that `limits` forbid, and impossible combinations.
pub fn write_xcr(
    index: u32,
    value: u64,
    limits: &RegisterLimits,
) -> Result<Xcr0, GeneralProtection> {
    const XCR0_INDEX: u32 = 0;
    let xcr0 = Xcr0::new(value);
    let valid = index == XCR0_INDEX
        && xcr0.contains(Xcr0::X87)
        && limits.xcr0.with(Xcr0::X87).contains(xcr0)
        && (!xcr0.contains(Xcr0::AVX) || xcr0.contains(Xcr0::SSE))
        && (!xcr0.intersects(Xcr0::AVX512) || xcr0.contains(Xcr0::AVX512.with(Xcr0::AVX)));
    valid.then_some(xcr0).ok_or(GeneralProtection)
}

/// MOV to DR6: what the register holds afterwards.
///
/// # Errors
/// #GP(0) where a bit above 31 is set.
pub const fn write_dr6(value: u64) -> Result<Dr6, GeneralProtection> {
    const BREAKPOINTS: Dr6 = Dr6::new(0xf);
    const WRITABLE: Dr6 = BREAKPOINTS.with(Dr6::BD).with(Dr6::BS).with(Dr6::BT);
    if value >> 32 != 0 {
        return Err(GeneralProtection);
    }
    Ok(Dr6::new(value & WRITABLE.raw()).with(reset::DR6))
}

/// MOV to DR7: what the register holds afterwards.
///
/// # Errors
/// #GP(0) where a bit above 31 is set.
pub const fn write_dr7(value: u64) -> Result<Dr7, GeneralProtection> {
    /// Local, global and exact enables, GD, and the types and lengths of four breakpoints.
    const WRITABLE: u64 = 0xffff_23ff;
    if value >> 32 != 0 {
        return Err(GeneralProtection);
    }
    Ok(Dr7::new(value & WRITABLE).with(reset::DR7))
}
