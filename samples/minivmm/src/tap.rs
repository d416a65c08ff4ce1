// SPDX-License-Identifier: GPL-2.0
//! A tap interface of the host (Documentation/networking/tuntap.rst).

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;

use anyhow::{ensure, Context, Result};
use vmm_sys_util::ioctl::{ioctl_with_mut_ref, ioctl_with_ref};
use vmm_sys_util::ioctl_iow_nr;

ioctl_iow_nr!(TUNSETIFF, b'T' as u32, 202, libc::c_int);
ioctl_iow_nr!(TUNSETVNETHDRSZ, b'T' as u32, 216, libc::c_int);

/// A tap's file: each read and write is a frame behind a virtio header.
pub struct Tap(File);

impl Tap {
    /// Opens the interface `name`, making it if the host has none and this process may.
    pub fn open(name: &str, header: usize) -> Result<Self> {
        ensure!(
            name.len() < libc::IFNAMSIZ,
            "the interface name {name} is too long"
        );
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/net/tun")
            .context("cannot open /dev/net/tun")?;
        // SAFETY: all-zero is a valid ifreq.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
            *to = from as libc::c_char;
        }
        request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR) as i16;
        // SAFETY: the kernel reads and writes an ifreq.
        if unsafe { ioctl_with_mut_ref(&file, TUNSETIFF(), &mut request) } < 0 {
            return Err(io::Error::last_os_error())
                .with_context(|| format!("cannot use the tap interface {name}"));
        }
        // SAFETY: the kernel reads an int.
        if unsafe { ioctl_with_ref(&file, TUNSETVNETHDRSZ(), &(header as libc::c_int)) } < 0 {
            return Err(io::Error::last_os_error()).context("TUNSETVNETHDRSZ");
        }
        Ok(Self(file))
    }
}

impl Read for Tap {
    fn read(&mut self, frame: &mut [u8]) -> io::Result<usize> {
        self.0.read(frame)
    }
}

impl Write for Tap {
    fn write(&mut self, frame: &[u8]) -> io::Result<usize> {
        self.0.write(frame)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsRawFd for Tap {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
