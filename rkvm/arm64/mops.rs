// SPDX-License-Identifier: GPL-2.0

//! FEAT_MOPS: a memory copy or memory set begins again.
//!
//! Such a copy is three instructions, and what the first leaves in registers for the others is of one of two
//! formats, by the processor's choice. A vCPU that has come to a processor with the other choice in between gets an
//! exception, and begins with the first instruction again for what is left to do.
//!
//! Source: Arm ARM (DDI 0487), C3.2.14 "Memory Copy and Memory Set instructions", D24.2.45 "ISS encoding for an
//! exception from the Memory Copy and Memory Set instructions".

use super::regs::{pstate, CoreRegs};

kernel::bitfield! {
    /// The ISS of the exception.
    pub struct MopsIss(u32) {
        /// The register with the bytes to go.
        4:0 size;
        /// The register with the source.
        9:5 source;
        /// The register with the destination.
        14:10 destination;
        /// The processor's format is that of option A; else of option B.
        16:16 option_a;
        /// The registers are of the other format than the processor's.
        17:17 wrong_option;
        /// The instruction is the third; else the second.
        18:18 from_epilogue;
        /// A memory set; else a memory copy.
        24:24 set;
    }
}

/// Bytes of an instruction.
const INSTRUCTION: u64 = 4;

fn add(regs: &mut CoreRegs, register: u8, distance: u64) {
    regs.set(register, regs.get(register).wrapping_add(distance));
}

/// Puts the registers as they were before the first instruction, but for what is done, and goes back to it.
pub fn begin_again(regs: &mut CoreRegs, iss: MopsIss) {
    let number = |register: u32| register as u8;
    let destination = number(iss.destination().get());
    let source = number(iss.source().get());
    let size = number(iss.size().get());
    let left = regs.get(size);
    // By option A addresses are those of the end, and sizes count from below 0 up to it, except in a copy that goes
    // down; by option B addresses move, and in a copy that goes down, which N shows, they are those of the end.
    let is_a = iss.option_a().into_bool() != iss.wrong_option().into_bool();
    let is_set = iss.set().into_bool();
    let counts_up = (left as i64) < 0;
    let goes_down = !is_set && !is_a && regs.pstate & pstate::N != 0;
    if is_a && (is_set || counts_up) {
        add(regs, destination, left);
        if !is_set {
            add(regs, source, left);
        }
        regs.set(size, left.wrapping_neg());
    } else if goes_down {
        add(regs, destination, left.wrapping_neg());
        add(regs, source, left.wrapping_neg());
    }
    let back = if iss.from_epilogue().into_bool() {
        2
    } else {
        1
    };
    regs.pc = regs.pc.wrapping_sub(back * INSTRUCTION);
    // A step that was due is done when the first instruction is.
    regs.pstate &= !pstate::SS;
}
