// SPDX-License-Identifier: GPL-2.0

//! Syndromes, what they tell of an access, and exceptions that the guest is made to take.

use rkvm_host::arm64::{
    el1::{El1Access, El1Reg, El1Regs},
    exception::{self, Aborted},
    exit::{Abort, Class, FaultStatus, Syndrome},
    mmio::{ByteOrder, Direction, RegisterAccess},
    regs::{pstate, CoreRegs},
};

const LITTLE: ByteOrder = ByteOrder::Little;

/// A data abort's ISS with a valid description of the access.
fn abort(size: u32, signed: bool, wide: bool, write: bool) -> Abort {
    const VALID: u32 = 1 << 24;
    const X3: u32 = 3 << 16;
    Abort::from(
        VALID
            | size << 22
            | u32::from(signed) << 21
            | X3
            | u32::from(wide) << 15
            | u32::from(write) << 6
            | 0b000110,
    )
}

#[test]
fn classes() {
    let class = |number: u64| Syndrome::new(number << 26).class();
    assert_eq!(class(0x24), Class::DataAbort);
    assert_eq!(class(0x20), Class::InstructionAbort);
    assert_eq!(class(0x16), Class::Hvc);
    assert_eq!(class(0x18), Class::SystemRegister);
    assert_eq!(class(0x3f), Class::Other(0x3f));
}

#[test]
fn fault_status() {
    let fault = |code: u32| Abort::from(code).fault();
    assert_eq!(fault(0b000000), FaultStatus::AddressSize);
    assert_eq!(fault(0b000111), FaultStatus::Translation);
    assert_eq!(fault(0b001011), FaultStatus::AccessFlag);
    assert_eq!(fault(0b001111), FaultStatus::Permission);
    assert_eq!(fault(0b010000), FaultStatus::External);
    assert_eq!(fault(0b100001), FaultStatus::Other(0b100001));
}

#[test]
fn loads_extend_as_the_instruction_says() {
    let data = 0xfedc_ba98_87f6_e5d4_u64.to_le_bytes();
    let load = |size, signed, wide| {
        let access = RegisterAccess::from_abort(abort(size, signed, wide, false), LITTLE).unwrap();
        assert_eq!(access.direction, Direction::Load);
        assert_eq!(access.register, 3);
        access.loaded(data)
    };
    assert_eq!(load(0, false, false), 0xd4);
    assert_eq!(load(0, true, false), 0xffff_ffd4);
    assert_eq!(load(0, true, true), 0xffff_ffff_ffff_ffd4);
    assert_eq!(load(1, true, false), 0xffff_e5d4);
    assert_eq!(load(2, false, false), 0x87f6_e5d4);
    assert_eq!(load(2, true, true), 0xffff_ffff_87f6_e5d4);
    assert_eq!(load(3, false, true), 0xfedc_ba98_87f6_e5d4);
}

#[test]
fn stores_put_the_low_bytes_on_the_bus() {
    let value = 0x1122_3344_5566_7788;
    for (size, expected) in [
        (0, 0x88),
        (1, 0x7788),
        (2, 0x5566_7788),
        (3, 0x1122_3344_5566_7788_u64),
    ] {
        let access = RegisterAccess::from_abort(abort(size, false, true, true), LITTLE).unwrap();
        assert_eq!(access.direction, Direction::Store);
        assert_eq!(access.bytes, 1 << size);
        assert_eq!(u64::from_le_bytes(access.stored(value)), expected);
    }
}

#[test]
fn a_big_endian_guest() {
    let access = |size| RegisterAccess::from_abort(abort(size, false, true, true), ByteOrder::Big);
    let word = access(2).unwrap();
    assert_eq!(
        word.stored(0x1122_3344),
        [0x11, 0x22, 0x33, 0x44, 0, 0, 0, 0]
    );
    assert_eq!(
        word.loaded([0x11, 0x22, 0x33, 0x44, 9, 9, 9, 9]),
        0x1122_3344
    );
    let double = access(3).unwrap();
    assert_eq!(
        double.loaded(double.stored(0x1122_3344_5566_7788)),
        0x1122_3344_5566_7788
    );
}

#[test]
fn the_order_of_a_guest() {
    let (ee, e0e) = (1 << 25, 1 << 24);
    let order = ByteOrder::of_guest;
    assert_eq!(order(pstate::EL1H, ee), ByteOrder::Big);
    assert_eq!(order(pstate::EL1H, e0e), ByteOrder::Little);
    assert_eq!(order(pstate::EL0T, e0e), ByteOrder::Big);
    assert_eq!(order(pstate::EL0T, ee), ByteOrder::Little);
    assert_eq!(order(pstate::AARCH32_USER | 1 << 9, 0), ByteOrder::Big);
    assert_eq!(order(pstate::AARCH32_USER, e0e), ByteOrder::Little);
}

#[test]
fn no_description_is_no_access() {
    assert!(RegisterAccess::from_abort(Abort::from(0b000110), LITTLE).is_none());
}

#[test]
fn an_exception_goes_to_the_vector_of_where_it_comes_from() {
    for (mode, offset) in [
        (pstate::EL1H, 0x200),
        (pstate::EL1T, 0),
        (pstate::EL0T, 0x400),
        (pstate::AARCH32_USER, 0x600),
    ] {
        let mut regs = CoreRegs::RESET;
        let mut el1 = El1Regs::RESET;
        const CARRY: u64 = 1 << 29;
        regs.pstate = mode | CARRY | pstate::SS;
        regs.pc = 0x1000;
        el1.set(El1Reg::Vbar, 0xffff_0000);
        exception::undefined(&mut regs, &mut el1, Syndrome::new(Syndrome::IL));
        assert_eq!(regs.pc, 0xffff_0000 + offset);
        assert_eq!(regs.pstate & !(1 << 22), pstate::RESET | CARRY);
        assert_eq!(el1.get(El1Reg::Elr), 0x1000);
        assert_eq!(el1.get(El1Reg::Spsr), mode | CARRY | pstate::SS);
        assert_eq!(el1.get(El1Reg::Esr), Syndrome::IL);
    }
}

#[test]
fn an_abort_tells_address_and_level() {
    let mut regs = CoreRegs::RESET;
    let mut el1 = El1Regs::RESET;
    regs.pstate = pstate::EL0T;
    let cause = Syndrome::new(0x24 << 26 | Syndrome::IL);
    let (fetch, data) = (Aborted::Fetch, Aborted::Data);
    exception::abort(&mut regs, &mut el1, data, 0x1234, 0x10, cause);
    assert_eq!(el1.get(El1Reg::Far), 0x1234);
    assert_eq!(el1.get(El1Reg::Esr), 0x24 << 26 | 1 << 25 | 0x10);
    // Now from EL1.
    exception::abort(&mut regs, &mut el1, fetch, 0x1234, 0x10, cause);
    assert_eq!(el1.get(El1Reg::Esr), 0x21 << 26 | 1 << 25 | 0x10);
}
