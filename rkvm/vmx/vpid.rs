// SPDX-License-Identifier: GPL-2.0

//! Virtual-processor identifiers: tags of cached translations, one for each vCPU.
//!
//! With EPT a translation is also tagged by the EPT pointer, and a vCPU flushes what its pointer tags
//! whenever it comes to a CPU; so an identifier may be given to another vCPU without further ado.

use kernel::{
    id_pool::IdPool,
    prelude::*,
    sync::{new_mutex, Arc, Mutex},
};

/// Identifiers besides 0, which is the host's.
const COUNT: usize = u16::MAX as usize;

/// The identifiers in use.
#[pin_data]
pub struct Vpids {
    #[pin]
    used: Mutex<IdPool>,
}

impl Vpids {
    /// All are free. `ENOMEM` if there is no memory.
    pub fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                used <- new_mutex!(IdPool::new()),
            }),
            GFP_KERNEL,
        )
    }

    /// Takes an identifier. `None` when all are taken: the vCPU then runs untagged, and entries and exits
    /// flush its translations.
    pub fn take(this: &Arc<Self>) -> Option<Vpid> {
        let mut used = this.used.lock();
        loop {
            if let Some(free) = used.find_unused_id(0) {
                let id = free.acquire();
                return Some(Vpid {
                    number: u16::try_from(id.checked_add(1)?).ok()?,
                    pool: this.clone(),
                });
            }
            if used.capacity() >= COUNT {
                return None;
            }
            let longer = used.grow_request()?.realloc(GFP_KERNEL_ACCOUNT).ok()?;
            used.grow(longer);
        }
    }
}

/// An identifier, given back when it is dropped.
pub struct Vpid {
    number: u16,
    pool: Arc<Vpids>,
}

impl Vpid {
    /// The identifier, never 0.
    pub fn number(&self) -> u16 {
        self.number
    }
}

impl Drop for Vpid {
    fn drop(&mut self) {
        self.pool
            .used
            .lock()
            .release_id(usize::from(self.number) - 1);
    }
}
