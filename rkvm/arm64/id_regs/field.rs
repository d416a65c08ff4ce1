// SPDX-License-Identifier: GPL-2.0

//! Fields of identification registers: which values of one promise no more than another.
//!
//! Source: Arm ARM (DDI 0487), D24.1.3 "Principles of the ID scheme for fields in ID registers".

/// The bits of a field of 4 bits, by its lowest.
pub const fn nibble(lowest: u32) -> u64 {
    0xf << lowest
}

/// The bits of several fields of 4 bits.
pub const fn nibbles(lowest: &[u32]) -> u64 {
    let mut mask = 0;
    let mut index = 0;
    while index < lowest.len() {
        mask |= nibble(lowest[index]);
        index += 1;
    }
    mask
}

/// The value of a field of 4 bits.
pub const fn value(register: u64, lowest: u32) -> u64 {
    register >> lowest & 0xf
}

/// The register with a field of 4 bits at most `limit`.
pub const fn limited(register: u64, lowest: u32, limit: u64) -> u64 {
    if value(register, lowest) > limit {
        register & !nibble(lowest) | limit << lowest
    } else {
        register
    }
}

/// Which values are safe to show where the processor has another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Lower ones: a feature more counts up. The rule.
    Lower,
    /// Lower ones, of two's complement: all ones is less than 0.
    LowerSigned,
    /// Higher ones: the field counts something that guests have to beware of.
    Higher,
    /// One value, whatever the processor has.
    Only(u64),
}

/// A field that does not follow the rule: 4 bits at a multiple of 4, [`Order::Lower`].
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// The lowest bit.
    pub lowest: u32,
    /// How many bits.
    pub width: u32,
    /// Which values are safe.
    pub order: Order,
}

impl Field {
    /// One of 4 bits.
    pub const fn nibble(lowest: u32, order: Order) -> Self {
        Self {
            lowest,
            width: 4,
            order,
        }
    }

    const fn mask(self) -> u64 {
        ((1 << self.width) - 1) << self.lowest
    }

    /// Whether the field may have the value that it has in `wanted` where the most is that of `limit`.
    fn allows(self, wanted: u64, limit: u64) -> bool {
        let part = |register: u64| (register & self.mask()) >> self.lowest;
        let signed = |register: u64| {
            let unused = u64::BITS - self.width;
            ((part(register) << unused) as i64) >> unused
        };
        wanted & self.mask() == limit & self.mask()
            || match self.order {
                Order::Lower => part(wanted) < part(limit),
                Order::LowerSigned => signed(wanted) < signed(limit),
                Order::Higher => part(wanted) > part(limit),
                Order::Only(safe) => part(wanted) == safe,
            }
    }
}

/// Whether a register may be `wanted` where it is `limit` by itself: fields within `writable` may be less,
/// all others have to be as they are. `exceptions` are the fields that do not follow the rule.
pub fn allows(wanted: u64, limit: u64, writable: u64, exceptions: &[Field]) -> bool {
    let excepted = exceptions.iter().fold(0, |mask, field| mask | field.mask());
    let regular = (0..u64::BITS)
        .step_by(4)
        .map(|lowest| Field::nibble(lowest, Order::Lower))
        .filter(|field| field.mask() & excepted == 0);
    let mut checked = 0;
    for field in regular.chain(exceptions.iter().copied()) {
        if field.mask() & !writable != 0 {
            continue;
        }
        checked |= field.mask();
        if !field.allows(wanted, limit) {
            return false;
        }
    }
    (wanted ^ limit) & !checked == 0
}
