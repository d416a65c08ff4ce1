// SPDX-License-Identifier: GPL-2.0
//! What the guest reads with CPUID: what KVM supports, with each vCPU's own APIC id and the topology.

use anyhow::{Context, Result};
use kvm_bindings::{
    kvm_cpuid_entry2, CpuId, KVM_CPUID_FLAG_SIGNIFCANT_INDEX, KVM_MAX_CPUID_ENTRIES,
};
use kvm_ioctls::{Cap, Kvm};

/// Leaves (SDM volume 2, CPUID).
const LEAF_FEATURES: u32 = 0x1;
const LEAF_CACHES: u32 = 0x4;
const LEAF_TOPOLOGY: u32 = 0xb;
const LEAF_TOPOLOGY_V2: u32 = 0x1f;

const ECX_TSC_DEADLINE: u32 = 1 << 24;
const EDX_HTT: u32 = 1 << 28;
const EBX_COUNT_SHIFT: u32 = 16;
const EBX_APIC_ID_SHIFT: u32 = 24;
const EBX_COUNTS_AND_ID: u32 = 0xffff << EBX_COUNT_SHIFT;
/// Of leaf 4: the sharing of a cache and the cores of a package, both as a number less one.
const EAX_SHARING_AND_CORES: u32 = 0xffff_c000;
const EAX_CORES_SHIFT: u32 = 26;
/// Level types of leaf 0xb, in ECX.
const LEVEL_SMT: u32 = 1 << 8;
const LEVEL_CORE: u32 = 2 << 8;

/// The entries that all vCPUs share.
pub fn supported(kvm: &Kvm) -> Result<Vec<kvm_cpuid_entry2>> {
    let supported = kvm
        .get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)
        .context("KVM_GET_SUPPORTED_CPUID")?;
    let mut entries: Vec<_> = supported
        .as_slice()
        .iter()
        .filter(|entry| !matches!(entry.function, LEAF_TOPOLOGY | LEAF_TOPOLOGY_V2))
        .copied()
        .collect();
    if kvm.check_extension(Cap::TscDeadlineTimer) {
        for entry in &mut entries {
            if entry.function == LEAF_FEATURES {
                entry.ecx |= ECX_TSC_DEADLINE;
            }
        }
    }
    Ok(entries)
}

/// The entries of one vCPU of `cpus`, each a core of one package.
pub fn of_vcpu(shared: &[kvm_cpuid_entry2], id: u8, cpus: u8) -> Result<CpuId> {
    let (id, cpus) = (u32::from(id), u32::from(cpus));
    let mut entries = shared.to_vec();
    for entry in &mut entries {
        match entry.function {
            LEAF_FEATURES => {
                entry.ebx = entry.ebx & !EBX_COUNTS_AND_ID
                    | cpus << EBX_COUNT_SHIFT
                    | id << EBX_APIC_ID_SHIFT;
                entry.edx &= !EDX_HTT;
                if cpus > 1 {
                    entry.edx |= EDX_HTT;
                }
            }
            LEAF_CACHES if entry.eax != 0 => {
                entry.eax = entry.eax & !EAX_SHARING_AND_CORES | (cpus - 1) << EAX_CORES_SHIFT;
            }
            _ => {}
        }
    }
    let shift = cpus.next_power_of_two().ilog2();
    entries.push(level(0, 0, 1, LEVEL_SMT, id));
    entries.push(level(1, shift, cpus, LEVEL_CORE, id));
    CpuId::from_entries(&entries).context("too many CPUID entries")
}

/// A level of the topology: how far to shift an x2APIC id for the next one, and how many processors it has.
fn level(index: u32, shift: u32, processors: u32, kind: u32, id: u32) -> kvm_cpuid_entry2 {
    kvm_cpuid_entry2 {
        function: LEAF_TOPOLOGY,
        index,
        flags: KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
        eax: shift,
        ebx: processors,
        ecx: kind | index,
        edx: id,
        ..Default::default()
    }
}
