// SPDX-License-Identifier: GPL-2.0

//! Requests, priorities, EOIs and local interrupts.

use crate::bench::*;
use proptest::prelude::*;
use rkvm_host::x86::lapic::*;
use rkvm_host::x86::message::Trigger;
use rkvm_host::x86::msr::{Initiator, Role};
use std::collections::BTreeSet;

#[test]
fn an_interrupt_goes_through() {
    let mut lapic = xapic(0);
    assert_eq!(lapic.highest(), None);
    lapic.accept(0x31, Trigger::Edge);
    assert_eq!(vectors(&mut lapic, IRR), [0x31]);
    assert_eq!(lapic.highest(), Some(0x31));
    assert_eq!(lapic.acknowledge(), Some(0x31));
    assert_eq!(lapic.highest(), None);
    assert_eq!(vectors(&mut lapic, IRR), []);
    assert_eq!(vectors(&mut lapic, ISR), [0x31]);
    assert_eq!(read(&mut lapic, PPR), 0x30);
    let effect = write(&mut lapic, EOI, 0);
    assert_eq!(
        effect.eoi,
        Some(Eoi {
            vector: 0x31,
            trigger: Trigger::Edge
        })
    );
    assert_eq!(vectors(&mut lapic, ISR), []);
    assert_eq!(read(&mut lapic, PPR), 0);
}

#[test]
fn a_higher_class_nests_and_the_same_class_waits() {
    let mut lapic = xapic(0);
    lapic.accept(0x41, Trigger::Edge);
    assert_eq!(lapic.acknowledge(), Some(0x41));
    lapic.accept(0x4f, Trigger::Edge);
    assert_eq!(lapic.highest(), None);
    lapic.accept(0x50, Trigger::Edge);
    assert_eq!(lapic.acknowledge(), Some(0x50));
    assert_eq!(lapic.eoi().unwrap().vector, 0x50);
    assert_eq!(lapic.highest(), None);
    assert_eq!(lapic.eoi().unwrap().vector, 0x41);
    assert_eq!(lapic.acknowledge(), Some(0x4f));
}

#[test]
fn an_eoi_too_many_does_nothing() {
    let mut lapic = xapic(0);
    assert_eq!(write(&mut lapic, EOI, 0), Effect::NONE);
}

#[test]
fn task_priority_holds_back() {
    let mut lapic = xapic(0);
    lapic.accept(0x52, Trigger::Edge);
    lapic.set_cr8(5);
    assert_eq!(lapic.highest(), None);
    assert_eq!(read(&mut lapic, TPR), 0x50);
    lapic.set_tpr(0x4f);
    assert_eq!(lapic.highest(), Some(0x52));
    assert_eq!(read(&mut lapic, PPR), 0x4f);
    assert_eq!(lapic.cr8(), 4);
    assert_eq!(write(&mut lapic, TPR, 0xffff_ff53), Effect::NONE);
    assert_eq!(read(&mut lapic, TPR), 0x53);
    assert_eq!(lapic.highest(), None);
}

#[test]
fn the_trigger_mode_is_that_of_the_last_request() {
    let mut lapic = xapic(0);
    lapic.accept(0x60, Trigger::Level);
    assert_eq!(vectors(&mut lapic, TMR), [0x60]);
    lapic.acknowledge();
    assert_eq!(lapic.eoi().unwrap().trigger, Trigger::Level);
    assert_eq!(vectors(&mut lapic, TMR), [0x60]);
    lapic.accept(0x60, Trigger::Edge);
    assert_eq!(vectors(&mut lapic, TMR), []);
    lapic.acknowledge();
    assert_eq!(lapic.eoi().unwrap().trigger, Trigger::Edge);
}

#[test]
fn a_guest_can_keep_eois_to_itself_where_that_is_offered() {
    for (directed_eoi, version, svr, told) in [
        (DirectedEoi::Absent, 0, 0x1ff, true),
        (DirectedEoi::Offered, 1 << 24, 0x11ff, false),
        (DirectedEoi::Ignored, 1 << 24, 0x11ff, true),
    ] {
        let mut lapic = xapic(0);
        lapic.configure(Config {
            directed_eoi,
            ..CONFIG
        });
        assert_eq!(read(&mut lapic, VERSION), 0x50014 | version);
        let _ = write(&mut lapic, SVR, 0x11ff);
        assert_eq!(read(&mut lapic, SVR), svr);
        lapic.accept(0x77, Trigger::Level);
        lapic.acknowledge();
        assert_eq!(lapic.eoi().is_some(), told);
    }
}

#[test]
fn a_disabled_apic_drops_requests() {
    let mut lapic = fresh(0);
    lapic.accept(0x40, Trigger::Edge);
    assert_eq!(vectors(&mut lapic, IRR), []);

    let mut lapic = xapic(0);
    lapic.accept(0x40, Trigger::Edge);
    // What was requested before stays (SDM 12.4.7.2).
    let _ = write(&mut lapic, SVR, 0xff);
    assert_eq!(lapic.highest(), Some(0x40));
    let base = lapic.base();
    assert!(set_base(&mut lapic, base & !BASE_ENABLE).unwrap().identity);
    assert_eq!(lapic.highest(), None);
    assert_eq!(lapic.acknowledge(), None);
}

#[test]
fn vectors_of_exceptions_are_errors() {
    let mut lapic = xapic(0);
    let _ = write(&mut lapic, LVT_ERROR, 0xfe);
    lapic.accept(15, Trigger::Edge);
    assert_eq!(vectors(&mut lapic, IRR), [0xfe]);
    lapic.acknowledge();
    lapic.eoi();
    // The interrupt comes once until the ESR is written.
    lapic.accept(3, Trigger::Edge);
    assert_eq!(vectors(&mut lapic, IRR), []);
    assert_eq!(read(&mut lapic, ESR), 0);
    let _ = write(&mut lapic, ESR, 0);
    assert_eq!(read(&mut lapic, ESR), 1 << 6);
    let _ = write(&mut lapic, ESR, 0);
    assert_eq!(read(&mut lapic, ESR), 0);
    assert_eq!(write(&mut lapic, ICR, 0x0000_0003), Effect::NONE);
    assert_eq!(vectors(&mut lapic, IRR), [0xfe]);
    let _ = write(&mut lapic, ESR, 0);
    assert_eq!(read(&mut lapic, ESR), 1 << 5);
}

#[test]
fn an_error_interrupt_with_an_illegal_vector_ends() {
    let mut lapic = xapic(0);
    let _ = write(&mut lapic, LVT_ERROR, 0x02);
    let _ = write(&mut lapic, ICR, 0);
    let _ = write(&mut lapic, ESR, 0);
    assert_eq!(read(&mut lapic, ESR), 1 << 5 | 1 << 6);
}

#[test]
fn what_the_processor_changes_in_the_page_is_caught_up_with() {
    let mut lapic = xapic(0);
    lapic.accept(0x91, Trigger::Level);
    lapic.acknowledge();
    lapic.accept(0x80, Trigger::Edge);
    assert_eq!(lapic.highest_in_service(), Some(0x91));
    assert_eq!(lapic.highest_requested(), Some(0x80));
    lapic.after_guest();
    assert_eq!(lapic.highest_in_service(), Some(0x91));
    assert_eq!(lapic.highest_requested(), Some(0x80));
    assert_eq!(lapic.ended(0x91).unwrap().trigger, Trigger::Level);
    assert_eq!(lapic.ended(0x80).unwrap().trigger, Trigger::Edge);
}

#[test]
fn a_delivery_is_undone() {
    let mut lapic = xapic(0);
    assert!(!lapic.undo_delivery());
    lapic.accept(0x41, Trigger::Edge);
    lapic.acknowledge();
    lapic.accept(0x91, Trigger::Level);
    lapic.acknowledge();
    lapic.accept(0xa2, Trigger::Edge);
    assert!(lapic.undo_delivery());
    assert_eq!(vectors(&mut lapic, ISR), [0x41]);
    assert_eq!(vectors(&mut lapic, IRR), [0x91, 0xa2]);
    assert_eq!(read(&mut lapic, PPR), 0x40);
    assert_eq!(lapic.acknowledge(), Some(0xa2));
    lapic.eoi();
    assert_eq!(lapic.acknowledge(), Some(0x91));
    assert_eq!(lapic.eoi().unwrap().trigger, Trigger::Level);
}

#[test]
fn local_interrupts_have_a_mask_and_a_mode() {
    let mut lapic = xapic(0);
    let fails = |lapic: &mut Lapic| {
        let _ = write(lapic, ESR, 0);
        let _ = write(lapic, ICR, 0);
        lapic.acknowledge()
    };
    assert_eq!(fails(&mut lapic), None, "masked");
    let _ = write(&mut lapic, LVT_ERROR, 0x44);
    assert_eq!(fails(&mut lapic), Some(0x44));
    // An error beside others that have not been read raises none.
    let _ = write(&mut lapic, ICR, 0);
    assert_eq!(lapic.highest(), None);
    lapic.eoi();
    // Only a VMM can give the entry a mode: NMI, say.
    for mode in [0x100, 0x200, 0x300, 0x400, 0x500, 0x600, 0x700] {
        let mut state = lapic.save(IdFormat::Xapic, &NOW);
        state[0x370..0x374].copy_from_slice(&(mode | 0x44u32).to_le_bytes());
        lapic.restore(&state, IdFormat::Xapic, &NOW).unwrap();
        assert_eq!(fails(&mut lapic), None, "{mode:#x}");
    }
}

#[test]
fn an_entry_for_machine_checks_where_there_is_one() {
    let mut lapic = xapic(0);
    let _ = write(&mut lapic, LVT_CMCI, 0xf1);
    assert_eq!(read(&mut lapic, LVT_CMCI), 0);
    lapic.configure(Config {
        cmci: true,
        ..CONFIG
    });
    assert_eq!(read(&mut lapic, VERSION), 0x60014);
    assert_eq!(read(&mut lapic, LVT_CMCI), MASKED);
    let _ = write(&mut lapic, LVT_CMCI, 0xf1);
    assert_eq!(read(&mut lapic, LVT_CMCI), 0xf1);
}

#[test]
fn who_takes_interrupts_of_the_8259() {
    let bootstrap = Config {
        role: Role::Bootstrap,
        ..CONFIG
    };
    let mut lapic = Lapic::new(0, bootstrap).unwrap();
    assert_eq!(read(&mut lapic, LVT_LINT0), 0x700);
    assert!(lapic.lint0_takes_extint());
    assert_eq!(lapic.base(), 0xfee0_0900);
    assert!(write(&mut lapic, LVT_LINT0, 0x700 | MASKED).identity);
    assert!(!lapic.lint0_takes_extint());
    let _ = lapic.set_base(BASE, 0, Initiator::Guest).unwrap();
    assert!(lapic.lint0_takes_extint());

    let strict = Config {
        lint0: Lint0Reset::Masked,
        ..bootstrap
    };
    let mut lapic = Lapic::new(0, strict).unwrap();
    assert_eq!(read(&mut lapic, LVT_LINT0), MASKED);
    assert!(!fresh(1).lint0_takes_extint());
}

/// The same as sets.
#[derive(Default)]
struct Simple {
    requested: BTreeSet<u8>,
    in_service: BTreeSet<u8>,
    level: BTreeSet<u8>,
    tpr: u8,
}

impl Simple {
    fn ppr(&self) -> u8 {
        let class = self.in_service.last().map_or(0, |vector| vector & 0xf0);
        if self.tpr & 0xf0 >= class {
            self.tpr
        } else {
            class
        }
    }

    fn highest(&self) -> Option<u8> {
        let highest = *self.requested.last()?;
        (highest >> 4 > self.ppr() >> 4).then_some(highest)
    }
}

#[derive(Clone, Debug)]
enum Step {
    Accept(u8, bool),
    Acknowledge,
    Eoi,
    Tpr(u8),
    AfterGuest,
    Migrate,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (any::<u8>(), any::<bool>()).prop_map(|(vector, level)| Step::Accept(vector, level)),
        4 => Just(Step::Acknowledge),
        3 => Just(Step::Eoi),
        2 => any::<u8>().prop_map(|tpr| Step::Tpr(tpr & 0x7f)),
        1 => Just(Step::AfterGuest),
        1 => Just(Step::Migrate),
    ]
}

proptest! {
    #[test]
    fn does_what_sets_do(steps in proptest::collection::vec(step(), 1..200)) {
        let mut lapic = xapic(0);
        let mut simple = Simple::default();
        for step in steps {
            match step {
                Step::Accept(vector, level) => {
                    lapic.accept(vector, if level { Trigger::Level } else { Trigger::Edge });
                    if vector >= 16 {
                        simple.requested.insert(vector);
                        if level {
                            simple.level.insert(vector);
                        } else {
                            simple.level.remove(&vector);
                        }
                    }
                }
                Step::Acknowledge => {
                    let expected = simple.highest();
                    prop_assert_eq!(lapic.acknowledge(), expected);
                    if let Some(vector) = expected {
                        simple.requested.remove(&vector);
                        simple.in_service.insert(vector);
                    }
                }
                Step::Eoi => {
                    let expected = simple.in_service.pop_last();
                    let eoi = lapic.eoi();
                    prop_assert_eq!(eoi.map(|eoi| eoi.vector), expected);
                    if let Some(eoi) = eoi {
                        let level = simple.level.contains(&eoi.vector);
                        prop_assert_eq!(eoi.trigger == Trigger::Level, level);
                    }
                }
                Step::Tpr(tpr) => {
                    lapic.set_tpr(tpr);
                    simple.tpr = tpr;
                }
                Step::AfterGuest => lapic.after_guest(),
                Step::Migrate => {
                    let state = lapic.save(IdFormat::Xapic, &NOW);
                    lapic = fresh(0);
                    lapic.restore(&state, IdFormat::Xapic, &NOW).unwrap();
                }
            }
            prop_assert_eq!(lapic.highest(), simple.highest());
            prop_assert_eq!(read(&mut lapic, PPR), u32::from(simple.ppr()));
            prop_assert_eq!(lapic.highest_requested(), simple.requested.last().copied());
            prop_assert_eq!(lapic.highest_in_service(), simple.in_service.last().copied());
        }
        let sets = [(IRR, &simple.requested), (ISR, &simple.in_service), (TMR, &simple.level)];
        for (register, set) in sets {
            prop_assert_eq!(vectors(&mut lapic, register), set.iter().copied().collect::<Vec<_>>());
        }
    }
}
