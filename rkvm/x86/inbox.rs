// SPDX-License-Identifier: GPL-2.0

//! What others have for a vCPU's local APIC.
//!
//! A local APIC belongs to its vCPU's thread alone. Everybody else, be it another vCPU, a device's eventfd or
//! a timer, leaves a request here, from any context and without a lock; the vCPU takes them before it
//! enters the guest. The request words have the layout of a posted-interrupt descriptor (SDM volume 3,
//! section 31.6), so that a processor that can may take them too.

use crate::x86::message::{Identity, Trigger};
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicU8, Ordering};

/// 64-bit words of a bitmap of vectors.
const WORDS: usize = 4;

/// One bit for each of 256 vectors.
pub type Vectors = [u64; WORDS];

/// Requests other than interrupts; each is a bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signals(u32);

impl Signals {
    /// An NMI.
    pub const NMI: Self = Self(1 << 0);
    /// Another NMI while the first was not taken.
    pub const SECOND_NMI: Self = Self(1 << 1);
    /// INIT.
    pub const INIT: Self = Self(1 << 2);
    /// SIPI, after INIT if both are there.
    pub const SIPI: Self = Self(1 << 3);
    /// A halted vCPU is to go on (the hypercall KVM_HC_KICK_CPU).
    pub const UNHALT: Self = Self(1 << 4);

    /// Whether all of `other` is there.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// What a vCPU has found.
#[derive(Clone, Copy, Debug, Default)]
pub struct News {
    /// Vectors requested.
    pub vectors: Vectors,
    /// Those of them that were level-triggered when they were last requested.
    pub level: Vectors,
    /// Other requests.
    pub signals: Signals,
    /// The vector of the SIPI, if there is one.
    pub sipi: u8,
}

/// Whether a request is a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Posted {
    /// It is.
    New,
    /// The vector was already requested.
    Coalesced,
}

/// The requests. Aligned so that the processor can work on them.
#[repr(C, align(64))]
pub struct Inbox {
    /// The descriptor: requested vectors, ...
    requests: [AtomicU64; WORDS],
    /// ... and in bit 0 whether there is anything at all.
    control: AtomicU64,
    _descriptor_end: [u64; 3],
    level: [AtomicU64; WORDS],
    identity: AtomicU64,
    signals: AtomicU32,
    sipi: AtomicU8,
}

/// Of the control word: there is something. Everything else is written before.
const OUTSTANDING: u64 = 1;

impl Inbox {
    /// Nothing is there.
    pub fn new(identity: Identity) -> Self {
        Self {
            requests: Default::default(),
            control: AtomicU64::new(0),
            _descriptor_end: [0; 3],
            level: Default::default(),
            identity: AtomicU64::new(identity.pack()),
            signals: AtomicU32::new(0),
            sipi: AtomicU8::new(0),
        }
    }

    /// Requests a vector. The vCPU has to be roused afterwards.
    pub fn post(&self, vector: u8, trigger: Trigger) -> Posted {
        let (word, bit) = (usize::from(vector / 64) % WORDS, 1u64 << (vector % 64));
        let level = &self.level[word];
        match trigger {
            Trigger::Level => level.fetch_or(bit, Ordering::SeqCst),
            Trigger::Edge if level.load(Ordering::SeqCst) & bit == 0 => 0,
            Trigger::Edge => level.fetch_and(!bit, Ordering::SeqCst),
        };
        let before = self.requests[word].fetch_or(bit, Ordering::SeqCst);
        self.control.fetch_or(OUTSTANDING, Ordering::SeqCst);
        if before & bit == 0 {
            Posted::New
        } else {
            Posted::Coalesced
        }
    }

    /// Requests an NMI.
    pub fn post_nmi(&self) {
        let before = self.signals.fetch_or(Signals::NMI.0, Ordering::SeqCst);
        if Signals(before).contains(Signals::NMI) {
            self.signals
                .fetch_or(Signals::SECOND_NMI.0, Ordering::SeqCst);
        }
        self.control.fetch_or(OUTSTANDING, Ordering::SeqCst);
    }

    /// Requests INIT, which outdates a SIPI from before.
    pub fn post_init(&self) {
        self.signals.fetch_and(!Signals::SIPI.0, Ordering::SeqCst);
        self.signal(Signals::INIT);
    }

    /// Requests start-up at page `vector`.
    pub fn post_sipi(&self, vector: u8) {
        self.sipi.store(vector, Ordering::SeqCst);
        self.signal(Signals::SIPI);
    }

    /// Requests start-up at the page of the last request.
    pub fn repeat_sipi(&self) {
        self.signal(Signals::SIPI);
    }

    /// Sets the page of the last request for start-up, without a request.
    pub fn set_sipi_vector(&self, vector: u8) {
        self.sipi.store(vector, Ordering::SeqCst);
    }

    /// Wakes a halted vCPU.
    pub fn post_unhalt(&self) {
        self.signal(Signals::UNHALT);
    }

    fn signal(&self, signal: Signals) {
        self.signals.fetch_or(signal.0, Ordering::SeqCst);
        self.control.fetch_or(OUTSTANDING, Ordering::SeqCst);
    }

    /// Whether there is anything.
    #[inline]
    pub fn has_news(&self) -> bool {
        self.control.load(Ordering::SeqCst) & OUTSTANDING != 0
    }

    /// Takes everything.
    pub fn take(&self) -> News {
        self.control.fetch_and(!OUTSTANDING, Ordering::SeqCst);
        let mut news = News::default();
        for (word, vectors) in news.vectors.iter_mut().enumerate() {
            let requests = &self.requests[word];
            if requests.load(Ordering::SeqCst) != 0 {
                *vectors = requests.swap(0, Ordering::SeqCst);
                news.level[word] = self.level[word].load(Ordering::SeqCst) & *vectors;
            }
        }
        if self.signals.load(Ordering::SeqCst) != 0 {
            news.signals = Signals(self.signals.swap(0, Ordering::SeqCst));
            news.sipi = self.sipi.load(Ordering::SeqCst);
        }
        news
    }

    /// Forgets the requests for vectors: the local APIC was reset or replaced.
    pub fn drop_vectors(&self) {
        for requests in &self.requests {
            requests.store(0, Ordering::SeqCst);
        }
    }

    /// Says which messages are for this vCPU from now on.
    pub fn publish(&self, identity: Identity) {
        self.identity.store(identity.pack(), Ordering::SeqCst);
    }

    /// Which messages are for this vCPU.
    pub fn identity(&self) -> Identity {
        Identity::unpack(self.identity.load(Ordering::SeqCst))
    }
}
