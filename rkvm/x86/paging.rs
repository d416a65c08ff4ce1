// SPDX-License-Identifier: GPL-2.0

//! The guest's own paging: from a linear address to a guest physical one.
//!
//! The processor does this while the guest runs. The module does it for the instructions that it
//! executes itself, so the outcome must be the processor's: the same translation, or a page fault
//! with the same error code.
//!
//! Source: Intel SDM volume 3, chapter 5 "Paging", in particular 5.6 for access rights and 5.7 for
//! the error code.

mod format;

use crate::types::Gpa;
use crate::x86::regs::rules::PagingState;
use crate::x86::regs::{Cr0, Cr4, Efer, PhysicalBits, Rflags};
use format::{ExecuteDisable, Format, Rights, Width, MAX_LEVELS};

/// What an access does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It reads data.
    Read,
    /// It writes data, or reads and then writes it.
    Write,
    /// It fetches an instruction.
    Fetch,
}

/// On whose behalf an access is made (SDM 5.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A user-mode access: by an instruction at CPL 3.
    User,
    /// An explicit supervisor-mode access: by an instruction at CPL 0 to 2. RFLAGS.AC lifts SMAP.
    Supervisor,
    /// An implicit supervisor-mode access, to a system structure such as the GDT or the TSS, at any
    /// CPL.
    Implicit,
}

kernel::bitfield! {
    /// The error code of a page fault (SDM 5.7).
    pub struct ErrorCode(u32) {
        /// The page is present: the access broke a rule.
        0:0 present;
        /// The access was a write.
        1:1 write;
        /// The access was a user-mode one.
        2:2 user;
        /// An entry has a reserved bit set.
        3:3 reserved;
        /// The access was an instruction fetch; told apart only where paging can forbid those.
        4:4 fetch;
    }
}

/// Why there is no translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop<E> {
    /// The guest gets a page fault.
    Fault(ErrorCode),
    /// The guest changed an entry while it was being used: let it run and execute the instruction
    /// once more.
    Changed,
    /// A paging structure could not be accessed.
    Memory(E),
}

/// Whether an entry was marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marked {
    /// It was, or marking is not wanted.
    Done,
    /// The entry had another value.
    Changed,
}

/// Access to the guest's paging structures.
pub trait Structures {
    /// Why a structure could not be accessed: it does not lie in memory, for example.
    type Error;

    /// Reads the 4 bytes at `entry`, atomically; `entry` is aligned.
    fn read_u32(&mut self, entry: Gpa) -> Result<u32, Self::Error>;
    /// Reads the 8 bytes at `entry`, atomically; `entry` is aligned.
    fn read_u64(&mut self, entry: Gpa) -> Result<u64, Self::Error>;
    /// The PDPTE register `index`, 0 to 3, that PAE paging starts from (SDM 5.4.1).
    fn pdpte(&mut self, index: usize) -> Result<u64, Self::Error>;
    /// Replaces the 4 bytes at `entry` by `new` if they are `old`, atomically: `new` has the
    /// accessed or the dirty flag besides.
    fn mark_u32(&mut self, entry: Gpa, old: u32, new: u32) -> Result<Marked, Self::Error>;
    /// [`Self::mark_u32`] for 8 bytes.
    fn mark_u64(&mut self, entry: Gpa, old: u64, new: u64) -> Result<Marked, Self::Error>;
}

/// The registers that translation depends on.
#[derive(Clone, Copy, Debug)]
pub struct Paging {
    /// The control registers. They must be consistent, as those of a running guest are.
    pub state: PagingState,
    /// Its AC flag lifts SMAP.
    pub rflags: Rflags,
    /// Address bits from here on are reserved in entries.
    pub physical_bits: PhysicalBits,
}

/// An entry that a translation used.
#[derive(Clone, Copy)]
struct Used {
    address: Gpa,
    raw: u64,
}

impl Paging {
    /// Translates `linear` and marks the entries on the way accessed, and dirty.
    ///
    /// In IA-32e mode the address must be canonical, which the checks of segmentation ensure; in
    /// other modes, bits 63:32 are ignored.
    ///
    /// # Errors
    ///
    /// See [`Stop`].
    pub fn translate<S: Structures>(
        &self,
        structures: &mut S,
        linear: u64,
        kind: Kind,
        mode: Mode,
    ) -> Result<Gpa, Stop<S::Error>> {
        let Some(format) = Format::of(&self.state) else {
            return Ok(Gpa::new(u64::from(linear as u32)));
        };
        let fault = |code| Stop::Fault(self.error_code(code, kind, mode));
        let not_present = ErrorCode::from_raw(0);
        let violation = ErrorCode::from_raw(ErrorCode::PRESENT_MASK);
        let reserved = ErrorCode::from_raw(ErrorCode::PRESENT_MASK | ErrorCode::RESERVED_MASK);

        let mut table = match format {
            Format::Pae => {
                let index = (linear as u32 >> format::PDPTE_SHIFT) as usize;
                let pdpte = structures.pdpte(index).map_err(Stop::Memory)?;
                if pdpte & format::PRESENT == 0 {
                    return Err(fault(not_present));
                }
                format.table(pdpte)
            }
            Format::Bits32 { .. } | Format::Long { .. } => format.table(self.state.cr3),
        };

        let mut used = [None; MAX_LEVELS];
        let mut rights = Rights::ALL;
        for (level, slot) in (1..=format.levels()).rev().zip(&mut used) {
            let address = format.entry(table, linear, level);
            let raw = match format.width() {
                Width::Four => structures.read_u32(address).map(u64::from),
                Width::Eight => structures.read_u64(address),
            }
            .map_err(Stop::Memory)?;
            *slot = Some(Used { address, raw });

            if raw & format::PRESENT == 0 {
                return Err(fault(not_present));
            }
            if raw & format.reserved(raw, level, self.execute_disable(), self.physical_bits) != 0 {
                return Err(fault(reserved));
            }
            rights = rights.and(Rights::of(raw));
            if !format.is_leaf(raw, level) {
                table = format.table(raw);
                continue;
            }

            if !self.allows(rights, kind, mode) {
                return Err(fault(violation));
            }
            self.mark(structures, &used, format.width(), kind)?;
            return Ok(format.page(raw, level, linear));
        }
        // Not reached: the entries of level 1 are leaves.
        Err(fault(not_present))
    }

    /// Whether `rights` allow the access (SDM 5.6.1).
    fn allows(&self, rights: Rights, kind: Kind, mode: Mode) -> bool {
        let (cr0, cr4) = (self.state.cr0, self.state.cr4);
        let may_use = match (mode, rights.user()) {
            (Mode::User, user) => user,
            (Mode::Supervisor | Mode::Implicit, false) => true,
            (Mode::Supervisor | Mode::Implicit, true) => match kind {
                Kind::Fetch => !cr4.contains(Cr4::SMEP),
                Kind::Read | Kind::Write => {
                    let lifted = mode == Mode::Supervisor && self.rflags.contains(Rflags::AC);
                    !cr4.contains(Cr4::SMAP) || lifted
                }
            },
        };
        let may_do = match kind {
            Kind::Read => true,
            Kind::Write => rights.write() || (mode != Mode::User && !cr0.contains(Cr0::WP)),
            Kind::Fetch => rights.execute() || self.execute_disable() == ExecuteDisable::Reserved,
        };
        may_use && may_do
    }

    /// Whether entries can forbid instruction fetches. 4-byte entries have no bit for it.
    fn execute_disable(&self) -> ExecuteDisable {
        let PagingState { cr4, efer, .. } = self.state;
        if efer.contains(Efer::NXE) && cr4.contains(Cr4::PAE) {
            ExecuteDisable::Enabled
        } else {
            ExecuteDisable::Reserved
        }
    }

    /// `code` with what it says about the access.
    fn error_code(&self, code: ErrorCode, kind: Kind, mode: Mode) -> ErrorCode {
        let tells_fetches =
            self.execute_disable() == ExecuteDisable::Enabled || self.state.cr4.contains(Cr4::SMEP);
        code.with_write(kind == Kind::Write)
            .with_user(mode == Mode::User)
            .with_fetch(kind == Kind::Fetch && tells_fetches)
    }

    /// Marks the used entries accessed, and the leaf, which is the last one, dirty if written.
    fn mark<S: Structures>(
        &self,
        structures: &mut S,
        used: &[Option<Used>],
        width: Width,
        kind: Kind,
    ) -> Result<(), Stop<S::Error>> {
        let mut entries = used.iter().flatten().peekable();
        while let Some(&Used { address, raw }) = entries.next() {
            let is_leaf = entries.peek().is_none();
            let dirty = if is_leaf && kind == Kind::Write {
                format::DIRTY
            } else {
                0
            };
            let new = raw | format::ACCESSED | dirty;
            if new == raw {
                continue;
            }
            let marked = match width {
                Width::Four => structures.mark_u32(address, raw as u32, new as u32),
                Width::Eight => structures.mark_u64(address, raw, new),
            };
            match marked.map_err(Stop::Memory)? {
                Marked::Done => {}
                Marked::Changed => return Err(Stop::Changed),
            }
        }
        Ok(())
    }
}
