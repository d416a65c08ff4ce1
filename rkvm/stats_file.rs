// SPDX-License-Identifier: GPL-2.0

//! The file that KVM_GET_STATS_FD makes.
//!
//! It keeps what it reads from, and nothing else: reading takes no lock of a vCPU, whatever that does.

use crate::{
    host::file::{self, FileObject, ReadableObject},
    stats::{piece, Source},
};
use kernel::{
    prelude::*,
    str::CStr,
    sync::{Arc, ArcBorrow},
    uaccess::UserSliceWriter,
};

/// A descriptor to read values from.
struct StatsFile {
    source: Arc<dyn Source>,
}

/// KVM_GET_STATS_FD. `ENOMEM`, `EMFILE`.
pub fn create(name: &CStr, source: Arc<dyn Source>) -> Result<isize> {
    let file = Arc::new(StatsFile { source }, GFP_KERNEL_ACCOUNT)?;
    file::anonymous_readable(name, file)
}

impl FileObject for StatsFile {
    fn ioctl(_this: ArcBorrow<'_, Self>, _cmd: u32, _arg: usize) -> Result<isize> {
        Err(ENOTTY)
    }
}

impl ReadableObject for StatsFile {
    fn read(this: ArcBorrow<'_, Self>, position: usize, to: &mut UserSliceWriter) -> Result {
        let mut position = position;
        while !to.is_empty() {
            let Some(piece) = piece(&*this.source, position) else {
                break;
            };
            let bytes = piece.bytes();
            let part = bytes.get(..to.len()).unwrap_or(bytes);
            to.write_slice(part)?;
            position = position.saturating_add(part.len());
        }
        Ok(())
    }
}
