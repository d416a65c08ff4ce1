// SPDX-License-Identifier: GPL-2.0

//! XCR0 and IA32_XSS, which decide what XSAVE and XRSTOR act on, the kernel's as well.
//!
//! They hold the guest's values only while interrupts are off, since an interrupt may use the FPU.

// UNSAFETY: writes XCR0 and IA32_XSS, and puts the host's values back.
#![expect(unsafe_code)]

use crate::{
    host::{cpu::IrqOff, x86::registers},
    x86::{msr::index::IA32_XSS, regs::Xcr0, vcpu::Core},
};

/// The host's values that have to be put back.
#[must_use]
pub struct ExtendedState {
    xcr0: Option<Xcr0>,
    xss: Option<u64>,
}

impl ExtendedState {
    /// Loads the guest's values where they differ and the guest can tell.
    #[inline]
    pub fn enter(core: &Core, _irq_off: &IrqOff<'_>) -> Self {
        let platform = core.vm.platform();
        let host = platform.host_xcr0;
        let xcr0 = host.filter(|host| core.guest.has_osxsave() && *host != core.xcr0);
        let xss =
            (platform.host_xss != 0 && core.features.has_xsaves()).then_some(platform.host_xss);
        // SAFETY: a guest has XSAVE only where the host does, and `write_xcr` has checked its XCR0 against
        // what the host offers; zero is valid for IA32_XSS, which exists since the host's is not
        // zero. Interrupts stay off until `leave`.
        unsafe {
            if xcr0.is_some() {
                registers::set_xcr0(core.xcr0.raw());
            }
            if xss.is_some() {
                registers::write_known_msr(IA32_XSS, 0);
            }
        }
        Self { xcr0, xss }
    }

    /// Puts the host's values back.
    #[inline]
    pub fn leave(self, _irq_off: &IrqOff<'_>) {
        // SAFETY: these are the host's own values.
        unsafe {
            if let Some(host) = self.xcr0 {
                registers::set_xcr0(host.raw());
            }
            if let Some(host) = self.xss {
                registers::write_known_msr(IA32_XSS, host);
            }
        }
    }
}
