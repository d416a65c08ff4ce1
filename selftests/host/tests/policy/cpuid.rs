// SPDX-License-Identifier: GPL-2.0

//! The CPUID policy and a vCPU's CPUID.

use crate::models::{CpuModel, ALL, HASWELL_4770, TIGERLAKE};
use kernel::prelude::*;
use proptest::prelude::*;
use rkvm_host::vmx::caps::VmxCaps;
use rkvm_host::vmx::controls::{Controls, SecondaryControls};
use rkvm_host::x86::cpuid::feature::{self, Condition};
use rkvm_host::x86::cpuid::guest::{GuestCpuid, GuestFeatures, Runtime};
use rkvm_host::x86::cpuid::xsave::XsaveLayout;
use rkvm_host::x86::cpuid::*;
use rkvm_host::x86::regs::{Cr4, Efer, Xcr0};

fn host(model: &CpuModel) -> Host {
    let caps = VmxCaps::read(|msr| model.msr(msr));
    Host {
        xcr0: Xcr0::new(u64::from(model.cpuid(0xd, 0).eax)),
        controls: Controls::negotiate(&caps).unwrap().initial.secondary,
        local_apic: LocalApic::Userspace,
    }
}

fn layout(model: &CpuModel) -> XsaveLayout {
    XsaveLayout::read(|leaf, subleaf| model.cpuid(leaf, subleaf))
}

fn supported_by(model: &CpuModel, host: &Host) -> KVec<CpuidEntry> {
    supported(
        |leaf, subleaf| model.cpuid(leaf, subleaf),
        host,
        &layout(model),
    )
    .unwrap()
}

pub fn offered(model: &CpuModel) -> KVec<CpuidEntry> {
    supported_by(model, &host(model))
}

pub fn list(entries: &[CpuidEntry]) -> KVec<CpuidEntry> {
    let mut list = KVec::new();
    for entry in entries {
        list.push(*entry, GFP_KERNEL).unwrap();
    }
    list
}

/// The features of a guest whose VMM passes everything on.
pub fn full_features(model: &CpuModel) -> GuestFeatures {
    let supported = offered(model);
    GuestCpuid::new(list(&supported))
        .unwrap()
        .features(&supported)
}

fn find(entries: &[CpuidEntry], function: u32, index: u32) -> Registers {
    let found = entries.iter().find(|entry| entry.answers(function, index));
    found
        .unwrap_or_else(|| panic!("{function:#x}.{index}"))
        .registers()
}

fn entry(function: u32, index: u32, registers: [u32; 4]) -> CpuidEntry {
    let [eax, ebx, ecx, edx] = registers;
    CpuidEntry {
        function,
        index,
        eax,
        ebx,
        ecx,
        edx,
        ..CpuidEntry::default()
    }
}

fn subleaf(function: u32, index: u32, registers: [u32; 4]) -> CpuidEntry {
    CpuidEntry {
        flags: CpuidEntry::SIGNIFICANT_INDEX,
        ..entry(function, index, registers)
    }
}

#[test]
fn the_entry_has_the_layout_of_the_uapi() {
    assert_eq!(std::mem::size_of::<CpuidEntry>(), 40);
    assert_eq!(std::mem::offset_of!(CpuidEntry, eax), 12);
}

#[test]
fn nothing_that_the_processor_lacks_is_offered() {
    for model in ALL {
        let entries = offered(model);
        for function in [1, 7, 0x8000_0001] {
            let ours = find(&entries, function, 0);
            let native = model.cpuid(function, 0);
            let emulated = |function, index| {
                let listed = feature::OFFERED.iter().filter(|(feature, condition)| {
                    *condition == Condition::Emulated
                        && (feature.function, feature.index) == (function, index)
                });
                listed.fold(0, |mask, (feature, _)| mask | feature.mask())
            };
            let extra = ours.ebx & !native.ebx | ours.ecx & !native.ecx | ours.edx & !native.edx;
            assert_eq!(
                extra & !emulated(function, 0),
                0,
                "{} {function:#x}",
                model.name
            );
        }
        assert!(find(&entries, 0, 0).eax <= model.cpuid(0, 0).eax);
        assert_eq!(find(&entries, 0x8000_0000, 0).eax, 0x8000_0008);
        assert!(entries.len() < 60, "{}: {}", model.name, entries.len());
    }
}

#[test]
fn what_is_not_virtualized_is_withheld() {
    for model in ALL {
        let entries = offered(model);
        let version = find(&entries, 1, 0);
        // MONITOR, VMX, x2APIC, TSC-deadline, OSXSAVE.
        assert_eq!(
            version.ecx & (1 << 3 | 1 << 5 | 1 << 21 | 1 << 24 | 1 << 27),
            0
        );
        assert_ne!(version.ecx & 1 << 31, 0);
        assert_eq!(version.ebx >> 24, 0);
        let features = find(&entries, 7, 0);
        // SGX, HLE, RTM, MPX, PT; PKU, WAITPKG, CET, LA57; IBT.
        assert_eq!(
            features.ebx & (1 << 2 | 1 << 4 | 1 << 11 | 1 << 14 | 1 << 25),
            0
        );
        assert_eq!(features.ecx & (1 << 3 | 1 << 5 | 1 << 7 | 1 << 16), 0);
        assert_eq!(features.edx & 1 << 20, 0);
        assert_eq!(find(&entries, 0xa, 0), Registers::default());
        assert_eq!(find(&entries, 5, 0), Registers::default());
    }
}

#[test]
fn what_guests_need_is_offered() {
    for model in ALL {
        let entries = offered(model);
        let features = full_features(model);
        assert!(features.limits.efer == Efer::SUPPORTED, "{}", model.name);
        let wanted = Cr4::OSXSAVE
            .with(Cr4::SMEP)
            .with(Cr4::FSGSBASE)
            .with(Cr4::PCIDE);
        assert!(features.limits.cr4.contains(wanted), "{}", model.name);
        assert!(features.has_tsc_aux() && features.has_tsc_adjust() && features.has_invpcid());
        assert!(!features.has_x2apic());
        let vendor = find(&entries, 0, 0);
        assert_eq!(vendor.ebx.to_le_bytes(), *b"Genu");
        assert_eq!(find(&entries, 0x4000_0000, 0).ebx.to_le_bytes(), *b"KVMK");
        assert_eq!(find(&entries, 0x4000_0000, 0).ecx.to_le_bytes(), *b"VMKV");
        assert_eq!(
            find(&entries, 0x4000_0000, 0).edx.to_le_bytes(),
            *b"M\0\0\0"
        );
        assert_eq!(find(&entries, 0x4000_0001, 0).eax, 0x0100_122b);
        let sizes = find(&entries, 0x8000_0008, 0).eax;
        assert_eq!(sizes & 0xff, model.cpuid(0x8000_0008, 0).eax & 0xff);
        assert_eq!(sizes >> 8 & 0xff, 48);
    }
}

#[test]
fn components_that_the_host_lacks_take_their_features_along() {
    let avx_only = Host {
        xcr0: Xcr0::new(7),
        ..host(&TIGERLAKE)
    };
    let entries = supported_by(&TIGERLAKE, &avx_only);
    let features = find(&entries, 7, 0);
    assert_eq!(features.ebx & 0xd023_0000 & !(1 << 29), 0);
    assert_ne!(features.ebx & 1 << 5, 0);
    let xsave = find(&entries, 0xd, 0);
    assert_eq!((xsave.eax, xsave.ebx), (7, 576 + 256));
    let sse_only = Host {
        xcr0: Xcr0::new(3),
        ..avx_only
    };
    let entries = supported_by(&TIGERLAKE, &sse_only);
    assert_eq!(find(&entries, 1, 0).ecx & (1 << 28 | 1 << 12 | 1 << 29), 0);
    assert_eq!(find(&entries, 7, 0).ebx & 1 << 5, 0);
    assert_eq!(find(&entries, 0xd, 0).ebx, 576);
    let none = Host {
        xcr0: Xcr0::default(),
        ..avx_only
    };
    let entries = supported_by(&TIGERLAKE, &none);
    assert_eq!(find(&entries, 1, 0).ecx & 1 << 26, 0);
    assert_eq!(find(&entries, 0xd, 0), Registers::default());
}

#[test]
fn controls_decide_about_their_instructions() {
    let bare = Host {
        controls: SecondaryControls::default(),
        ..host(&TIGERLAKE)
    };
    let entries = supported_by(&TIGERLAKE, &bare);
    assert_eq!(find(&entries, 0x8000_0001, 0).edx & 1 << 27, 0);
    assert_eq!(find(&entries, 7, 0).ecx & 1 << 22, 0);
    assert_eq!(find(&entries, 7, 0).ebx & 1 << 10, 0);
    assert_eq!(find(&entries, 0xd, 1).eax & 1 << 3, 0);
    let entries = offered(&TIGERLAKE);
    assert_ne!(find(&entries, 0x8000_0001, 0).edx & 1 << 27, 0);
    assert_ne!(find(&entries, 0xd, 1).eax & 1 << 3, 0);
}

#[test]
fn an_apic_in_the_kernel_brings_its_modes() {
    let in_kernel = Host {
        local_apic: LocalApic::InKernel,
        ..host(&HASWELL_4770)
    };
    let entries = supported_by(&HASWELL_4770, &in_kernel);
    let ecx = find(&entries, 1, 0).ecx;
    assert_eq!(ecx & (1 << 21 | 1 << 24), 1 << 21 | 1 << 24);
}

#[test]
fn xsave_sizes_match_the_processor() {
    let tigerlake = layout(&TIGERLAKE);
    assert_eq!(tigerlake.standard_size(Xcr0::new(3)), 576);
    assert_eq!(tigerlake.standard_size(Xcr0::new(7)), 832);
    assert_eq!(tigerlake.standard_size(Xcr0::new(0xe7)), 0xa80);
    assert_eq!(
        tigerlake.compacted_size(Xcr0::new(0xe7)),
        576 + 256 + 64 + 512 + 1024
    );
    let entries = offered(&TIGERLAKE);
    assert_eq!(find(&entries, 0xd, 0).ecx, 0xa80);
    assert_eq!(find(&entries, 0xd, 7).ebx, 0x680);
    assert_eq!(find(&entries, 0xd, 1).ecx, 0);
}

#[test]
fn compacted_components_are_aligned() {
    let layout = XsaveLayout::read(|leaf, subleaf| match (leaf, subleaf) {
        (0, _) => Registers {
            eax: 0xd,
            ..Registers::default()
        },
        (0xd, 5) => Registers {
            eax: 8,
            ebx: 960,
            ecx: 0,
            edx: 0,
        },
        (0xd, 6) => Registers {
            eax: 64,
            ebx: 1024,
            ecx: 2,
            edx: 0,
        },
        (0xd, 7) => Registers {
            eax: u32::MAX,
            ebx: u32::MAX,
            ecx: 2,
            edx: 0,
        },
        _ => Registers::default(),
    });
    assert_eq!(layout.compacted_size(Xcr0::new(0x63)), 640 + 64);
    assert_eq!(layout.standard_size(Xcr0::AVX512), u32::MAX);
    assert_eq!(layout.compacted_size(Xcr0::AVX512), u32::MAX);
    let absent = XsaveLayout::read(|_, _| Registers::default());
    assert_eq!(absent.standard_size(Xcr0::SUPPORTED), 576);
}

#[test]
fn lookup_follows_flags_and_order() {
    let guest = GuestCpuid::new(list(&[
        entry(0, 0, [0xd, 0x756e_6547, 0x6c65_746e, 0x4965_6e69]),
        subleaf(4, 1, [41, 0, 0, 0]),
        subleaf(4, 0, [40, 0, 0, 0]),
        entry(2, 7, [2, 0, 0, 0]),
        entry(2, 7, [22, 0, 0, 0]),
        subleaf(0xd, 1, [0xd1, 0, 0, 0]),
        entry(0x8000_0000, 0, [0x8000_0001, 0, 0, 0]),
        entry(0x4000_0000, 0, [0x4000_0001, 1, 2, 3]),
        entry(0x8fff_ffff, 0, [8, 0, 0, 0]),
    ]));
    let guest = guest.unwrap();
    assert_eq!(guest.execute(4, 0).eax, 40);
    assert_eq!(guest.execute(4, 1).eax, 41);
    assert_eq!(guest.execute(4, 2), Registers::default());
    assert_eq!(guest.execute(2, 0).eax, 2);
    assert_eq!(guest.execute(0x8fff_ffff, 3).eax, 8);
    assert_eq!(guest.execute(0x4000_0000, 9).ebx, 1);
    // In range of its class: zeros. Out of range: the highest basic leaf, here 0xd.
    assert_eq!(guest.execute(0x8000_0001, 1), Registers::default());
    assert_eq!(guest.execute(3, 0), Registers::default());
    for function in [
        0xe,
        0x8000_0002,
        0x4000_0002,
        0x4000_0100,
        0xc000_0000,
        0x5000_0000,
    ] {
        assert_eq!(guest.execute(function, 1).eax, 0xd1, "{function:#x}");
        assert_eq!(guest.execute(function, 0).eax, 0, "{function:#x}");
    }
}

#[test]
fn an_amd_guest_gets_zeros_out_of_range() {
    let words = [1, 0x6874_7541, 0x444d_4163, 0x6974_6e65];
    let guest = GuestCpuid::new(list(&[entry(0, 0, words), entry(1, 0, [5; 4])])).unwrap();
    assert_eq!(guest.execute(7, 0), Registers::default());
    assert_eq!(guest.execute(1, 0).eax, 5);
}

#[test]
fn topology_subleaves_pass_cl_and_the_apic_id() {
    let guest = GuestCpuid::new(list(&[
        entry(0, 0, [0xb, 0x756e_6547, 0x6c65_746e, 0x4965_6e69]),
        subleaf(0xb, 0, [0, 1, 0x100, 6]),
        subleaf(0xb, 1, [1, 2, 0x201, 6]),
    ]));
    let guest = guest.unwrap();
    let unlisted = guest.execute(0xb, 0x105);
    assert_eq!((unlisted.eax, unlisted.ecx, unlisted.edx), (0, 5, 6));
    assert_eq!(guest.execute(0x1f, 3).edx, 6);
}

#[test]
fn an_empty_guest_answers_zeros() {
    let guest = GuestCpuid::default();
    for function in [0, 1, 0x4000_0000, 0x8000_0000, u32::MAX] {
        assert_eq!(guest.execute(function, 0), Registers::default());
    }
    assert_eq!(
        guest.features(&offered(&TIGERLAKE)),
        GuestFeatures::default()
    );
}

#[test]
fn bounds_of_set_cpuid2() {
    let mut entries = KVec::new();
    for function in 0..MAX_ENTRIES as u32 {
        entries
            .push(entry(function, 0, [function; 4]), GFP_KERNEL)
            .unwrap();
    }
    let guest = GuestCpuid::new(list(&entries)).unwrap();
    assert_eq!(guest.execute(255, 0).eax, 255);
    assert_eq!(guest.entries().len(), MAX_ENTRIES);
    entries.push(entry(256, 0, [0; 4]), GFP_KERNEL).unwrap();
    assert_eq!(GuestCpuid::new(entries).err(), Some(E2BIG));
    let width = |bits: u32| {
        GuestCpuid::new(list(&[
            entry(0x8000_0000, 0, [0x8000_0008, 0, 0, 0]),
            entry(0x8000_0008, 0, [bits << 8 | 39, 0, 0, 0]),
        ]))
    };
    assert_eq!(width(48).unwrap().physical_bits().get(), 39);
    assert!(width(57).is_ok() && width(0).is_ok());
    assert_eq!(width(52).err(), Some(EINVAL));
}

#[test]
fn entries_follow_registers() {
    let mut guest = GuestCpuid::new(offered(&TIGERLAKE)).unwrap();
    let layout = layout(&TIGERLAKE);
    let mut runtime = Runtime {
        misc_enable: None,
        cr4: Cr4::default(),
        xcr0: Xcr0::X87,
        apic_base: 0,
    };
    guest.refresh(&runtime, &layout);
    assert_eq!(guest.execute(1, 0).ecx & 1 << 27, 0);
    assert_eq!(guest.execute(1, 0).edx & 1 << 9, 0);
    assert_eq!(guest.execute(0xd, 0).ebx, 576);
    runtime = Runtime {
        cr4: Cr4::OSXSAVE,
        xcr0: Xcr0::SUPPORTED,
        apic_base: 0xfee0_0800,
        misc_enable: Some(1 << 18),
    };
    assert!(!guest.has_mwait());
    guest.refresh(&runtime, &layout);
    assert!(guest.has_mwait());
    runtime.misc_enable = Some(0);
    guest.refresh(&runtime, &layout);
    assert!(!guest.has_mwait());
    assert_ne!(guest.execute(1, 0).ecx & 1 << 27, 0);
    assert_ne!(guest.execute(1, 0).edx & 1 << 9, 0);
    assert_eq!(guest.execute(0xd, 0).ebx, 0xa80);
    assert_eq!(guest.execute(0xd, 1).ebx, 576 + 256 + 64 + 512 + 1024);
    // The VMM's own list compares equal although it lacks the bits that follow registers.
    let again = |entries| guest.is_same(entries, &runtime, &layout);
    assert_eq!(again(offered(&TIGERLAKE)), Ok(true));
    assert_eq!(again(offered(&HASWELL_4770)), Ok(false));
    assert_eq!(again(KVec::new()), Ok(false));
}

#[test]
fn features_need_both_sides() {
    let supported = offered(&HASWELL_4770);
    let generous = GuestCpuid::new(list(&[
        subleaf(7, 0, [0, u32::MAX, u32::MAX, u32::MAX]),
        subleaf(0xd, 0, [u32::MAX, 0, 0, u32::MAX]),
    ]));
    let limits = generous.unwrap().features(&supported).limits;
    assert!(limits.cr4.contains(Cr4::SMEP) && !limits.cr4.contains(Cr4::SMAP));
    assert!(!limits.cr4.contains(Cr4::OSXSAVE));
    assert_eq!(limits.xcr0, Xcr0::new(7));
    assert_eq!(limits.efer, Efer::SCE);
}

proptest! {
    /// Any list: what the table finds is what a search from the start finds.
    #[test]
    fn lookup_is_the_first_match(
        raw in proptest::collection::vec((0u32..0x24, 0u32..3, any::<bool>(), 0u32..3), 0..60),
        function in 0u32..0x24, index in 0u32..4, class in 0u32..3,
    ) {
        let base = |class| [0, 0x4000_0000, 0x8000_0000][class as usize];
        let entries: Vec<_> = raw.iter().enumerate().map(|(id, (function, index, flag, class))| {
            let function = base(*class) + function;
            let registers = [id as u32, 0, 0, 0];
            if *flag { subleaf(function, *index, registers) } else { entry(function, *index, registers) }
        }).collect();
        if let Ok(guest) = GuestCpuid::new(list(&entries)) {
            let function = base(class) + function;
            let expected = entries.iter().find(|entry| entry.answers(function, index));
            prop_assert_eq!(guest.find(function, index), expected);
            guest.execute(function, index);
        }
    }

    /// A processor that answers anything makes neither a panic nor a hang.
    #[test]
    fn any_processor(seed: u32, xcr0: u64) {
        let cpuid = |leaf: u32, subleaf: u32| {
            let word = |n: u32| (leaf ^ subleaf.rotate_left(16) ^ seed).wrapping_mul(2654435761 + n);
            Registers { eax: word(0), ebx: word(2), ecx: word(4), edx: word(6) }
        };
        let host = Host { xcr0: Xcr0::new(xcr0), ..host(&TIGERLAKE) };
        let layout = XsaveLayout::read(cpuid);
        if let Ok(entries) = supported(cpuid, &host, &layout) {
            prop_assert!(entries.len() <= MAX_ENTRIES);
        }
    }
}
