// SPDX-License-Identifier: GPL-2.0

//! Weaknesses in speculation: what guests are told.

use rkvm_host::arm64::speculation::{Facts, Protection, Speculation};

#[test]
fn what_is_told() {
    use Protection::{Active, Missing, NotNeeded};
    let told = |weak_targets, targets_cleared, history_cleared| {
        let speculation = Speculation::new(&Facts {
            weak_targets,
            weak_history: true,
            targets_cleared,
            history_cleared,
            ..Facts::default()
        });
        (speculation.targets, speculation.history)
    };
    let safe = Speculation {
        targets: Protection::NotNeeded,
        history: Protection::NotNeeded,
        stores: Protection::NotNeeded,
    };
    assert_eq!(Speculation::new(&Facts::default()), safe);
    assert_eq!(told(false, false, false), (NotNeeded, Missing));
    assert_eq!(told(false, false, true), (NotNeeded, Active));
    assert_eq!(told(true, false, true), (Missing, Missing));
    assert_eq!(told(true, true, true), (Active, Active));
    assert_eq!(told(true, true, false), (Active, Missing));
    let stores = Speculation::new(&Facts {
        weak_stores: true,
        ..Facts::default()
    });
    assert_eq!(stores.stores, Missing);
}
