// SPDX-License-Identifier: GPL-2.0
//! The first vCPU's registers at the kernel's 64-bit entry: long mode, the first GiB mapped to itself.

use anyhow::{Context, Result};
use kvm_bindings::{kvm_msr_entry, kvm_regs, kvm_segment, Msrs};
use kvm_ioctls::VcpuFd;
use vm_memory::{Address, Bytes, GuestAddress, GuestMemoryMmap};

use crate::arch::layout::{GDT, PAGE_TABLES, ZERO_PAGE};
use crate::memory::PAGE;

/// The selectors that the boot protocol asks for, __BOOT_CS and __BOOT_DS, and one for the task register.
const CODE_SELECTOR: u16 = 0x10;
const DATA_SELECTOR: u16 = 0x18;
const TASK_SELECTOR: u16 = 0x20;
const DESCRIPTORS: usize = 5;

/// Segment types (SDM 3.4.5.1, 3.5): code that was accessed, data that was accessed, a busy TSS.
const TYPE_CODE: u8 = 0xb;
const TYPE_DATA: u8 = 0x3;
const TYPE_BUSY_TSS: u8 = 0xb;
const FLAT_LIMIT: u32 = 0xffff_ffff;
const TSS_LIMIT: u32 = 0x67;

const CR0_PE: u64 = 1 << 0;
const CR0_ET: u64 = 1 << 4;
const CR0_PG: u64 = 1 << 31;
const CR4_PAE: u64 = 1 << 5;
const EFER_LME: u64 = 1 << 8;
const EFER_LMA: u64 = 1 << 10;
/// Bit 1 of RFLAGS is always set.
const RFLAGS: u64 = 1 << 1;

const ENTRY_PRESENT_WRITE: u64 = 0x3;
const ENTRY_LARGE: u64 = 1 << 7;
const ENTRIES: u64 = 512;
const LARGE_PAGE: u64 = 2 << 20;

const MSR_MISC_ENABLE: u32 = 0x1a0;
const MISC_ENABLE_FAST_STRING: u64 = 1;
const MSR_MTRR_DEF_TYPE: u32 = 0x2ff;
/// MTRRs on, memory without one is write-back.
const MTRR_ENABLED_WRITE_BACK: u64 = 1 << 11 | 6;

/// Offsets of the local vector table's pins (SDM 11.5.1), and what firmware sets them to.
const LAPIC_LINT0: usize = 0x350;
const LAPIC_LINT1: usize = 0x360;
const DELIVER_EXTINT: u32 = 7 << 8;
const DELIVER_NMI: u32 = 4 << 8;

/// What firmware leaves on every processor: MSRs, and the PIC and NMI on the local APIC's pins.
pub fn set_common(vcpu: &VcpuFd) -> Result<()> {
    let msr = |index, data| kvm_msr_entry {
        index,
        data,
        ..Default::default()
    };
    let msrs = Msrs::from_entries(&[
        msr(MSR_MISC_ENABLE, MISC_ENABLE_FAST_STRING),
        msr(MSR_MTRR_DEF_TYPE, MTRR_ENABLED_WRITE_BACK),
    ])?;
    let set = vcpu.set_msrs(&msrs).context("KVM_SET_MSRS")?;
    anyhow::ensure!(
        set == msrs.as_slice().len(),
        "KVM_SET_MSRS set {set} MSRs only"
    );

    let mut lapic = vcpu.get_lapic().context("KVM_GET_LAPIC")?;
    for (offset, value) in [(LAPIC_LINT0, DELIVER_EXTINT), (LAPIC_LINT1, DELIVER_NMI)] {
        for (register, byte) in lapic.regs[offset..].iter_mut().zip(value.to_le_bytes()) {
            *register = byte as _;
        }
    }
    vcpu.set_lapic(&lapic).context("KVM_SET_LAPIC")
}

/// Sets the first vCPU to enter the kernel; writes the descriptor and page tables that it starts with.
pub fn set_entry(vcpu: &VcpuFd, memory: &GuestMemoryMmap, entry: GuestAddress) -> Result<()> {
    write_page_tables(memory)?;
    let code = kvm_segment {
        l: 1,
        ..segment(CODE_SELECTOR, TYPE_CODE)
    };
    let data = kvm_segment {
        db: 1,
        ..segment(DATA_SELECTOR, TYPE_DATA)
    };
    let task = kvm_segment {
        s: 0,
        g: 0,
        limit: TSS_LIMIT,
        ..segment(TASK_SELECTOR, TYPE_BUSY_TSS)
    };
    let gdt: [u64; DESCRIPTORS] = [
        0,
        0,
        descriptor(&code),
        descriptor(&data),
        descriptor(&task),
    ];
    memory.write_obj(gdt, GDT)?;

    let mut sregs = vcpu.get_sregs().context("KVM_GET_SREGS")?;
    sregs.cs = code;
    for register in [
        &mut sregs.ds,
        &mut sregs.es,
        &mut sregs.fs,
        &mut sregs.gs,
        &mut sregs.ss,
    ] {
        *register = data;
    }
    sregs.tr = task;
    sregs.gdt.base = GDT.raw_value();
    sregs.gdt.limit = (size_of_val(&gdt) - 1) as u16;
    sregs.idt.limit = 0;
    sregs.cr3 = PAGE_TABLES.raw_value();
    sregs.cr4 = CR4_PAE;
    sregs.cr0 = CR0_PG | CR0_ET | CR0_PE;
    sregs.efer = EFER_LME | EFER_LMA;
    vcpu.set_sregs(&sregs).context("KVM_SET_SREGS")?;

    let regs = kvm_regs {
        rip: entry.raw_value(),
        rsi: ZERO_PAGE.raw_value(),
        rflags: RFLAGS,
        ..Default::default()
    };
    vcpu.set_regs(&regs).context("KVM_SET_REGS")
}

/// A flat segment of 4 GiB.
fn segment(selector: u16, type_: u8) -> kvm_segment {
    kvm_segment {
        selector,
        type_,
        limit: FLAT_LIMIT,
        present: 1,
        s: 1,
        g: 1,
        ..Default::default()
    }
}

/// The descriptor of a segment with base 0 (SDM 3.4.5).
fn descriptor(segment: &kvm_segment) -> u64 {
    let limit = u64::from(if segment.g == 1 {
        segment.limit >> 12
    } else {
        segment.limit
    });
    let bit = |value: u8, at: u32| u64::from(value) << at;
    limit & 0xffff
        | (limit >> 16 & 0xf) << 48
        | bit(segment.type_, 40)
        | bit(segment.s, 44)
        | bit(segment.present, 47)
        | bit(segment.l, 53)
        | bit(segment.db, 54)
        | bit(segment.g, 55)
}

fn write_page_tables(memory: &GuestMemoryMmap) -> Result<()> {
    let directory_pointers = PAGE_TABLES.unchecked_add(PAGE);
    let directory = directory_pointers.unchecked_add(PAGE);
    memory.write_obj(
        directory_pointers.raw_value() | ENTRY_PRESENT_WRITE,
        PAGE_TABLES,
    )?;
    memory.write_obj(
        directory.raw_value() | ENTRY_PRESENT_WRITE,
        directory_pointers,
    )?;
    for index in 0..ENTRIES {
        let entry = (index * LARGE_PAGE) | ENTRY_LARGE | ENTRY_PRESENT_WRITE;
        memory.write_obj(
            entry,
            directory.unchecked_add(index * size_of::<u64>() as u64),
        )?;
    }
    Ok(())
}
