// SPDX-License-Identifier: GPL-2.0

//! Calls of arm64 guests: PSCI, the calling convention, random numbers, stolen time.

use std::cell::RefCell;

use kernel::error::code::{EBUSY, EEXIST, EINVAL, ENOSPC};
use proptest::prelude::*;

use rkvm_host::arm64::features::{Features, PointerAuthentication, ScalableVectors};
use rkvm_host::arm64::id_regs::{HostIds, Stage};
use rkvm_host::arm64::one_reg::FirmwareReg;
use rkvm_host::arm64::psci::{
    self, mpidr, Entry, Outcome, Power, Processors, SystemEvent, SystemSuspend, TurnedOn, Version,
    AFFINITY,
};
use rkvm_host::arm64::pv_time::{Addition, StolenTime};
use rkvm_host::arm64::smccc::{
    filter::{Action, Filter, MAX_RANGES},
    Call, Firmware, Results, Service, NOT_SUPPORTED,
};
use rkvm_host::arm64::speculation::{Protection, Speculation};
use rkvm_host::arm64::sysreg::name::ID_AA64PFR0_EL1;
use rkvm_host::arm64::timer::Which;
use rkvm_host::arm64::trng::{self, Request, Width};
use rkvm_host::types::Gpa;

const INVALID_PARAMETERS: u64 = -2i64 as u64;
const ALREADY_ON: u64 = -4i64 as u64;
const INTERNAL_FAILURE: u64 = -6i64 as u64;

/// A VM's vCPUs by their ids: where those that are on began.
struct Vm(RefCell<Vec<Option<Entry>>>);

impl Vm {
    /// One of `count` vCPUs of which the first is on.
    fn new(count: usize) -> Self {
        let mut vcpus = vec![None; count];
        vcpus[0] = Some(Entry {
            address: 0,
            context: 0,
        });
        Self(RefCell::new(vcpus))
    }
}

impl Processors for Vm {
    fn turn_on(&self, affinity: u64, entry: Entry) -> TurnedOn {
        let mut vcpus = self.0.borrow_mut();
        let found = (0..)
            .zip(vcpus.iter_mut())
            .find(|(id, _)| mpidr(*id) & AFFINITY == affinity);
        match found {
            None => TurnedOn::Unknown,
            Some((_, Some(_))) => TurnedOn::Already,
            Some((_, vcpu)) => {
                *vcpu = Some(entry);
                TurnedOn::Now
            }
        }
    }

    fn power(&self, affinity: u64, mask: u64) -> Power {
        let vcpus = self.0.borrow();
        let matching = (0..)
            .zip(vcpus.iter())
            .filter(|(id, _)| mpidr(*id) & mask == affinity);
        let states: Vec<_> = matching.map(|(_, vcpu)| vcpu.is_some()).collect();
        match (states.is_empty(), states.contains(&true)) {
            (true, _) => Power::Unknown,
            (_, true) => Power::On,
            (_, false) => Power::Off,
        }
    }
}

fn call(function: u32, arguments: [u64; 3]) -> Call {
    Call {
        function,
        arguments,
    }
}

/// A call of PSCI 1.3.
fn latest(vm: &Vm, function: u32, arguments: [u64; 3]) -> Outcome {
    psci::call(
        Version::LATEST,
        SystemSuspend::Absent,
        call(function, arguments),
        vm,
    )
}

#[test]
fn versions() {
    for (raw, minor) in [
        (0x2, None),
        (0x1_0000, Some(0)),
        (0x1_0001, Some(1)),
        (0x1_0003, Some(3)),
    ] {
        let version = Version::from_raw(raw).unwrap();
        assert_eq!(version.raw(), raw);
        let vm = Vm::new(1);
        let ask = |function, argument| {
            let call = call(function, [argument, 0, 0]);
            psci::call(version, SystemSuspend::Absent, call, &vm)
        };
        assert_eq!(ask(0x8400_0000, 0), Outcome::Return(raw));
        let has = |function| ask(0x8400_000a, function);
        let answers = |there| match there {
            true => Outcome::Return(0),
            false => Outcome::Return(NOT_SUPPORTED),
        };
        assert_eq!(has(0x8400_0003), answers(minor.is_some()));
        assert_eq!(has(0xc400_0012), answers(minor >= Some(1)));
        let off2 = if minor >= Some(3) { 1 } else { NOT_SUPPORTED };
        assert_eq!(has(0x8400_0015), Outcome::Return(off2));
        assert_eq!(has(0x8400_0005), Outcome::Return(NOT_SUPPORTED));
    }
    assert_eq!(Version::from_raw(0x2_0000), None);
}

#[test]
fn turning_processors_on() {
    let vm = Vm::new(20);
    let entry = Entry {
        address: 0x4000_0000,
        context: 7,
    };
    let on = |affinity| latest(&vm, 0xc400_0003, [affinity, entry.address, entry.context]);
    assert_eq!(on(1), Outcome::Return(0));
    assert_eq!(vm.0.borrow()[1], Some(entry));
    assert_eq!(on(1), Outcome::Return(ALREADY_ON));
    // vCPU 16 is the first of the next sixteen.
    assert_eq!(on(0x100), Outcome::Return(0));
    assert!(vm.0.borrow()[16].is_some());
    assert_eq!(on(0x10), Outcome::Return(INVALID_PARAMETERS));
    assert_eq!(on(1 << 31), Outcome::Return(INVALID_PARAMETERS));
    // Of 32 bits: upper halves do not count.
    let narrow = latest(&vm, 0x8400_0003, [1 << 63 | 2, 1 << 32 | 8, 9]);
    assert_eq!(narrow, Outcome::Return(0));
    assert_eq!(
        vm.0.borrow()[2],
        Some(Entry {
            address: 8,
            context: 9
        })
    );
}

#[test]
fn affinity_levels() {
    let vm = Vm::new(20);
    let info = |affinity, level| latest(&vm, 0xc400_0004, [affinity, level, 0]);
    assert_eq!(info(0, 0), Outcome::Return(0));
    assert_eq!(info(1, 0), Outcome::Return(1));
    assert_eq!(info(1, 1), Outcome::Return(0));
    assert_eq!(info(0x100, 1), Outcome::Return(1));
    assert_eq!(info(0x100, 2), Outcome::Return(0));
    assert_eq!(info(0x200, 1), Outcome::Return(INVALID_PARAMETERS));
    assert_eq!(info(0, 3), Outcome::Return(0));
    assert_eq!(info(0, 4), Outcome::Return(INVALID_PARAMETERS));
    assert_eq!(info(1 << 40, 0), Outcome::Return(INVALID_PARAMETERS));
}

#[test]
fn the_systems_power() {
    let vm = Vm::new(2);
    let event = |event| Outcome::Event(event, INTERNAL_FAILURE);
    assert_eq!(latest(&vm, 0x8400_0008, [0; 3]), event(SystemEvent::Off));
    assert_eq!(latest(&vm, 0x8400_0009, [0; 3]), event(SystemEvent::Reset));
    assert_eq!(
        latest(&vm, 0xc400_0012, [0; 3]),
        event(SystemEvent::WarmReset)
    );
    assert_eq!(
        latest(&vm, 0x8400_0012, [1 << 31, 0, 0]),
        event(SystemEvent::WarmReset)
    );
    assert_eq!(
        latest(&vm, 0xc400_0012, [1, 0, 0]),
        Outcome::Return(INVALID_PARAMETERS)
    );
    assert_eq!(
        latest(&vm, 0xc400_0015, [1, 0, 0]),
        event(SystemEvent::Hibernate)
    );
    assert_eq!(
        latest(&vm, 0xc400_0015, [0; 3]),
        event(SystemEvent::Hibernate)
    );
    assert_eq!(
        latest(&vm, 0xc400_0015, [2, 0, 0]),
        Outcome::Return(INVALID_PARAMETERS)
    );
    assert_eq!(
        latest(&vm, 0xc400_0015, [0, 1 << 32, 0]),
        Outcome::Return(INVALID_PARAMETERS)
    );
    assert_eq!(
        latest(&vm, 0x8400_0015, [0, 1 << 32, 0]),
        event(SystemEvent::Hibernate)
    );
    assert_eq!(latest(&vm, 0x8400_0001, [0; 3]), Outcome::Wait(0));
    assert_eq!(latest(&vm, 0x8400_0002, [0; 3]), Outcome::Off(0));
    assert_eq!(latest(&vm, 0x8400_0006, [0; 3]), Outcome::Return(2));
    let suspend = |offered| psci::call(Version::V1_0, offered, call(0xc400_000e, [0; 3]), &vm);
    assert_eq!(
        suspend(SystemSuspend::Absent),
        Outcome::Return(NOT_SUPPORTED)
    );
    assert_eq!(suspend(SystemSuspend::Offered), Outcome::SuspendEvent);
}

#[test]
fn the_first_version_is_kvms_own() {
    let vm = Vm::new(2);
    let old = |function, argument| {
        let call = call(function, [argument, 0, 0]);
        psci::call(Version::V0_1, SystemSuspend::Absent, call, &vm)
    };
    assert_eq!(old(0x95c1_ba60, 1), Outcome::Return(0));
    assert_eq!(old(0x95c1_ba60, 1), Outcome::Return(INVALID_PARAMETERS));
    assert_eq!(old(0x95c1_ba5f, 0), Outcome::Off(0));
    assert_eq!(old(0x95c1_ba61, 0), Outcome::Return(NOT_SUPPORTED));
    assert_eq!(old(0x8400_0000, 0), Outcome::Return(NOT_SUPPORTED));
    assert!(psci::is_function(0x95c1_ba5e) && psci::is_function(0x95c1_ba61));
    assert!(!psci::is_function(0x95c1_ba62) && !psci::is_function(0x8400_0050));
}

/// A host whose CSV2 is this, with nothing done against what that leaves.
fn host(csv2: u64) -> HostIds {
    let missing_if = |weak| {
        if weak {
            Protection::Missing
        } else {
            Protection::NotNeeded
        }
    };
    let read = |register| {
        if register == ID_AA64PFR0_EL1 {
            csv2 << 56 | 0x11
        } else {
            0
        }
    };
    let speculation = Speculation {
        targets: missing_if(csv2 < 1),
        history: missing_if(csv2 < 3),
        stores: Protection::Missing,
    };
    HostIds::new(read, speculation)
}

fn psci_0_2() -> Features {
    let available = Features::available(PointerAuthentication::Absent, ScalableVectors::Absent);
    Features::parse([4, 0, 0, 0, 0, 0, 0], available).unwrap().0
}

#[test]
fn services() {
    let firmware = Firmware::new();
    let ask = |function, argument| firmware.route(call(function, [argument, 0, 0]), &host(1));
    let one = |value| Service::Done(Results::one(value));
    assert_eq!(ask(0x8000_0000, 0), one(0x1_0001));
    assert_eq!(ask(0x8000_0001, 0x8000_8000), one(1));
    assert_eq!(ask(0x8000_0001, 0x8000_3fff), one(NOT_SUPPORTED));
    assert_eq!(ask(0x8000_0001, 0xc500_0020), one(0));
    assert_eq!(ask(0x8000_0001, 0x8000_0002), one(NOT_SUPPORTED));
    assert_eq!(ask(0xc500_0020, 0), Service::StolenTimeFeatures);
    assert_eq!(ask(0xc500_0021, 0), Service::StolenTime);
    assert_eq!(ask(0x8600_0000, 0), Service::Done(Results([3, 0, 0, 0])));
    assert_eq!(ask(0x8600_0001, 0), Service::Time(Which::Virtual));
    assert_eq!(ask(0x8600_0001, 1), Service::Time(Which::Physical));
    assert_eq!(ask(0x8600_0001, 2), one(NOT_SUPPORTED));
    assert_eq!(ask(0x8400_0003, 0), Service::Psci);
    assert_eq!(
        ask(0x8400_0050, 0),
        Service::Random(Request::Done(Results::one(0x1_0000)))
    );
    assert_eq!(ask(0xc600_0040, 0), one(NOT_SUPPORTED));
    assert_eq!(ask(0x1234, 0), one(NOT_SUPPORTED));
    let uid = Results([0xb66f_b428, 0xe911_c52e, 0x564b_caa9, 0x743a_004d]);
    assert_eq!(ask(0x8600_ff01, 0), Service::Done(uid));
}

#[test]
fn a_vmm_takes_services_away() {
    let (features, host) = (psci_0_2(), host(1));
    let mut firmware = Firmware::new();
    let mut set = |register, value| firmware.set(register, features, &host, Stage::Setup, value);
    assert_eq!(set(FirmwareReg::Standard, 2), Err(EINVAL));
    for register in [
        FirmwareReg::Standard,
        FirmwareReg::StandardHypervisor,
        FirmwareReg::Vendor,
    ] {
        assert_eq!(set(register, 0), Ok(()));
    }
    for function in [
        0x8400_0050,
        0xc500_0020,
        0xc500_0021,
        0x8600_0000,
        0x8600_ff01,
        0x8600_0001,
    ] {
        let service = firmware.route(call(function, [0; 3]), &host);
        assert_eq!(
            service,
            Service::Done(Results::NOT_SUPPORTED),
            "{function:#x}"
        );
    }
    let mut late =
        |value| firmware.set(FirmwareReg::Vendor, features, &host, Stage::Running, value);
    assert_eq!(
        (late(0), late(1), late(4)),
        (Ok(()), Err(EBUSY), Err(EINVAL))
    );
}

#[test]
fn versions_go_with_features() {
    let host = host(0);
    let mut firmware = Firmware::new();
    let mut set = |features, value| {
        firmware.set(
            FirmwareReg::PsciVersion,
            features,
            &host,
            Stage::Setup,
            value,
        )
    };
    assert_eq!(set(psci_0_2(), 0x1), Err(EINVAL));
    assert_eq!(set(Features::default(), 0x2), Err(EINVAL));
    assert_eq!(set(Features::default(), 0x1), Ok(()));
    assert_eq!(set(psci_0_2(), 0x1_0004), Err(EINVAL));
    assert_eq!(set(psci_0_2(), 0x2), Ok(()));
    assert_eq!(firmware.psci_version(psci_0_2()), Version::V0_2);
    assert_eq!(firmware.psci_version(Features::default()), Version::V0_1);
}

#[test]
fn protection_that_a_vmm_promises() {
    let mut firmware = Firmware::new();
    let mut set = |csv2, register, value| {
        firmware
            .set(register, psci_0_2(), &host(csv2), Stage::Running, value)
            .is_ok()
    };
    assert!(set(0, FirmwareReg::Workaround1, 0) && !set(0, FirmwareReg::Workaround1, 1));
    assert!(set(1, FirmwareReg::Workaround1, 2) && !set(1, FirmwareReg::Workaround1, 3));
    assert!(!set(1, FirmwareReg::Workaround3, 1) && set(3, FirmwareReg::Workaround3, 2));
    for (value, fine) in [
        (0, true),
        (1, true),
        (2, false),
        (0x12, false),
        (3, false),
        (0x10, false),
        (4, false),
    ] {
        assert_eq!(set(0, FirmwareReg::Workaround2, value), fine, "{value:#x}");
    }
    for register in FirmwareReg::ALL {
        let value = firmware.get(register, psci_0_2(), &host(1));
        assert_eq!(
            firmware.set(register, psci_0_2(), &host(1), Stage::Running, value),
            Ok(())
        );
    }
}

#[test]
fn filters() {
    let mut filter = Filter::new();
    let mut add = |first, count, action| filter.add(first, count, action, Stage::Setup);
    assert_eq!(add(0x8400_0000, 0, Action::Deny), Err(EINVAL));
    assert_eq!(add(0xffff_ffff, 2, Action::Deny), Err(EINVAL));
    assert_eq!(add(0xffff_ffff, 1, Action::Deny), Ok(()));
    assert_eq!(add(0x8000_ffff, 2, Action::Deny), Err(EEXIST));
    assert_eq!(add(0xbfff_ffff, 2, Action::Forward), Err(EEXIST));
    assert_eq!(add(0x8400_0000, 0x20, Action::Forward), Ok(()));
    assert_eq!(add(0x8400_001f, 1, Action::Handle), Err(EEXIST));
    assert_eq!(filter.add(1, 1, Action::Deny, Stage::Running), Err(EBUSY));
    for function in 2..MAX_RANGES as u32 {
        let added = filter.add(function, 1, Action::Deny, Stage::Setup);
        assert_eq!(added, Ok(()));
    }
    assert_eq!(
        filter.add(0, 1, Action::Deny, Stage::Setup),
        Err(ENOSPC),
        "they are looked through at each call"
    );
    assert_eq!(filter.action(0x8400_001f), Action::Forward);
    assert_eq!(filter.action(0x8400_0020), Action::Handle);
    assert_eq!(filter.action(0xffff_ffff), Action::Deny);
    assert!(Action::from_raw(3).is_err());
}

#[test]
fn random_numbers() {
    let ask = |function, argument| trng::request(call(function, [argument, 0, 0]));
    let one = |value| Some(Request::Done(Results::one(value)));
    assert_eq!(ask(0x8400_0051, 0xc400_0053), one(0));
    assert_eq!(ask(0x8400_0051, 0x8400_0054), one(NOT_SUPPORTED));
    assert_eq!(ask(0x8400_0053, 97), one(INVALID_PARAMETERS));
    assert_eq!(ask(0xc400_0053, 193), one(INVALID_PARAMETERS));
    assert_eq!(
        ask(0xc400_0053, 192),
        Some(Request::Bits {
            count: 192,
            width: Width::Bits64
        })
    );
    assert_eq!(ask(0x8600_0000, 0), None);
    let random = [u64::MAX; 3];
    let results = |count, width| trng::results(count, width, random).0;
    assert_eq!(results(65, Width::Bits64), [0, 0, 1, u64::MAX]);
    assert_eq!(
        results(96, Width::Bits32),
        [0, 0xffff_ffff, 0xffff_ffff, 0xffff_ffff]
    );
    assert_eq!(results(33, Width::Bits32), [0, 0, 1, 0xffff_ffff]);
    assert_eq!(results(0, Width::Bits64), [0; 4]);
}

#[test]
fn stolen_time() {
    let mut time = StolenTime::NONE;
    assert_eq!(time.features(0xc500_0021), Results::NOT_SUPPORTED);
    assert_eq!(time.start(5), (Results::NOT_SUPPORTED, None));
    assert_eq!(time.check_place(Gpa::new(0x20)), Err(EINVAL));
    assert_eq!(time.check_place(Gpa::new(0x40)), Ok(()));
    time.set_place(Gpa::new(0x40));
    assert_eq!(time.check_place(Gpa::new(0x80)), Err(EEXIST));
    assert_eq!(time.features(0xc500_0021), Results::one(0));
    assert_eq!(time.features(0xc500_0022), Results::NOT_SUPPORTED);
    assert_eq!(time.start(100), (Results::one(0x40), Some(Gpa::new(0x40))));
    let added = |nanoseconds| {
        Some(Addition {
            counter: Gpa::new(0x48),
            nanoseconds,
        })
    };
    assert_eq!(time.advance(150), added(50));
    assert_eq!(time.advance(150), None);
    assert_eq!(time.advance(170), added(20));
    assert_eq!(time.advance(10), None);
    // One whose guest has had its structure before: counts from the first time on.
    let mut moved = StolenTime::NONE;
    assert_eq!(moved.advance(500), None);
    moved.set_place(Gpa::new(0x40));
    assert_eq!(moved.advance(600), None);
    assert_eq!(moved.advance(650), added(50));
}

proptest! {
    #[test]
    fn any_call_has_an_outcome(function: u32, arguments: [u64; 3], raw in 0usize..6, near: bool) {
        let version = [0x1, 0x2, 0x1_0000, 0x1_0001, 0x1_0002, 0x1_0003][raw];
        let vm = Vm::new(3);
        let function = if near { 0x8400_0000 | function & 0x4000_007f } else { function };
        let call = call(function, arguments);
        psci::call(Version::from_raw(version).unwrap(), SystemSuspend::Offered, call, &vm);
        Firmware::new().route(call, &host(u64::from(function) & 3));
    }

    /// Results never have more random bits than were asked for, and all of those.
    #[test]
    fn as_many_bits_as_asked(count in 0u32..=192, narrow: bool) {
        let (width, count) = if narrow { (Width::Bits32, count / 2) } else { (Width::Bits64, count) };
        let [status, results @ ..] = trng::results(count, width, [u64::MAX; 3]).0;
        prop_assert_eq!(status, 0);
        prop_assert_eq!(results.iter().map(|word| word.count_ones()).sum::<u32>(), count);
    }

    #[test]
    fn vcpus_have_names_of_their_own(one in 0u32..4096, other in 0u32..4096) {
        prop_assert_eq!(mpidr(one) == mpidr(other), one == other);
        prop_assert_eq!(mpidr(one) & AFFINITY & !0xff_ffff, 0);
    }
}
