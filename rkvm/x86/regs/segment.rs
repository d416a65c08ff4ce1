// SPDX-License-Identifier: GPL-2.0

//! Segment registers: the form of KVM_GET_SREGS and that of VMX (Intel SDM volume 3, section
//! 26.4.1 and table 26-2).

/// A segment register or one of the two system-segment registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentRegister {
    /// ES.
    Es,
    /// CS.
    Cs,
    /// SS.
    Ss,
    /// DS.
    Ds,
    /// FS.
    Fs,
    /// GS.
    Gs,
    /// LDTR.
    Ldtr,
    /// TR.
    Tr,
}

impl SegmentRegister {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Es,
        Self::Cs,
        Self::Ss,
        Self::Ds,
        Self::Fs,
        Self::Gs,
        Self::Ldtr,
        Self::Tr,
    ];
}

/// A segment with the layout of `struct kvm_segment`. One-bit members hold 0 or 1; a VMM may write
/// anything, and only the bits that exist count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Segment {
    /// Base, a linear address.
    pub base: u64,
    /// Limit in bytes.
    pub limit: u32,
    /// Selector.
    pub selector: u16,
    /// Descriptor type, 4 bits.
    pub kind: u8,
    /// Present.
    pub present: u8,
    /// Descriptor privilege level, 2 bits.
    pub dpl: u8,
    /// Default operand size.
    pub db: u8,
    /// Code or data as opposed to system.
    pub s: u8,
    /// 64-bit code.
    pub l: u8,
    /// Granularity.
    pub g: u8,
    /// Available to software.
    pub avl: u8,
    /// Unusable: using the segment faults.
    pub unusable: u8,
    /// Padding of the UAPI.
    pub padding: u8,
}

/// Segment access rights in the form of the VMCS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct AccessRights(u32);

impl AccessRights {
    const S_SHIFT: u32 = 4;
    const DPL_SHIFT: u32 = 5;
    const P_SHIFT: u32 = 7;
    const AVL_SHIFT: u32 = 12;
    const L_SHIFT: u32 = 13;
    const DB_SHIFT: u32 = 14;
    const G_SHIFT: u32 = 15;
    const UNUSABLE_SHIFT: u32 = 16;
    const TYPE_MASK: u32 = 0xf;
    const DPL_MASK: u32 = 3;

    /// Wraps a value read from the VMCS.
    pub const fn new(raw: u32) -> Self {
        Self(raw)
    }

    /// The value for the VMCS.
    pub const fn raw(self) -> u32 {
        self.0
    }

    const fn field(self, shift: u32, mask: u32) -> u8 {
        (self.0.wrapping_shr(shift) & mask) as u8
    }

    const fn bit(self, shift: u32) -> u8 {
        self.field(shift, 1)
    }

    /// Descriptor privilege level; that of SS is the current privilege level.
    pub const fn dpl(self) -> u8 {
        self.field(Self::DPL_SHIFT, Self::DPL_MASK)
    }

    /// Whether a code segment is 64-bit.
    pub const fn is_long(self) -> bool {
        self.bit(Self::L_SHIFT) != 0
    }

    /// Whether operands are 32 bits wide by default.
    pub const fn is_default_32(self) -> bool {
        self.bit(Self::DB_SHIFT) != 0
    }

    /// Whether using the segment faults.
    pub const fn is_unusable(self) -> bool {
        self.bit(Self::UNUSABLE_SHIFT) != 0
    }
}

impl Segment {
    /// In a code or data segment, "accessed"; in a TSS, part of every valid type.
    const TYPE_ACCESSED: u8 = 1;
    /// Code as opposed to data.
    const CODE: u8 = 1 << 3;
    /// In a data segment: what lies above the limit belongs to it.
    const EXPAND_DOWN: u8 = 1 << 2;

    /// The access rights to load into `register`.
    ///
    /// A segment that is not present becomes unusable, which VM entry wants. The accessed bit is
    /// set where VM entry demands it, since loading a segment register would have set it.
    pub const fn access_rights(&self, register: SegmentRegister) -> AccessRights {
        let kind = match register {
            SegmentRegister::Ldtr => self.kind,
            _ => self.kind | Self::TYPE_ACCESSED,
        };
        let unusable = self.unusable & 1 | !self.present & 1;
        AccessRights(
            kind as u32 & AccessRights::TYPE_MASK
                | (self.s as u32 & 1) << AccessRights::S_SHIFT
                | (self.dpl as u32 & AccessRights::DPL_MASK) << AccessRights::DPL_SHIFT
                | (self.present as u32 & 1) << AccessRights::P_SHIFT
                | (self.avl as u32 & 1) << AccessRights::AVL_SHIFT
                | (self.l as u32 & 1) << AccessRights::L_SHIFT
                | (self.db as u32 & 1) << AccessRights::DB_SHIFT
                | (self.g as u32 & 1) << AccessRights::G_SHIFT
                | (unusable as u32) << AccessRights::UNUSABLE_SHIFT,
        )
    }

    /// Whether `size` bytes at `offset` of a code or data segment lie within the limit (SDM 6.3).
    pub fn covers(&self, offset: u64, size: usize) -> bool {
        let limit = u64::from(self.limit);
        let Some(last) = offset.checked_add((size as u64).saturating_sub(1)) else {
            return false;
        };
        if self.kind & (Self::CODE | Self::EXPAND_DOWN) == Self::EXPAND_DOWN {
            let top = if self.db != 0 {
                u64::from(u32::MAX)
            } else {
                u64::from(u16::MAX)
            };
            offset > limit && last <= top
        } else {
            last <= limit
        }
    }

    /// A segment from what the VMCS holds. An unusable one is reported as not present, so that
    /// a VMM which forgets `unusable` does not make it usable.
    pub const fn from_vmcs(selector: u16, base: u64, limit: u32, rights: AccessRights) -> Self {
        let unusable = rights.bit(AccessRights::UNUSABLE_SHIFT);
        Self {
            base,
            limit,
            selector,
            kind: rights.field(0, AccessRights::TYPE_MASK),
            present: unusable ^ 1,
            dpl: rights.dpl(),
            db: rights.bit(AccessRights::DB_SHIFT),
            s: rights.bit(AccessRights::S_SHIFT),
            l: rights.bit(AccessRights::L_SHIFT),
            g: rights.bit(AccessRights::G_SHIFT),
            avl: rights.bit(AccessRights::AVL_SHIFT),
            unusable,
            padding: 0,
        }
    }
}
