// SPDX-License-Identifier: GPL-2.0

//! Registers: what reads back, what is refused, what it sets off; modes.

use crate::bench::*;
use proptest::prelude::*;
use rkvm_host::types::Gpa;
use rkvm_host::x86::lapic::*;
use rkvm_host::x86::message::*;
use rkvm_host::x86::msr::Initiator;

#[test]
fn registers_after_power_up() {
    let mut lapic = fresh(3);
    for (offset, value) in [
        (ID, 3 << 24),
        (VERSION, 0x50014),
        (TPR, 0),
        (APR, 0),
        (PPR, 0),
        (EOI, 0),
        (LDR, 0),
        (DFR, 0xffff_ffff),
        (SVR, 0xff),
        (ESR, 0),
        (ICR, 0),
        (ICR_HIGH, 0),
        (LVT_TIMER, MASKED),
        (LVT_THERMAL, MASKED),
        (LVT_PERFORMANCE, MASKED),
        (LVT_LINT0, MASKED),
        (LVT_LINT1, MASKED),
        (LVT_ERROR, MASKED),
        (LVT_CMCI, 0),
        (INITIAL_COUNT, 0),
        (CURRENT_COUNT, 0),
        (DIVIDE, 0),
        (SELF_IPI, 0),
    ] {
        assert_eq!(read(&mut lapic, offset), value, "{offset:#x}");
    }
    assert_eq!(lapic.address(), Gpa::new(BASE));
    assert_eq!(lapic.mode(), ApicMode::XApic);
}

#[test]
fn what_registers_keep_of_a_value() {
    for (offset, ones) in [
        (ID, 0xff00_0000),
        (TPR, 0xff),
        (LDR, 0xff00_0000),
        (DFR, 0xffff_ffff),
        (SVR, 0x3ff),
        (ICR_HIGH, 0xff00_0000),
        (LVT_TIMER, 0x710ff),
        (LVT_THERMAL, 0x117ff),
        (LVT_PERFORMANCE, 0x117ff),
        (LVT_LINT0, 0x1f7ff),
        (LVT_LINT1, 0x1f7ff),
        (LVT_ERROR, 0x110ff),
        (DIVIDE, 0xb),
        (VERSION, 0x50014),
        (PPR, 0),
        (ISR, 0),
        (IRR + 0x70, 0),
        (TMR, 0),
        (CURRENT_COUNT, 0),
    ] {
        let mut lapic = xapic(0);
        let _ = write(&mut lapic, offset, !0);
        assert_eq!(read(&mut lapic, offset), ones, "{offset:#x}");
    }
    let mut lapic = xapic(0);
    let _ = write(&mut lapic, DFR, 0);
    assert_eq!(read(&mut lapic, DFR), 0x0fff_ffff);
    let _ = write(&mut lapic, ICR, 0xffff_ffff);
    assert_eq!(read(&mut lapic, ICR), 0xffff_efff);
    lapic.configure(Config {
        tsc_deadline: false,
        ..CONFIG
    });
    let _ = write(&mut lapic, LVT_TIMER, !0);
    assert_eq!(read(&mut lapic, LVT_TIMER), 0x310ff);
}

#[test]
fn software_disable_masks() {
    let mut lapic = xapic(0);
    let _ = write(&mut lapic, LVT_LINT1, 0x400);
    assert!(write(&mut lapic, SVR, 0xff).identity);
    assert_eq!(read(&mut lapic, LVT_LINT1), 0x400 | MASKED);
    let _ = write(&mut lapic, LVT_LINT1, 0x400);
    assert_eq!(read(&mut lapic, LVT_LINT1), 0x400 | MASKED);
    let _ = write(&mut lapic, SVR, 0x1ff);
    assert_eq!(read(&mut lapic, LVT_LINT1), 0x400 | MASKED);
}

#[test]
fn partial_reads() {
    let mut lapic = xapic(0);
    let _ = write(&mut lapic, LVT_TIMER, 0x200ef);
    let mut byte = [0xaa];
    lapic.mmio_read(LVT_TIMER + 2, &mut byte, &NOW);
    assert_eq!(byte, [2]);
    let mut half = [0xaa; 2];
    lapic.mmio_read(LVT_TIMER, &mut half, &NOW);
    assert_eq!(half, [0xef, 0]);
    let mut across = [0xaa; 2];
    lapic.mmio_read(LVT_TIMER + 3, &mut across, &NOW);
    assert_eq!(across, [0, 0]);
    let mut wide = [0xaa; 8];
    lapic.mmio_read(LVT_TIMER, &mut wide, &NOW);
    assert_eq!(wide, [0; 8]);
}

#[test]
fn only_whole_registers_are_written() {
    let mut lapic = xapic(0);
    for (offset, data) in [
        (TPR, [0x50u8].as_slice()),
        (TPR, &[0x50, 0]),
        (TPR, &[0x50, 0, 0, 0, 0, 0, 0, 0]),
        (TPR + 4, &[0x50, 0, 0, 0]),
        (TPR + 1, &[0x50, 0, 0, 0]),
        (TPR + 0x1000, &[0x50, 0, 0, 0]),
        (TPR, &[]),
    ] {
        assert_eq!(lapic.mmio_write(offset, data, &NOW), Effect::NONE);
        assert_eq!(read(&mut lapic, TPR), 0);
    }
    let _ = lapic.mmio_write(TPR, &[0x50, 0, 0, 0], &NOW);
    assert_eq!(read(&mut lapic, TPR), 0x50);
}

#[test]
fn a_register_that_there_is_not() {
    let mut lapic = xapic(0);
    for offset in [
        0, 0x10, 0x40, 0x290, 0x3a0, 0x400, 0xff0, LVT_CMCI, SELF_IPI,
    ] {
        let _ = write(&mut lapic, ESR, 0);
        assert_eq!(write(&mut lapic, offset, !0), Effect::NONE);
        let _ = write(&mut lapic, ESR, 0);
        assert_eq!(read(&mut lapic, ESR), 1 << 7, "{offset:#x}");
        assert_eq!(read(&mut lapic, offset), 0);
        let _ = write(&mut lapic, ESR, 0);
        assert_eq!(read(&mut lapic, ESR), 1 << 7);
    }
}

#[test]
fn no_memory_outside_of_xapic_mode() {
    let mut lapic = x2apic(0);
    assert_eq!(read(&mut lapic, VERSION), !0);
    assert_eq!(write(&mut lapic, TPR, 0x20), Effect::NONE);
    assert_eq!(lapic.tpr(), 0);
    let _ = set_base(&mut lapic, BASE).unwrap();
    assert_eq!(read(&mut lapic, VERSION), !0);
}

#[test]
fn no_msrs_outside_of_x2apic_mode() {
    let mut lapic = xapic(0);
    assert_eq!(lapic.read_msr(msr(VERSION), &NOW), Err(Gp));
    assert_eq!(lapic.write_msr(msr(TPR), 0, &NOW), Err(Gp));
}

#[test]
fn msrs() {
    let mut lapic = x2apic(0x123);
    let readable = [
        ID,
        VERSION,
        TPR,
        PPR,
        LDR,
        SVR,
        ESR,
        ICR,
        LVT_TIMER,
        LVT_THERMAL,
        LVT_PERFORMANCE,
        LVT_LINT0,
        LVT_LINT1,
        LVT_ERROR,
        INITIAL_COUNT,
        CURRENT_COUNT,
        DIVIDE,
    ];
    let sets = [ISR, TMR, IRR].map(|set| set..set + 0x80);
    let writable = [
        TPR,
        EOI,
        SVR,
        ESR,
        ICR,
        LVT_TIMER,
        LVT_THERMAL,
        LVT_PERFORMANCE,
        LVT_LINT0,
        LVT_LINT1,
        LVT_ERROR,
        INITIAL_COUNT,
        DIVIDE,
        SELF_IPI,
    ];
    for offset in (0..0x1000).step_by(16) {
        let can_read = readable.contains(&offset) || sets.iter().any(|set| set.contains(&offset));
        assert_eq!(
            lapic.read_msr(msr(offset), &NOW).is_ok(),
            can_read,
            "{offset:#x}"
        );
        // 0xff in SELF_IPI is an interrupt to itself, 0x1ff in SVR leaves it enabled.
        let value = match offset {
            SVR => 0x1ff,
            SELF_IPI => 0xff,
            _ => 0,
        };
        let can_write = writable.contains(&offset);
        assert_eq!(
            lapic.write_msr(msr(offset), value, &NOW).is_ok(),
            can_write,
            "{offset:#x}"
        );
    }
    for number in [0, 0x7ff, 0x900, !0] {
        assert_eq!(lapic.read_msr(number, &NOW), Err(Gp));
        assert_eq!(lapic.write_msr(number, 0, &NOW), Err(Gp));
    }
    assert_eq!(lapic.read_msr(msr(ID), &NOW), Ok(0x123));
    assert_eq!(lapic.read_msr(msr(LDR), &NOW), Ok(0x12_0008));
}

#[test]
fn reserved_bits_of_msrs() {
    let mut lapic = x2apic(0);
    for (offset, value) in [
        (TPR, 0x100),
        (EOI, 1),
        (ESR, 1),
        (SELF_IPI, 0x100),
        (SVR, 1 << 32),
        (LVT_TIMER, 1 << 63),
        (INITIAL_COUNT, 1 << 32),
        (ICR, 1 << 13),
        (ICR, 1 << 16),
        (ICR, 1 << 17),
        (ICR, 1 << 20),
        (ICR, 1 << 31),
    ] {
        assert_eq!(
            lapic.write_msr(msr(offset), value, &NOW),
            Err(Gp),
            "{offset:#x}"
        );
    }
    assert_eq!(lapic.read_msr(msr(ICR), &NOW), Ok(0));
    assert!(lapic.write_msr(msr(ICR), 0x1_0000_10fe, &NOW).is_ok());
    assert_eq!(lapic.read_msr(msr(ICR), &NOW), Ok(0x1_0000_00fe));
}

#[test]
fn ipis() {
    let mut lapic = xapic(2);
    assert_eq!(write(&mut lapic, ICR_HIGH, 0x0500_0000), Effect::NONE);
    let message = write(&mut lapic, ICR, 0x4041).message.unwrap();
    assert_eq!(message.destination, 5);
    assert_eq!(message.origin, Origin::Ipi { sender: 2 });
    assert_eq!(message.vector, 0x41);
    let message = write(&mut lapic, ICR, 0xc4500).message.unwrap();
    assert_eq!(
        (message.action(), message.shorthand),
        (Action::Init, Shorthand::AllExcluding)
    );
    // INIT level de-assert is nothing.
    assert_eq!(write(&mut lapic, ICR, 0x8500).message, None);
    let message = write(&mut lapic, ICR, 0x469a).message.unwrap();
    assert_eq!(message.action(), Action::StartUp { page: 0x9a });

    let mut lapic = x2apic(2);
    let effect = lapic
        .write_msr(msr(ICR), 0x1234_5678_0000_0041, &NOW)
        .unwrap();
    assert_eq!(effect.message.unwrap().destination, 0x1234_5678);
    // To itself it needs no message, but an NMI does.
    assert_eq!(lapic.write_msr(msr(SELF_IPI), 0x51, &NOW), Ok(Effect::NONE));
    assert_eq!(lapic.highest(), Some(0x51));
    assert_eq!(lapic.write_msr(msr(ICR), 0x4_0052, &NOW), Ok(Effect::NONE));
    assert_eq!(lapic.highest(), Some(0x52));
    let effect = lapic.write_msr(msr(ICR), 0x4_0400, &NOW).unwrap();
    assert_eq!(effect.message.unwrap().action(), Action::Nmi);
}

#[test]
fn writes_that_the_processor_has_done() {
    let mut lapic = xapic(0);
    let _ = write(&mut lapic, LDR, 0x0400_0000);
    assert!(lapic.written(LDR, &NOW).identity);
    assert_eq!(read(&mut lapic, LDR), 0x0400_0000);
    let _ = write(&mut lapic, ICR, 0x4041);
    assert!(lapic.written(ICR, &NOW).message.is_some());
    assert_eq!(lapic.written(VERSION, &NOW), Effect::NONE);
    assert_eq!(lapic.written(0x12345, &NOW), Effect::NONE);
    let mut lapic = x2apic(0);
    let _ = lapic.write_msr(msr(ICR), 0x7_0000_0041, &NOW);
    let message = lapic.written(ICR, &NOW).message.unwrap();
    assert_eq!((message.destination, message.vector), (7, 0x41));
}

#[test]
fn modes() {
    const OFF: u64 = BASE;
    const X: u64 = BASE | BASE_ENABLE;
    const X2: u64 = BASE | BASE_X2APIC;
    const INVALID: u64 = BASE | 1 << 10;

    for (from, to, guest, vmm) in [
        (OFF, X, true, true),
        (OFF, X2, false, true),
        (X, OFF, true, true),
        (X, X2, true, true),
        (X2, X, false, true),
        (X2, OFF, true, true),
        (OFF, INVALID, false, false),
        (X, INVALID, false, false),
        (X2, INVALID, false, false),
        (X, X | 1, false, false),
        (X, X | 1 << 9, false, false),
        (X, X | 1 << 40, false, false),
        (X, X | 1 << 8, true, true),
        (X, X | 1 << 39, true, true),
    ] {
        for (initiator, legal) in [(Initiator::Guest, guest), (Initiator::Vmm, vmm)] {
            let mut lapic = fresh(1);
            let _ = lapic.set_base(from, 0, Initiator::Vmm).unwrap();
            let done = lapic.set_base(to, !0 << 40, initiator).is_ok();
            assert_eq!(done, legal, "{from:#x} to {to:#x} by {initiator:?}");
            assert_eq!(lapic.base(), if done { to } else { from });
        }
    }
    assert_eq!(fresh(0).set_base(X2, 1 << 10, Initiator::Vmm), Err(Gp));
}

#[test]
fn ids_follow_the_mode() {
    let mut lapic = x2apic(0x145);
    let _ = set_base(&mut lapic, BASE).unwrap();
    let _ = set_base(&mut lapic, BASE | BASE_ENABLE).unwrap();
    assert_eq!(read(&mut lapic, ID), 0x4500_0000);
    let _ = write(&mut lapic, ID, 0x0700_0000);
    assert_eq!(lapic.identity().xapic_id(), 7);
    let _ = set_base(&mut lapic, BASE | BASE_X2APIC).unwrap();
    assert_eq!(lapic.read_msr(msr(ID), &NOW), Ok(0x145));
    assert_eq!(lapic.identity().id(), 0x145);
}

#[test]
fn init_keeps_mode_and_id() {
    let mut lapic = xapic(1);
    let _ = write(&mut lapic, ID, 0x0900_0000);
    let _ = write(&mut lapic, LDR, 0x0200_0000);
    let _ = write(&mut lapic, LVT_LINT1, 0x400);
    lapic.accept(0x40, Trigger::Level);
    lapic.reset(Reset::Init);
    assert_eq!(read(&mut lapic, ID), 0x0900_0000);
    assert_eq!(read(&mut lapic, LDR), 0);
    assert_eq!(read(&mut lapic, LVT_LINT1), MASKED);
    assert_eq!(read(&mut lapic, SVR), 0xff);
    assert_eq!(lapic.highest(), None);
    assert_eq!(vectors(&mut lapic, TMR), []);
    lapic.reset(Reset::PowerUp);
    assert_eq!(read(&mut lapic, ID), 0x0100_0000);

    let mut lapic = x2apic(0x11);
    lapic.reset(Reset::Init);
    assert_eq!(lapic.mode(), ApicMode::X2Apic);
    assert_eq!(lapic.read_msr(msr(LDR), &NOW), Ok(0x1_0002));
    lapic.reset(Reset::PowerUp);
    assert_eq!(lapic.mode(), ApicMode::XApic);
}

proptest! {
    /// Whatever is read and written, nothing panics and caches agree with the page.
    #[test]
    fn anything_goes(
        steps in proptest::collection::vec((0u8..5, 0u64..0x1100, any::<u64>(), any::<u32>()), 1..100),
        start_in_x2apic: bool,
    ) {
        let mut lapic = if start_in_x2apic { x2apic(9) } else { xapic(9) };
        let mut tsc = 0u64;
        for (kind, offset, value, advance) in steps {
            tsc += u64::from(advance);
            let clock = at(tsc);
            match kind {
                0 => {
                    let mut data = [0; 4];
                    lapic.mmio_read(offset, &mut data, &clock);
                }
                1 => {
                    let _ = write_at(&mut lapic, offset & !0xf, value as u32, &clock);
                }
                2 => {
                    let _ = lapic.write_msr(msr(offset), value & 0xffff_ffff, &clock);
                }
                3 => {
                    let _ = lapic.read_msr(msr(offset), &clock);
                    lapic.expire(&clock);
                }
                _ => {
                    let _ = lapic.written(offset, &clock);
                    lapic.acknowledge();
                }
            }
            let before = (lapic.highest_requested(), lapic.highest_in_service(), lapic.highest());
            lapic.after_guest();
            let after = (lapic.highest_requested(), lapic.highest_in_service(), lapic.highest());
            prop_assert_eq!(before, after);
        }
    }
}
