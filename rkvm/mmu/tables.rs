// SPDX-License-Identifier: GPL-2.0

//! Page tables in kernel pages.

// UNSAFETY: reaches the entries of a table by its physical address.
#![expect(unsafe_code)]

use crate::{
    arch::EntryFormat,
    host::page::{direct_map, KernelPage},
    mmu::{
        entry::{EntryFormat as _, ENTRIES},
        table::{PageSource, TableAddress, TableMemory},
    },
    types::Hpa,
};
use core::sync::atomic::AtomicU64;
use kernel::prelude::*;

/// Tables in pages of the kernel's direct map.
#[derive(Clone, Copy)]
pub struct KernelTables;

impl KernelTables {
    /// A page for a table. `ENOMEM` for one that entries cannot point to: memory may come there while the module is loaded.
    pub fn usable(page: &KernelPage) -> Result {
        if page.hpa().frame() < EntryFormat::FRAME_LIMIT {
            Ok(())
        } else {
            Err(ENOMEM)
        }
    }
}

impl TableMemory for KernelTables {
    type Page = KernelPage;

    fn into_table(&self, page: KernelPage) -> Hpa {
        page.into_hpa()
    }

    fn entries(&self, table: TableAddress) -> &[AtomicU64; ENTRIES] {
        // SAFETY: the engine names tables only that came from `into_table` and were not reclaimed, so
        // that the page is there; it holds 512 words, and everyone accesses them atomically.
        unsafe { &*direct_map(table.hpa()).cast() }
    }

    fn reclaim(&self, table: TableAddress) -> KernelPage {
        // SAFETY: the address came from `into_table`, and the engine gives it up.
        unsafe { KernelPage::from_hpa(table.hpa()) }
    }
}

/// A vCPU's stock of pages for new tables: what mapping one page can take at most.
pub struct Stock([Option<KernelPage>; Stock::SIZE]);

impl Stock {
    const SIZE: usize = crate::mmu::Table::PAGES_PER_MAP;

    /// Nothing in stock, so that a vCPU that never runs costs nothing.
    pub fn new() -> Self {
        Self([const { None }; Self::SIZE])
    }

    /// Fills the stock up; sleeps. `ENOMEM` if there is no memory.
    pub fn fill(&mut self) -> Result {
        for slot in self.0.iter_mut().filter(|slot| slot.is_none()) {
            let page = KernelPage::new()?;
            KernelTables::usable(&page)?;
            *slot = Some(page);
        }
        Ok(())
    }
}

impl PageSource<KernelPage> for Stock {
    fn pop(&mut self) -> Option<KernelPage> {
        self.0.iter_mut().find_map(Option::take)
    }
}
