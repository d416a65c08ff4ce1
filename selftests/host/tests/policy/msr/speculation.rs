// SPDX-License-Identifier: GPL-2.0

//! IA32_SPEC_CTRL, IA32_PRED_CMD and IA32_FLUSH_CMD.

use super::vcpu::Vcpu;
use rkvm_host::x86::cpuid::feature::{Feature, FLUSH_L1D, INTEL_STIBP, SPEC_CTRL, SPEC_CTRL_SSBD};
use rkvm_host::x86::cpuid::guest::GuestFeatures;
use rkvm_host::x86::msr::index::*;
use rkvm_host::x86::msr::speculation::{Command, Support};
use rkvm_host::x86::msr::{Initiator, Refusal};

fn speculation(features: &[Feature]) -> Support {
    Support::new(|feature| features.contains(&feature))
}

#[test]
fn spec_ctrl_has_the_bits_of_the_processor() {
    let every = [SPEC_CTRL, INTEL_STIBP, SPEC_CTRL_SSBD, FLUSH_L1D];
    for (has, bits) in [
        (&every[..], 0b111),
        (&every[..1], 0b001),
        (&every[2..3], 0b100),
        (&[], 0),
    ] {
        let mut vcpu = Vcpu::full();
        vcpu.cpu.speculation = speculation(has);
        for value in 0..16 {
            let expected = if value & !bits == 0 {
                Ok(())
            } else {
                Err(Refusal::Invalid)
            };
            assert_eq!(vcpu.write(IA32_SPEC_CTRL, value, Initiator::Vmm), expected);
        }
        assert_eq!(vcpu.read(IA32_SPEC_CTRL, Initiator::Vmm), Ok(bits));
        assert_eq!(vcpu.msrs.spec_ctrl(), bits);
    }
}

#[test]
fn speculation_is_the_guests_with_its_cpuid_alone() {
    let mut vcpu = Vcpu::new(GuestFeatures::default());
    vcpu.cpu.speculation = speculation(&[SPEC_CTRL, FLUSH_L1D]);
    for msr in [IA32_SPEC_CTRL, IA32_PRED_CMD, IA32_FLUSH_CMD] {
        assert_eq!(
            vcpu.write(msr, 1, Initiator::Guest),
            Err(Refusal::Unsupported)
        );
        assert_eq!(vcpu.read(msr, Initiator::Guest), Err(Refusal::Unsupported));
    }
    assert!(vcpu.cpu.commands.is_empty());
}

#[test]
fn commands_reach_the_processor_that_has_them() {
    let mut vcpu = Vcpu::full();
    vcpu.cpu.speculation = speculation(&[SPEC_CTRL]);
    assert_eq!(vcpu.write(IA32_PRED_CMD, 0, Initiator::Vmm), Ok(()));
    assert!(vcpu.cpu.commands.is_empty());
    assert_eq!(vcpu.write(IA32_PRED_CMD, 1, Initiator::Vmm), Ok(()));
    assert_eq!(vcpu.cpu.commands, [Command::PredictorBarrier]);
    assert_eq!(
        vcpu.write(IA32_PRED_CMD, 2, Initiator::Vmm),
        Err(Refusal::Invalid)
    );
    assert_eq!(
        vcpu.write(IA32_FLUSH_CMD, 1, Initiator::Vmm),
        Err(Refusal::Invalid)
    );
    assert_eq!(vcpu.cpu.commands, [Command::PredictorBarrier]);
}
