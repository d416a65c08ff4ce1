// SPDX-License-Identifier: GPL-2.0

//! Register ids of arm64's KVM_GET_ONE_REG, and the registers that they name.

use kernel::error::code::{EINVAL, ENOENT};
use proptest::prelude::*;

use rkvm_host::arm64::exit::Syndrome;
use rkvm_host::arm64::one_reg::{FirmwareReg, OneReg, CACHES};
use rkvm_host::arm64::regs::{pstate, CoreReg, CoreRegs};
use rkvm_host::arm64::sve::ScalableReg;
use rkvm_host::arm64::sysreg::{name, SysReg};

/// Ids as the UAPI header makes them.
#[test]
fn ids_are_those_of_the_uapi() {
    let known = [
        (0x6030_0000_0010_0000, OneReg::Core(CoreReg::X(0))),
        (0x6030_0000_0010_003c, OneReg::Core(CoreReg::X(30))),
        (0x6030_0000_0010_003e, OneReg::Core(CoreReg::SpEl0)),
        (0x6030_0000_0010_0040, OneReg::Core(CoreReg::Pc)),
        (0x6030_0000_0010_0042, OneReg::Core(CoreReg::Pstate)),
        (0x6030_0000_0010_0044, OneReg::Core(CoreReg::SpEl1)),
        (0x6030_0000_0010_0046, OneReg::Core(CoreReg::ElrEl1)),
        (0x6030_0000_0010_0048, OneReg::Core(CoreReg::SpsrEl1)),
        (0x6030_0000_0010_004a, OneReg::Core(CoreReg::SpsrAarch32(0))),
        (0x6030_0000_0010_0050, OneReg::Core(CoreReg::SpsrAarch32(3))),
        (0x6040_0000_0010_0054, OneReg::Core(CoreReg::V(0))),
        (0x6040_0000_0010_00d0, OneReg::Core(CoreReg::V(31))),
        (0x6020_0000_0010_00d4, OneReg::Core(CoreReg::Fpsr)),
        (0x6020_0000_0010_00d5, OneReg::Core(CoreReg::Fpcr)),
        (0x6020_0000_0011_000d, OneReg::CacheSize(13)),
        (0x6030_0000_0013_c080, OneReg::System(name::SCTLR_EL1)),
        (0x6030_0000_0013_c005, OneReg::System(name::MPIDR_EL1)),
        // KVM_REG_ARM_TIMER_CVAL and KVM_REG_ARM_TIMER_CNT.
        (0x6030_0000_0013_df02, OneReg::System(name::CNTV_CVAL_EL0)),
        (0x6030_0000_0013_df1a, OneReg::System(name::CNTVCT_EL0)),
        (
            0x6030_0000_0014_0000,
            OneReg::Firmware(FirmwareReg::PsciVersion),
        ),
        (
            0x6030_0000_0014_0003,
            OneReg::Firmware(FirmwareReg::Workaround3),
        ),
        (
            0x6030_0000_0016_0000,
            OneReg::Firmware(FirmwareReg::Standard),
        ),
        (
            0x6030_0000_0016_0003,
            OneReg::Firmware(FirmwareReg::Vendor2),
        ),
        (0x6080_0000_0015_0000, OneReg::Scalable(ScalableReg::Z(0))),
        (0x6080_0000_0015_03e0, OneReg::Scalable(ScalableReg::Z(31))),
        (0x6050_0000_0015_0400, OneReg::Scalable(ScalableReg::P(0))),
        (0x6050_0000_0015_05e0, OneReg::Scalable(ScalableReg::P(15))),
        (0x6050_0000_0015_0600, OneReg::Scalable(ScalableReg::Ffr)),
        (0x6060_0000_0015_ffff, OneReg::VectorLengths),
    ];
    for (id, register) in known {
        assert_eq!(OneReg::from_id(id), Ok(register), "{id:#x}");
        assert_eq!(register.id(), id, "{register:?}");
    }
}

#[test]
fn errors_are_those_of_the_api() {
    let refused = [
        // Of x86, and of no architecture.
        (0x2030_0000_0010_0000, EINVAL),
        (0x0030_0000_0010_0000, EINVAL),
        (0x6030_0001_0010_0000, EINVAL),
        // In the middle of a register, of another size, in a gap; beyond the end.
        (0x6030_0000_0010_0001, EINVAL),
        (0x6020_0000_0010_0000, EINVAL),
        (0x6030_0000_0010_0052, EINVAL),
        (0x6040_0000_0010_0055, EINVAL),
        (0x6020_0000_0010_00d6, EINVAL),
        (0x6020_0000_0010_00d7, ENOENT),
        (0x6030_0000_0010_ffff, ENOENT),
        (0x60f0_0000_0010_0000, ENOENT),
        (0x6030_0000_1010_0000, ENOENT),
        // Caches.
        (0x6020_0000_0011_000e, ENOENT),
        (0x6030_0000_0011_0000, ENOENT),
        (0x6020_0000_0011_0100, ENOENT),
        (0x6020_0000_1011_0000, ENOENT),
        // System registers are of 64 bits.
        (0x6020_0000_0013_c080, ENOENT),
        (0x6030_0000_8013_c080, ENOENT),
        // Firmware.
        (0x6030_0000_0014_0004, ENOENT),
        (0x6020_0000_0014_0000, ENOENT),
        (0x6030_0000_0016_0004, ENOENT),
        // No such kind.
        (0x6030_0000_0012_0000, ENOENT),
        (0x6030_0000_0000_0000, ENOENT),
        // SVE: slices beyond the first of Z0, Z31, P0, FFR; other sizes, and what is behind.
        (0x6080_0000_0015_0001, ENOENT),
        (0x6080_0000_0015_03ff, ENOENT),
        (0x6050_0000_0015_0401, ENOENT),
        (0x6050_0000_0015_061f, ENOENT),
        (0x6030_0000_0015_0000, EINVAL),
        (0x6050_0000_0015_0000, EINVAL),
        (0x6080_0000_0015_0400, EINVAL),
        (0x6050_0000_0015_0620, EINVAL),
        (0x6080_0000_1015_0000, EINVAL),
        (0x6050_0000_0015_ffff, EINVAL),
    ];
    for (id, error) in refused {
        assert_eq!(OneReg::from_id(id), Err(error), "{id:#x}");
    }
}

#[test]
fn the_core_registers_fill_the_structure() {
    let all: Vec<_> = CoreReg::all().collect();
    assert_eq!(all.len(), 31 + 3 + 2 + 5 + 32 + 2);
    for pair in all.windows(2) {
        let end = pair[0].place() + (pair[0].bytes() / 4) as u32;
        let gap = pair[1].place() - end;
        assert_eq!(gap, if pair[1] == CoreReg::V(0) { 2 } else { 0 });
    }
}

#[test]
fn encodings_come_from_syndromes() {
    // MRS X0, ID_AA64PFR0_EL1: op0 3, op1 0, CRn 0, CRm 4, op2 0.
    assert_eq!(
        SysReg::from_iss(3 << 20 | 4 << 1 | 1),
        name::ID_AA64PFR0_EL1
    );
    // MSR ICC_SGI1R_EL1, X5.
    let iss = 3 << 20 | 5 << 17 | 12 << 10 | 5 << 5 | 11 << 1;
    assert_eq!(SysReg::from_iss(iss), name::ICC_SGI1R_EL1);
}

#[test]
fn modes_that_a_vmm_can_write() {
    use pstate::Aarch32::{Absent, AtEl0};
    for mode in 0..=pstate::MODE {
        let at_el1_or_el0 = matches!(mode, pstate::EL0T | pstate::EL1T | pstate::EL1H);
        let user = mode == pstate::AARCH32_USER;
        assert_eq!(
            pstate::check(mode, Absent).is_ok(),
            at_el1_or_el0,
            "{mode:#x}"
        );
        assert_eq!(
            pstate::check(mode, AtEl0).is_ok(),
            at_el1_or_el0 || user,
            "{mode:#x}"
        );
    }
    assert_eq!(pstate::RESET, 0x3c5);
}

#[test]
fn the_zero_register_is_no_register() {
    let mut regs = CoreRegs::RESET;
    regs.set(31, 1);
    regs.set(30, 2);
    assert_eq!((regs.get(31), regs.get(30)), (0, 2));
    assert_eq!(regs.sp_el0, 0);
}

#[test]
fn an_emulated_instruction_ends_its_step() {
    let mut regs = CoreRegs::RESET;
    regs.pc = u64::MAX - 3;
    regs.pstate |= pstate::SS | pstate::BTYPE;
    regs.skip_instruction(Syndrome::new(Syndrome::IL));
    assert_eq!((regs.pc, regs.pstate), (0, pstate::RESET));
}

proptest! {
    /// An id names at most one register, and that register has no other id.
    #[test]
    fn ids_and_registers_match(size in 0u64..16, kind in 0x0fu64..0x18, number in 0u64..0x1_0000, spare in 0u64..2) {
        let id = 0x6000_0000_0000_0000 | size << 52 | spare << 28 | kind << 16 | number;
        if let Ok(register) = OneReg::from_id(id) {
            prop_assert_eq!(register.id(), id);
            prop_assert_eq!(register.bytes(), 1usize << size);
            prop_assert_eq!(spare, 0);
        }
    }

    #[test]
    fn any_id_has_an_answer(id: u64) {
        let _ = OneReg::from_id(id);
    }

    #[test]
    fn caches_have_ids(selection in 0..CACHES) {
        prop_assert_eq!(OneReg::from_id(OneReg::CacheSize(selection).id()), Ok(OneReg::CacheSize(selection)));
    }
}
