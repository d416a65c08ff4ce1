// SPDX-License-Identifier: GPL-2.0

//! Events: the words of VMX, and what two exceptions make.

use rkvm_host::x86::event::{
    merge, vector, Event, Events, InterruptionInfo, Kind, Merged, NmisHeld,
};

const PAGE_FAULT: Event = Event::exception(vector::PAGE_FAULT, Some(2));
const DOUBLE_FAULT: Event = Event::exception(vector::DOUBLE_FAULT, Some(0));

#[test]
fn words_are_those_of_the_manual() {
    assert_eq!(Event::NMI.info.raw(), 0x8000_0202);
    assert_eq!(Event::interrupt(0x31).info.raw(), 0x8000_0031);
    assert_eq!(Event::GENERAL_PROTECTION.info.raw(), 0x8000_0b0d);
    assert_eq!(Event::INVALID_OPCODE.info.raw(), 0x8000_0306);
    assert_eq!(
        Event::GENERAL_PROTECTION.without_error_code().info.raw(),
        0x8000_030d
    );
    let breakpoint = Event::software_exception(vector::BREAKPOINT);
    assert_eq!(breakpoint.info.raw(), 0x8000_0603);
    assert_eq!(breakpoint.instruction_length, 1);
    let int_80 = Event::software_interrupt(0x80);
    assert_eq!(int_80.info.raw(), 0x8000_0480);
    assert_eq!(int_80.instruction_length, 2);
}

#[test]
fn every_word_decodes() {
    for kind in 0..8u32 {
        let info = InterruptionInfo::new(1 << 31 | kind << 8 | 0x20);
        let known = [0, 2, 3, 4, 5, 6].contains(&kind);
        assert_eq!(matches!(info.kind(), Kind::Other(_)), !known);
        assert_eq!(info.vector(), 0x20);
    }
    assert!(!InterruptionInfo::new(0x7fff_ffff).is_valid());
}

/// SDM volume 3, table 7-5, written as a table of its own.
#[test]
fn double_faults() {
    let contributory = [0, 10, 11, 12, 13];
    let benign = [1, 3, 4, 5, 6, 7, 9, 16, 17, 18, 19];
    let exception = |number| Event::exception(number, None);
    for first in contributory {
        for second in contributory {
            let merged = merge(Some(exception(first)), exception(second));
            assert_eq!(merged, Merged::Deliver(DOUBLE_FAULT), "{first} {second}");
            let after_page_fault = merge(Some(PAGE_FAULT), exception(second));
            assert_eq!(after_page_fault, Merged::Deliver(DOUBLE_FAULT));
            let third = merge(Some(DOUBLE_FAULT), exception(second));
            assert_eq!(third, Merged::TripleFault);
        }
        let merged = merge(Some(exception(first)), PAGE_FAULT);
        assert_eq!(merged, Merged::Deliver(PAGE_FAULT), "{first} #PF");
    }
    assert_eq!(
        merge(Some(PAGE_FAULT), PAGE_FAULT),
        Merged::Deliver(DOUBLE_FAULT)
    );
    assert_eq!(merge(Some(DOUBLE_FAULT), PAGE_FAULT), Merged::TripleFault);
    for number in benign {
        for other in contributory.into_iter().chain(benign) {
            let (a, b) = (exception(number), exception(other));
            assert_eq!(merge(Some(a), b), Merged::Deliver(b));
            assert_eq!(merge(Some(b), a), Merged::Deliver(a));
        }
    }
    for first in [Event::NMI, Event::interrupt(0x20)] {
        assert_eq!(merge(Some(first), PAGE_FAULT), Merged::Deliver(PAGE_FAULT));
    }
    assert_eq!(merge(None, PAGE_FAULT), Merged::Deliver(PAGE_FAULT));
}

#[test]
fn raising_during_a_delivery() {
    let mut events = Events::default();
    events.raise(Event::GENERAL_PROTECTION);
    events.raise(Event::GENERAL_PROTECTION);
    assert_eq!(events.due, Some(DOUBLE_FAULT));
    events.raise(Event::GENERAL_PROTECTION);
    assert!(events.triple_fault && events.due.is_none());
}

#[test]
fn two_nmis_are_remembered() {
    let mut events = Events::default();
    for _ in 0..1000 {
        events.add_nmi();
    }
    assert_eq!(events.nmis, 2);
    events.set_nmis(200, NmisHeld::No);
    assert_eq!(events.nmis, 2);
    events.set_nmis(200, NmisHeld::Yes);
    assert_eq!(events.nmis, 1);
    events.set_nmis(0, NmisHeld::No);
    assert_eq!(events.nmis, 0);
}

#[test]
fn setting_registers_drops_exceptions_alone() {
    let mut events = Events {
        due: Some(PAGE_FAULT),
        ..Events::default()
    };
    events.drop_exception();
    assert_eq!(events.due, None);
    events.due = Some(Event::interrupt(0x40));
    events.drop_exception();
    assert_eq!(events.cut_short_interrupt(), Some(0x40));
}
