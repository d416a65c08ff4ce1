// SPDX-License-Identifier: GPL-2.0

//! What the tests have in common: an APIC on the bench, and names for its registers.

use rkvm_host::x86::lapic::{Clock, Config, DirectedEoi, Effect, Gp, Lapic, Lint0Reset};
use rkvm_host::x86::msr::{Initiator, Role};

pub const ID: u64 = 0x20;
pub const VERSION: u64 = 0x30;
pub const TPR: u64 = 0x80;
pub const APR: u64 = 0x90;
pub const PPR: u64 = 0xa0;
pub const EOI: u64 = 0xb0;
pub const LDR: u64 = 0xd0;
pub const DFR: u64 = 0xe0;
pub const SVR: u64 = 0xf0;
pub const ISR: u64 = 0x100;
pub const TMR: u64 = 0x180;
pub const IRR: u64 = 0x200;
pub const ESR: u64 = 0x280;
pub const LVT_CMCI: u64 = 0x2f0;
pub const ICR: u64 = 0x300;
pub const ICR_HIGH: u64 = 0x310;
pub const LVT_TIMER: u64 = 0x320;
pub const LVT_THERMAL: u64 = 0x330;
pub const LVT_PERFORMANCE: u64 = 0x340;
pub const LVT_LINT0: u64 = 0x350;
pub const LVT_LINT1: u64 = 0x360;
pub const LVT_ERROR: u64 = 0x370;
pub const INITIAL_COUNT: u64 = 0x380;
pub const CURRENT_COUNT: u64 = 0x390;
pub const DIVIDE: u64 = 0x3e0;
pub const SELF_IPI: u64 = 0x3f0;

pub const MASKED: u32 = 1 << 16;
pub const PERIODIC: u32 = 1 << 17;
pub const TSC_DEADLINE: u32 = 1 << 18;
pub const ENABLED: u32 = 0x1ff;
pub const DIVIDE_BY_1: u32 = 0xb;

pub const BASE: u64 = 0xfee0_0000;
pub const BASE_ENABLE: u64 = 1 << 11;
pub const BASE_X2APIC: u64 = 3 << 10;

/// 2 GHz: two ticks a nanosecond.
pub const HZ: u64 = 2_000_000_000;

pub const CONFIG: Config = Config {
    role: Role::Application,
    lint0: Lint0Reset::ExtInt,
    directed_eoi: DirectedEoi::Absent,
    tsc_deadline: true,
    cmci: false,
    bus_cycle_ns: 1,
};

pub fn at(tsc: u64) -> Clock {
    Clock {
        tsc,
        hz: HZ,
        offset: 0,
    }
}

pub const NOW: Clock = Clock {
    tsc: 0,
    hz: HZ,
    offset: 0,
};

/// The MSR of a register.
pub fn msr(offset: u64) -> u32 {
    0x800 + (offset >> 4) as u32
}

/// An APIC after power-up.
pub fn fresh(id: u32) -> Lapic {
    Lapic::new(id, CONFIG).unwrap()
}

/// An APIC that software has enabled, in xAPIC mode.
pub fn xapic(id: u32) -> Lapic {
    let mut lapic = fresh(id);
    let effect = write(&mut lapic, SVR, ENABLED);
    assert!(effect.identity);
    lapic
}

/// An APIC that software has enabled, in x2APIC mode.
pub fn x2apic(id: u32) -> Lapic {
    let mut lapic = xapic(id);
    let base = lapic.base() | BASE_X2APIC;
    assert!(set_base(&mut lapic, base).unwrap().identity);
    lapic
}

pub fn set_base(lapic: &mut Lapic, base: u64) -> Result<Effect, Gp> {
    lapic.set_base(base, !0 << 40, Initiator::Guest)
}

pub fn read_at(lapic: &mut Lapic, offset: u64, clock: &Clock) -> u32 {
    let mut data = [0; 4];
    lapic.mmio_read(offset, &mut data, clock);
    u32::from_le_bytes(data)
}

pub fn read(lapic: &mut Lapic, offset: u64) -> u32 {
    read_at(lapic, offset, &NOW)
}

pub fn write_at(lapic: &mut Lapic, offset: u64, value: u32, clock: &Clock) -> Effect {
    lapic.mmio_write(offset, &value.to_le_bytes(), clock)
}

pub fn write(lapic: &mut Lapic, offset: u64, value: u32) -> Effect {
    write_at(lapic, offset, value, &NOW)
}

/// The vectors in the set that begins at `offset`.
pub fn vectors(lapic: &mut Lapic, offset: u64) -> Vec<u8> {
    (0..=255u8)
        .filter(|vector| {
            let register = read(lapic, offset + u64::from(vector / 32) * 0x10);
            register >> (vector % 32) & 1 != 0
        })
        .collect()
}
