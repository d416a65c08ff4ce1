// SPDX-License-Identifier: GPL-2.0

//! The guest's registers as VMX keeps them: general registers in memory, the rest in the VMCS.
//!
//! RIP, RSP and RFLAGS are read from the VMCS at most once after an exit and written at most once before
//! an entry. A CR0 or CR4 that the guest reads is put together from the bits that it owns, which
//! are live in the VMCS, and the read shadow (SDM volume 3, section 26.6.6).

use crate::{
    vmx::{
        caps::VmxCaps,
        enter::GuestRegisters,
        field::{self, *},
        vmcs::Loaded,
    },
    x86::{
        insn::Gpr,
        regs::{
            reset,
            rules::PagingState,
            segment::{AccessRights, Segment, SegmentRegister},
            Cr0, Cr4, Efer, RegisterLimits, Rflags,
        },
    },
};

/// A VMCS field that is cached.
#[derive(Clone, Copy, Debug, Default)]
struct Cached {
    value: u64,
    state: CacheState,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum CacheState {
    /// The VMCS alone has the value.
    #[default]
    Unknown,
    /// Both have it.
    Clean,
    /// The VMCS has an old one.
    Dirty,
}

impl Cached {
    #[inline(always)]
    fn get(&mut self, loaded: &Loaded, field: Field<u64>) -> u64 {
        if self.state == CacheState::Unknown {
            self.value = loaded.read(field);
            self.state = CacheState::Clean;
        }
        self.value
    }

    #[inline(always)]
    fn set(&mut self, value: u64) {
        self.value = value;
        self.state = CacheState::Dirty;
    }

    #[inline(always)]
    fn flush(&mut self, loaded: &Loaded, field: Field<u64>) {
        if self.state == CacheState::Dirty {
            loaded.write(field, self.value);
            self.state = CacheState::Clean;
        }
    }
}

/// The guest's registers.
#[derive(Debug)]
pub struct GuestState {
    /// General registers but RSP.
    pub registers: GuestRegisters,
    rip: Cached,
    rsp: Cached,
    rflags: Cached,
    /// CR2, which is live in the register while the guest runs.
    pub cr2: u64,
    efer: Efer,
    /// CR4.OSXSAVE, which the guest does not own.
    osxsave: bool,
    /// CR4 bits that the guest owns.
    cr4_owned: Cr4,
    /// Bits that VMX operation wants in CR0 and CR4 whatever the guest does.
    cr0_forced: u64,
    cr4_forced: u64,
}

/// CR0 bits that only tell of caching, which is not the guest's to turn off.
const CR0_NOT_LOADED: Cr0 = Cr0::CD.with(Cr0::NW);

impl GuestState {
    /// The state of a VMCS that [`GuestState::reset`] has not touched yet.
    pub fn new(caps: &VmxCaps) -> Self {
        // An unrestricted guest may run without protection and paging.
        let unrestricted = Cr0::PE.with(Cr0::PG).raw();
        Self {
            registers: GuestRegisters::default(),
            rip: Cached::default(),
            rsp: Cached::default(),
            rflags: Cached::default(),
            cr2: 0,
            efer: Efer::default(),
            osxsave: false,
            cr4_owned: Cr4::default(),
            cr0_forced: caps.cr0.must_be_one() & !unrestricted,
            cr4_forced: caps.cr4.must_be_one(),
        }
    }

    /// Puts all registers in the state after power-up.
    pub fn reset(&mut self, loaded: &Loaded) {
        self.reset_registers(loaded);
        self.set_paging(
            loaded,
            &PagingState {
                cr0: reset::CR0,
                ..PagingState::default()
            },
        );
    }

    /// Puts those that do not decide the paging mode in the state after power-up.
    pub fn reset_registers(&mut self, loaded: &Loaded) {
        for number in 0..Gpr::COUNT as u8 {
            self.registers.set(Gpr::new(number), 0);
        }
        self.registers.set(Gpr::RDX, reset::RDX);
        self.set_rip(reset::RIP);
        self.set_rsp(0);
        self.set_rflags(reset::RFLAGS.raw());
        self.cr2 = 0;
        for register in SegmentRegister::ALL {
            self.set_segment(loaded, register, &reset::segment(register));
        }
        for (base, limit) in [
            (GUEST_GDTR_BASE, GUEST_GDTR_LIMIT),
            (GUEST_IDTR_BASE, GUEST_IDTR_LIMIT),
        ] {
            loaded.write(base, 0);
            loaded.write(limit, u32::from(reset::TABLE_LIMIT));
        }
        loaded.write(GUEST_DR7, reset::DR7.raw());
    }

    /// The guest may have changed anything.
    #[inline(always)]
    pub fn forget(&mut self) {
        self.rip.state = CacheState::Unknown;
        self.rsp.state = CacheState::Unknown;
        self.rflags.state = CacheState::Unknown;
    }

    /// Writes what was changed, before an entry or before the VMCS is let go.
    #[inline(always)]
    pub fn flush(&mut self, loaded: &Loaded) {
        self.rip.flush(loaded, GUEST_RIP);
        self.rsp.flush(loaded, GUEST_RSP);
        self.rflags.flush(loaded, GUEST_RFLAGS);
    }

    /// RIP.
    #[inline(always)]
    pub fn rip(&mut self, loaded: &Loaded) -> u64 {
        self.rip.get(loaded, GUEST_RIP)
    }

    /// Sets RIP.
    #[inline(always)]
    pub fn set_rip(&mut self, rip: u64) {
        self.rip.set(rip);
    }

    /// RSP.
    pub fn rsp(&mut self, loaded: &Loaded) -> u64 {
        self.rsp.get(loaded, GUEST_RSP)
    }

    /// Sets RSP.
    pub fn set_rsp(&mut self, rsp: u64) {
        self.rsp.set(rsp);
    }

    /// RFLAGS.
    #[inline(always)]
    pub fn rflags(&mut self, loaded: &Loaded) -> Rflags {
        Rflags::new(self.rflags.get(loaded, GUEST_RFLAGS))
    }

    /// Sets RFLAGS; the bit that is always 1 is set.
    pub fn set_rflags(&mut self, rflags: u64) {
        self.rflags
            .set(Rflags::new(rflags).with(Rflags::FIXED).raw());
    }

    /// A general register.
    pub fn gpr(&mut self, loaded: &Loaded, register: Gpr) -> u64 {
        if register == Gpr::RSP {
            self.rsp(loaded)
        } else {
            self.registers.get(register)
        }
    }

    /// Sets a general register.
    pub fn set_gpr(&mut self, register: Gpr, value: u64) {
        if register == Gpr::RSP {
            self.set_rsp(value);
        } else {
            self.registers.set(register, value);
        }
    }

    /// CR0 as the guest reads it.
    pub fn cr0(&self, loaded: &Loaded) -> Cr0 {
        let owned = Cr0::OWNABLE.raw();
        Cr0::new(loaded.read(GUEST_CR0) & owned | loaded.read(CR0_READ_SHADOW) & !owned)
    }

    /// CR4 as the guest reads it.
    pub fn cr4(&self, loaded: &Loaded) -> Cr4 {
        let owned = self.cr4_owned.raw();
        Cr4::new(loaded.read(GUEST_CR4) & owned | loaded.read(CR4_READ_SHADOW) & !owned)
    }

    /// EFER.
    pub fn efer(&self) -> Efer {
        self.efer
    }

    /// The registers that decide the paging mode.
    pub fn paging(&self, loaded: &Loaded) -> PagingState {
        PagingState {
            cr0: self.cr0(loaded),
            cr3: loaded.read(GUEST_CR3),
            cr4: self.cr4(loaded),
            efer: self.efer,
        }
    }

    /// Sets EFER, with LMA as it is.
    pub fn set_efer(&mut self, loaded: &Loaded, efer: Efer) {
        self.efer = efer;
        loaded.write(GUEST_EFER, efer.raw());
    }

    /// Whether the guest has turned XSAVE on.
    #[inline(always)]
    pub fn has_osxsave(&self) -> bool {
        self.osxsave
    }

    /// Makes the TSS in TR a busy 64-bit one, which an entry in IA-32e mode demands and a guest that turns
    /// that mode on before it loads TR does not have.
    pub fn make_tss_busy_64(&mut self, loaded: &Loaded) {
        const BUSY_64: u8 = 11;
        let mut tr = self.segment(loaded, SegmentRegister::Tr);
        if tr.kind != BUSY_64 {
            tr.kind = BUSY_64;
            self.set_segment(loaded, SegmentRegister::Tr, &tr);
        }
    }

    /// Sets those registers, CR3 included. The entry control for IA-32e mode is the caller's.
    pub fn set_paging(&mut self, loaded: &Loaded, paging: &PagingState) {
        self.set_efer(loaded, paging.efer);
        self.osxsave = paging.cr4.contains(Cr4::OSXSAVE);
        loaded.write(GUEST_CR3, paging.cr3);
        loaded.write(CR0_READ_SHADOW, paging.cr0.raw());
        loaded.write(
            GUEST_CR0,
            paging.cr0.without(CR0_NOT_LOADED).raw() | self.cr0_forced,
        );
        loaded.write(CR4_READ_SHADOW, paging.cr4.raw());
        loaded.write(GUEST_CR4, paging.cr4.raw() | self.cr4_forced);
    }

    /// Gives the guest the control-register bits that its CPUID lets it have without asking.
    pub fn set_owned_bits(&mut self, loaded: &Loaded, limits: &RegisterLimits) {
        let cr4 = self.cr4(loaded);
        self.cr4_owned = Cr4::new(Cr4::OWNABLE.raw() & limits.cr4.raw());
        loaded.write(CR0_GUEST_HOST_MASK, !Cr0::OWNABLE.raw());
        loaded.write(CR4_GUEST_HOST_MASK, !self.cr4_owned.raw());
        loaded.write(CR4_READ_SHADOW, cr4.raw());
    }

    /// A segment register.
    pub fn segment(&self, loaded: &Loaded, register: SegmentRegister) -> Segment {
        let fields = field::SegmentFields::of(register);
        Segment::from_vmcs(
            loaded.read(fields.selector),
            loaded.read(fields.base),
            loaded.read(fields.limit),
            AccessRights::new(loaded.read(fields.access_rights)),
        )
    }

    /// Sets a segment register.
    pub fn set_segment(&mut self, loaded: &Loaded, register: SegmentRegister, segment: &Segment) {
        let fields = field::SegmentFields::of(register);
        loaded.write(fields.selector, segment.selector);
        loaded.write(fields.base, segment.base);
        loaded.write(fields.limit, segment.limit);
        loaded.write(fields.access_rights, segment.access_rights(register).raw());
    }

    /// The current privilege level.
    pub fn cpl(&self, loaded: &Loaded) -> u8 {
        AccessRights::new(loaded.read(GUEST_SS_ACCESS_RIGHTS)).dpl()
    }

    /// The access rights of the code segment.
    pub fn code_rights(&self, loaded: &Loaded) -> AccessRights {
        AccessRights::new(loaded.read(GUEST_CS_ACCESS_RIGHTS))
    }
}
