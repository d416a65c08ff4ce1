// SPDX-License-Identifier: GPL-2.0

//! The memory that a vCPU shares with its VMM: `struct kvm_run`, on x86 a page for port I/O data, and the
//! ring of coalesced I/O, which is the VM's. Items of port I/O go through the end of the first page.
//!
//! User space can write any of it at any time: every access is one volatile read or write of a plain
//! value, nothing is read twice, and no offset or length is ever taken from here.

// UNSAFETY: volatile access to pages that user space also maps.
#![expect(unsafe_code)]

use crate::{
    arch::OWN_RUN_PAGES,
    host::{bindings as uapi, page::KernelPage},
    types::{Gpa, PAGE_SIZE},
    uapi::Plain,
};
use core::{ptr::addr_of_mut, slice};
use kernel::{mm::virt::VmaNew, prelude::*};

/// Where port I/O data lies: at the end of the first page, so that a program that maps no more than `struct
/// kvm_run` finds it. Programs take the offset from `kvm_run.io.data_offset`.
const IO_OFFSET: usize = PAGE_SIZE - IO_BYTES;
/// Bytes of the items that one exit carries.
pub const IO_BYTES: usize = 1024;
/// Bytes of the largest item.
const ITEM_BYTES: usize = 4;

const _: () = assert!(size_of::<uapi::kvm_run>() <= IO_OFFSET);

/// Data words of KVM_EXIT_INTERNAL_ERROR.
const INTERNAL_ERROR_WORDS: usize = 16;

/// Bytes of an MMIO access that one exit carries.
pub const MMIO_BYTES: usize = 8;

/// Which way data goes between guest and device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the device to the guest.
    In,
    /// From the guest to the device.
    Out,
}

/// Port I/O that the VMM has to carry out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortAccess {
    /// Which way the data goes.
    pub direction: Direction,
    /// Bytes of one item: 1, 2 or 4.
    pub size: u8,
    /// The port.
    pub port: u16,
    /// The number of items, which lie one after the other in the data page.
    pub count: u32,
}

/// An access to an MSR that the VMM has to carry out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MsrAccess {
    /// [`Direction::In`] for RDMSR.
    pub direction: Direction,
    /// The MSR.
    pub index: u32,
    /// KVM_MSR_EXIT_REASON_: why the access is the VMM's.
    pub reason: u32,
    /// What the guest writes.
    pub data: u64,
}

/// Why KVM_RUN returns to the VMM.
#[derive(Clone, Copy, Debug)]
pub enum UserExit {
    /// KVM_EXIT_IO; data goes through [`RunPage::write_io`] and [`RunPage::read_io`].
    Io(PortAccess),
    /// KVM_EXIT_MMIO, a read of `len` bytes (at most 8).
    MmioRead { gpa: Gpa, len: usize },
    /// KVM_EXIT_MMIO, a write of the first `len` bytes of `data`.
    MmioWrite {
        gpa: Gpa,
        data: [u8; MMIO_BYTES],
        len: usize,
    },
    /// KVM_EXIT_X86_RDMSR or KVM_EXIT_X86_WRMSR.
    Msr(MsrAccess),
    /// KVM_EXIT_HLT.
    Hlt,
    /// KVM_EXIT_SHUTDOWN.
    Shutdown,
    /// KVM_EXIT_INTR.
    Interrupted,
    /// KVM_EXIT_IRQ_WINDOW_OPEN.
    InterruptWindowOpen,
    /// KVM_EXIT_SET_TPR.
    SetTpr,
    /// KVM_EXIT_IOAPIC_EOI of this vector.
    IoapicEoi(u8),
    /// KVM_EXIT_DEBUG.
    Debug(uapi::kvm_debug_exit_arch),
    /// KVM_EXIT_MEMORY_FAULT: the VMM's memory for this page cannot be had.
    MemoryFault { gpa: Gpa, size: u64 },
    /// KVM_EXIT_FAIL_ENTRY.
    FailEntry { reason: u64, cpu: u32 },
    /// KVM_EXIT_SYSTEM_EVENT with its data word, if it has one.
    #[cfg_attr(CONFIG_X86_64, expect(dead_code, reason = "PSCI is arm64's"))]
    SystemEvent { kind: u32, flags: Option<u64> },
    /// KVM_EXIT_ARM_NISV: an access to a device whose syndrome does not describe it, with what `iss` tells of it.
    #[cfg_attr(CONFIG_X86_64, expect(dead_code, reason = "syndromes are arm64's"))]
    Undescribed { gpa: Gpa, iss: u64 },
    /// KVM_EXIT_HYPERCALL of a function.
    #[cfg_attr(
        CONFIG_X86_64,
        expect(dead_code, reason = "no hypercall of x86 is for the VMM")
    )]
    Hypercall { function: u64, flags: u64 },
    /// KVM_EXIT_INTERNAL_ERROR with its data words.
    #[cfg(CONFIG_X86_64)]
    InternalError {
        suberror: u32,
        data: [u64; 4],
        words: u32,
    },
}

/// The page tells the VMM why KVM_RUN returns: [`RunPage::report_exit`] has written it.
#[derive(Debug)]
#[must_use]
pub struct Reported(());

/// What a VMM asks for before KVM_RUN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunRequest {
    /// Return as soon as an interrupt can be injected.
    pub interrupt_window: bool,
    /// Return at once, after what is pending is completed.
    pub immediate_exit: bool,
    /// CR8, where the VMM has the local APIC.
    pub cr8: u64,
}

/// What a VMM finds after KVM_RUN, whatever the exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunReport {
    /// An interrupt can be injected now.
    pub ready_for_interrupt_injection: bool,
    /// RFLAGS.IF.
    pub interrupt_flag: bool,
    /// CR8.
    pub cr8: u64,
    /// IA32_APIC_BASE.
    pub apic_base: u64,
}

/// Which of the registers in `kvm_run.s.regs` count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncRequest {
    /// Sets that the VMM wants to find there after KVM_RUN: `kvm_valid_regs`.
    pub valid: u64,
    /// Sets that the VMM has put there: `kvm_dirty_regs`.
    pub dirty: u64,
}

/// The pages of the vCPU itself, zeroed when it is made.
pub struct RunPage {
    run: KernelPage,
    /// Nothing is kept there.
    spare: KVec<KernelPage>,
}

impl RunPage {
    /// Bytes of the whole mapping: KVM_GET_VCPU_MMAP_SIZE.
    pub const MMAP_SIZE: usize = (OWN_RUN_PAGES + 1) * PAGE_SIZE;
    /// The number of the ring's page in the mapping: KVM_CAP_COALESCED_MMIO.
    pub const RING_PAGE: usize = OWN_RUN_PAGES;

    /// Allocates the pages. `ENOMEM` if there is no memory.
    pub fn new() -> Result<Self> {
        let run = KernelPage::new()?;
        let mut spare = KVec::new();
        while spare.len() + 1 < OWN_RUN_PAGES {
            spare.push(KernelPage::new()?, GFP_KERNEL_ACCOUNT)?;
        }
        Ok(Self { run, spare })
    }

    /// Maps the pages that the area covers, that of the ring last. `EINVAL` if it reaches past them.
    pub fn map(&self, ring: &KernelPage, vma: &VmaNew, first_page: usize) -> Result {
        let count = (vma.end() - vma.start()) / PAGE_SIZE;
        let end = first_page.checked_add(count).ok_or(EINVAL)?;
        if end > Self::RING_PAGE + 1 {
            return Err(EINVAL);
        }
        vma.set_dontexpand();
        let mixed = vma.set_mixedmap();
        let pages = [
            slice::from_ref(&self.run),
            &self.spare,
            slice::from_ref(ring),
        ];
        let wanted = pages.into_iter().flatten().skip(first_page).take(count);
        for (page, address) in wanted.zip((vma.start()..).step_by(PAGE_SIZE)) {
            page.insert_into(mixed, address)?;
        }
        Ok(())
    }

    fn run(&self) -> *mut uapi::kvm_run {
        self.run.as_ptr().cast()
    }

    /// What the VMM asks for.
    pub fn request(&self) -> RunRequest {
        let run = self.run();
        // SAFETY: the page is allocated and large enough; any bit pattern is valid for integers.
        unsafe {
            RunRequest {
                interrupt_window: addr_of_mut!((*run).request_interrupt_window).read_volatile()
                    != 0,
                immediate_exit: addr_of_mut!((*run).immediate_exit__unsafe).read_volatile() != 0,
                cr8: addr_of_mut!((*run).cr8).read_volatile(),
            }
        }
    }

    /// Which registers go along with KVM_RUN.
    pub fn sync_request(&self) -> SyncRequest {
        let run = self.run();
        // SAFETY: as in `request`.
        unsafe {
            SyncRequest {
                valid: addr_of_mut!((*run).kvm_valid_regs).read_volatile(),
                dirty: addr_of_mut!((*run).kvm_dirty_regs).read_volatile(),
            }
        }
    }

    /// Tells the VMM which of its registers have not been taken.
    pub fn set_dirty_registers(&self, sets: u64) {
        let run = self.run();
        // SAFETY: as in `request`.
        unsafe { addr_of_mut!((*run).kvm_dirty_regs).write_volatile(sets) };
    }

    /// Tells a VMM that has the interrupt controller which lines of devices in the kernel are high: bits
    /// KVM_ARM_DEV_EL1_.
    #[cfg(CONFIG_ARM64)]
    pub fn set_device_lines(&self, lines: u64) {
        let run = self.run();
        // SAFETY: as in `request`.
        unsafe { addr_of_mut!((*run).s.regs.device_irq_level).write_volatile(lines) };
    }

    /// Copies a member of `struct kvm_sync_regs`, at `offset`, in. `EINVAL` for what is none.
    pub fn read_synced<T: Plain>(&self, offset: usize) -> Result<T> {
        let member = self.synced::<T>(offset)?;
        // SAFETY: `synced` gives an aligned place within the page for a `T`, for which any bytes are valid.
        Ok(unsafe { member.read_volatile() })
    }

    /// Copies a member of `struct kvm_sync_regs`, at `offset`, out. `EINVAL` for what is none.
    pub fn write_synced<T: Plain>(&self, offset: usize, value: &T) -> Result {
        let member = self.synced::<T>(offset)?;
        // SAFETY: `synced` gives an aligned place within the page for a `T`.
        unsafe { member.write_volatile(*value) };
        Ok(())
    }

    fn synced<T>(&self, offset: usize) -> Result<*mut T> {
        let end = offset.checked_add(size_of::<T>()).ok_or(EINVAL)?;
        if end > size_of::<uapi::kvm_sync_regs>() {
            return Err(EINVAL);
        }
        let run = self.run();
        // SAFETY: takes an address in the allocated page.
        let area = unsafe { addr_of_mut!((*run).s) };
        let member = area.cast::<u8>().wrapping_add(offset).cast::<T>();
        if member.is_aligned() {
            Ok(member)
        } else {
            Err(EINVAL)
        }
    }

    /// Tells the VMM the state that every exit reports.
    pub fn report_state(&self, report: &RunReport) {
        let run = self.run();
        // SAFETY: as in `request`.
        unsafe {
            addr_of_mut!((*run).ready_for_interrupt_injection)
                .write_volatile(report.ready_for_interrupt_injection.into());
            addr_of_mut!((*run).if_flag).write_volatile(report.interrupt_flag.into());
            addr_of_mut!((*run).flags).write_volatile(0);
            addr_of_mut!((*run).cr8).write_volatile(report.cr8);
            addr_of_mut!((*run).apic_base).write_volatile(report.apic_base);
        }
    }

    /// Tells the VMM to carry out port I/O.
    #[inline]
    pub fn report_io(&self, access: &PortAccess) -> Reported {
        let run = self.run();
        // SAFETY: as in `request`.
        unsafe {
            let io = addr_of_mut!((*run).__bindgen_anon_1.io);
            addr_of_mut!((*io).direction).write_volatile(match access.direction {
                Direction::In => uapi::KVM_EXIT_IO_IN as u8,
                Direction::Out => uapi::KVM_EXIT_IO_OUT as u8,
            });
            addr_of_mut!((*io).size).write_volatile(access.size);
            addr_of_mut!((*io).port).write_volatile(access.port);
            addr_of_mut!((*io).count).write_volatile(access.count);
            addr_of_mut!((*io).data_offset).write_volatile(IO_OFFSET as u64);
            addr_of_mut!((*run).exit_reason).write_volatile(uapi::KVM_EXIT_IO);
        }
        Reported(())
    }

    /// Tells the VMM why KVM_RUN returns.
    pub fn report_exit(&self, exit: &UserExit) -> Reported {
        let run = self.run();
        // SAFETY: as in `request`; each arm writes the union member that its exit reason names.
        unsafe {
            let detail = addr_of_mut!((*run).__bindgen_anon_1);
            let reason = match *exit {
                UserExit::Io(ref access) => return self.report_io(access),
                UserExit::MmioRead { gpa, len } => {
                    let mmio = addr_of_mut!((*detail).mmio);
                    addr_of_mut!((*mmio).phys_addr).write_volatile(gpa.raw());
                    addr_of_mut!((*mmio).len).write_volatile(len as u32);
                    addr_of_mut!((*mmio).is_write).write_volatile(0);
                    uapi::KVM_EXIT_MMIO
                }
                UserExit::MmioWrite { gpa, data, len } => {
                    let mmio = addr_of_mut!((*detail).mmio);
                    addr_of_mut!((*mmio).phys_addr).write_volatile(gpa.raw());
                    addr_of_mut!((*mmio).data).write_volatile(data);
                    addr_of_mut!((*mmio).len).write_volatile(len as u32);
                    addr_of_mut!((*mmio).is_write).write_volatile(1);
                    uapi::KVM_EXIT_MMIO
                }
                UserExit::Msr(access) => {
                    let msr = addr_of_mut!((*detail).msr);
                    addr_of_mut!((*msr).error).write_volatile(0);
                    addr_of_mut!((*msr).pad).write_volatile([0; 7]);
                    addr_of_mut!((*msr).reason).write_volatile(access.reason);
                    addr_of_mut!((*msr).index).write_volatile(access.index);
                    addr_of_mut!((*msr).data).write_volatile(access.data);
                    match access.direction {
                        Direction::In => uapi::KVM_EXIT_X86_RDMSR,
                        Direction::Out => uapi::KVM_EXIT_X86_WRMSR,
                    }
                }
                UserExit::Hlt => uapi::KVM_EXIT_HLT,
                UserExit::Shutdown => uapi::KVM_EXIT_SHUTDOWN,
                UserExit::Interrupted => uapi::KVM_EXIT_INTR,
                UserExit::InterruptWindowOpen => uapi::KVM_EXIT_IRQ_WINDOW_OPEN,
                UserExit::SetTpr => uapi::KVM_EXIT_SET_TPR,
                UserExit::IoapicEoi(vector) => {
                    addr_of_mut!((*detail).eoi.vector).write_volatile(vector);
                    uapi::KVM_EXIT_IOAPIC_EOI
                }
                UserExit::Debug(debug) => {
                    addr_of_mut!((*detail).debug.arch).write_volatile(debug);
                    uapi::KVM_EXIT_DEBUG
                }
                UserExit::MemoryFault { gpa, size } => {
                    let fault = addr_of_mut!((*detail).memory_fault);
                    addr_of_mut!((*fault).flags).write_volatile(0);
                    addr_of_mut!((*fault).gpa).write_volatile(gpa.raw());
                    addr_of_mut!((*fault).size).write_volatile(size);
                    uapi::KVM_EXIT_MEMORY_FAULT
                }
                UserExit::FailEntry { reason, cpu } => {
                    let fail = addr_of_mut!((*detail).fail_entry);
                    addr_of_mut!((*fail).hardware_entry_failure_reason).write_volatile(reason);
                    addr_of_mut!((*fail).cpu).write_volatile(cpu);
                    uapi::KVM_EXIT_FAIL_ENTRY
                }
                UserExit::SystemEvent { kind, flags } => {
                    let event = addr_of_mut!((*detail).system_event);
                    addr_of_mut!((*event).type_).write_volatile(kind);
                    addr_of_mut!((*event).ndata).write_volatile(flags.is_some().into());
                    let data = addr_of_mut!((*event).__bindgen_anon_1.data[0]);
                    data.write_volatile(flags.unwrap_or(0));
                    uapi::KVM_EXIT_SYSTEM_EVENT
                }
                UserExit::Undescribed { gpa, iss } => {
                    let access = addr_of_mut!((*detail).arm_nisv);
                    addr_of_mut!((*access).esr_iss).write_volatile(iss);
                    addr_of_mut!((*access).fault_ipa).write_volatile(gpa.raw());
                    uapi::KVM_EXIT_ARM_NISV
                }
                UserExit::Hypercall { function, flags } => {
                    let hypercall = addr_of_mut!((*detail).hypercall);
                    addr_of_mut!((*hypercall).nr).write_volatile(function);
                    addr_of_mut!((*hypercall).__bindgen_anon_1.flags).write_volatile(flags);
                    uapi::KVM_EXIT_HYPERCALL
                }
                #[cfg(CONFIG_X86_64)]
                UserExit::InternalError {
                    suberror,
                    data,
                    words,
                } => {
                    let internal = addr_of_mut!((*detail).internal);
                    addr_of_mut!((*internal).suberror).write_volatile(suberror);
                    addr_of_mut!((*internal).ndata).write_volatile(words);
                    for (index, word) in data.into_iter().enumerate() {
                        addr_of_mut!((*internal).data[index]).write_volatile(word);
                    }
                    uapi::KVM_EXIT_INTERNAL_ERROR
                }
            };
            addr_of_mut!((*run).exit_reason).write_volatile(reason);
        }
        Reported(())
    }

    /// Tells the VMM of KVM_EXIT_INTERNAL_ERROR with as many data words as there is room for.
    pub fn report_internal_error(&self, suberror: u32, data: &[u64]) -> Reported {
        let run = self.run();
        let mut words = 0;
        // SAFETY: as in `request`; the exit reason names this member of the union.
        unsafe {
            let internal = addr_of_mut!((*run).__bindgen_anon_1.internal);
            let room = addr_of_mut!((*internal).data).cast::<u64>();
            for (index, word) in data.iter().take(INTERNAL_ERROR_WORDS).enumerate() {
                room.wrapping_add(index).write_volatile(*word);
                words += 1;
            }
            addr_of_mut!((*internal).suberror).write_volatile(suberror);
            addr_of_mut!((*internal).ndata).write_volatile(words);
            addr_of_mut!((*run).exit_reason).write_volatile(uapi::KVM_EXIT_INTERNAL_ERROR);
        }
        Reported(())
    }

    /// The VMM's answer to [`UserExit::MmioRead`].
    pub fn mmio_data(&self) -> [u8; MMIO_BYTES] {
        let run = self.run();
        // SAFETY: as in `request`; any bytes are valid.
        unsafe { addr_of_mut!((*run).__bindgen_anon_1.mmio.data).read_volatile() }
    }

    /// The VMM's answer to [`UserExit::Msr`]: what was read. `None` if the access is to fault.
    pub fn msr_data(&self) -> Option<u64> {
        let run = self.run();
        // SAFETY: as in `request`; any bytes are valid.
        unsafe {
            let msr = addr_of_mut!((*run).__bindgen_anon_1.msr);
            let refused = addr_of_mut!((*msr).error).read_volatile() != 0;
            (!refused).then(|| addr_of_mut!((*msr).data).read_volatile())
        }
    }

    /// Puts one item of at most 4 bytes where the VMM finds it.
    pub fn write_io(&self, value: u32, size: u8) {
        for (index, byte) in value
            .to_le_bytes()
            .into_iter()
            .take(size.into())
            .enumerate()
        {
            // SAFETY: `io` stays within the page, which is allocated; any value is valid there.
            unsafe { self.io(index).write_volatile(byte) };
        }
    }

    /// Reads an item of `size` bytes (at most 4) that the VMM has put there.
    pub fn read_io(&self, size: u8) -> u32 {
        let mut value = [0; ITEM_BYTES];
        let room = value.len().min(size.into());
        self.read_io_bytes(0, value.get_mut(..room).unwrap_or(&mut []));
        u32::from_le_bytes(value)
    }

    /// Reads what the VMM has put there from the byte `from` on; what does not fit begins anew.
    pub fn read_io_bytes(&self, from: usize, data: &mut [u8]) {
        for (index, byte) in data.iter_mut().enumerate() {
            // SAFETY: `io` stays within the page, which is allocated; any value is valid there.
            *byte = unsafe { self.io(from.wrapping_add(index)).read_volatile() };
        }
    }

    /// A byte of the items.
    fn io(&self, index: usize) -> *mut u8 {
        let run = self.run.as_ptr();
        run.wrapping_add(IO_OFFSET + index % IO_BYTES)
    }
}
