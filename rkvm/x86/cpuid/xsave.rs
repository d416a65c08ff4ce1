// SPDX-License-Identifier: GPL-2.0

//! The sizes of XSAVE areas (Intel SDM volume 1, sections 13.2 and 13.4).

use crate::x86::cpuid::Registers;
use crate::x86::regs::Xcr0;

/// Number of the last component that guests may have.
const LAST_COMPONENT: usize = 7;

/// One component of the extended region.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Component {
    /// Bytes.
    size: u32,
    /// Offset in the standard format, in bytes.
    offset: u32,
    alignment: Alignment,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Alignment {
    /// Follows the component before it.
    #[default]
    Packed,
    /// Starts on a multiple of 64 bytes in the compacted format.
    CacheLine,
}

/// Where the processor's XSAVE puts the components that guests may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct XsaveLayout {
    components: [Component; LAST_COMPONENT + 1],
}

impl XsaveLayout {
    const LEAF: u32 = 0xd;
    const FIRST_COMPONENT: usize = 2;
    /// The legacy region and the header.
    const HEADER_END: u32 = 512 + 64;
    const ALIGNED: u32 = 1 << 1;
    const CACHE_LINE: u32 = 64;

    /// Reads the layout from CPUID leaf 0xD, if there is one.
    pub fn read(cpuid: impl Fn(u32, u32) -> Registers) -> Self {
        let mut layout = Self::default();
        if cpuid(0, 0).eax < Self::LEAF {
            return layout;
        }
        let extended = layout.components.iter_mut().enumerate();
        for (index, component) in extended.skip(Self::FIRST_COMPONENT) {
            let registers = cpuid(Self::LEAF, index as u32);
            *component = Component {
                size: registers.eax,
                offset: registers.ebx,
                alignment: if registers.ecx & Self::ALIGNED != 0 {
                    Alignment::CacheLine
                } else {
                    Alignment::Packed
                },
            };
        }
        layout
    }

    fn enabled(&self, xcr0: Xcr0) -> impl Iterator<Item = Component> + '_ {
        let extended = self.components.iter().enumerate();
        extended
            .skip(Self::FIRST_COMPONENT)
            .filter(move |(index, _)| xcr0.raw() & (1 << index) != 0)
            .map(|(_, component)| *component)
    }

    /// Bytes of an area in the standard format with the components of `xcr0`.
    pub fn standard_size(&self, xcr0: Xcr0) -> u32 {
        self.enabled(xcr0).fold(Self::HEADER_END, |end, component| {
            end.max(component.offset.saturating_add(component.size))
        })
    }

    /// Bytes of an area in the compacted format with the components of `xcr0`.
    pub fn compacted_size(&self, xcr0: Xcr0) -> u32 {
        self.enabled(xcr0).fold(Self::HEADER_END, |end, component| {
            let start = match component.alignment {
                Alignment::Packed => end,
                Alignment::CacheLine => end
                    .checked_next_multiple_of(Self::CACHE_LINE)
                    .unwrap_or(end),
            };
            start.saturating_add(component.size)
        })
    }
}
