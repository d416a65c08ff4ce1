// SPDX-License-Identifier: GPL-2.0

//! The paravirtual clock.

use proptest::prelude::*;
use rkvm_host::x86::pvclock::agreement::Agreement;
use rkvm_host::x86::pvclock::*;

/// What a guest does with a structure (pvclock_read_cycles of Linux).
fn guest_time(bytes: &[u8], tsc: u64) -> u64 {
    let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let multiplier = u32::from_le_bytes(bytes[24..28].try_into().unwrap());
    let shift = bytes[28] as i8;
    let mut delta = tsc.wrapping_sub(u64_at(8));
    if shift < 0 {
        delta >>= -shift;
    } else {
        delta <<= shift;
    }
    let passed = (u128::from(delta) * u128::from(multiplier)) >> 32;
    u64_at(16).wrapping_add(passed as u64)
}

fn clocks(tsc: u64, boot: u64) -> HostClocks {
    HostClocks { tsc, boot, real: 0 }
}

#[test]
fn scales_of_known_frequencies() {
    for hz in [
        40_000_000,
        999_999_999,
        1_000_000_000,
        2_000_000_000,
        3_700_000_001,
    ] {
        let scale = Scale::new(hz);
        let second = scale.nanoseconds(hz);
        assert!(NANOSECONDS - second <= 1, "{hz}: {second}");
        let day = scale.nanoseconds(hz * 86_400);
        let error = (NANOSECONDS * 86_400).abs_diff(day);
        assert!(error < 86_400, "{hz}: {error} ns in a day");
    }
    assert_eq!(Scale::new(0).nanoseconds(u64::MAX), 0);
}

#[test]
fn a_stable_clock_is_one_line() {
    let scale = Scale::new(2_000_000_000);
    let anchor = Anchor::new(&clocks(1000, 500), 7);
    let later = clocks(1000 + 4_000_000_000, 9_999_999);
    assert_eq!(
        anchor.time(&later, HostTsc::Stable, &scale),
        2 * NANOSECONDS + 7
    );
    assert_eq!(anchor.reference(&later, HostTsc::Stable, &scale), (1000, 7));
    let by_clock = 9_999_999 - 500 + 7;
    assert_eq!(anchor.time(&later, HostTsc::Unstable, &scale), by_clock);
    assert_eq!(
        anchor.reference(&later, HostTsc::Unstable, &scale),
        (later.tsc, by_clock)
    );
}

#[test]
fn the_structures_have_their_layout() {
    let info = TimeInfo {
        tsc: 0x1122_3344_5566_7788,
        time: 0x99aa_bbcc_ddee_ff00,
        scale: Scale::new(2_000_000_000),
        flags: TimeInfo::TSC_STABLE,
    };
    let bytes = info.bytes(0x0102_0304);
    assert_eq!(bytes[0..8], [4, 3, 2, 1, 0, 0, 0, 0]);
    assert_eq!(bytes[8..16], info.tsc.to_le_bytes());
    assert_eq!(bytes[16..24], info.time.to_le_bytes());
    assert_eq!(bytes[24..32], [0, 0, 0, 0x80, 0, 1, 0, 0]);
    let clock = WallClock::new(3 * NANOSECONDS + 5);
    assert_eq!(clock.bytes(2), [2, 0, 0, 0, 3, 0, 0, 0, 5, 0, 0, 0]);
}

#[test]
fn versions_are_odd_while_something_changes() {
    for found in [0, 1, 2, 0x7fff_ffff, u32::MAX - 1, u32::MAX] {
        let (changing, changed) = versions(found);
        assert_eq!((changing & 1, changed & 1), (1, 0));
        assert_eq!(changed, changing.wrapping_add(1));
        assert_ne!(changing, found);
    }
}

#[test]
fn vcpus_agree_once_all_follow_the_vm() {
    let mut agreement = Agreement::default();
    assert!(agreement.is_complete());
    let (mut first, mut second) = (agreement.join(), agreement.join());
    agreement.set(&mut first, 5, 5);
    assert!(!agreement.is_complete());
    agreement.set(&mut second, 5, 5);
    assert!(agreement.is_complete());
    // One goes its own way and comes back.
    agreement.set(&mut first, 9, 5);
    assert!(!agreement.is_complete());
    agreement.set(&mut first, 5, 5);
    assert!(agreement.is_complete());
    // The VM's changes: all have to follow.
    agreement.set(&mut second, 8, 8);
    assert!(!agreement.is_complete());
    agreement.leave(&mut first);
    assert!(agreement.is_complete());
    agreement.leave(&mut second);
    assert!(agreement.is_complete());
}

proptest! {
    /// A second is a second at any frequency that the scale can be exact for, and nothing overflows.
    #[test]
    fn any_frequency(hz in 1u64.., ticks: u64) {
        let scale = Scale::new(hz);
        scale.nanoseconds(ticks);
        if hz < 1 << 40 {
            let exact = u128::from(ticks % hz) * u128::from(NANOSECONDS) / u128::from(hz);
            let computed = u128::from(scale.nanoseconds(ticks % hz));
            prop_assert!(computed <= exact && exact - computed <= 1 + (exact >> 31) + (1_000_000_000 >> 20));
        }
    }

    /// The guest computes what the host does, on vCPUs with any offset.
    #[test]
    fn guests_compute_the_hosts_time(
        hz in 1_000_000u64..10_000_000_000,
        start: u64,
        time: u64,
        passed in 0u64..1 << 50,
        offset: u64,
    ) {
        let scale = Scale::new(hz);
        let anchor = Anchor::new(&clocks(start, 0), time);
        let now = clocks(start.wrapping_add(passed), 0);
        let (tsc, time) = anchor.reference(&now, HostTsc::Stable, &scale);
        let info = TimeInfo { tsc: tsc.wrapping_add(offset), time, scale, flags: 0 };
        let seen = guest_time(&info.bytes(2), now.tsc.wrapping_add(offset));
        prop_assert_eq!(seen, anchor.time(&now, HostTsc::Stable, &scale));
    }

    /// Whatever vCPUs do, the agreement is complete exactly when all that are there follow the VM.
    #[test]
    fn agreement_counts(steps in prop::collection::vec((0usize..4, 0u64..3, any::<bool>()), 0..60)) {
        let mut agreement = Agreement::default();
        let mut parts: Vec<_> = (0..4).map(|_| agreement.join()).collect();
        let mut offsets = [None; 4];
        let mut common = 0;
        for (vcpu, offset, follows) in steps {
            if follows {
                common = offset;
            }
            agreement.set(&mut parts[vcpu], offset, common);
            offsets[vcpu] = Some(offset);
            if follows {
                // Those that were counted for another offset have to say theirs again.
                for (other, own) in offsets.iter().enumerate() {
                    if let Some(own) = own {
                        agreement.set(&mut parts[other], *own, common);
                    }
                }
            }
            let complete = offsets.iter().all(|own| *own == Some(common));
            prop_assert_eq!(agreement.is_complete(), complete);
        }
    }
}
