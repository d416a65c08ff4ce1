// SPDX-License-Identifier: GPL-2.0

//! Weaknesses in speculation: what guests are told.

use rkvm_host::arm64::speculation::{Facts, Protection, Speculation};

const SAFE: Facts = Facts {
    weak_targets: false,
    weak_history: false,
    weak_stores: false,
    targets_cleared: false,
    history_cleared: false,
};

#[test]
fn what_is_told() {
    use Protection::{Active, Missing, NotNeeded};
    let told = |weak_targets, targets_cleared, history_cleared| {
        let speculation = Speculation::new(&Facts {
            weak_targets,
            weak_history: true,
            targets_cleared,
            history_cleared,
            ..SAFE
        });
        (speculation.targets, speculation.history)
    };
    assert_eq!(Speculation::new(&SAFE), Speculation::SAFE);
    assert_eq!(told(false, false, false), (NotNeeded, Missing));
    assert_eq!(told(false, false, true), (NotNeeded, Active));
    assert_eq!(told(true, false, true), (Missing, Missing));
    assert_eq!(told(true, true, true), (Active, Active));
    assert_eq!(told(true, true, false), (Active, Missing));
    let stores = Speculation::new(&Facts {
        weak_stores: true,
        ..SAFE
    });
    assert_eq!(stores.stores, Missing);
}
