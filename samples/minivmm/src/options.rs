// SPDX-License-Identifier: GPL-2.0
//! The command line, a subset of StratoVirt's.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{anyhow, bail, ensure, Context, Result};

use crate::arch::layout::VIRTIO_DEVICES_MAX;
use crate::memory::MIB;
use crate::virtio::block::Access;
use crate::virtio::net::Mac;

pub const USAGE: &str = "\
usage: minivmm -kernel FILE [OPTION...]

Boots a Linux kernel in a virtual machine on rust_kvm, or on another KVM.

  -kvm DEVICE           the KVM (the environment's KVM_DEVICE, or else /dev/rust_kvm)
  -machine microvm      the one machine there is: serial console, real-time clock, virtio devices over MMIO;
                        on x86-64 a PC's interrupt controllers and timer, and ACPI tables, on arm64 a GICv3
                        with an ITS, and a device tree
  -smp [cpus=]N         vCPUs, 1 to 64 (1)
  -m [size=]SIZE[m|g]   memory, in MiB unless m or g follows (256m)
  -kernel FILE          the kernel: a bzImage with a 64-bit entry (x86-64), an Image (arm64)
  -initrd FILE          its initial RAM disk
  -append TEXT          its command line (console=ttyS0)
  -serial stdio|null|file:PATH
                        where the console is (stdio). Ctrl-A x leaves the machine
  -drive id=ID,file=FILE[,readonly=on]
  -device virtio-blk-device,drive=ID
                        a disk, and the device that it is behind
  -netdev tap,id=ID,ifname=NAME
  -device virtio-net-device,netdev=ID[,mac=AA:BB:CC:DD:EE:FF]
                        a tap interface of the host, and the device that it is behind
  -stats [TEXT]         tells at the end, and when TEXT comes out of the console, how much time, how many
                        ticks of the counter and how many exits to this process it took, and what KVM has counted
  -snapshot DIR[,at=TEXT]
                        saves the machine into DIR and ends: on SIGUSR1, or when TEXT comes out of the
                        console
  -incoming DIR         goes on from there; the other options have to be the same, -kernel and what
                        belongs to it are not needed

Options may begin with one dash or two. A disk of the guest is /dev/vda, /dev/vdb ... in the order of -device;
an interface is eth0 ... The status is 0 when the guest powers off or resets the machine.
";

const MAX_CPUS: u8 = 64;
const DEFAULT_MEMORY: u64 = 256 * MIB;
const DEFAULT_MAC: Mac = [0x52, 0x54, 0x00, 0x12, 0x34, 0x56];

#[derive(Debug, PartialEq, Eq)]
pub enum Serial {
    Stdio,
    Null,
    File(PathBuf),
}

/// A virtio device with what is behind it.
#[derive(Debug, PartialEq, Eq)]
pub enum Virtio {
    Block { file: PathBuf, access: Access },
    Net { interface: String, mac: Mac },
}

#[derive(Debug, PartialEq, Eq)]
pub struct SnapshotTo {
    pub directory: PathBuf,
    pub at: Option<String>,
}

#[derive(Debug)]
pub struct Options {
    pub kvm: PathBuf,
    pub cpus: u8,
    pub memory: u64,
    pub kernel: Option<PathBuf>,
    pub initrd: Option<PathBuf>,
    pub append: String,
    pub serial: Serial,
    pub virtio: Vec<Virtio>,
    /// `Some(None)`: at the end only.
    pub stats: Option<Option<String>>,
    pub snapshot: Option<SnapshotTo>,
    pub incoming: Option<PathBuf>,
}

impl Options {
    /// `default_kvm` is the device where none is given.
    pub fn parse(words: impl Iterator<Item = String>, default_kvm: PathBuf) -> Result<Self> {
        let mut options = Self {
            kvm: default_kvm,
            cpus: 1,
            memory: DEFAULT_MEMORY,
            kernel: None,
            initrd: None,
            append: "console=ttyS0".into(),
            serial: Serial::Stdio,
            virtio: Vec::new(),
            stats: None,
            snapshot: None,
            incoming: None,
        };
        let mut backends = BTreeMap::new();
        let mut devices = Vec::new();
        let mut words = words.peekable();
        while let Some(word) = words.next() {
            let name = word
                .strip_prefix('-')
                .with_context(|| format!("{word} is no option"))?;
            let name = name.strip_prefix('-').unwrap_or(name);
            if name == "stats" {
                options.stats = Some(words.next_if(|next| !next.starts_with('-')));
                continue;
            }
            let value = words
                .next()
                .with_context(|| format!("-{name} needs a value"))?;
            let parsed = match name {
                "drive" | "netdev" => List::parse(&value).and_then(|list| {
                    let id = list.get("id")?.to_owned();
                    ensure!(
                        backends.insert(id.clone(), list).is_none(),
                        "{id} is there twice"
                    );
                    Ok(())
                }),
                "device" => List::parse(&value).map(|list| devices.push(list)),
                _ => options.set(name, value),
            };
            parsed.with_context(|| format!("-{name}"))?;
        }
        ensure!(
            devices.len() <= VIRTIO_DEVICES_MAX,
            "there is room for {VIRTIO_DEVICES_MAX} devices only"
        );
        for device in devices {
            options
                .virtio
                .push(virtio(&device, &backends).context("-device")?);
        }
        ensure!(
            options.kernel.is_some() || options.incoming.is_some(),
            "nothing to boot: give -kernel or -incoming"
        );
        Ok(options)
    }

    fn set(&mut self, name: &str, value: String) -> Result<()> {
        match name {
            "kvm" => self.kvm = value.into(),
            "machine" => {
                ensure!(
                    List::parse(&value)?.first == "microvm",
                    "{value} is not microvm"
                );
            }
            "smp" => self.cpus = parse_cpus(value.strip_prefix("cpus=").unwrap_or(&value))?,
            "m" => self.memory = parse_size(value.strip_prefix("size=").unwrap_or(&value))?,
            "kernel" => self.kernel = Some(value.into()),
            "initrd" => self.initrd = Some(value.into()),
            "append" => self.append = value,
            "serial" => {
                self.serial = match (value.as_str(), value.strip_prefix("file:")) {
                    ("stdio", _) => Serial::Stdio,
                    ("null", _) => Serial::Null,
                    (_, Some(path)) => Serial::File(path.into()),
                    _ => bail!("{value} is none of stdio, null, file:PATH"),
                }
            }
            "snapshot" => {
                let list = List::parse(&value)?;
                let at = list.entries.get("at").cloned();
                self.snapshot = Some(SnapshotTo {
                    directory: list.first.into(),
                    at,
                });
            }
            "incoming" => self.incoming = Some(value.into()),
            _ => bail!("there is no such option"),
        }
        Ok(())
    }
}

fn parse_cpus(text: &str) -> Result<u8> {
    let cpus = text
        .parse()
        .ok()
        .filter(|cpus| (1..=MAX_CPUS).contains(cpus));
    cpus.with_context(|| format!("{text} is no number from 1 to {MAX_CPUS}"))
}

fn parse_size(text: &str) -> Result<u64> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "m" | "M" => MIB,
        "g" | "G" => MIB << 10,
        _ => bail!("{text} is no size"),
    };
    let size = digits
        .parse::<u64>()
        .ok()
        .and_then(|count| count.checked_mul(unit));
    size.filter(|size| *size > 0)
        .with_context(|| format!("{text} is no size"))
}

/// `FIRST,key=value,...`; the first may be a pair itself.
#[derive(Default)]
struct List {
    first: String,
    entries: BTreeMap<String, String>,
}

impl List {
    fn parse(text: &str) -> Result<Self> {
        let mut list = Self::default();
        for (index, part) in text.split(',').enumerate() {
            match part.split_once('=') {
                Some((key, value)) => drop(list.entries.insert(key.into(), value.into())),
                None if index == 0 => list.first = part.into(),
                None => bail!("{part} is not of the form key=value"),
            }
        }
        Ok(list)
    }

    fn get(&self, key: &str) -> Result<&str> {
        let value = self
            .entries
            .get(key)
            .with_context(|| format!("{key}= is missing"))?;
        Ok(value)
    }
}

/// The device with the drive or interface that it names.
fn virtio(device: &List, backends: &BTreeMap<String, List>) -> Result<Virtio> {
    let backend = |key| {
        let id = device.get(key)?;
        backends.get(id).ok_or_else(|| anyhow!("there is no {id}"))
    };
    match device.first.as_str() {
        "virtio-blk-device" => {
            let drive = backend("drive")?;
            let access = match drive.get("readonly").unwrap_or("off") {
                "on" => Access::ReadOnly,
                _ => Access::ReadWrite,
            };
            Ok(Virtio::Block {
                file: drive.get("file")?.into(),
                access,
            })
        }
        "virtio-net-device" => {
            let interface = backend("netdev")?.get("ifname")?.to_owned();
            let mac = device.get("mac").map_or(Ok(DEFAULT_MAC), parse_mac)?;
            Ok(Virtio::Net { interface, mac })
        }
        other => bail!("there is no device {other:?}"),
    }
}

fn parse_mac(text: &str) -> Result<Mac> {
    let bytes: Option<Vec<u8>> = text
        .split(':')
        .map(|byte| u8::from_str_radix(byte, 16).ok())
        .collect();
    let mac = bytes.and_then(|bytes| bytes.try_into().ok());
    mac.with_context(|| format!("{text} is no MAC address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options> {
        Options::parse(
            line.split_whitespace().map(str::to_owned),
            "/dev/rust_kvm".into(),
        )
    }

    #[test]
    fn a_whole_line() {
        let options = parse(
            "-machine microvm,mem-share=off -smp cpus=2 -m 1g --kernel k -stats -initrd i \
             -drive id=d,file=f,readonly=on -device virtio-blk-device,drive=d,id=b \
             -netdev tap,id=n,ifname=tap0 -device virtio-net-device,netdev=n,mac=02:00:00:00:00:01 \
             -serial file:log -snapshot dir,at=up",
        )
        .unwrap();
        assert_eq!((options.cpus, options.memory), (2, 1 << 30));
        assert_eq!(options.stats, Some(None));
        assert_eq!(options.serial, Serial::File("log".into()));
        assert_eq!(options.snapshot.unwrap().at.as_deref(), Some("up"));
        let disk = Virtio::Block {
            file: "f".into(),
            access: Access::ReadOnly,
        };
        let net = Virtio::Net {
            interface: "tap0".into(),
            mac: [2, 0, 0, 0, 0, 1],
        };
        assert_eq!(options.virtio, [disk, net]);
    }

    #[test]
    fn refused() {
        for line in [
            "",
            "kernel",
            "-kernel",
            "-kernel k -smp 0",
            "-kernel k -m 5x",
            "-kernel k -m 99999999999999999999g",
            "-kernel k -device virtio-blk-device,drive=none",
            "-kernel k -machine pc",
            "-kernel k -no-such-option x",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
