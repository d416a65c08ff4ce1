// SPDX-License-Identifier: GPL-2.0

//! Whether the TSCs of a VM's vCPUs are equal: only then may a guest compare what they compute from them.

/// Counts the vCPUs whose TSC is the VM's.
#[derive(Debug, Default)]
pub struct Agreement {
    /// The offset that counts.
    offset: u64,
    /// Which one it is, since the VM was made.
    epoch: u64,
    vcpus: u32,
    agreeing: u32,
}

/// A vCPU's part in it: the epoch in which it was counted.
#[derive(Debug, Default)]
pub struct Part(Option<u64>);

impl Agreement {
    /// One more vCPU, whose TSC has not been said.
    pub fn join(&mut self) -> Part {
        self.vcpus = self.vcpus.saturating_add(1);
        Part(None)
    }

    /// A vCPU goes.
    pub fn leave(&mut self, part: &mut Part) {
        self.forget(part);
        self.vcpus = self.vcpus.saturating_sub(1);
    }

    /// A vCPU's offset from the host's TSC is `own`, where the VM's is `common`.
    pub fn set(&mut self, part: &mut Part, own: u64, common: u64) {
        if common != self.offset {
            self.offset = common;
            self.epoch = self.epoch.wrapping_add(1);
            self.agreeing = 0;
        }
        self.forget(part);
        if own == common {
            self.agreeing = self.agreeing.saturating_add(1);
            part.0 = Some(self.epoch);
        }
    }

    /// Whether all have the VM's TSC.
    pub const fn is_complete(&self) -> bool {
        self.agreeing == self.vcpus
    }

    fn forget(&mut self, part: &mut Part) {
        if part.0.take() == Some(self.epoch) {
            self.agreeing = self.agreeing.saturating_sub(1);
        }
    }
}
