// SPDX-License-Identifier: GPL-2.0

//! How long a waiting vCPU looks before it sleeps.

use proptest::prelude::*;
use rkvm_host::halt_poll::HaltPoll;

/// Nanoseconds.
const LONGEST: u64 = 500_000;

#[test]
fn short_waits_are_looked_for_longer_and_longer() {
    let mut poll = HaltPoll::default();
    assert_eq!(poll.window(LONGEST), 0);
    let windows: Vec<u64> = (0..8)
        .map(|_| {
            poll.waited(499_999, LONGEST);
            poll.window(LONGEST)
        })
        .collect();
    let expected = [
        10_000, 20_000, 40_000, 80_000, 160_000, 320_000, 500_000, 500_000,
    ];
    assert_eq!(windows, expected);
    poll.waited(500_000, LONGEST);
    assert_eq!(poll.window(LONGEST), 500_000, "it was found");
    poll.waited(500_001, LONGEST);
    assert_eq!(poll.window(LONGEST), 0);
}

#[test]
fn a_new_limit_holds_at_once() {
    let mut poll = HaltPoll::default();
    for _ in 0..8 {
        poll.waited(LONGEST - 1, LONGEST);
    }
    assert_eq!(poll.window(20_000), 20_000);
    assert_eq!(poll.window(0), 0);
    poll.waited(19_000, 20_000);
    poll.waited(20_001, 20_000);
    assert_eq!(poll.window(LONGEST), 0, "it was long for this limit");
    poll.waited(1, 5);
    assert_eq!(poll.window(LONGEST), 5, "nor does it begin above the limit");
}

proptest! {
    #[test]
    fn it_is_never_longer_than_half_a_millisecond(waits in prop::collection::vec(any::<u64>(), 0..50)) {
        let mut poll = HaltPoll::default();
        for wait in waits {
            poll.waited(wait, LONGEST);
            prop_assert!(poll.window(LONGEST) <= LONGEST);
        }
    }
}
