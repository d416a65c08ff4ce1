// SPDX-License-Identifier: GPL-2.0

//! Random numbers for a guest from its host.
//!
//! Source: Arm, "Arm True Random Number Generator Firmware Interface" (DEN0098), 2 "TRNG Firmware Interface".

use super::smccc::{Call, Results};

/// Function identifiers.
mod function {
    pub(super) const VERSION: u32 = 0x8400_0050;
    pub(super) const FEATURES: u32 = 0x8400_0051;
    pub(super) const GET_UUID: u32 = 0x8400_0052;
    pub(super) const RND32: u32 = 0x8400_0053;
    pub(super) const RND64: u32 = 0xc400_0053;
}

const SUCCESS: u64 = 0;
const NOT_SUPPORTED: u64 = -1i64 as u64;
const INVALID_PARAMETERS: u64 = -2i64 as u64;

/// Version 1.0.
const VERSION_1_0: u64 = 0x1_0000;
/// The identity of KVM's source of random numbers, 0d21e000-4384-11eb-8070-5244554e5a4c, in the order of its bytes.
const UUID: Results = Results([0x00e0_210d, 0xeb11_8443, 0x4452_7080, 0x4c5a_4e55]);

/// The most words of 64 bits that a call gets.
pub const MAX_WORDS: usize = 3;
/// Registers of a result that hold random bits.
const RESULT_REGISTERS: u32 = 3;

/// The size of the registers of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// W0 to W3.
    Bits32,
    /// X0 to X3.
    Bits64,
}

impl Width {
    const fn bits(self) -> u32 {
        match self {
            Self::Bits32 => u32::BITS,
            Self::Bits64 => u64::BITS,
        }
    }
}

/// What a guest wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// An answer that needs no random numbers.
    Done(Results),
    /// So many random bits.
    Bits {
        /// How many; at most as many as three registers hold.
        count: u32,
        /// Of which size the registers are.
        width: Width,
    },
}

/// The request that a call is; `None` for another service's.
pub fn request(call: Call) -> Option<Request> {
    let answer = |value| Some(Request::Done(Results::one(value)));
    let [first, ..] = call.arguments;
    match call.function {
        function::VERSION => answer(VERSION_1_0),
        function::FEATURES => match first as u32 {
            function::VERSION
            | function::FEATURES
            | function::GET_UUID
            | function::RND32
            | function::RND64
                if first >> 32 == 0 =>
            {
                answer(SUCCESS)
            }
            _ => answer(NOT_SUPPORTED),
        },
        function::GET_UUID => Some(Request::Done(UUID)),
        function::RND32 => Some(bits(first as u32, Width::Bits32)),
        function::RND64 => Some(bits(first as u32, Width::Bits64)),
        _ => None,
    }
}

fn bits(count: u32, width: Width) -> Request {
    if count <= RESULT_REGISTERS * width.bits() {
        Request::Bits { count, width }
    } else {
        Request::Done(Results::one(INVALID_PARAMETERS))
    }
}

/// The result of a request for `count` bits, from as many of `random`; bits beyond them are 0. The lowest bits are in
/// the last register.
pub fn results(count: u32, width: Width, random: [u64; MAX_WORDS]) -> Results {
    let mut words = random;
    let mut left = count;
    for word in &mut words {
        let here = left.min(u64::BITS);
        *word &= match here {
            0 => 0,
            _ => u64::MAX >> (u64::BITS - here),
        };
        left -= here;
    }
    let [low, middle, high] = words;
    match width {
        Width::Bits64 => Results([SUCCESS, high, middle, low]),
        Width::Bits32 => {
            let lower_half = u64::from(u32::MAX);
            Results([SUCCESS, middle & lower_half, low >> 32, low & lower_half])
        }
    }
}
