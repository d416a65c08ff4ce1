// SPDX-License-Identifier: GPL-2.0
//! minivmm: a small VMM on the rust-vmm crates, the sample client of rust_kvm.
//!
//! `main` reads the command line (`options`) and builds a `machine`: a VM with `memory`, in which `arch::boot`
//! puts a kernel; ports and registers (`bus`) with a device of `arch::platform` behind each, or a `virtio` device;
//! and a thread for each `vcpu`. What differs between architectures is in `arch`. The first thread runs the `event_loop`, until somebody tells the `end`.

mod arch;
mod bus;
mod console;
mod counters;
mod end;
mod event_loop;
mod kick;
mod lifecycle;
mod machine;
mod memory;
mod options;
mod payload;
mod snapshot;
mod stats;
mod sync;
mod tap;
mod vcpu;
mod virtio;

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;

use crate::end::End;
use crate::machine::Machine;
use crate::options::{Options, USAGE};
use crate::stats::Stats;

const STATUS_FAILURE: u8 = 1;
const STATUS_USAGE: u8 = 2;

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    if words
        .iter()
        .any(|word| matches!(word.as_str(), "-h" | "-help" | "--help"))
    {
        print!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let default_kvm =
        env::var_os("KVM_DEVICE").map_or_else(|| "/dev/rust_kvm".into(), PathBuf::from);
    let options = match Options::parse(words.into_iter(), default_kvm) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("minivmm: {error:#} (see minivmm -help)");
            return STATUS_USAGE.into();
        }
    };
    match run(&options) {
        Ok(End::Failure(reason)) => {
            eprintln!("minivmm: {reason}");
            STATUS_FAILURE.into()
        }
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("minivmm: {error:#}");
            STATUS_FAILURE.into()
        }
    }
}

fn run(options: &Options) -> Result<End> {
    let stats = Arc::new(Stats::new());
    kick::register_signal()?;
    let machine = Machine::new(options, stats.clone())?;
    let end = machine.run(options)?;
    drop(machine);
    if options.stats.is_some() {
        eprintln!("minivmm: to the end ({end:?}): {}", stats.now());
    }
    Ok(end)
}
