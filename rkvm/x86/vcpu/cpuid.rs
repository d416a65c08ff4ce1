// SPDX-License-Identifier: GPL-2.0

//! A vCPU's CPUID: what follows from it, and what of it follows registers.

use crate::{
    vmx::{field, vmcs::Loaded},
    x86::{
        cpuid::guest::{GuestCpuid, Runtime},
        regs::Cr4,
        vcpu::Core,
        vm_settings::Quirk,
    },
};

impl Core {
    /// Shows registers in CPUID.
    pub fn refresh_cpuid(&mut self, cr4: Cr4) {
        let runtime = self.runtime(cr4);
        let vm = self.vm.clone();
        self.cpuid.refresh(&runtime, &vm.platform().xsave_layout);
    }

    /// The registers that show in CPUID.
    pub fn runtime(&self, cr4: Cr4) -> Runtime {
        let settings = &self.vm.arch().settings;
        let shows_mwait = !settings.has_quirk(Quirk::MiscEnableNoMwait);
        Runtime {
            misc_enable: shows_mwait.then(|| self.msrs.misc_enable()),
            cr4,
            xcr0: self.xcr0,
            apic_base: self.apic_base(),
        }
    }

    /// Takes a VMM's CPUID.
    pub fn set_cpuid(&mut self, loaded: &Loaded, cpuid: GuestCpuid) {
        self.features = cpuid.features(&self.vm.platform().supported_cpuid);
        self.cpuid = cpuid;
        self.refresh_pv_features();
        let limits = self.features.limits;
        self.guest.set_owned_bits(loaded, &limits);
        let cr4 = self.guest.cr4(loaded);
        self.refresh_cpuid(cr4);
        self.set_instruction_controls(loaded);
        self.configure_apic();
    }

    /// Lets the guest use what its CPUID offers, and raises #UD for what it does not.
    fn set_instruction_controls(&mut self, loaded: &Loaded) {
        use crate::vmx::controls::SecondaryControls;

        let available = self.platform().controls.initial.secondary;
        let mut secondary = self.controls.secondary;
        for (control, offered) in [
            (
                SecondaryControls::ENABLE_RDTSCP,
                self.features.has_tsc_aux(),
            ),
            (
                SecondaryControls::ENABLE_INVPCID,
                self.features.has_invpcid(),
            ),
            (SecondaryControls::ENABLE_XSAVES, self.features.has_xsaves()),
        ] {
            secondary = if offered && available.contains(control) {
                secondary.with(control)
            } else {
                secondary.without(control)
            };
        }
        self.controls.secondary = secondary;
        loaded.write(field::SECONDARY_CONTROLS, secondary.raw());
    }
}
