// SPDX-License-Identifier: GPL-2.0

//! The CPU itself as the oracle: runs one instruction with given registers and memory.

use super::machine::State;
use std::ffi::{c_int, c_void};
use std::ptr;

extern "C" {
    fn mmap(
        address: *mut c_void,
        length: usize,
        protection: c_int,
        flags: c_int,
        file: c_int,
        offset: i64,
    ) -> *mut c_void;
    fn munmap(address: *mut c_void, length: usize) -> c_int;
}

const PROT_READ_WRITE_EXEC: c_int = 7;
/// MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT: 32-bit addresses have to reach the memory.
const MAP_FLAGS: c_int = 0x02 | 0x20 | 0x40;

const LENGTH: usize = 0x6000;
/// The registers to load and, afterwards, those that were left.
const CONTEXT: usize = 0x1000;
const GPRS: usize = CONTEXT;
const RFLAGS: usize = CONTEXT + 0x80;
const SAVED_RSP: usize = CONTEXT + 0x88;
const XMMS: usize = CONTEXT + 0x100;
/// The memory for the instruction.
const DATA: usize = 0x3000;
/// Its size, with room around it in the mapping.
pub const DATA_LENGTH: usize = 0x2000;
/// Room for an instruction.
const SLOT_LENGTH: usize = 16;
const NOP: u8 = 0x90;
const RSP: usize = 4;

/// A mapping with the code that loads the registers, a slot for the instruction, the code that
/// saves the registers, and memory.
pub struct Native {
    base: *mut u8,
    slot: usize,
}

impl Native {
    pub fn new() -> Self {
        // SAFETY: a fresh anonymous mapping touches nothing that exists.
        let base = unsafe {
            mmap(
                ptr::null_mut(),
                LENGTH,
                PROT_READ_WRITE_EXEC,
                MAP_FLAGS,
                -1,
                0,
            )
        };
        assert_ne!(base as isize, -1, "mmap failed");
        let mut code = Vec::new();
        // push rbx, rbp, r12, r13, r14, r15
        code.extend([0x53, 0x55, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57]);
        move_gpr(&mut code, 0x89, RSP, SAVED_RSP);
        // push qword [rip + RFLAGS]; popfq
        code.extend([0xff, 0x35]);
        relative(&mut code, RFLAGS);
        code.push(0x9d);
        for register in 0..16 {
            move_xmm(&mut code, 0x10, register);
        }
        for register in (0..16).filter(|register| *register != RSP).chain([RSP]) {
            move_gpr(&mut code, 0x8b, register, GPRS + register * 8);
        }
        let slot = code.len();
        code.resize(slot + SLOT_LENGTH, NOP);
        for register in 0..16 {
            move_gpr(&mut code, 0x89, register, GPRS + register * 8);
        }
        move_gpr(&mut code, 0x8b, RSP, SAVED_RSP);
        // pushfq; cld; pop qword [rip + RFLAGS]
        code.extend([0x9c, 0xfc, 0x8f, 0x05]);
        relative(&mut code, RFLAGS);
        for register in 0..16 {
            move_xmm(&mut code, 0x11, register);
        }
        // pop r15, r14, r13, r12, rbp, rbx; ret
        code.extend([
            0x41, 0x5f, 0x41, 0x5e, 0x41, 0x5d, 0x41, 0x5c, 0x5d, 0x5b, 0xc3,
        ]);
        assert!(code.len() <= CONTEXT);
        let mut native = Self {
            base: base.cast(),
            slot,
        };
        native.bytes(0, code.len()).copy_from_slice(&code);
        native
    }

    /// The address of the instruction.
    pub fn rip(&self) -> u64 {
        self.base as u64 + self.slot as u64
    }

    /// The address of the memory for the instruction.
    pub fn data_base(&self) -> u64 {
        self.base as u64 + DATA as u64
    }

    /// Runs `instruction` from `state` on `memory`, and changes both. RIP and the flags that user
    /// space cannot set are not brought back.
    ///
    /// # Safety
    ///
    /// The instruction must not touch memory outside [`Self::data_base`] + [`DATA_LENGTH`], jump
    /// or fault.
    pub unsafe fn run(&mut self, instruction: &[u8], state: &mut State, memory: &mut [u8]) {
        let slot = self.slot;
        let room = self.bytes(slot, SLOT_LENGTH);
        room.fill(NOP);
        room[..instruction.len()].copy_from_slice(instruction);
        self.bytes(DATA, DATA_LENGTH).copy_from_slice(memory);
        for (register, value) in state.gprs.iter().enumerate() {
            self.bytes(GPRS + register * 8, 8)
                .copy_from_slice(&value.to_le_bytes());
        }
        self.bytes(RFLAGS, 8)
            .copy_from_slice(&state.rflags.to_le_bytes());
        for (register, value) in state.xmms.iter().enumerate() {
            self.bytes(XMMS + register * 16, 16).copy_from_slice(value);
        }
        // SAFETY: `new` put a function there that keeps the registers which belong to its caller;
        // it clobbers the SSE registers, as functions may. The caller vouches for the slot.
        unsafe {
            let run: extern "C" fn() = std::mem::transmute(self.base);
            run();
        }
        memory.copy_from_slice(self.bytes(DATA, DATA_LENGTH));
        let quad = |native: &mut Self, at| {
            u64::from_le_bytes(native.bytes(at, 8).try_into().expect("8 bytes"))
        };
        for register in 0..16 {
            state.gprs[register] = quad(self, GPRS + register * 8);
            state.xmms[register].copy_from_slice(self.bytes(XMMS + register * 16, 16));
        }
        state.rflags = quad(self, RFLAGS);
    }

    fn bytes(&mut self, offset: usize, length: usize) -> &mut [u8] {
        assert!(offset + length <= LENGTH);
        // SAFETY: the mapping is this struct's own, and `self` is borrowed meanwhile.
        unsafe { std::slice::from_raw_parts_mut(self.base.add(offset), length) }
    }
}

impl Drop for Native {
    fn drop(&mut self) {
        // SAFETY: the mapping is this struct's own.
        unsafe { munmap(self.base.cast(), LENGTH) };
    }
}

/// mov between a register and [rip + to `target`].
fn move_gpr(code: &mut Vec<u8>, opcode: u8, register: usize, target: usize) {
    let register = register as u8;
    code.extend([0x48 | (register >> 3) << 2, opcode, 5 | (register & 7) << 3]);
    relative(code, target);
}

/// movups between an SSE register and its place in the context.
fn move_xmm(code: &mut Vec<u8>, opcode: u8, register: usize) {
    let number = register as u8;
    code.extend([
        0x40 | (number >> 3) << 2,
        0x0f,
        opcode,
        5 | (number & 7) << 3,
    ]);
    relative(code, XMMS + register * 16);
}

/// The displacement of `target` from the end of an instruction that ends with it.
fn relative(code: &mut Vec<u8>, target: usize) {
    let distance = target as i32 - (code.len() as i32 + 4);
    code.extend(distance.to_le_bytes());
}
