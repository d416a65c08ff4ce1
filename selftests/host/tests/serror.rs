// SPDX-License-Identifier: GPL-2.0

//! Whom an SError concerns, by its syndrome.

use rkvm_host::arm64::exit::Syndrome;
use rkvm_host::arm64::serror::{deferred, judge, Outcome, Ras, ISS_OWN};

const SERROR: u64 = 0x2f << 26 | 1 << 25;
const ASYNCHRONOUS: u64 = 0x11;

fn with_severity(severity: u64) -> Outcome {
    let syndrome = Syndrome::new(SERROR | severity << 10 | ASYNCHRONOUS);
    judge(syndrome, Ras::Present)
}

#[test]
fn by_severity() {
    let outcomes = [0, 1, 2, 3, 4, 5, 6, 7].map(with_severity);
    use Outcome::{Guest, Harmless, Uncontained};
    assert_eq!(
        outcomes,
        [
            Uncontained,
            Guest,
            Harmless,
            Guest,
            Uncontained,
            Uncontained,
            Harmless,
            Uncontained
        ]
    );
}

#[test]
fn without_a_severity() {
    // The status does not say that there is one.
    let syndrome = Syndrome::new(SERROR | 6 << 10);
    assert_eq!(judge(syndrome, Ras::Present), Outcome::Uncontained);
    // The maker's own syndromes, and processors that know none, tell nothing.
    let own = Syndrome::new(SERROR | ISS_OWN | ASYNCHRONOUS);
    assert_eq!(judge(own, Ras::Present), Outcome::Guest);
    assert_eq!(judge(syndrome, Ras::Absent), Outcome::Guest);
}

#[test]
fn what_has_been_deferred() {
    const DEFERRED: u64 = 1 << 31;
    let corrected = 6 << 10 | 1 << 9 | ASYNCHRONOUS;
    assert_eq!(deferred(DEFERRED | corrected | 1 << 6).raw(), corrected);
    let own = ISS_OWN | 0xab_cdef;
    assert_eq!(deferred(DEFERRED | own).raw(), own);
}
