// SPDX-License-Identifier: GPL-2.0
//! The ACPI tables (ACPI 6.5): processors, interrupt controllers, power registers and virtio devices.
//!
//! Hardware-reduced ACPI would be shorter, but with it Linux uses neither PIT nor PIC.

use acpi_tables::aml;
use acpi_tables::facs::FACS;
use acpi_tables::fadt::{FADTBuilder, Flags};
use acpi_tables::gas::{AccessSize, AddressSpace, GAS};
use acpi_tables::madt::{
    EnabledStatus, IoApic, LocalInterruptController, ProcessorLocalApic, MADT,
};
use acpi_tables::rsdp::Rsdp;
use acpi_tables::sdt::Sdt;
use acpi_tables::xsdt::XSDT;
use acpi_tables::{Aml, AmlSink};
use anyhow::{ensure, Result};
use vm_memory::{Address, Bytes, GuestAddress, GuestMemoryMmap};
use zerocopy::{Immutable, IntoBytes};

use crate::arch::layout::{
    ACPI_TABLES, ACPI_TABLES_END, I8042_COMMAND, I8042_RESET, IOAPIC, LOCAL_APIC, PM1A_CONTROL,
    PM1A_EVENT, RSDP, SCI_GSI, VIRTIO_GSI, VIRTIO_START,
};
use crate::memory::PAGE;

const OEM: [u8; 6] = *b"RKVM  ";
const OEM_TABLE: [u8; 8] = *b"MINIVMM ";
const OEM_REVISION: u32 = 1;
/// Of the FADT, 5.2.9.3: devices of the ISA bus exist; there is no VGA.
const IAPC_LEGACY_DEVICES: u16 = 1 << 0;
const IAPC_NO_VGA: u16 = 1 << 2;
const PM1_EVENT_SIZE: u8 = 4;
const PM1_CONTROL_SIZE: u8 = 2;
const DSDT_REVISION: u8 = 2;
const SDT_HEADER: u32 = 36;
/// Tables start at multiples of this, as the FACS needs.
const ALIGNMENT: u64 = 64;
/// The sleep type of S5, off.
const S5_TYPE: u8 = 5;

/// Interrupt source override (5.2.12.5).
#[repr(C, packed)]
#[derive(Clone, Copy, IntoBytes, Immutable)]
struct SourceOverride {
    kind: u8,
    length: u8,
    bus: u8,
    source: u8,
    gsi: [u8; 4],
    flags: [u8; 2],
}

const SOURCE_OVERRIDE: u8 = 2;
const ISA_BUS: u8 = 0;
/// Flags: as the bus has it; active high and level-triggered.
const CONFORMS: u16 = 0;
const HIGH_LEVEL: u16 = 0xd;
/// The PIT is input 0 of the PIC and input 2 of the IOAPIC.
const PIT_SOURCE: u8 = 0;
const PIT_GSI: u32 = 2;

impl SourceOverride {
    fn new(source: u8, gsi: u32, flags: u16) -> Self {
        Self {
            kind: SOURCE_OVERRIDE,
            length: size_of::<Self>() as u8,
            bus: ISA_BUS,
            source,
            gsi: gsi.to_le_bytes(),
            flags: flags.to_le_bytes(),
        }
    }
}

impl Aml for SourceOverride {
    fn to_aml_bytes(&self, sink: &mut dyn AmlSink) {
        sink.vec(self.as_bytes());
    }
}

/// Puts tables one behind the other.
struct Writer<'a> {
    memory: &'a GuestMemoryMmap,
    next: GuestAddress,
}

impl Writer<'_> {
    /// Writes a table; its address.
    fn put(&mut self, table: &dyn Aml) -> Result<u64> {
        let mut bytes = Vec::new();
        table.to_aml_bytes(&mut bytes);
        let address = self.next.raw_value();
        let end = (address + bytes.len() as u64).next_multiple_of(ALIGNMENT);
        ensure!(
            end <= ACPI_TABLES_END.raw_value(),
            "the ACPI tables are too large"
        );
        self.memory.write_slice(&bytes, self.next)?;
        self.next = GuestAddress(end);
        Ok(address)
    }
}

/// Writes the tables of a machine with this many processors and virtio devices.
pub fn write(memory: &GuestMemoryMmap, cpus: u8, virtio_devices: usize) -> Result<()> {
    let mut writer = Writer {
        memory,
        next: ACPI_TABLES,
    };
    let facs = writer.put(&FACS::new())?;
    let dsdt = writer.put(&dsdt(virtio_devices))?;
    let fadt = writer.put(&fadt(facs, dsdt))?;
    let madt = writer.put(&madt(cpus))?;
    let mut xsdt = XSDT::new(OEM, OEM_TABLE, OEM_REVISION);
    xsdt.add_entry(fadt);
    xsdt.add_entry(madt);
    let xsdt = writer.put(&xsdt)?;
    memory.write_slice(Rsdp::new(OEM, xsdt).as_bytes(), RSDP)?;
    Ok(())
}

fn madt(cpus: u8) -> MADT {
    let mut madt = MADT::new(
        OEM,
        OEM_TABLE,
        OEM_REVISION,
        LocalInterruptController::Address(LOCAL_APIC),
    );
    for cpu in 0..cpus {
        madt.add_structure(ProcessorLocalApic::new(cpu, cpu, EnabledStatus::Enabled));
    }
    madt.add_structure(IoApic::new(cpus, IOAPIC, 0));
    madt.add_structure(SourceOverride::new(PIT_SOURCE, PIT_GSI, CONFORMS));
    madt.add_structure(SourceOverride::new(SCI_GSI as u8, SCI_GSI, HIGH_LEVEL));
    madt
}

fn fadt(facs: u64, dsdt: u64) -> acpi_tables::fadt::FADT {
    let mut fadt = FADTBuilder::new(OEM, OEM_TABLE, OEM_REVISION)
        .firmware_ctrl_32(facs as u32)
        .dsdt_32(dsdt as u32)
        .flag(Flags::Wbinvd)
        .flag(Flags::ProcC1)
        .flag(Flags::PwrButton)
        .flag(Flags::SlpButton)
        .flag(Flags::ResetRegSup);
    fadt.sci_int = (SCI_GSI as u16).into();
    fadt.pm1a_evt_blk = u32::from(PM1A_EVENT).into();
    fadt.pm1a_cnt_blk = u32::from(PM1A_CONTROL).into();
    fadt.pm1_evt_len = PM1_EVENT_SIZE;
    fadt.pm1_cnt_len = PM1_CONTROL_SIZE;
    fadt.iapc_boot_arch = (IAPC_LEGACY_DEVICES | IAPC_NO_VGA).into();
    fadt.reset_reg = GAS::new(
        AddressSpace::SystemIo,
        8,
        0,
        AccessSize::ByteAccess,
        I8042_COMMAND.into(),
    );
    fadt.reset_value = I8042_RESET;
    fadt.finalize()
}

fn dsdt(virtio_devices: usize) -> Sdt {
    let mut body = Vec::new();
    aml::Name::new("_S5_".into(), &aml::Package::new(vec![&S5_TYPE])).to_aml_bytes(&mut body);
    for index in 0..virtio_devices as u32 {
        let registers =
            aml::Memory32Fixed::new(true, VIRTIO_START as u32 + index * PAGE as u32, PAGE as u32);
        // Consumer, edge-triggered, active high, not shared.
        let interrupt = aml::Interrupt::new(true, true, false, false, VIRTIO_GSI + index);
        aml::Device::new(
            format!("_SB_.VIO{index}").as_str().into(),
            vec![
                &aml::Name::new("_HID".into(), &"LNRO0005"),
                &aml::Name::new("_UID".into(), &index),
                &aml::Name::new(
                    "_CRS".into(),
                    &aml::ResourceTemplate::new(vec![&registers, &interrupt]),
                ),
            ],
        )
        .to_aml_bytes(&mut body);
    }
    let mut dsdt = Sdt::new(
        *b"DSDT",
        SDT_HEADER,
        DSDT_REVISION,
        OEM,
        OEM_TABLE,
        OEM_REVISION,
    );
    dsdt.append_slice(&body);
    dsdt
}
