// SPDX-License-Identifier: GPL-2.0
//! The device tree (the Devicetree Specification; the kernel's Documentation/devicetree/bindings).

use anyhow::Result;
use vm_fdt::FdtWriter;
use vm_memory::{Address, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion};

use crate::arch::layout::{
    DISTRIBUTOR, DISTRIBUTOR_SIZE, ITS, ITS_SIZE, REDISTRIBUTORS, REDISTRIBUTOR_SIZE, RTC, SERIAL,
    SERIAL_GSI, TIMER_PPIS, VIRTIO_GSI, VIRTIO_START,
};
use crate::console::Console;
use crate::memory::PAGE;

/// Phandles.
const GIC_PHANDLE: u32 = 1;
const CLOCK_PHANDLE: u32 = 2;

/// Addresses and sizes have two cells each, interrupts three: kind, number, trigger.
const CELLS: u32 = 2;
const INTERRUPT_CELLS: u32 = 3;
const SHARED: u32 = 0;
const PRIVATE: u32 = 1;
const EDGE_RISING: u32 = 1;
const LEVEL_HIGH: u32 = 4;

/// The 16550's clock that gives 115200 baud with divisor 1, and the one of PrimeCells' buses.
const SERIAL_CLOCK: u32 = 1_843_200;
const BUS_CLOCK: u32 = 24_000_000;

/// What the tree tells of.
pub struct Machine<'a> {
    pub cmdline: &'a str,
    /// Address and size.
    pub initrd: Option<(u64, u64)>,
    pub affinities: &'a [u32],
    pub virtio_devices: usize,
}

impl Machine<'_> {
    /// The tree, for a machine with this memory.
    pub fn device_tree(&self, memory: &GuestMemoryMmap) -> Result<Vec<u8>> {
        let mut tree = FdtWriter::new()?;
        let root = tree.begin_node("")?;
        tree.property_string("compatible", "linux,dummy-virt")?;
        tree.property_u32("#address-cells", CELLS)?;
        tree.property_u32("#size-cells", CELLS)?;
        tree.property_u32("interrupt-parent", GIC_PHANDLE)?;
        self.chosen(&mut tree)?;
        for region in memory.iter() {
            let start = region.start_addr().raw_value();
            let node = tree.begin_node(&format!("memory@{start:x}"))?;
            tree.property_string("device_type", "memory")?;
            tree.property_array_u64("reg", &[start, region.len()])?;
            tree.end_node(node)?;
        }
        self.processors(&mut tree)?;
        self.interrupt_controllers(&mut tree)?;
        devices(&mut tree)?;
        for index in 0..self.virtio_devices as u32 {
            virtio(&mut tree, index)?;
        }
        tree.end_node(root)?;
        Ok(tree.finish()?)
    }

    fn chosen(&self, tree: &mut FdtWriter) -> Result<()> {
        let node = tree.begin_node("chosen")?;
        tree.property_string("bootargs", self.cmdline)?;
        tree.property_string("stdout-path", &format!("/serial@{SERIAL:x}"))?;
        if let Some((start, size)) = self.initrd {
            tree.property_u64("linux,initrd-start", start)?;
            tree.property_u64("linux,initrd-end", start + size)?;
        }
        Ok(tree.end_node(node)?)
    }

    /// Processors, the firmware interface that starts them, and their timers.
    fn processors(&self, tree: &mut FdtWriter) -> Result<()> {
        let node = tree.begin_node("cpus")?;
        tree.property_u32("#address-cells", 1)?;
        tree.property_u32("#size-cells", 0)?;
        for affinity in self.affinities {
            let cpu = tree.begin_node(&format!("cpu@{affinity:x}"))?;
            tree.property_string("device_type", "cpu")?;
            tree.property_string("compatible", "arm,armv8")?;
            tree.property_string("enable-method", "psci")?;
            tree.property_u32("reg", *affinity)?;
            tree.end_node(cpu)?;
        }
        tree.end_node(node)?;

        let node = tree.begin_node("psci")?;
        let versions = ["arm,psci-1.0", "arm,psci-0.2"].map(str::to_owned);
        tree.property_string_list("compatible", versions.into())?;
        tree.property_string("method", "hvc")?;
        tree.end_node(node)?;

        let node = tree.begin_node("timer")?;
        tree.property_string("compatible", "arm,armv8-timer")?;
        let interrupts = TIMER_PPIS.map(|number| [PRIVATE, number, LEVEL_HIGH]);
        tree.property_array_u32("interrupts", interrupts.as_flattened())?;
        tree.property_null("always-on")?;
        Ok(tree.end_node(node)?)
    }

    fn interrupt_controllers(&self, tree: &mut FdtWriter) -> Result<()> {
        let node = tree.begin_node(&format!("interrupt-controller@{DISTRIBUTOR:x}"))?;
        tree.property_string("compatible", "arm,gic-v3")?;
        tree.property_phandle(GIC_PHANDLE)?;
        tree.property_null("interrupt-controller")?;
        tree.property_u32("#interrupt-cells", INTERRUPT_CELLS)?;
        tree.property_u32("#address-cells", CELLS)?;
        tree.property_u32("#size-cells", CELLS)?;
        tree.property_null("ranges")?;
        let redistributors = self.affinities.len() as u64 * REDISTRIBUTOR_SIZE;
        tree.property_array_u64(
            "reg",
            &[
                DISTRIBUTOR,
                DISTRIBUTOR_SIZE,
                REDISTRIBUTORS,
                redistributors,
            ],
        )?;
        let its = tree.begin_node(&format!("msi-controller@{ITS:x}"))?;
        tree.property_string("compatible", "arm,gic-v3-its")?;
        tree.property_null("msi-controller")?;
        tree.property_u32("#msi-cells", 1)?;
        tree.property_array_u64("reg", &[ITS, ITS_SIZE])?;
        tree.end_node(its)?;
        Ok(tree.end_node(node)?)
    }
}

/// Console, real-time clock, and the clock that the latter's bus has.
fn devices(tree: &mut FdtWriter) -> Result<()> {
    let node = tree.begin_node(&format!("serial@{SERIAL:x}"))?;
    tree.property_string("compatible", "ns16550a")?;
    tree.property_array_u64("reg", &[SERIAL, Console::SIZE])?;
    tree.property_array_u32("interrupts", &[SHARED, SERIAL_GSI, EDGE_RISING])?;
    tree.property_u32("clock-frequency", SERIAL_CLOCK)?;
    tree.end_node(node)?;

    let node = tree.begin_node("clock")?;
    tree.property_string("compatible", "fixed-clock")?;
    tree.property_u32("#clock-cells", 0)?;
    tree.property_u32("clock-frequency", BUS_CLOCK)?;
    tree.property_phandle(CLOCK_PHANDLE)?;
    tree.end_node(node)?;

    let node = tree.begin_node(&format!("rtc@{RTC:x}"))?;
    let kinds = ["arm,pl031", "arm,primecell"].map(str::to_owned);
    tree.property_string_list("compatible", kinds.into())?;
    tree.property_array_u64("reg", &[RTC, PAGE])?;
    tree.property_u32("clocks", CLOCK_PHANDLE)?;
    tree.property_string("clock-names", "apb_pclk")?;
    Ok(tree.end_node(node)?)
}

fn virtio(tree: &mut FdtWriter, index: u32) -> Result<()> {
    let address = VIRTIO_START + u64::from(index) * PAGE;
    let node = tree.begin_node(&format!("virtio@{address:x}"))?;
    tree.property_string("compatible", "virtio,mmio")?;
    tree.property_array_u64("reg", &[address, PAGE])?;
    tree.property_array_u32("interrupts", &[SHARED, VIRTIO_GSI + index, EDGE_RISING])?;
    tree.property_null("dma-coherent")?;
    Ok(tree.end_node(node)?)
}
