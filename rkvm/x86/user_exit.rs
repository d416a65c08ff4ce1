// SPDX-License-Identifier: GPL-2.0

//! Why KVM_RUN returns to the VMM, and what the VMM answers.

use crate::{
    host::bindings as uapi,
    run_page::{member, Member, Reported, RunPage, MMIO_BYTES},
    types::{Gpa, PAGE_SIZE},
};

/// Where items of port I/O lie: at the end of the first page, so that a program that maps no more than `struct
/// kvm_run` finds them. Programs take the offset from `kvm_run.io.data_offset`.
const IO_OFFSET: usize = PAGE_SIZE - IO_BYTES;
/// The items.
const IO: Member<[u8; IO_BYTES]> = Member::new(IO_OFFSET, |run| run.cast());
/// Bytes of the items that one exit carries.
pub const IO_BYTES: usize = 1024;
/// Bytes of the largest item.
const ITEM_BYTES: usize = 4;

const _: () = assert!(size_of::<uapi::kvm_run>() <= IO_OFFSET);

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
    /// The number of items, which lie one after the other.
    pub count: u32,
}

impl PortAccess {
    /// Tells the VMM. Data goes through [`RunPage::write_io`] and [`RunPage::read_io`].
    #[inline]
    pub fn report(&self, page: &RunPage) -> Reported {
        let direction = match self.direction {
            Direction::In => uapi::KVM_EXIT_IO_IN,
            Direction::Out => uapi::KVM_EXIT_IO_OUT,
        };
        page.set(member!(exit io.direction), direction as u8);
        page.set(member!(exit io.size), self.size);
        page.set(member!(exit io.port), self.port);
        page.set(member!(exit io.count), self.count);
        page.set(member!(exit io.data_offset), IO_OFFSET as u64);
        page.report(uapi::KVM_EXIT_IO)
    }
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

impl MsrAccess {
    fn report(&self, page: &RunPage) -> Reported {
        page.set(member!(exit msr.error), 0);
        page.set(member!(exit msr.pad), [0; 7]);
        page.set(member!(exit msr.reason), self.reason);
        page.set(member!(exit msr.index), self.index);
        page.set(member!(exit msr.data), self.data);
        page.report(match self.direction {
            Direction::In => uapi::KVM_EXIT_X86_RDMSR,
            Direction::Out => uapi::KVM_EXIT_X86_WRMSR,
        })
    }
}

/// Why KVM_RUN returns to the VMM.
#[derive(Clone, Copy, Debug)]
pub enum UserExit {
    /// KVM_EXIT_IO.
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
    /// KVM_EXIT_INTERNAL_ERROR with the first `words` of its data words.
    InternalError {
        suberror: u32,
        data: [u64; 4],
        words: usize,
    },
}

impl UserExit {
    /// Tells the VMM.
    pub fn report(&self, page: &RunPage) -> Reported {
        match *self {
            Self::Io(access) => access.report(page),
            Self::MmioRead { gpa, len } => page.report_mmio_read(gpa, len),
            Self::MmioWrite { gpa, data, len } => page.report_mmio_write(gpa, data, len),
            Self::Msr(access) => access.report(page),
            Self::Hlt => page.report(uapi::KVM_EXIT_HLT),
            Self::Shutdown => page.report(uapi::KVM_EXIT_SHUTDOWN),
            Self::InterruptWindowOpen => page.report(uapi::KVM_EXIT_IRQ_WINDOW_OPEN),
            Self::SetTpr => page.report(uapi::KVM_EXIT_SET_TPR),
            Self::IoapicEoi(vector) => {
                page.set(member!(exit eoi.vector), vector);
                page.report(uapi::KVM_EXIT_IOAPIC_EOI)
            }
            Self::Debug(debug) => page.report_debug(debug),
            Self::MemoryFault { gpa, size } => {
                page.set(member!(exit memory_fault.flags), 0);
                page.set(member!(exit memory_fault.gpa), gpa.raw());
                page.set(member!(exit memory_fault.size), size);
                page.report(uapi::KVM_EXIT_MEMORY_FAULT)
            }
            Self::FailEntry { reason, cpu } => page.report_fail_entry(reason, cpu),
            Self::InternalError {
                suberror,
                data,
                words,
            } => report_internal_error(page, suberror, data.get(..words).unwrap_or(&data)),
        }
    }
}

/// KVM_EXIT_INTERNAL_ERROR with as many data words as there is room for.
pub fn report_internal_error(page: &RunPage, suberror: u32, data: &[u64]) -> Reported {
    let room: Member<[u64; 16]> = member!(exit internal.data);
    let mut words = 0;
    for (index, word) in data.iter().enumerate() {
        let Some(place) = room.element(index) else {
            break;
        };
        page.set(place, *word);
        words += 1;
    }
    page.set(member!(exit internal.suberror), suberror);
    page.set(member!(exit internal.ndata), words);
    page.report(uapi::KVM_EXIT_INTERNAL_ERROR)
}

impl RunPage {
    /// The VMM's answer to [`UserExit::Msr`]: what was read. `None` if the access is to fault.
    pub fn msr_data(&self) -> Option<u64> {
        let refused = self.get(member!(exit msr.error)) != 0;
        (!refused).then(|| self.get(member!(exit msr.data)))
    }

    /// Puts one item of at most 4 bytes where the VMM finds it.
    pub fn write_io(&self, value: u32, size: u8) {
        let bytes = value.to_le_bytes().into_iter().take(size.into());
        for (index, byte) in bytes.enumerate() {
            if let Some(place) = IO.element(index) {
                self.set(place, byte);
            }
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
            if let Some(place) = IO.element(from.wrapping_add(index) % IO_BYTES) {
                *byte = self.get(place);
            }
        }
    }
}
