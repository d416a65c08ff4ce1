// SPDX-License-Identifier: GPL-2.0

//! Register rules, segments and the reset state.

use proptest::prelude::*;
use rkvm_host::x86::regs::reset;
use rkvm_host::x86::regs::rules::*;
use rkvm_host::x86::regs::segment::*;
use rkvm_host::x86::regs::*;

const GP: GeneralProtection = GeneralProtection;

fn full_limits() -> RegisterLimits {
    let optional = Cr4::OSXSAVE
        .with(Cr4::SMEP)
        .with(Cr4::SMAP)
        .with(Cr4::FSGSBASE)
        .with(Cr4::UMIP)
        .with(Cr4::PCIDE);
    RegisterLimits {
        cr4: RegisterLimits::default().cr4.with(optional),
        efer: Efer::SUPPORTED,
        xcr0: Xcr0::SUPPORTED,
        physical_bits: PhysicalBits::new(39),
    }
}

fn real_mode() -> PagingState {
    PagingState {
        cr0: reset::CR0,
        ..PagingState::default()
    }
}

fn long_mode() -> PagingState {
    PagingState {
        cr0: Cr0::PE.with(Cr0::PG).with(Cr0::ET).with(Cr0::NE),
        cr3: 0x1000,
        cr4: Cr4::PAE,
        efer: Efer::LME.with(Efer::LMA),
    }
}

fn pae_mode() -> PagingState {
    PagingState {
        efer: Efer::default(),
        ..long_mode()
    }
}

#[test]
fn sregs_of_the_usual_modes_are_valid() {
    let limits = full_limits();
    assert!(real_mode().validate(CodeSegment::Other, &limits).is_ok());
    assert!(pae_mode().validate(CodeSegment::Other, &limits).is_ok());
    assert!(long_mode().validate(CodeSegment::Long, &limits).is_ok());
    assert!(long_mode().validate(CodeSegment::Other, &limits).is_ok());
    let before_paging = PagingState {
        efer: Efer::LME,
        ..real_mode()
    };
    assert!(before_paging.validate(CodeSegment::Other, &limits).is_ok());
}

#[test]
fn contradicting_sregs_are_refused() {
    let limits = full_limits();
    let (long, real) = (long_mode(), real_mode());
    let cases = [
        PagingState {
            cr4: Cr4::default(),
            ..long
        },
        PagingState {
            efer: Efer::LME,
            ..long
        },
        PagingState {
            efer: Efer::LMA,
            ..long
        },
        PagingState {
            efer: Efer::LMA,
            ..real
        },
        PagingState {
            cr3: 1 << 39,
            ..long
        },
        PagingState {
            cr3: 1 << 63,
            ..long
        },
        PagingState {
            cr4: Cr4::PAE.with(Cr4::LA57),
            ..long
        },
        PagingState {
            cr4: Cr4::PAE.with(Cr4::VMXE),
            ..long
        },
        PagingState {
            cr4: Cr4::new(1 << 40),
            ..real
        },
        PagingState {
            cr0: Cr0::new(1 << 32 | 1),
            ..real
        },
        PagingState {
            cr0: Cr0::PG,
            ..real
        },
        PagingState {
            cr0: Cr0::NW,
            ..real
        },
        PagingState {
            efer: Efer::new(1 << 12),
            ..real
        },
    ];
    for (number, state) in cases.iter().enumerate() {
        let result = state.validate(CodeSegment::Other, &limits);
        assert!(result.is_err(), "case {number}: {state:x?}");
    }
    assert!(real.validate(CodeSegment::Long, &limits).is_err());
    assert!(pae_mode().validate(CodeSegment::Long, &limits).is_err());
}

#[test]
fn features_that_cpuid_lacks_are_refused() {
    let limits = RegisterLimits::default();
    assert!(real_mode().validate(CodeSegment::Other, &limits).is_ok());
    assert!(long_mode().validate(CodeSegment::Long, &limits).is_err());
    let smep = PagingState {
        cr4: Cr4::SMEP,
        ..real_mode()
    };
    assert!(smep.validate(CodeSegment::Other, &limits).is_err());
    let execute_disable = PagingState {
        efer: Efer::NXE,
        ..real_mode()
    };
    assert!(execute_disable
        .validate(CodeSegment::Other, &limits)
        .is_err());
}

#[test]
fn enabling_paging_enters_long_mode() {
    let before = PagingState {
        cr0: Cr0::PE.with(Cr0::ET),
        cr4: Cr4::PAE,
        efer: Efer::LME,
        cr3: 0,
    };
    let paging = before.cr0.with(Cr0::PG).raw();
    let (after, pdptes) = before.write_cr0(paging, CodeSegment::Other).unwrap();
    assert!(after.is_long_mode());
    assert_eq!(pdptes, Pdptes::Keep);
    let back = after
        .write_cr0(Cr0::PE.raw(), CodeSegment::Other)
        .unwrap()
        .0;
    assert_eq!(back.efer, Efer::LME);
    assert_eq!(back.cr0, Cr0::PE.with(Cr0::ET));
    // 64-bit code cannot turn paging off, and PAE must be on.
    assert_eq!(after.write_cr0(Cr0::PE.raw(), CodeSegment::Long), Err(GP));
    assert_eq!(before.write_cr0(paging, CodeSegment::Long), Err(GP));
    let without_pae = PagingState {
        cr4: Cr4::default(),
        ..before
    };
    assert_eq!(without_pae.write_cr0(paging, CodeSegment::Other), Err(GP));
}

#[test]
fn cr0_faults_and_ignored_bits() {
    let state = real_mode();
    for bad in [Cr0::PG.raw(), Cr0::NW.raw(), 1 << 32, 1 << 63 | 1] {
        assert_eq!(state.write_cr0(bad, CodeSegment::Other), Err(GP));
    }
    let (after, _) = state.write_cr0(0x1ff8_ffc1, CodeSegment::Other).unwrap();
    assert_eq!(after.cr0, Cr0::PE.with(Cr0::ET));
    let pcid = PagingState {
        cr4: Cr4::PAE.with(Cr4::PCIDE),
        ..long_mode()
    };
    assert_eq!(pcid.write_cr0(1, CodeSegment::Other), Err(GP));
}

#[test]
fn pae_paging_reloads_the_pdptes() {
    let limits = full_limits();
    let state = pae_mode();
    let off = PagingState {
        cr0: state.cr0.without(Cr0::PG),
        ..state
    };
    let (_, pdptes) = off.write_cr0(state.cr0.raw(), CodeSegment::Other).unwrap();
    assert_eq!(pdptes, Pdptes::Load);
    let toggled = state.cr0.with(Cr0::TS).raw();
    assert_eq!(
        state.write_cr0(toggled, CodeSegment::Other).unwrap().1,
        Pdptes::Keep
    );
    let global = state.cr4.with(Cr4::PGE).raw();
    assert_eq!(state.write_cr4(global, &limits).unwrap().1, Pdptes::Load);
    assert_eq!(
        long_mode().write_cr4(global, &limits).unwrap().1,
        Pdptes::Keep
    );
    let unrelated = state.cr4.with(Cr4::OSFXSR).raw();
    assert_eq!(state.write_cr4(unrelated, &limits).unwrap().1, Pdptes::Keep);
}

#[test]
fn cr4_rules() {
    let limits = full_limits();
    let long = long_mode();
    assert_eq!(long.write_cr4(0, &limits), Err(GP));
    assert_eq!(
        long.write_cr4((Cr4::PAE.with(Cr4::LA57)).raw(), &limits),
        Err(GP)
    );
    assert_eq!(real_mode().write_cr4(Cr4::VMXE.raw(), &limits), Err(GP));
    let pcid = Cr4::PAE.with(Cr4::PCIDE).raw();
    assert!(long.write_cr4(pcid, &limits).is_ok());
    let low_bits = PagingState {
        cr3: 0x1018,
        ..long
    };
    assert_eq!(low_bits.write_cr4(pcid, &limits), Err(GP));
    assert_eq!(pae_mode().write_cr4(pcid, &limits), Err(GP));
}

#[test]
fn lmsw_cannot_clear_pe() {
    let state = PagingState {
        cr0: Cr0::PE.with(Cr0::TS).with(Cr0::WP),
        ..real_mode()
    };
    assert_eq!(state.machine_status_word(0), (Cr0::PE.with(Cr0::WP)).raw());
    assert_eq!(
        real_mode().machine_status_word(0xffff),
        reset::CR0.raw() | 0xf
    );
}

#[test]
fn efer_rules() {
    let limits = full_limits();
    let real = real_mode();
    assert_eq!(real.write_efer(0xd01, &limits), Ok(Efer::new(0x901)));
    assert_eq!(real.write_efer(1 << 9, &limits), Err(GP));
    let long = long_mode();
    assert_eq!(long.write_efer(Efer::SCE.raw(), &limits), Err(GP));
    assert_eq!(long.write_efer(0x101, &limits), Ok(Efer::new(0x501)));
    let poor = RegisterLimits::default();
    assert_eq!(real.write_efer(Efer::NXE.raw(), &poor), Err(GP));
    // A VMM may set what CPUID, which may come later, does not give yet.
    assert_eq!(real.set_efer(0x901), Ok(Efer::new(0x901)));
    assert_eq!(real.set_efer(1 << 12), Err(GP));
}

#[test]
fn xcr0_rules() {
    let limits = full_limits();
    for valid in [1, 3, 7, 0xe7] {
        assert_eq!(write_xcr(0, valid, &limits), Ok(Xcr0::new(valid)));
    }
    for bad in [0, 2, 5, 0x27, 0xe3, 0x67, 0x1b, 1 << 9 | 1, 1 << 63 | 1] {
        assert_eq!(write_xcr(0, bad, &limits), Err(GP), "{bad:#x}");
    }
    assert_eq!(write_xcr(1, 1, &limits), Err(GP));
    let poor = RegisterLimits::default();
    assert_eq!(write_xcr(0, 1, &poor), Ok(Xcr0::X87));
    assert_eq!(write_xcr(0, 3, &poor), Err(GP));
}

#[test]
fn debug_register_rules() {
    assert_eq!(write_dr6(0).unwrap().raw(), 0xffff_0ff0);
    assert_eq!(write_dr6(0xffff_ffff).unwrap().raw(), 0xffff_efff);
    assert_eq!(write_dr6(1 << 32), Err(GP));
    assert_eq!(write_dr7(0).unwrap().raw(), 0x400);
    assert_eq!(write_dr7(0xffff_ffff).unwrap().raw(), 0xffff_27ff);
    assert_eq!(write_dr7(1 << 63), Err(GP));
}

#[test]
fn canonical_addresses() {
    for good in [0, 0x7fff_ffff_ffff, 0xffff_8000_0000_0000, u64::MAX] {
        assert!(is_canonical(good));
    }
    for bad in [0x8000_0000_0000, 0xffff_7fff_ffff_ffff, 1 << 63] {
        assert!(!is_canonical(bad));
    }
}

#[test]
fn physical_bits_stay_in_range() {
    assert_eq!(PhysicalBits::new(255).reserved(), 0xfff0_0000_0000_0000);
    assert_eq!(PhysicalBits::new(0).reserved(), u64::MAX);
    assert_eq!(PhysicalBits::new(36).reserved(), 0xffff_fff0_0000_0000);
}

#[test]
fn reset_state() {
    let rights = |register| reset::segment(register).access_rights(register).raw();
    assert_eq!(rights(SegmentRegister::Cs), 0x9b);
    assert_eq!(rights(SegmentRegister::Ds), 0x93);
    assert_eq!(rights(SegmentRegister::Ldtr), 0x82);
    assert_eq!(rights(SegmentRegister::Tr), 0x8b);
    let cs = reset::segment(SegmentRegister::Cs);
    assert_eq!(cs.base + reset::RIP, 0xffff_fff0);
    assert_eq!((cs.selector, cs.limit), (0xf000, 0xffff));
    assert_eq!(reset::CR0.raw(), 0x6000_0010);
    assert_eq!(reset::RFLAGS.raw(), 2);
}

#[test]
fn segments_become_access_rights() {
    let code = Segment {
        kind: 0xa,
        present: 1,
        dpl: 3,
        s: 1,
        l: 1,
        g: 1,
        avl: 1,
        ..Segment::default()
    };
    let rights = code.access_rights(SegmentRegister::Cs);
    assert_eq!(rights.raw(), 0xb0fb);
    assert!(rights.is_long() && !rights.is_default_32() && !rights.is_unusable());
    assert_eq!(rights.dpl(), 3);
    let absent = Segment::default().access_rights(SegmentRegister::Ldtr);
    assert_eq!(absent.raw(), 1 << 16);
    assert_eq!(std::mem::size_of::<Segment>(), 24);
}

proptest! {
    /// What the VMCS holds comes back from the form that VMMs see.
    #[test]
    fn access_rights_round_trip(raw in 0u32..=0xf0ff, selector: u16, base: u64, limit: u32) {
        let usable = AccessRights::new(raw & !0xf00 | 0x81);
        let segment = Segment::from_vmcs(selector, base, limit, usable);
        prop_assert_eq!(segment.access_rights(SegmentRegister::Es), usable);
        let unusable = AccessRights::new(1 << 16);
        let segment = Segment::from_vmcs(selector, base, limit, unusable);
        prop_assert_eq!(segment.access_rights(SegmentRegister::Ldtr), unusable);
        prop_assert_eq!((segment.selector, segment.base, segment.limit), (selector, base, limit));
    }

    /// Nothing a VMM or guest writes panics, and what is accepted is consistent.
    #[test]
    fn accepted_writes_are_valid(cr0: u64, cr4: u64, efer: u64, value: u64) {
        let limits = full_limits();
        let state = PagingState {
            cr0: Cr0::new(cr0),
            cr3: 0,
            cr4: Cr4::new(cr4),
            efer: Efer::new(efer & 0xd01),
        };
        for code in [CodeSegment::Long, CodeSegment::Other] {
            if state.validate(code, &limits).is_ok() {
                for written in [value, value & 0xe005_003f, value & 0x8000_0001] {
                    if let Ok((after, _)) = state.write_cr0(written, code) {
                        prop_assert!(after.validate(CodeSegment::Other, &limits).is_ok());
                    }
                }
                if let Ok((after, _)) = state.write_cr4(value & 0x3f_ffff, &limits) {
                    prop_assert!(after.validate(code, &limits).is_ok());
                }
            }
        }
        let _ = write_xcr(value as u32, cr0, &limits);
        let _ = (write_dr6(value), write_dr7(value), state.machine_status_word(value as u16));
    }
}
