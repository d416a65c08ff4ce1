// SPDX-License-Identifier: GPL-2.0

//! Hypercalls and paravirtual features.

use proptest::prelude::*;
use rkvm_host::x86::cpuid::{CpuidEntry, LocalApic};
use rkvm_host::x86::pv::features::*;
use rkvm_host::x86::pv::hypercall::*;

fn call(number: u64, values: [u64; 4], width: Width) -> Result<Hypercall, Error> {
    Hypercall::decode(&Arguments { number, values }, width)
}

#[test]
fn what_guests_ask_for() {
    let width = Width::Bits64;
    assert_eq!(call(1, [0; 4], width), Ok(Hypercall::PollInterrupts));
    assert_eq!(call(5, [7, 3, 0, 0], width), Ok(Hypercall::Kick(3)));
    assert_eq!(call(11, [2, 9, 0, 0], width), Ok(Hypercall::Yield(2)));
    let pairing = Hypercall::ClockPairing {
        address: 0x1_0000_1000,
        clock: 0,
    };
    assert_eq!(call(9, [0x1_0000_1000, 0, 0, 0], width), Ok(pairing));
    for unknown in [0, 2, 3, 4, 6, 12, 13, 1 << 32 | 1, u64::MAX] {
        assert_eq!(call(unknown, [0; 4], width), Err(Error::NotImplemented));
    }
}

#[test]
fn narrow_callers_have_narrow_registers() {
    let high = 0xffff_ffff_0000_0000;
    let narrow = call(high | 5, [0, high | 3, 0, 0], Width::Bits32);
    assert_eq!(narrow, Ok(Hypercall::Kick(3)));
    assert_eq!(
        Width::Bits32.result(Err(Error::NotImplemented)),
        0xffff_fc18
    );
    assert_eq!(Width::Bits64.result(Err(Error::NotPermitted)), u64::MAX);
    assert_eq!(Width::Bits64.result(Ok(3)), 3);
}

fn targets(values: [u64; 4], width: Width) -> Vec<u32> {
    match call(10, values, width) {
        Ok(Hypercall::SendIpi(ipi)) => (0..300)
            .chain([u32::MAX - 1, u32::MAX])
            .filter(|id| ipi.is_for(*id))
            .collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn interrupts_to_several() {
    let wide = targets([0b101, 1 << 63, 100, 0xfd], Width::Bits64);
    assert_eq!(wide, [100, 102, 227]);
    // The second word begins 32 ids on.
    let narrow = targets([0b101, 1 << 31 | 1 << 40, 100, 0xfd], Width::Bits32);
    assert_eq!(narrow, [100, 102, 163]);
    let beyond = targets([0b11, 0, u64::from(u32::MAX), 0], Width::Bits64);
    assert_eq!(beyond, [u32::MAX]);
    for command in [1 << 18, 1 << 19, 1 << 24, 1 << 31] {
        let refused = call(10, [1, 0, 0, command], Width::Bits64);
        assert_eq!(refused, Err(Error::Invalid));
    }
}

#[test]
fn features_by_cpuid() {
    let entry = |function, [eax, ebx, ecx, edx]: [u32; 4]| CpuidEntry {
        function,
        eax,
        ebx,
        ecx,
        edx,
        ..CpuidEntry::default()
    };
    let [ebx, ecx, edx] = SIGNATURE;
    let cpuid = [
        entry(0x4000_0000, [0x4000_0001, 1, 2, 3]),
        entry(0x4000_0001, [u32::MAX, 0, 0, 0]),
        entry(0x4000_0100, [0x4000_0101, ebx, ecx, edx]),
        entry(0x4000_0101, [Feature::PV_EOI.mask(), 0, 0, 0]),
    ];
    let strict = Features::new(&cpuid, Enforcement::On);
    assert!(strict.has(Feature::PV_EOI) && !strict.has(Feature::STEAL_TIME));
    assert!(Features::new(&cpuid, Enforcement::Off).has(Feature::STEAL_TIME));
    assert!(!Features::new(&cpuid[..2], Enforcement::On).has(Feature::PV_EOI));
    assert!(Features::default().has(Feature::CLOCKSOURCE));
    assert_eq!(offered(LocalApic::Userspace), 0x0100_122b);
    assert_eq!(offered(LocalApic::InKernel), 0x0100_1aeb);
}

proptest! {
    #[test]
    fn any_hypercall(number in prop_oneof![0u64..16, any::<u64>()], values: [u64; 4]) {
        for width in [Width::Bits64, Width::Bits32] {
            if let Ok(Hypercall::SendIpi(ipi)) = call(number, values, width) {
                let first = width.truncate(values[2]) as u32;
                prop_assert_eq!(ipi.is_for(first), values[0] & 1 != 0);
                prop_assert!(!ipi.is_for(first.wrapping_sub(1)));
            }
        }
    }
}
