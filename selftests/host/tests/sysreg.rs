// SPDX-License-Identifier: GPL-2.0

//! System registers of arm64 guests: what they are, trapped accesses, caches.

use std::collections::BTreeSet;

use kernel::error::code::EINVAL;
use proptest::prelude::*;

use rkvm_host::arm64::el1::El1Reg;
use rkvm_host::arm64::features::Features;
use rkvm_host::arm64::id_regs::{HostIds, IdRegs};
use rkvm_host::arm64::one_reg::CACHES;
use rkvm_host::arm64::speculation::{Facts, Speculation};
use rkvm_host::arm64::sysreg::cache::{check_levels, levels, Sizes};
use rkvm_host::arm64::sysreg::kept::KeptRegs;
use rkvm_host::arm64::sysreg::role::{all, role, Bank, Kept, Role, TimerPart};
use rkvm_host::arm64::sysreg::trap::{access, Access, Effect, Operation};
use rkvm_host::arm64::sysreg::{name::*, SysReg};
use rkvm_host::arm64::timer::Which;
use rkvm_host::arm64::vgic::gic::sgi::Register;

/// CTR_EL0 of a Neoverse N1, whose caches need maintenance, and of a V1, whose do not; lines of 64 bytes.
const CTR_N1: u64 = 0x8444_c004;
const CTR_V1: u64 = 0xb444_c004;

fn ids(pfr0: u64, mmfr1: u64) -> IdRegs {
    let read = |register| match register {
        ID_AA64PFR0_EL1 => pfr0,
        ID_AA64MMFR1_EL1 => mmfr1,
        CTR_EL0 => CTR_N1,
        _ => 0,
    };
    let host = HostIds::new(read, Speculation::new(&Facts::default()));
    IdRegs::new(&host, Features::default())
}

fn read(kept: &mut KeptRegs, register: SysReg) -> Effect {
    let operation = Operation::Read;
    access(
        Access {
            register,
            operation,
        },
        &ids(0x1000_0011, 0x1_0000),
        kept,
    )
}

fn write(kept: &mut KeptRegs, register: SysReg, value: u64) -> Effect {
    let operation = Operation::Write(value);
    access(
        Access {
            register,
            operation,
        },
        &ids(0x1000_0011, 0x1_0000),
        kept,
    )
}

#[test]
fn every_register_has_one_role() {
    let mut seen = BTreeSet::new();
    for (register, expected) in all() {
        assert_eq!(role(register), Some(expected), "{register:?}");
        assert!(seen.insert(register), "{register:?}");
    }
    // Every encoding that has a role is one of them.
    for raw in 0..=u16::MAX {
        let register = SysReg::from_raw(raw);
        assert_eq!(
            role(register).is_some(),
            seen.contains(&register),
            "{register:?}"
        );
    }
}

#[test]
fn registers_that_a_vmm_can_name() {
    let listed: BTreeSet<_> = all()
        .filter(|(_, role)| role.is_listed(Features::default()))
        .map(|(register, _)| register)
        .collect();
    for register in [
        SCTLR_EL1,
        TTBR1_EL1,
        TPIDRRO_EL0,
        MPIDR_EL1,
        MIDR_EL1,
        CTR_EL0,
        CLIDR_EL1,
        OSLSR_EL1,
        MDSCR_EL1,
        CNTP_CTL_EL0,
        CNTV_CVAL_EL0,
        CNTVCT_EL0,
        CNTPCT_EL0,
        DACR32_EL2,
        ID_AFR0_EL1,
        SysReg::new(2, 0, 0, 15, 7),
    ] {
        assert!(listed.contains(&register), "{register:?}");
    }
    for register in [
        SPSR_EL1,
        ELR_EL1,
        SP_EL1,
        CCSIDR_EL1,
        OSLAR_EL1,
        CNTVCTSS_EL0,
        CNTV_TVAL_EL0,
        ERRIDR_EL1,
        ICC_SRE_EL1,
        APIAKEYLO_EL1,
    ] {
        assert!(!listed.contains(&register), "{register:?}");
    }
}

#[test]
fn accesses_to_registers_of_the_vcpu() {
    let mut kept = KeptRegs::new(17, CTR_N1);
    assert_eq!(read(&mut kept, MPIDR_EL1), Effect::Done(0x8000_0101));
    assert_eq!(write(&mut kept, MPIDR_EL1, 0), Effect::Undefined);
    assert_eq!(write(&mut kept, ACTLR_EL1, 1), Effect::Done(0));
    assert_eq!(read(&mut kept, ACTLR_EL1), Effect::Done(0));
    assert_eq!(read(&mut kept, SCTLR_EL1), Effect::El1(El1Reg::Sctlr));
    assert_eq!(read(&mut kept, CTR_EL0), Effect::Done(CTR_N1));
    assert_eq!(write(&mut kept, CTR_EL0, 0), Effect::Undefined);
    // One that is allocated to no purpose, in the space of features, and one outside of it.
    assert_eq!(read(&mut kept, SysReg::new(3, 0, 0, 7, 7)), Effect::Done(0));
    assert_eq!(
        read(&mut kept, SysReg::new(3, 0, 0, 0, 1)),
        Effect::Undefined
    );
    for register in [DBGVCR32_EL2, DACR32_EL2, IFSR32_EL2, FPEXC32_EL2] {
        assert_eq!(read(&mut kept, register), Effect::Undefined);
    }
    assert_eq!(kept.get(Kept::Fpexc32), 0x700);
}

#[test]
fn accesses_that_others_carry_out() {
    let mut kept = KeptRegs::new(0, CTR_N1);
    assert_eq!(
        write(&mut kept, ICC_SGI1R_EL1, 5),
        Effect::Sgi(Register::Sgi1, 5)
    );
    assert_eq!(read(&mut kept, ICC_SGI1R_EL1), Effect::Undefined);
    assert_eq!(read(&mut kept, ICC_SRE_EL1), Effect::GicEnable);
    assert_eq!(write(&mut kept, ICC_DIR_EL1, 3), Effect::GicDeactivate(3));
    assert_eq!(write(&mut kept, DC_CISW, 0), Effect::SetWay);
    let timer = Effect::Timer(Which::Physical, TimerPart::Distance);
    assert_eq!(write(&mut kept, CNTP_TVAL_EL0, 9), timer);
    assert_eq!(write(&mut kept, CNTPCT_EL0, 9), Effect::Undefined);
    let counter = Effect::Timer(Which::Virtual, TimerPart::OrderedCounter);
    assert_eq!(read(&mut kept, CNTVCTSS_EL0), counter);
}

#[test]
fn debug_registers() {
    let mut kept = KeptRegs::new(0, CTR_N1);
    let watchpoint = SysReg::new(2, 0, 0, 3, 6);
    assert_eq!(write(&mut kept, watchpoint, 0x1000), Effect::Debugging);
    assert_eq!(read(&mut kept, watchpoint), Effect::Done(0x1000));
    assert_eq!(kept.debug.get(Bank::WatchpointValue, 3), 0x1000);
    assert_eq!(kept.debug.get(Bank::BreakpointValue, 3), 0);
    assert_eq!(write(&mut kept, MDSCR_EL1, 1 << 15), Effect::Debugging);
    assert_eq!(read(&mut kept, MDSCR_EL1), Effect::Done(1 << 15));
    assert_eq!(read(&mut kept, OSLSR_EL1), Effect::Done(8));
    assert_eq!(write(&mut kept, OSLAR_EL1, 1), Effect::Debugging);
    assert_eq!(read(&mut kept, OSLSR_EL1), Effect::Done(10));
    assert!(kept.os_lock_is_taken());
    assert_eq!(kept.set(Kept::OsLock, 0), Err(EINVAL));
    assert_eq!(kept.set(Kept::OsLock, 8), Ok(()));
    assert_eq!(read(&mut kept, OSLAR_EL1), Effect::Undefined);
    assert_eq!(write(&mut kept, OSLSR_EL1, 8), Effect::Undefined);
    assert_eq!(write(&mut kept, OSDLR_EL1, 1), Effect::Done(0));
    kept.reset();
    assert_eq!(kept.debug.get(Bank::WatchpointValue, 3), 0);
}

#[test]
fn registers_of_features() {
    let mut kept = KeptRegs::new(0, CTR_N1);
    let mut read = |register, ras: u64, lo: u64| {
        let operation = Operation::Read;
        let ids = ids(ras << 28 | 0x11, lo << 16);
        access(
            Access {
                register,
                operation,
            },
            &ids,
            &mut kept,
        )
    };
    assert_eq!(read(ERRIDR_EL1, 0, 0), Effect::Undefined);
    assert_eq!(read(ERRIDR_EL1, 1, 0), Effect::Done(0));
    assert_eq!(read(ERXMISC3_EL1, 1, 0), Effect::Undefined);
    assert_eq!(read(ERXMISC3_EL1, 2, 0), Effect::Done(0));
    assert_eq!(read(LORSA_EL1, 1, 0), Effect::Undefined);
    assert_eq!(read(LORSA_EL1, 1, 1), Effect::Done(0));
    assert_eq!(write(&mut kept, LORSA_EL1, 1), Effect::Done(0));
    assert_eq!(write(&mut kept, LORID_EL1, 1), Effect::Undefined);
}

#[test]
fn levels_of_cache() {
    // Separate caches of level 1 that need maintenance up to there.
    assert_eq!(levels(CTR_N1 & !(1 << 28)), 0x0920_0003);
    // Unified: at level 2 beside instructions at 1, or alone.
    assert_eq!(levels(CTR_N1 | 1 << 28), 0x0200_0021);
    assert_eq!(levels(CTR_V1), 0x0100_0004);
    for ctr in [CTR_N1, CTR_V1, CTR_N1 | 1 << 28] {
        assert_eq!(check_levels(levels(ctr), ctr), Ok(()));
        assert_eq!(check_levels(1 << 47, ctr), Err(EINVAL));
    }
    assert_eq!(check_levels(0x0100_0004, CTR_N1), Err(EINVAL));
    assert_eq!(check_levels(0, CTR_N1), Err(EINVAL));
    assert_eq!(check_levels(0, CTR_V1), Ok(()));
}

#[test]
fn sizes_of_caches() {
    let mut sizes = Sizes::DEFAULT;
    // One set, one way, lines of 64 bytes.
    assert_eq!(sizes.get(0, CTR_N1), 2);
    assert_eq!(sizes.selected(0x1c, CTR_N1), 2);
    assert_eq!(sizes.selected(14, CTR_N1), 0);
    assert_eq!(sizes.set(0, 1, CTR_N1), Err(EINVAL));
    assert_eq!(sizes.set(0, 0xf000_0002, CTR_N1), Ok(()));
    assert_eq!(sizes.get(0, CTR_N1), 0xf000_0002);
    assert_eq!(sizes.set(3, 0x1ff_e01a, CTR_N1), Ok(()));
    assert_eq!(sizes.get(3, CTR_N1), 0x1ff_e01a);
    assert_eq!(sizes.get(2, CTR_N1), 2);
    assert_eq!(sizes.set(3, 2, CTR_N1), Ok(()));
    assert_eq!(sizes.get(3, CTR_N1), 2);
}

proptest! {
    #[test]
    fn any_access_has_an_effect(raw: u16, value: u64, pfr0: u64, mmfr1: u64, reads: bool) {
        let mut kept = KeptRegs::new(u32::from(raw), value);
        let register = SysReg::from_raw(raw);
        let operation = if reads { Operation::Read } else { Operation::Write(value) };
        let effect = access(Access { register, operation }, &ids(pfr0, mmfr1), &mut kept);
        prop_assert!(role(register).is_some() || effect == Effect::Undefined);
    }

    /// What a VMM reads it can write, and then reads again.
    #[test]
    fn a_vmm_gets_back_what_it_writes(writes in prop::collection::vec((0usize..200, any::<u64>()), 0..40), ctr: u64) {
        let mut kept = KeptRegs::new(3, ctr);
        let registers: Vec<_> = all()
            .filter_map(|(_, role)| match role { Role::Kept(register) => Some(register), _ => None })
            .collect();
        for (index, value) in writes {
            let register = registers[index % registers.len()];
            let before = kept.get(register);
            let expected = if kept.set(register, value).is_ok() { value } else { before };
            prop_assert_eq!(kept.get(register), expected);
            prop_assert_eq!(kept.set(register, expected), Ok(()));
        }
        for selection in 0..CACHES {
            let value = kept.cache(selection);
            prop_assert!(value & 7 == value);
        }
    }

    #[test]
    fn sizes_stay(selection in 0..CACHES, value: u32, ctr in Just(CTR_N1)) {
        let mut sizes = Sizes::DEFAULT;
        if sizes.set(selection, value, ctr).is_ok() {
            prop_assert_eq!(sizes.get(selection, ctr), value);
            prop_assert_eq!(sizes.selected(selection.into(), ctr), value);
        }
    }
}
