// SPDX-License-Identifier: GPL-2.0

//! What guests see of several processors, and what a VMM can take away.

use kernel::error::code::{EBUSY, EINVAL, ENOENT};
use proptest::prelude::*;

use rkvm_host::arm64::el1::Extension;
use rkvm_host::arm64::features::{Features, PointerAuthentication, ScalableVectors, Start};
use rkvm_host::arm64::id_regs::{
    field::{allows, Field, Order},
    writable_masks, HostIds, IdRegs, Implementation, Stage,
};
use rkvm_host::arm64::regs::pstate::Aarch32;
use rkvm_host::arm64::speculation::{Facts, Speculation};
use rkvm_host::arm64::sysreg::{name::*, SysReg};

/// A processor's registers, from its manual, as far as Linux keeps a common value of them; others are 0.
type Model = &'static [(SysReg, u64)];

/// Neoverse N1.
const N1: Model = &[
    (MIDR_EL1, 0x414f_d0c1),
    (CTR_EL0, 0x8444_c004),
    (ID_AA64PFR0_EL1, 0x1100_0000_1111_1112),
    (ID_AA64PFR1_EL1, 0x20),
    (ID_AA64DFR0_EL1, 0x1_1030_5408),
    (ID_AA64ISAR0_EL1, 0x0000_1000_1021_1120),
    (ID_AA64ISAR1_EL1, 0x10_0001),
    (ID_AA64MMFR0_EL1, 0x10_1125),
    (ID_AA64MMFR1_EL1, 0x1021_2122),
    (ID_AA64MMFR2_EL1, 0x1011),
    (ID_PFR0_EL1, 0x1001_0131),
    (ID_PFR1_EL1, 0x1001_0000),
    (ID_DFR0_EL1, 0x0401_0088),
    (ID_MMFR0_EL1, 0x1020_1105),
    (ID_MMFR4_EL1, 0x0002_1110),
    (ID_ISAR5_EL1, 0x0101_1121),
    (MVFR0_EL1, 0x1011_0222),
];

/// Neoverse V1: SVE, pointer authentication, DIC and IDC.
const V1: Model = &[
    (MIDR_EL1, 0x411f_d402),
    (CTR_EL0, 0xb444_c004),
    (ID_AA64PFR0_EL1, 0x1101_1101_2111_1112),
    (ID_AA64PFR1_EL1, 0x20),
    (ID_AA64ZFR0_EL1, 0x0000_1000_0010_0000),
    (ID_AA64DFR0_EL1, 0x0000_01f2_1030_5519),
    (ID_AA64ISAR0_EL1, 0x1011_1111_1021_2120),
    (ID_AA64ISAR1_EL1, 0x0011_1001_1121_1032),
    (ID_AA64MMFR0_EL1, 0x10_1125),
    (ID_AA64MMFR1_EL1, 0x1021_2122),
    (ID_AA64MMFR2_EL1, 0x0220_0111_0210_1011),
    (ID_DFR0_EL1, 0x1501_1099),
];

/// One with no AArch32 and all that later architectures have.
const LATER: Model = &[
    (CTR_EL0, 0xb444_c004),
    (ID_AA64PFR0_EL1, 0x1301_1111_2111_1111),
    (ID_AA64PFR1_EL1, 0x1111_1111_1111_1321),
    (ID_AA64PFR2_EL1, 0x1_0000_1111),
    (ID_AA64ZFR0_EL1, 0x0110_1100_1111_0021),
    (ID_AA64FPFR0_EL1, 0xf800_0003),
    (ID_AA64DFR0_EL1, 0x1111_f211_1030_551b),
    (ID_AA64ISAR0_EL1, 0x1221_1111_1021_2120),
    (ID_AA64ISAR1_EL1, 0x3011_1111_1121_1052),
    (ID_AA64ISAR2_EL1, 0x0111_0000_1110_5512),
    (ID_AA64ISAR3_EL1, 0x1111_1111),
    (ID_AA64MMFR0_EL1, 0x2100_0322_1111_1126),
    (ID_AA64MMFR1_EL1, 0x1111_1110_1121_2122),
    (ID_AA64MMFR2_EL1, 0x1221_0111_1221_1111),
    (ID_AA64MMFR3_EL1, 0x1111_1111_1111_1111),
    (ID_AA64MMFR4_EL1, 0x0010_0000),
    (ID_PFR0_EL1, 0xffff_ffff),
    (ID_MMFR0_EL1, 0xffff_ffff),
];

const MODELS: [Model; 3] = [N1, V1, LATER];

fn host(model: Model) -> HostIds {
    let read = |register| {
        let entry = model.iter().find(|(name, _)| *name == register);
        entry.map_or(0, |&(_, value)| value)
    };
    HostIds::new(read, Speculation::new(&Facts::default()))
}

fn features(word: u32) -> Features {
    let available = Features::available(PointerAuthentication::Present, ScalableVectors::Present);
    Features::parse([word, 0, 0, 0, 0, 0, 0], available)
        .unwrap()
        .0
}

/// PSCI 0.2, without and with pointer authentication.
fn plain() -> Features {
    features(0x4)
}
fn signing() -> Features {
    features(0x64)
}

fn every_register() -> impl Iterator<Item = SysReg> {
    let ids = (1..8).flat_map(|crm| (0..8).map(move |op2| SysReg::new(3, 0, 0, crm, op2)));
    ids.chain([CTR_EL0, MIDR_EL1, REVIDR_EL1, AIDR_EL1])
}

/// Writes a register of a VM that has not run.
fn write(host: &HostIds, regs: &mut IdRegs, register: SysReg, value: u64) -> kernel::error::Result {
    regs.set(
        host,
        plain(),
        Implementation::Fixed,
        Stage::Setup,
        register,
        value,
    )
}

#[test]
fn guests_of_a_neoverse_n1() {
    let host = host(N1);
    let regs = IdRegs::new(&host, plain());
    let seen = |register| regs.get(register).unwrap();
    // No performance monitors, no SPE; the rest is the processor's.
    assert_eq!(seen(ID_AA64DFR0_EL1), 0x1030_5008);
    assert_eq!(seen(ID_DFR0_EL1), 0x0001_0088);
    for register in [
        CTR_EL0,
        MIDR_EL1,
        ID_AA64PFR0_EL1,
        ID_AA64PFR1_EL1,
        ID_AA64ISAR0_EL1,
        ID_AA64ISAR1_EL1,
        ID_AA64MMFR0_EL1,
        ID_AA64MMFR1_EL1,
        ID_AA64MMFR2_EL1,
        ID_PFR0_EL1,
        ID_ISAR5_EL1,
    ] {
        assert_eq!(seen(register), host.get(register), "{register:?}");
    }
    assert_eq!(host.aarch32(), Aarch32::AtEl0);
    assert_eq!(host.pointer_authentication(), PointerAuthentication::Absent);
}

#[test]
fn guests_of_a_neoverse_v1() {
    let host = host(V1);
    assert_eq!(
        host.pointer_authentication(),
        PointerAuthentication::Present
    );
    let without = IdRegs::new(&host, plain());
    let with = IdRegs::new(&host, signing());
    assert_eq!(without.get(ID_AA64ISAR1_EL1), Some(0x0011_1001_0021_1002));
    assert_eq!(with.get(ID_AA64ISAR1_EL1), Some(0x0011_1001_1121_1032));
    // No SVE, MPAM, activity monitors.
    assert_eq!(with.get(ID_AA64PFR0_EL1), Some(0x1101_0000_2111_1112));
    assert_eq!(with.get(ID_AA64ZFR0_EL1), Some(0));
    let scalable = IdRegs::new(&host, features(0x14));
    assert_eq!(scalable.get(ID_AA64PFR0_EL1), Some(0x1101_0001_2111_1112));
    assert_eq!(
        scalable.get(ID_AA64ZFR0_EL1),
        Some(host.get(ID_AA64ZFR0_EL1))
    );
}

#[test]
fn guests_of_a_later_processor() {
    let host = host(LATER);
    let regs = IdRegs::new(&host, signing());
    let seen = |register| regs.get(register).unwrap();
    assert_eq!(seen(ID_AA64PFR0_EL1), 0x1101_0010_2111_1111);
    // FPMR; TCRX, SCTLRX, S1PIE.
    assert_eq!(seen(ID_AA64PFR2_EL1), 1 << 32);
    assert_eq!(seen(ID_AA64FPFR0_EL1), host.get(ID_AA64FPFR0_EL1));
    assert_eq!(seen(ID_AA64MMFR3_EL1), 0x111);
    for extension in Extension::ALL {
        assert!(regs.has(extension));
        let (register, lowest) = extension.field();
        let mut without = regs.clone();
        let less = seen(register) & !(0xf << lowest);
        assert_eq!(write(&host, &mut without, register, less), Ok(()));
        assert!(!without.has(extension));
    }
    assert_eq!(seen(ID_AA64DFR0_EL1) & 0xf, 10);
    assert_eq!(seen(ID_AA64MMFR2_EL1) >> 24 & 0xf, 0);
    // AArch32's read as 0, and writes to them are ignored.
    assert_eq!(seen(ID_PFR0_EL1), 0);
    let mut regs = regs.clone();
    assert_eq!(write(&host, &mut regs, ID_PFR0_EL1, 0x1234), Ok(()));
    assert_eq!(regs.get(ID_PFR0_EL1), Some(0));
}

#[test]
fn registers_that_are_none_of_these() {
    let regs = IdRegs::new(&host(N1), plain());
    for register in [
        MPIDR_EL1,
        SCTLR_EL1,
        CLIDR_EL1,
        CSSELR_EL1,
        SysReg::new(3, 0, 0, 0, 1),
    ] {
        assert_eq!(regs.get(register), None, "{register:?}");
    }
    let host = host(N1);
    assert_eq!(
        write(&host, &mut IdRegs::new(&host, plain()), MPIDR_EL1, 0),
        Err(ENOENT)
    );
}

#[test]
fn a_vmm_lowers_and_raises_fields() {
    let host = host(N1);
    let mut regs = IdRegs::new(&host, plain());
    let full = regs.get(ID_AA64ISAR0_EL1).unwrap();
    let no_atomics = full & !(0xf << 20);
    assert_eq!(
        write(&host, &mut regs, ID_AA64ISAR0_EL1, no_atomics),
        Ok(())
    );
    assert_eq!(regs.get(ID_AA64ISAR0_EL1), Some(no_atomics));
    assert_eq!(write(&host, &mut regs, ID_AA64ISAR0_EL1, full), Ok(()));
    assert_eq!(
        write(&host, &mut regs, ID_AA64ISAR0_EL1, full + (1 << 20)),
        Err(EINVAL)
    );
    assert_eq!(
        write(&host, &mut regs, ID_AA64ISAR0_EL1, full | 1),
        Err(EINVAL)
    );
    assert_eq!(regs.get(ID_AA64ISAR0_EL1), Some(full));
}

#[test]
fn values_that_are_not_the_vmms_choice() {
    let host = host(N1);
    let mut regs = IdRegs::new(&host, plain());
    let refused = [
        // Without EL0 or EL1 in AArch64, without AdvSIMD.
        (ID_AA64PFR0_EL1, 0x1100_0000_1111_1110),
        (ID_AA64PFR0_EL1, 0x1100_0000_1111_1102),
        (ID_AA64PFR0_EL1, 0x1100_0000_11f1_1112),
        // A debug architecture before Armv8, another number of breakpoints.
        (ID_AA64DFR0_EL1, 0x1030_5005),
        (ID_AA64DFR0_EL1, 0x1030_4008),
        (ID_DFR0_EL1, 0x0001_0085),
        (ID_DFR0_EL1, 0x0101_0088),
        // Reserved instruction caches; lines that are larger than the processor's.
        (CTR_EL0, 0x8444_0004),
        (CTR_EL0, 0x8444_4004),
        (CTR_EL0, 0x8445_c004),
        (ID_AA64MMFR1_EL1, 0x1021_2112),
        (MIDR_EL1, 0),
        (SysReg::new(3, 0, 0, 4, 3), 1),
    ];
    for (register, value) in refused {
        assert_eq!(
            write(&host, &mut regs, register, value),
            Err(EINVAL),
            "{register:?}"
        );
    }
    // A virtually indexed cache in place of a physically indexed one; a PMU of the vendor's own, which is none.
    assert_eq!(write(&host, &mut regs, CTR_EL0, 0x8444_8004), Ok(()));
    assert_eq!(
        write(&host, &mut regs, ID_AA64DFR0_EL1, 0x1030_5f08),
        Ok(())
    );
    assert_eq!(regs.get(ID_AA64DFR0_EL1), Some(0x1030_5008));
    assert_eq!(write(&host, &mut regs, ID_DFR0_EL1, 0x0f01_0088), Ok(()));
    assert_eq!(regs.get(ID_DFR0_EL1), Some(0x0001_0088));
}

#[test]
fn what_earlier_versions_showed_can_be_written_back() {
    let host = host(V1);
    let mut regs = IdRegs::new(&host, plain());
    let pfr0 = regs.get(ID_AA64PFR0_EL1).unwrap();
    let with_mpam = pfr0 | host.get(ID_AA64PFR0_EL1) & 0xf << 40;
    assert_ne!(pfr0, with_mpam);
    assert_eq!(write(&host, &mut regs, ID_AA64PFR0_EL1, with_mpam), Ok(()));
    assert_eq!(regs.get(ID_AA64PFR0_EL1), Some(pfr0));
    let mmfr2 = host.get(ID_AA64MMFR2_EL1);
    assert_eq!(
        write(&host, &mut regs, ID_AA64MMFR2_EL1, mmfr2 & !(0xf << 20)),
        Ok(())
    );
}

#[test]
fn a_running_vm_keeps_its_registers() {
    let host = host(N1);
    let mut regs = IdRegs::new(&host, plain());
    for register in every_register() {
        let value = regs.get(register).unwrap();
        let mut set = |value| {
            let fixed = Implementation::Writable;
            regs.set(&host, plain(), fixed, Stage::Running, register, value)
        };
        assert_eq!(set(value), Ok(()), "{register:?}");
        if !matches!(
            register,
            ID_AA64DFR0_EL1 | ID_DFR0_EL1 | ID_AA64PFR0_EL1 | CTR_EL0
        ) {
            assert_eq!(set(value ^ 1 << 12), Err(EBUSY), "{register:?}");
        }
    }
}

#[test]
fn another_make_of_processor() {
    let host = host(N1);
    let mut regs = IdRegs::new(&host, plain());
    let mut set =
        |how, register, value| regs.set(&host, plain(), how, Stage::Setup, register, value);
    assert_eq!(set(Implementation::Fixed, MIDR_EL1, 0x414f_d0c1), Ok(()));
    assert_eq!(
        set(Implementation::Fixed, MIDR_EL1, 0x414f_d0c2),
        Err(EINVAL)
    );
    assert_eq!(set(Implementation::Writable, MIDR_EL1, 0x414f_d0c2), Ok(()));
    assert_eq!(
        set(Implementation::Writable, MIDR_EL1, 1 << 32),
        Err(EINVAL)
    );
    assert_eq!(set(Implementation::Writable, AIDR_EL1, 1 << 63), Ok(()));
}

#[test]
fn without_an_interrupt_controller_there_is_no_cpu_interface() {
    let mut regs = IdRegs::new(&host(N1), plain());
    assert_eq!(regs.field(ID_AA64PFR0_EL1, 24), 1);
    regs.remove_gic();
    assert_eq!(regs.get(ID_AA64PFR0_EL1), Some(0x1100_0000_1011_1112));
    assert_eq!(regs.get(ID_PFR1_EL1), Some(0x0001_0000));
}

/// What KVM_ARM_GET_REG_WRITABLE_MASKS of C KVM (Linux 7.2) says.
#[test]
fn masks_are_those_of_c_kvm() {
    let masks = writable_masks(Aarch32::AtEl0);
    let at = |register: SysReg| {
        let op1 = [0, 1, 0, 2][usize::from(register.op1())];
        masks[op1 << 6 | usize::from(register.crm()) << 3 | usize::from(register.op2())]
    };
    assert_eq!(at(ID_AA64PFR0_EL1), 0xffff_00f0_ff00_ffff);
    assert_eq!(at(ID_AA64DFR0_EL1), 0x0000_00f0_00f0_0f0f);
    assert_eq!(at(ID_AA64ISAR3_EL1), 0xff0f_00f0);
    assert_eq!(at(CTR_EL0), 0x300f_c00f);
    assert_eq!(at(CLIDR_EL1), 0x7fff_ffff_ffff);
    assert_eq!(at(MIDR_EL1), 0xffff_ffff);
    assert_eq!(at(ID_PFR0_EL1), 0xffff_ffff);
    assert_eq!(at(ID_AFR0_EL1), 0);
    assert_eq!(at(MPIDR_EL1), 0);
    let without = writable_masks(Aarch32::Absent);
    assert!(without[8..32].iter().all(|&mask| mask == 0));
}

#[test]
fn orders_of_fields() {
    let field = |order| Field::nibble(0, order);
    let all = 0xf;
    assert!(allows(0xf, 1, all, &[field(Order::LowerSigned)]));
    assert!(!allows(0xf, 1, all, &[]));
    assert!(!allows(0, 0xf, all, &[field(Order::LowerSigned)]));
    assert!(allows(2, 1, all, &[field(Order::Higher)]));
    assert!(!allows(0, 1, all, &[field(Order::Higher)]));
    assert!(allows(1, 3, all, &[field(Order::Only(1))]));
    assert!(!allows(2, 3, all, &[field(Order::Only(1))]));
    assert!(!allows(0, 1, 0x7, &[]));
}

#[test]
fn features_of_a_vcpu() {
    use PointerAuthentication::{Absent, Present};
    let parse = |first, second, signing| {
        let available = Features::available(signing, ScalableVectors::Absent);
        Features::parse([first, second, 0, 0, 0, 0, 0], available)
    };
    assert_eq!(parse(0x5, 0, Absent), Ok((plain(), Start::WhenTurnedOn)));
    assert_eq!(parse(0, 0, Absent), Ok((Features::default(), Start::Now)));
    assert_eq!(parse(1 << 9, 0, Present), Err(ENOENT));
    assert_eq!(parse(0, 1, Present), Err(ENOENT));
    // AArch32 at EL1, a PMU, SVE, EL2; half of pointer authentication.
    for bit in [1, 3, 4, 5, 6, 7, 8] {
        assert_eq!(parse(1 << bit, 0, Present), Err(EINVAL), "{bit}");
    }
    assert_eq!(parse(0x60, 0, Absent), Err(EINVAL));
    assert!(parse(0x60, 0, Present).is_ok());
    assert!(plain().has_psci_0_2() && !features(0x60).has_psci_0_2());
}

proptest! {
    /// Guests see no field that the host does not have, and a VMM can write all that they see.
    #[test]
    fn guests_see_no_more_than_the_host_has(model in 0usize..3, signs: bool) {
        let host = host(MODELS[model]);
        let features = if signs { signing() } else { plain() };
        let mut regs = IdRegs::new(&host, features);
        for register in every_register() {
            let seen = regs.get(register).unwrap();
            for lowest in (0..64).step_by(4) {
                let (seen, has) = (seen >> lowest & 0xf, host.get(register) >> lowest & 0xf);
                prop_assert!(seen == 0 || seen <= has || (register, lowest) == (ID_AA64PFR0_EL1, 24));
            }
            let how = Implementation::Fixed;
            prop_assert_eq!(regs.set(&host, features, how, Stage::Setup, register, seen), Ok(()));
        }
    }

    /// Whatever a VMM writes, either it is refused, or it is what guests see then, and can be written again.
    #[test]
    fn accepted_values_stay(model in 0usize..3, register in 0usize..60, value: u64, mask: u64) {
        let host = host(MODELS[model]);
        let mut regs = IdRegs::new(&host, plain());
        let register = every_register().nth(register).unwrap();
        let limit = regs.get(register).unwrap();
        let wanted = limit & !mask | value & mask;
        if write(&host, &mut regs, register, wanted).is_ok() {
            let seen = regs.get(register).unwrap();
            prop_assert_eq!(write(&host, &mut regs, register, seen), Ok(()));
            prop_assert_eq!(regs.get(register), Some(seen));
            prop_assert_eq!(write(&host, &mut regs, register, limit), Ok(()));
        } else {
            prop_assert_eq!(regs.get(register), Some(limit));
        }
    }

    /// Each field of a writable register can be 0 by itself, where 0 is the least.
    #[test]
    fn fields_can_go_one_by_one(lowest in (0u32..16).prop_map(|n| n * 4)) {
        let host = host(N1);
        let mut regs = IdRegs::new(&host, plain());
        for register in [ID_AA64ISAR0_EL1, ID_AA64MMFR2_EL1, ID_ISAR5_EL1, MVFR0_EL1] {
            let without = regs.get(register).unwrap() & !(0xf << lowest);
            prop_assert_eq!(write(&host, &mut regs, register, without), Ok(()));
            prop_assert_eq!(regs.get(register), Some(without));
        }
    }
}
