// SPDX-License-Identifier: GPL-2.0
//! The real-time clock (MC146818): the time of day in UTC, and its other registers as plain memory.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::bus::Device;

const INDEX: u64 = 0;
/// Bit 7 of the index port masks NMIs and is no part of the index.
const INDEX_MASK: u8 = 0x7f;
const REGISTERS: usize = 128;

const SECONDS: u8 = 0x00;
const MINUTES: u8 = 0x02;
const HOURS: u8 = 0x04;
const WEEKDAY: u8 = 0x06;
const DAY: u8 = 0x07;
const MONTH: u8 = 0x08;
const YEAR: u8 = 0x09;
const STATUS_A: u8 = 0x0a;
const STATUS_B: u8 = 0x0b;
const STATUS_C: u8 = 0x0c;
const STATUS_D: u8 = 0x0d;
const CENTURY: u8 = 0x32;

/// 32.768 kHz, 1024 Hz, no update in progress.
const A_DIVIDERS: u8 = 0x26;
/// 24 hours, BCD.
const B_24_HOURS: u8 = 0x02;
/// The memory is valid.
const D_VALID: u8 = 0x80;

#[derive(Clone, Serialize, Deserialize)]
pub struct CmosState {
    index: u8,
    memory: Vec<u8>,
}

pub struct Cmos {
    pub state: CmosState,
}

impl Cmos {
    /// The ports of index and data.
    pub const SIZE: u64 = 2;

    pub fn new() -> Self {
        let mut memory = vec![0; REGISTERS];
        memory[usize::from(STATUS_A)] = A_DIVIDERS;
        memory[usize::from(STATUS_B)] = B_24_HOURS;
        memory[usize::from(STATUS_D)] = D_VALID;
        Self {
            state: CmosState { index: 0, memory },
        }
    }

    fn register(&self, index: u8) -> u8 {
        let now = Date::now();
        let value = match index {
            SECONDS => now.second,
            MINUTES => now.minute,
            HOURS => now.hour,
            WEEKDAY => now.weekday,
            DAY => now.day,
            MONTH => now.month,
            YEAR => now.year % 100,
            CENTURY => now.year / 100,
            _ => {
                return self
                    .state
                    .memory
                    .get(usize::from(index))
                    .copied()
                    .unwrap_or(0)
            }
        };
        (((value / 10) << 4) | (value % 10)) as u8
    }
}

impl Device for Cmos {
    fn read(&mut self, offset: u64, data: &mut [u8]) {
        let value = match offset {
            INDEX => self.state.index,
            _ => self.register(self.state.index),
        };
        data.fill(value);
    }

    fn write(&mut self, offset: u64, data: &[u8]) {
        let &[value] = data else { return };
        match (offset, self.state.index) {
            (INDEX, _) => self.state.index = value & INDEX_MASK,
            // Read-only.
            (_, STATUS_A | STATUS_C | STATUS_D) => {}
            (_, index) => {
                if let Some(register) = self.state.memory.get_mut(usize::from(index)) {
                    *register = value;
                }
            }
        }
    }
}

/// A date of the Gregorian calendar and a time of day. Months, days and weekdays count from 1 (Sunday).
struct Date {
    second: u64,
    minute: u64,
    hour: u64,
    weekday: u64,
    day: u64,
    month: u64,
    year: u64,
}

const DAY_SECONDS: u64 = 24 * 60 * 60;
/// 1 January 1970 was a Thursday.
const EPOCH_WEEKDAY: u64 = 4;
/// Days of 400, 100 and 4 years that begin with March, and from 1 March 0 to 1 January 1970.
const DAYS_400: u64 = 146_097;
const DAYS_100: u64 = 36_524;
const DAYS_4: u64 = 1_461;
const DAYS_TO_EPOCH: u64 = 719_468;

impl Date {
    fn now() -> Self {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self::from_unix(since.as_secs())
    }

    /// Counts years from March on, so that a leap day is a year's last.
    fn from_unix(seconds: u64) -> Self {
        let days = seconds / DAY_SECONDS + DAYS_TO_EPOCH;
        let era = days % DAYS_400;
        let year_of_era = (era - era / (DAYS_4 - 1) + era / DAYS_100 - era / (DAYS_400 - 1)) / 365;
        let day_of_year = era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let month = if month_from_march < 10 {
            month_from_march + 3
        } else {
            month_from_march - 9
        };
        Self {
            second: seconds % 60,
            minute: seconds / 60 % 60,
            hour: seconds / 3600 % 24,
            weekday: (seconds / DAY_SECONDS + EPOCH_WEEKDAY) % 7 + 1,
            day: day_of_year - (153 * month_from_march + 2) / 5 + 1,
            month,
            year: days / DAYS_400 * 400 + year_of_era + u64::from(month <= 2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Date;

    #[test]
    fn dates() {
        let fields = |seconds| {
            let date = Date::from_unix(seconds);
            (
                date.year,
                date.month,
                date.day,
                date.weekday,
                date.hour,
                date.minute,
                date.second,
            )
        };
        assert_eq!(fields(0), (1970, 1, 1, 5, 0, 0, 0));
        assert_eq!(fields(951_827_696), (2000, 2, 29, 3, 12, 34, 56));
        assert_eq!(fields(4_107_542_400), (2100, 3, 1, 2, 0, 0, 0));
        assert_eq!(fields(1_798_761_599), (2026, 12, 31, 5, 23, 59, 59));
    }
}
