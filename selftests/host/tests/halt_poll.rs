// SPDX-License-Identifier: GPL-2.0

//! How long a waiting vCPU looks before it sleeps.

use proptest::prelude::*;
use rkvm_host::arm64::halt_poll::HaltPoll;

#[test]
fn short_waits_are_looked_for_longer_and_longer() {
    let mut poll = HaltPoll::default();
    assert_eq!(poll.window(), 0);
    let windows: Vec<u64> = (0..8)
        .map(|_| {
            poll.waited(499_999);
            poll.window()
        })
        .collect();
    let expected = [
        10_000, 20_000, 40_000, 80_000, 160_000, 320_000, 500_000, 500_000,
    ];
    assert_eq!(windows, expected);
    poll.waited(500_000);
    assert_eq!(poll.window(), 500_000, "it was found");
    poll.waited(500_001);
    assert_eq!(poll.window(), 0);
}

proptest! {
    #[test]
    fn it_is_never_longer_than_half_a_millisecond(waits in prop::collection::vec(any::<u64>(), 0..50)) {
        let mut poll = HaltPoll::default();
        for wait in waits {
            poll.waited(wait);
            prop_assert!(poll.window() <= 500_000);
        }
    }
}
