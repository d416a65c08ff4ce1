// SPDX-License-Identifier: GPL-2.0

//! Which vCPUs have to look at their queue again.

use super::intid::VcpuIndex;

/// For as many vCPUs as a GIC can have.
const WORDS: usize = 8;

/// A set of vCPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct News([u64; WORDS]);

impl News {
    /// A vCPU has to look.
    #[inline]
    pub fn leave(&mut self, vcpu: VcpuIndex) {
        let index = vcpu.get();
        if let Some(word) = self.0.get_mut(index / u64::BITS as usize) {
            *word |= 1 << (index % u64::BITS as usize);
        }
    }

    /// Takes the set, and calls `tell` for each vCPU in it.
    #[inline]
    pub fn take(&mut self, mut tell: impl FnMut(VcpuIndex)) {
        for (number, word) in self.0.iter_mut().enumerate() {
            let mut bits = core::mem::take(word);
            while bits != 0 {
                let bit = bits.trailing_zeros() as usize;
                bits &= bits.wrapping_sub(1);
                let index = number.wrapping_mul(u64::BITS as usize).wrapping_add(bit);
                if let Some(vcpu) = VcpuIndex::new(index) {
                    tell(vcpu);
                }
            }
        }
    }
}
