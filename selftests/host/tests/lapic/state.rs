// SPDX-License-Identifier: GPL-2.0

//! KVM_GET_LAPIC and KVM_SET_LAPIC.

use crate::bench::*;
use proptest::prelude::*;
use rkvm_host::x86::lapic::*;
use rkvm_host::x86::message::Trigger;
use rkvm_host::x86::msr::Initiator;

fn word(state: &[u8; STATE_BYTES], offset: u64) -> u32 {
    let offset = offset as usize;
    u32::from_le_bytes(state[offset..offset + 4].try_into().unwrap())
}

fn put(state: &mut [u8; STATE_BYTES], offset: u64, value: u32) {
    let offset = offset as usize;
    state[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
}

#[test]
fn a_fresh_one() {
    let state = fresh(5).save(IdFormat::Xapic, &NOW);
    for offset in (0..STATE_BYTES as u64).step_by(4) {
        let expected = match offset {
            ID => 5 << 24,
            VERSION => 0x50014,
            DFR => 0xffff_ffff,
            SVR => 0xff,
            LVT_TIMER | LVT_THERMAL | LVT_PERFORMANCE | LVT_LINT0 | LVT_LINT1 | LVT_ERROR => MASKED,
            _ => 0,
        };
        assert_eq!(word(&state, offset), expected, "{offset:#x}");
    }
}

#[test]
fn ids_in_x2apic_mode() {
    let mut lapic = x2apic(0x1234);
    let state = lapic.save(IdFormat::X2apic, &NOW);
    assert_eq!(word(&state, ID), 0x1234);
    assert_eq!(lapic.restore(&state, IdFormat::X2apic, &NOW), Ok(()));
    let mut other = state;
    put(&mut other, ID, 0x1235);
    put(&mut other, TPR, 0x30);
    assert!(lapic.restore(&other, IdFormat::X2apic, &NOW).is_err());
    assert_eq!(lapic.tpr(), 0);
    assert_eq!(lapic.restore(&other, IdFormat::Xapic, &NOW), Ok(()));
    assert_eq!(lapic.tpr(), 0x30);
    let state = lapic.save(IdFormat::Xapic, &NOW);
    assert_eq!(word(&state, ID), 0x3400_0000);
    assert_eq!(word(&state, LDR), 0x123_0010);
}

#[test]
fn the_id_in_xapic_mode_is_what_is_set() {
    let mut lapic = xapic(1);
    let mut state = lapic.save(IdFormat::X2apic, &NOW);
    assert_eq!(word(&state, ID), 0x0100_0000);
    put(&mut state, ID, 0x0700_0000);
    lapic.restore(&state, IdFormat::X2apic, &NOW).unwrap();
    assert_eq!(lapic.identity().xapic_id(), 7);
}

#[test]
fn the_icr_is_in_two_halves() {
    let mut lapic = x2apic(0);
    let _ = lapic.write_msr(msr(ICR), 0x1234_5678_0000_40fd, &NOW);
    let state = lapic.save(IdFormat::X2apic, &NOW);
    assert_eq!(
        (word(&state, ICR), word(&state, ICR_HIGH)),
        (0x40fd, 0x1234_5678)
    );
    // What the processor has between the halves is not user space's.
    let mut state = state;
    put(&mut state, ICR + 4, 0x0bad_0bad);
    let mut lapic = x2apic(0);
    lapic.restore(&state, IdFormat::X2apic, &NOW).unwrap();
    assert_eq!(lapic.read_msr(msr(ICR), &NOW), Ok(0x1234_5678_0000_40fd));
}

#[test]
fn the_version_is_not_the_vmms() {
    let mut lapic = xapic(0);
    let mut state = lapic.save(IdFormat::Xapic, &NOW);
    put(&mut state, VERSION, !0);
    lapic.restore(&state, IdFormat::Xapic, &NOW).unwrap();
    assert_eq!(read(&mut lapic, VERSION), 0x50014);
}

#[test]
fn a_timer_goes_on() {
    let mut lapic = xapic(0);
    let _ = write(&mut lapic, DIVIDE, 3);
    let _ = write(&mut lapic, LVT_TIMER, 0xec | PERIODIC);
    let _ = write(&mut lapic, INITIAL_COUNT, 1_000_000);
    // 16 ns a count; 4 ms have gone.
    let clock = at(4_000_000 * 2);
    let state = lapic.save(IdFormat::Xapic, &clock);
    assert_eq!(word(&state, CURRENT_COUNT), 750_000);
    let mut copy = fresh(0);
    let later = at(1 << 40);
    copy.restore(&state, IdFormat::Xapic, &later).unwrap();
    assert_eq!(read_at(&mut copy, CURRENT_COUNT, &later), 750_000);
    assert_eq!(copy.deadline(), Some(later.tsc + 750_000 * 16 * 2));
    let due = at(later.tsc + 750_000 * 16 * 2);
    assert!(copy.expire(&due));
    assert_eq!(copy.deadline(), Some(due.tsc + 1_000_000 * 16 * 2));
}

#[test]
fn a_count_that_has_ended_is_due_at_once() {
    let mut lapic = xapic(0);
    let _ = write(&mut lapic, LVT_TIMER, 0xec);
    let _ = write(&mut lapic, INITIAL_COUNT, 1000);
    let mut state = lapic.save(IdFormat::Xapic, &NOW);
    put(&mut state, CURRENT_COUNT, 0);
    lapic.restore(&state, IdFormat::Xapic, &at(77)).unwrap();
    assert_eq!(lapic.deadline(), Some(77));
    assert!(lapic.expire(&at(77)));
    assert_eq!(lapic.deadline(), None);
    // More than the initial count is the initial count.
    put(&mut state, CURRENT_COUNT, 5000);
    lapic.restore(&state, IdFormat::Xapic, &at(100)).unwrap();
    assert_eq!(lapic.deadline(), Some(100 + 2000 * 2));
}

#[test]
fn a_count_that_is_about_to_end_is_not_0() {
    let mut lapic = xapic(0);
    let _ = write(&mut lapic, DIVIDE, 3);
    let _ = write(&mut lapic, LVT_TIMER, 0xec | PERIODIC);
    let _ = write(&mut lapic, INITIAL_COUNT, 1_000_000);
    let clock = at(1_000_000 * 16 * 2 - 1);
    assert_eq!(read_at(&mut lapic, CURRENT_COUNT, &clock), 0);
    let state = lapic.save(IdFormat::Xapic, &clock);
    assert_eq!(word(&state, CURRENT_COUNT), 1);
}

#[test]
fn an_interrupt_that_is_due_is_in_the_state() {
    let mut lapic = xapic(0);
    let _ = write(&mut lapic, LVT_TIMER, 0x61);
    let _ = write(&mut lapic, INITIAL_COUNT, 1000);
    let state = lapic.save(IdFormat::Xapic, &at(1 << 30));
    assert_eq!(word(&state, IRR + 0x30), 1 << 1);
}

#[test]
fn a_deadline_stays() {
    let mut lapic = xapic(0);
    let _ = write(&mut lapic, LVT_TIMER, 0x61 | TSC_DEADLINE);
    let _ = lapic.set_tsc_deadline(5000, &NOW);
    let state = lapic.save(IdFormat::Xapic, &NOW);
    lapic.restore(&state, IdFormat::Xapic, &NOW).unwrap();
    assert_eq!(lapic.deadline(), Some(5000));
    assert_eq!(lapic.tsc_deadline(&NOW), 5000);
    let mut copy = fresh(0);
    copy.restore(&state, IdFormat::Xapic, &NOW).unwrap();
    assert_eq!(copy.deadline(), None);
    let _ = copy.set_tsc_deadline(5000, &NOW);
    assert_eq!(copy.deadline(), Some(5000));
}

proptest! {
    /// Any state can be set, and what is read then sets the same state again.
    #[test]
    fn round_trip(
        words in proptest::collection::vec(any::<u32>(), STATE_BYTES / 4),
        use_x2apic: bool,
        clock in any::<u32>().prop_map(|tsc| at(u64::from(tsc))),
    ) {
        let mut state = [0u8; STATE_BYTES];
        for (bytes, word) in state.chunks_exact_mut(4).zip(&words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        let mut lapic = if use_x2apic { x2apic(3) } else { xapic(3) };
        lapic.restore(&state, IdFormat::Xapic, &clock).unwrap();
        let first = lapic.save(IdFormat::Xapic, &clock);
        let mut copy = fresh(3);
        let _ = copy.set_base(lapic.base(), 0, Initiator::Vmm).unwrap();
        copy.restore(&first, IdFormat::Xapic, &clock).unwrap();
        prop_assert_eq!(copy.identity(), lapic.identity());
        prop_assert_eq!(copy.highest(), lapic.highest());
        prop_assert_eq!(copy.lint0_takes_extint(), lapic.lint0_takes_extint());
        let second = copy.save(IdFormat::Xapic, &clock);
        for offset in (0..STATE_BYTES as u64).step_by(4) {
            // The wide ICR shows through in a word that belongs to no register.
            if offset != ICR + 4 {
                prop_assert_eq!(word(&first, offset), word(&second, offset), "{:#x}", offset);
            }
        }
        copy.accept(0x99, Trigger::Edge);
        copy.acknowledge();
        copy.eoi();
    }
}
