// SPDX-License-Identifier: GPL-2.0

//! Register ids of KVM_GET_ONE_REG, KVM_SET_ONE_REG and KVM_GET_REG_LIST.
//!
//! An id has the architecture in its upper half, log2 of the size in bytes in bits 52 to 55, a kind in
//! bits 16 to 27, and a number below that.
//!
//! Source: Linux, Documentation/virt/kvm/api.rst, "KVM_SET_ONE_REG"; arch/arm64/include/uapi/asm/kvm.h.

use kernel::prelude::*;

use super::{
    regs::CoreReg,
    sve::{ScalableReg, P_REGISTERS, Z_REGISTERS},
    sysreg::{name, SysReg},
};

/// KVM_REG_ARM64.
const ARM64: u64 = 0x6000_0000_0000_0000;
/// KVM_REG_SIZE_MASK and KVM_REG_SIZE_SHIFT.
const SIZE_MASK: u64 = 0x00f0_0000_0000_0000;
const SIZE_SHIFT: u32 = 52;
/// KVM_REG_ARM_COPROC_MASK and KVM_REG_ARM_COPROC_SHIFT.
const KIND_MASK: u64 = 0x0fff_0000;
const KIND_SHIFT: u32 = 16;
/// What a kind numbers its registers with.
const NUMBER_MASK: u64 = 0xffff;
/// Bits above the kind and below the architecture, which mean nothing.
const SPARE: u64 = 0xf000_0000;

/// Kinds of registers.
mod kind {
    pub(super) const CORE: u64 = 0x10;
    pub(super) const DEMUX: u64 = 0x11;
    pub(super) const SYSTEM: u64 = 0x13;
    pub(super) const FIRMWARE: u64 = 0x14;
    pub(super) const VECTOR: u64 = 0x15;
    pub(super) const FIRMWARE_FEATURES: u64 = 0x16;
}

/// log2 of the sizes of registers.
mod size {
    pub(super) const U32: u64 = 2;
    pub(super) const U64: u64 = 3;
    pub(super) const U256: u64 = 5;
    pub(super) const U512: u64 = 6;
    pub(super) const U2048: u64 = 8;
}

/// Caches that CSSELR_EL1 can select: 7 levels, each for data and for instructions.
pub const CACHES: u8 = 14;

/// The firmware's registers: KVM as the guest's firmware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirmwareReg {
    /// KVM_REG_ARM_PSCI_VERSION.
    PsciVersion,
    /// KVM_REG_ARM_SMCCC_ARCH_WORKAROUND_1: branch predictors.
    Workaround1,
    /// KVM_REG_ARM_SMCCC_ARCH_WORKAROUND_2: speculative store bypass.
    Workaround2,
    /// KVM_REG_ARM_SMCCC_ARCH_WORKAROUND_3: branch history.
    Workaround3,
    /// KVM_REG_ARM_STD_BMAP: Arm's standard services.
    Standard,
    /// KVM_REG_ARM_STD_HYP_BMAP: Arm's standard services of hypervisors.
    StandardHypervisor,
    /// KVM_REG_ARM_VENDOR_HYP_BMAP: KVM's own services, functions 0 to 63.
    Vendor,
    /// KVM_REG_ARM_VENDOR_HYP_BMAP_2: KVM's own services, functions 64 to 127.
    Vendor2,
}

impl FirmwareReg {
    /// All, in the order of KVM_GET_REG_LIST.
    pub const ALL: [Self; 8] = [
        Self::PsciVersion,
        Self::Workaround1,
        Self::Workaround2,
        Self::Workaround3,
        Self::Standard,
        Self::StandardHypervisor,
        Self::Vendor,
        Self::Vendor2,
    ];

    /// Its kind and number.
    const fn place(self) -> (u64, u64) {
        match self {
            Self::PsciVersion => (kind::FIRMWARE, 0),
            Self::Workaround1 => (kind::FIRMWARE, 1),
            Self::Workaround2 => (kind::FIRMWARE, 2),
            Self::Workaround3 => (kind::FIRMWARE, 3),
            Self::Standard => (kind::FIRMWARE_FEATURES, 0),
            Self::StandardHypervisor => (kind::FIRMWARE_FEATURES, 1),
            Self::Vendor => (kind::FIRMWARE_FEATURES, 2),
            Self::Vendor2 => (kind::FIRMWARE_FEATURES, 3),
        }
    }
}

/// A register that an id names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OneReg {
    /// A register of `struct kvm_regs`.
    Core(CoreReg),
    /// A system register.
    System(SysReg),
    /// CCSIDR_EL1 as it is with a CSSELR_EL1 below [`CACHES`].
    CacheSize(u8),
    /// A register of the firmware.
    Firmware(FirmwareReg),
    /// A scalable register.
    Scalable(ScalableReg),
    /// KVM_REG_ARM64_SVE_VLS: which vector lengths there are.
    VectorLengths,
}

impl OneReg {
    /// What an id names. `EINVAL` if it is not an id of arm64, or of nothing in `struct kvm_regs`, or of no
    /// vector register; `ENOENT` where its kind has nothing of the number or the size.
    pub fn from_id(id: u64) -> Result<Self> {
        if (id & !SIZE_MASK) >> 32 != ARM64 >> 32 {
            return Err(EINVAL);
        }
        let kind = (id & KIND_MASK) >> KIND_SHIFT;
        match kind {
            kind::CORE => {
                let place = id & (NUMBER_MASK | SPARE);
                Ok(Self::Core(CoreReg::at(place, Self::bytes_of(id))?))
            }
            kind::VECTOR => vector(id),
            _ if id & SPARE != 0 => Err(ENOENT),
            kind::FIRMWARE | kind::FIRMWARE_FEATURES => FirmwareReg::ALL
                .into_iter()
                .map(Self::Firmware)
                .find(|register| register.id() == id)
                .ok_or(ENOENT),
            kind::DEMUX => {
                let number = id & NUMBER_MASK;
                if number < u64::from(CACHES) && Self::size_of(id) == size::U32 {
                    Ok(Self::CacheSize(number as u8))
                } else {
                    Err(ENOENT)
                }
            }
            kind::SYSTEM if Self::size_of(id) == size::U64 => {
                let named = SysReg::from_raw((id & NUMBER_MASK) as u16);
                Ok(Self::System(unswap(named)))
            }
            _ => Err(ENOENT),
        }
    }

    /// Its id.
    pub const fn id(self) -> u64 {
        let (size, kind, number) = match self {
            Self::Core(register) => {
                let size = register.bytes().trailing_zeros() as u64;
                (size, kind::CORE, register.place() as u64)
            }
            Self::System(register) => (size::U64, kind::SYSTEM, unswap(register).raw() as u64),
            Self::CacheSize(selection) => (size::U32, kind::DEMUX, selection as u64),
            Self::Firmware(register) => {
                let (kind, number) = register.place();
                (size::U64, kind, number)
            }
            Self::Scalable(register) => {
                let (size, first, number) = match register {
                    ScalableReg::Z(number) => (size::U2048, scalable::Z, number),
                    ScalableReg::P(number) => (size::U256, scalable::P, number),
                    ScalableReg::Ffr => (size::U256, scalable::FFR, 0),
                };
                let number = first + (number as u64) * scalable::SLICES;
                (size, kind::VECTOR, number)
            }
            Self::VectorLengths => (size::U512, kind::VECTOR, NUMBER_MASK),
        };
        ARM64 | size << SIZE_SHIFT | kind << KIND_SHIFT | number
    }

    /// The size of its value in bytes.
    pub fn bytes(self) -> usize {
        Self::bytes_of(self.id())
    }

    const fn size_of(id: u64) -> u64 {
        (id & SIZE_MASK) >> SIZE_SHIFT
    }

    const fn bytes_of(id: u64) -> usize {
        1 << Self::size_of(id)
    }
}

/// The ids of the virtual timer's compare value and of its counter are swapped against their encodings,
/// for all time: KVM_REG_ARM_TIMER_CVAL has the encoding of CNTVCT_EL0, and the other way round.
const fn unswap(register: SysReg) -> SysReg {
    const COUNTER: u16 = name::CNTVCT_EL0.raw();
    const COMPARE: u16 = name::CNTV_CVAL_EL0.raw();
    match register.raw() {
        COUNTER => name::CNTV_CVAL_EL0,
        COMPARE => name::CNTVCT_EL0,
        _ => register,
    }
}

/// Numbers of scalable registers. Each has slices, of which the first is larger than any register there is.
mod scalable {
    pub(super) const SLICES: u64 = 32;
    pub(super) const Z: u64 = 0;
    pub(super) const P: u64 = 0x400;
    pub(super) const FFR: u64 = 0x600;
    pub(super) const END: u64 = FFR + SLICES;
}

/// What an id of SVE names: `EINVAL` for none, `ENOENT` for a slice that no register is long enough for.
fn vector(id: u64) -> Result<OneReg> {
    if id == OneReg::VectorLengths.id() {
        return Ok(OneReg::VectorLengths);
    }
    let place = id & (NUMBER_MASK | SPARE);
    let number = |first: u64, count: u8| ((place - first) / scalable::SLICES) as u8 % count;
    let register = match (OneReg::size_of(id), place) {
        (size::U2048, ..scalable::P) => ScalableReg::Z(number(scalable::Z, Z_REGISTERS)),
        (size::U256, scalable::P..scalable::FFR) => {
            ScalableReg::P(number(scalable::P, P_REGISTERS))
        }
        (size::U256, scalable::FFR..scalable::END) => ScalableReg::Ffr,
        _ => return Err(EINVAL),
    };
    let register = OneReg::Scalable(register);
    if register.id() == id {
        Ok(register)
    } else {
        Err(ENOENT)
    }
}
