// SPDX-License-Identifier: GPL-2.0
//! What differs between the architectures. Each is a module with the same names in it:
//!
//! - `layout`: the address map, of which the rest of minivmm uses `ram`, `SERIAL_GSI` and `VIRTIO_*`;
//! - `vm`: `create` makes a VM with its vCPUs and `Chips`, the interrupt controllers in the kernel; `NEEDED` are the
//!   capabilities without which it cannot;
//! - `boot`: `load` puts what is to boot into memory and the vCPUs at its entry;
//! - `platform`: `Platform` has the devices that this architecture's machine has beside virtio, with `PlatformState`;
//! - `state`: `VmState` is what KVM holds of a VM and its vCPUs, for snapshots;
//! - `ticks`: reads the counter that programs may read.

#[cfg(target_arch = "x86_64")]
mod x86_64;
#[cfg(target_arch = "x86_64")]
pub use x86_64::*;

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "aarch64")]
pub use aarch64::*;
