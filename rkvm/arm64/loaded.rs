// SPDX-License-Identifier: GPL-2.0

//! A vCPU whose EL1 registers are in the processor.

// UNSAFETY: reads and writes the guest's system registers.
#![expect(unsafe_code)]

use crate::{
    arm64::{
        el1::{with_el1_registers, El1Access, El1Reg, El1Regs, Extensions},
        features::PointerAuthentication,
        registers::isb,
    },
    host::cpu::{Cpu, PreemptOff},
};
use core::arch::asm;

macro_rules! define_access {
    (
        { $($(#[$doc:meta])* $name:ident = $encoding:tt, $asm:literal;)* }
        { $($(#[$new_doc:meta])* $new:ident = $new_encoding:tt, $new_asm:literal, $extension:expr;)* }
        { $($(#[$key_doc:meta])* $key:ident = $key_encoding:tt, $key_asm:literal;)* }
    ) => {
        /// The first key is the kernel's own while it runs: the guest's is not to be found here. Those of newer features
        /// and keys are for processors that have them.
        #[inline(always)]
        fn read(register: El1Reg) -> u64 {
            let value;
            match register {
                // SAFETY: reading the register changes nothing.
                $(El1Reg::$name => unsafe {
                    asm!(concat!("mrs {}, ", $asm), out(reg) value, options(nomem, nostack, preserves_flags));
                },)*
                // SAFETY: likewise.
                $(El1Reg::$new => unsafe {
                    asm!(concat!("mrs {}, ", $new_asm), out(reg) value, options(nomem, nostack, preserves_flags));
                },)*
                // SAFETY: likewise.
                $(El1Reg::$key => unsafe {
                    asm!(concat!("mrs {}, ", $key_asm), out(reg) value, options(nomem, nostack, preserves_flags));
                },)*
                El1Reg::ApiaLo | El1Reg::ApiaHi => value = 0,
            }
            value
        }

        #[inline(always)]
        fn write(_here: &PreemptOff, register: El1Reg, value: u64) {
            match register {
                // SAFETY: the kernel at EL2 uses none of these registers; those of the thread's user mode are
                // kept by `Loaded`.
                $(El1Reg::$name => unsafe {
                    asm!(concat!("msr ", $asm, ", {}"), in(reg) value, options(nomem, nostack, preserves_flags));
                },)*
                // SAFETY: likewise.
                $(El1Reg::$new => unsafe {
                    asm!(concat!("msr ", $new_asm, ", {}"), in(reg) value, options(nomem, nostack, preserves_flags));
                },)*
                // SAFETY: likewise; the kernel signs by the first key alone.
                $(El1Reg::$key => unsafe {
                    asm!(concat!("msr ", $key_asm, ", {}"), in(reg) value, options(nomem, nostack, preserves_flags));
                },)*
                El1Reg::ApiaLo | El1Reg::ApiaHi => (),
            }
        }

        #[inline(always)]
        fn write_all(here: &PreemptOff, registers: &El1Regs) {
            $(write(here, El1Reg::$name, registers.get(El1Reg::$name));)*
        }

        #[inline(always)]
        fn read_all(registers: &mut El1Regs) {
            $(registers.set(El1Reg::$name, read(El1Reg::$name));)*
        }

        /// Registers of newer features.
        const NEWER: [El1Reg; [$($new_asm),*].len()] = [$(El1Reg::$new),*];

        /// All keys but the first.
        const KEYS: [El1Reg; [$($key_asm),*].len()] = [$(El1Reg::$key),*];
    };
}

with_el1_registers!(define_access);

/// The proof that a vCPU's EL1 registers are in this CPU, in place of those that the thread has at EL0. Preemption is
/// off.
pub struct Loaded {
    here: PreemptOff,
    thread: ThreadRegisters,
    extensions: Extensions,
}

/// What the thread itself has in registers that guests use as well.
struct ThreadRegisters {
    tpidr: u64,
    tpidrro: u64,
    /// Where the guest can sign pointers.
    keys: Option<[u64; KEYS.len()]>,
}

/// Whether a guest with `extensions` has a register.
#[inline]
fn is_there(register: El1Reg, extensions: Extensions) -> bool {
    match register.extension() {
        Some(extension) => extensions.has(extension),
        None => true,
    }
}

impl Loaded {
    /// Loads the registers, those of pointer authentication and of newer features where the guest has these, when stage
    /// 2 is set up. They come back by [`Loaded::leave`].
    pub fn enter(
        here: PreemptOff,
        registers: &El1Regs,
        signing: PointerAuthentication,
        extensions: Extensions,
    ) -> Self {
        let thread = ThreadRegisters {
            tpidr: read(El1Reg::TpidrEl0),
            tpidrro: read(El1Reg::TpidrroEl0),
            keys: match signing {
                PointerAuthentication::Present => Some(KEYS.map(read)),
                PointerAuthentication::Absent => None,
            },
        };
        write_all(&here, registers);
        if extensions != Extensions::NONE {
            for register in NEWER {
                if is_there(register, extensions) {
                    write(&here, register, registers.get(register));
                }
            }
        }
        if thread.keys.is_some() {
            for key in KEYS {
                write(&here, key, registers.get(key));
            }
        }
        // Stage 2 and these registers take effect before EL1 is the guest's: otherwise processors that translate
        // speculatively by AT could mix the tables of two guests (Cortex-A76, erratum 1165522, and others).
        isb();
        Self {
            here,
            thread,
            extensions,
        }
    }

    /// Saves the guest's registers and puts the thread's back.
    pub fn leave(self, registers: &mut El1Regs) {
        read_all(registers);
        if self.extensions != Extensions::NONE {
            for register in NEWER {
                if is_there(register, self.extensions) {
                    registers.set(register, read(register));
                }
            }
        }
        write(&self.here, El1Reg::TpidrEl0, self.thread.tpidr);
        write(&self.here, El1Reg::TpidrroEl0, self.thread.tpidrro);
        if let Some(keys) = self.thread.keys {
            for (key, of_thread) in KEYS.into_iter().zip(keys) {
                registers.set(key, read(key));
                write(&self.here, key, of_thread);
            }
        }
    }

    /// Newer features that the guest has.
    pub fn extensions(&self) -> Extensions {
        self.extensions
    }

    /// Where it is.
    pub fn here(&self) -> &PreemptOff {
        &self.here
    }

    /// The CPU.
    pub fn cpu(&self) -> Cpu {
        self.here.cpu()
    }
}

/// By reference: the registers are shared with the guest anyway, and a section holds the proof borrowed.
impl El1Access for &Loaded {
    fn get(&self, register: El1Reg) -> u64 {
        if is_there(register, self.extensions) {
            read(register)
        } else {
            0
        }
    }

    fn set(&mut self, register: El1Reg, value: u64) {
        if is_there(register, self.extensions) {
            write(&self.here, register, value);
        }
    }
}
