// SPDX-License-Identifier: GPL-2.0

//! The page that holds the ring of coalesced I/O, shared by a VM's vCPUs and its VMM.

use crate::{
    bus::Space,
    coalesced::{self, Pushed},
    host::page::KernelPage,
};
use kernel::{
    prelude::*,
    sync::{new_spinlock, Arc, SpinLock},
};

/// The page, zeroed at first.
#[pin_data]
pub struct RingPage {
    page: KernelPage,
    /// Serialises writers. Nothing is taken inside.
    #[pin]
    writer: SpinLock<()>,
}

impl RingPage {
    /// An empty ring. `ENOMEM`.
    pub fn new() -> Result<Arc<Self>> {
        let page = KernelPage::new()?;
        Arc::pin_init(
            pin_init!(Self {
                page,
                writer <- new_spinlock!((), "rkvm_ring"),
            }),
            GFP_KERNEL_ACCOUNT,
        )
    }

    /// The page, to map it.
    pub fn page(&self) -> &KernelPage {
        &self.page
    }

    /// Appends a write.
    pub fn push(&self, space: Space, address: u64, data: &[u8]) -> Pushed {
        let _writer = self.writer.lock();
        coalesced::push(self.page.words(), space, address, data)
    }
}
