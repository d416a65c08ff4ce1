// SPDX-License-Identifier: GPL-2.0

//! What others have for a vCPU: what a processor may take of it, and what needs attention.

use proptest::prelude::*;
use rkvm_host::x86::inbox::{Inbox, Notice, Signals, Vectors};
use rkvm_host::x86::message::{Identity, Trigger};
use std::collections::BTreeMap;

fn inbox() -> Inbox {
    Inbox::new(Identity::x2apic(3))
}

fn set(vectors: &[u8]) -> Vectors {
    let mut set = Vectors::default();
    for vector in vectors {
        set[usize::from(vector / 64)] |= 1 << (vector % 64);
    }
    set
}

#[test]
fn edges_are_posted_and_told_once() {
    let inbox = inbox();
    assert!(!inbox.has_news());
    assert_eq!(inbox.post(0x41, Trigger::Edge), Notice::Notify);
    assert_eq!(inbox.post(0xff, Trigger::Edge), Notice::None);
    assert_eq!(inbox.post(0x41, Trigger::Edge), Notice::None);
    assert!(inbox.has_news());
    let news = inbox.take();
    assert_eq!(news.vectors, set(&[0x41, 0xff]));
    assert_eq!(news.level, set(&[]));
    assert!(!inbox.has_news());
    assert_eq!(inbox.post(0x41, Trigger::Edge), Notice::Notify);
}

#[test]
fn levels_need_attention_and_so_does_the_next_edge() {
    let inbox = inbox();
    assert_eq!(inbox.post(0x41, Trigger::Level), Notice::Rouse);
    assert_eq!(inbox.post(0x42, Trigger::Edge), Notice::Notify);
    let news = inbox.take();
    assert_eq!(
        (news.vectors, news.level),
        (set(&[0x41, 0x42]), set(&[0x41]))
    );
    assert_eq!(inbox.post(0x41, Trigger::Edge), Notice::Rouse);
    let news = inbox.take();
    assert_eq!((news.vectors, news.level), (set(&[0x41]), set(&[])));
    assert_eq!(inbox.post(0x41, Trigger::Edge), Notice::Notify);
}

#[test]
fn vectors_of_exceptions_are_for_the_local_apic_to_refuse() {
    let inbox = inbox();
    assert_eq!(inbox.post(15, Trigger::Edge), Notice::Rouse);
    assert_eq!(inbox.post(16, Trigger::Edge), Notice::Notify);
    assert_eq!(inbox.take().vectors, set(&[15, 16]));
}

#[test]
fn signals_are_beside_the_vectors() {
    let inbox = inbox();
    inbox.post_nmi();
    assert!(inbox.has_news());
    // Whoever posts the first edge tells of it, whatever else is there.
    assert_eq!(inbox.post(0x41, Trigger::Edge), Notice::Notify);
    inbox.post_nmi();
    inbox.post_sipi(7);
    let news = inbox.take();
    assert!(news.signals.contains(Signals::NMI));
    assert!(news.signals.contains(Signals::SECOND_NMI));
    assert!(news.signals.contains(Signals::SIPI));
    assert!(!news.signals.contains(Signals::INIT));
    assert_eq!(news.sipi, 7);
    inbox.post_sipi(8);
    inbox.post_init();
    let signals = inbox.take().signals;
    assert!(signals.contains(Signals::INIT) && !signals.contains(Signals::SIPI));
}

#[test]
fn a_local_apic_that_was_replaced_says_what_is_level_triggered() {
    let inbox = inbox();
    let _ = inbox.post(0x41, Trigger::Edge);
    let _ = inbox.post(0x42, Trigger::Level);
    inbox.drop_vectors(set(&[0x43]));
    assert_eq!(inbox.take().vectors, set(&[]));
    assert_eq!(inbox.post(0x42, Trigger::Edge), Notice::Notify);
    assert_eq!(inbox.post(0x43, Trigger::Edge), Notice::Rouse);
}

proptest! {
    /// Whatever is requested is found, with the trigger mode of its last request where that was a level.
    #[test]
    fn nothing_gets_lost(requests in proptest::collection::vec((any::<u8>(), any::<bool>()), 0..64)) {
        let inbox = inbox();
        let mut last = BTreeMap::new();
        for (vector, level) in requests {
            let trigger = if level { Trigger::Level } else { Trigger::Edge };
            let notice = inbox.post(vector, trigger);
            prop_assert!(!level || notice == Notice::Rouse);
            last.insert(vector, level);
        }
        prop_assert_eq!(inbox.has_news(), !last.is_empty());
        let all: Vec<u8> = last.keys().copied().collect();
        let levels: Vec<u8> = last.iter().filter_map(|(vector, level)| level.then_some(*vector)).collect();
        let news = inbox.take();
        prop_assert_eq!(news.vectors, set(&all));
        prop_assert_eq!(news.level, set(&levels));
        prop_assert!(!inbox.has_news());
    }
}
