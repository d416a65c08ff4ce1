// SPDX-License-Identifier: GPL-2.0

//! Moving UAPI structures to and from user space.

// UNSAFETY: says which bindgen types are plain data.
#![expect(unsafe_code)]

use crate::{
    coalesced::ZoneRequest,
    gsi_routing::{RoutingEntry, MAX_ROUTES},
    host::bindings as uapi,
    mmu::{ClearRequest, LogRequest},
};
use kernel::{
    prelude::*,
    transmute::{AsBytes, FromBytes},
    uaccess::{UserPtr, UserSlice},
};

/// Plain data of the KVM UAPI: integers and arrays of them, with no implicit padding.
///
/// # Safety
///
/// Any bytes must be a valid value, and no byte of a value may be uninitialised.
pub unsafe trait Plain: Copy {}

// SAFETY: nothing is between the elements.
unsafe impl<T: Plain, const N: usize> Plain for [T; N] {}

macro_rules! plain {
    ($($type:ty),* $(,)?) => {
        $(
            // SAFETY: the UAPI defines the type of integers with explicit padding.
            unsafe impl Plain for $type {}
        )*
    };
}

// Those that stand for structures with unions in them.
const _: () = assert!(size_of::<LogRequest>() == size_of::<uapi::kvm_dirty_log>());
const _: () = assert!(size_of::<ClearRequest>() == size_of::<uapi::kvm_clear_dirty_log>());
const _: () = assert!(size_of::<ZoneRequest>() == size_of::<uapi::kvm_coalesced_mmio_zone>());

plain!(
    u8,
    u16,
    u32,
    u64,
    uapi::kvm_userspace_memory_region,
    uapi::kvm_userspace_memory_region2,
    LogRequest,
    ClearRequest,
    uapi::kvm_ioeventfd,
    uapi::kvm_irqfd,
    ZoneRequest,
    uapi::kvm_enable_cap,
    uapi::kvm_create_device,
    uapi::kvm_device_attr,
    uapi::kvm_debug_exit_arch,
    RoutingEntry,
);

#[cfg(CONFIG_ARM64)]
plain!(
    uapi::kvm_vcpu_init,
    uapi::kvm_one_reg,
    uapi::kvm_mp_state,
    uapi::kvm_vcpu_events,
    uapi::kvm_guest_debug,
    uapi::kvm_irq_level,
    uapi::kvm_msi,
    uapi::kvm_arm_device_addr,
    uapi::kvm_arm_counter_offset,
    uapi::kvm_smccc_filter,
    uapi::reg_mask_range,
);

#[cfg(CONFIG_X86_64)]
plain!(
    uapi::kvm_regs,
    uapi::kvm_sregs,
    uapi::kvm_fpu,
    uapi::kvm_msr_entry,
    uapi::kvm_interrupt,
    uapi::kvm_xcrs,
    uapi::kvm_debugregs,
    uapi::kvm_vcpu_events,
    uapi::kvm_pre_fault_memory,
    uapi::kvm_sregs2,
    uapi::kvm_guest_debug,
    uapi::kvm_x86_mce,
    uapi::kvm_clock_data,
    uapi::kvm_pit_config,
    uapi::kvm_pit_state2,
    uapi::kvm_reinject_control,
    uapi::kvm_msi,
    uapi::kvm_mp_state,
    crate::x86::msr::filter::FilterRequest,
    crate::x86::ioapic::IoapicState,
    crate::x86::pic::PicState,
    crate::x86::pit::PitState,
    [crate::x86::pit::ChannelState; 3],
    crate::x86::cpuid::CpuidEntry,
);

/// Gives a [`Plain`] value the kernel crate's traits.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Bytes<T>(T);

impl<T> Bytes<T> {
    fn of(value: &T) -> &Self {
        // SAFETY: `Bytes<T>` is a transparent wrapper, so that a valid `T` is a valid `Bytes<T>`.
        unsafe { &*core::ptr::from_ref(value).cast() }
    }
}

// SAFETY: `Plain` says that any bytes are a valid `T`.
unsafe impl<T: Plain> FromBytes for Bytes<T> {}
// SAFETY: `Plain` says that no byte of a `T` is uninitialised.
unsafe impl<T: Plain> AsBytes for Bytes<T> {}

/// The argument of an ioctl as an address in user space.
#[derive(Clone, Copy, Debug)]
pub struct UserAddress(usize);

impl UserAddress {
    /// Takes the ioctl's argument, which may be anything.
    pub fn new(argument: usize) -> Self {
        Self(argument)
    }

    /// The address `bytes` further on; one that wraps is refused when it is used.
    pub fn offset(self, bytes: usize) -> Self {
        Self(self.0.saturating_add(bytes))
    }

    fn slice(self, bytes: usize) -> UserSlice {
        UserSlice::new(UserPtr::from_addr(self.0), bytes)
    }

    /// Copies a value in. `EFAULT` if the memory is not readable.
    pub fn read<T: Plain>(self) -> Result<T> {
        Ok(self.slice(size_of::<T>()).reader().read::<Bytes<T>>()?.0)
    }

    /// Copies a value out. `EFAULT` if the memory is not writable.
    pub fn write<T: Plain>(self, value: &T) -> Result {
        self.slice(size_of::<T>()).writer().write(Bytes::of(value))
    }

    /// Copies bytes in.
    pub fn read_bytes(self, bytes: &mut [u8]) -> Result {
        self.slice(bytes.len()).reader().read_slice(bytes)
    }

    /// Copies bytes out. `EFAULT` if the memory is not writable.
    pub fn write_bytes(self, bytes: &[u8]) -> Result {
        self.slice(bytes.len()).writer().write_slice(bytes)
    }

    /// Copies an array of `count` values in.
    pub fn read_array<T: Plain>(self, count: usize) -> Result<KVVec<T>> {
        let mut values = KVVec::with_capacity(count, GFP_KERNEL_ACCOUNT)?;
        let mut reader = self
            .slice(count.checked_mul(size_of::<T>()).ok_or(EINVAL)?)
            .reader();
        for _ in 0..count {
            values.push(reader.read::<Bytes<T>>()?.0, GFP_KERNEL_ACCOUNT)?;
        }
        Ok(values)
    }

    /// Copies the entries of KVM_SET_GSI_ROUTING in. `EINVAL` for flags, or too many.
    pub fn read_routing(self) -> Result<KVVec<RoutingEntry>> {
        let count: u32 = self.read()?;
        let flags: u32 = self.offset(size_of::<u32>()).read()?;
        if count > MAX_ROUTES || flags != 0 {
            return Err(EINVAL);
        }
        self.offset(size_of::<uapi::kvm_irq_routing>())
            .read_array(count as usize)
    }

    /// Copies values out, one after the other.
    pub fn write_array<T: Plain>(self, values: &[T]) -> Result {
        let mut writer = self.slice(core::mem::size_of_val(values)).writer();
        for value in values {
            writer.write(Bytes::of(value))?;
        }
        Ok(())
    }
}

/// Where the argument is a number.
impl From<UserAddress> for usize {
    fn from(argument: UserAddress) -> Self {
        argument.0
    }
}
