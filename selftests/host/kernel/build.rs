// SPDX-License-Identifier: GPL-2.0

//! Takes `bitfield!` and `num::Bounded` from a Linux source tree.
//!
//! They are pure code, so the tests run against the very macro that the module is built with.
//! `include!` accepts no inner documentation and no nested module files; both are resolved here.

use std::path::{Path, PathBuf};
use std::{env, fs, process};

fn main() {
    println!("cargo::rerun-if-env-changed=RKVM_LINUX_SRC");
    let Some(source) = env::var_os("RKVM_LINUX_SRC") else {
        eprintln!("RKVM_LINUX_SRC is not set: it must name a Linux 7.x source tree");
        process::exit(1);
    };
    let rust = PathBuf::from(source).join("rust/kernel");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());

    let bounded = plain(&rust.join("num/bounded.rs"));
    let num = plain(&rust.join("num.rs")).replace(
        "pub mod bounded;",
        &format!("pub mod bounded {{\n{bounded}\n}}"),
    );
    write(&out.join("num.rs"), &num);
    write(&out.join("bitfield.rs"), &plain(&rust.join("bitfield.rs")));
}

/// The text of `path` without its inner documentation.
fn plain(path: &Path) -> String {
    println!("cargo::rerun-if-changed={}", path.display());
    match fs::read_to_string(path) {
        Ok(text) => text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//!"))
            .collect::<Vec<_>>()
            .join("\n"),
        Err(error) => {
            eprintln!("{}: {error} (is RKVM_LINUX_SRC right?)", path.display());
            process::exit(1);
        }
    }
}

fn write(path: &Path, text: &str) {
    if let Err(error) = fs::write(path, text) {
        eprintln!("{}: {error}", path.display());
        process::exit(1);
    }
}
