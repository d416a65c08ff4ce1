/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The world switch.
 *
 * u64 rkvm_vmx_enter(struct rkvm_guest_registers *regs, u64 launched)
 *
 * Enters the guest of the current VMCS by VMRESUME if launched is not 0, else by VMLAUNCH, and returns
 * 0 after a VM exit, or the RFLAGS of the failed instruction (CF or ZF set; SDM 32.2). Interrupts are off.
 *
 * General registers are ours to switch, apart from RSP, RIP and RFLAGS, which the VMCS holds. The layout of
 * regs is that of GuestRegisters in rkvm/vmx/enter.rs: sixteen registers as ModRM numbers them (slot 4 is
 * not used here), then the host's stack pointer as the VMCS has it.
 */
#include <linux/linkage.h>
#include <asm/alternative.h>
#include <asm/asm.h>
#include <asm/cpufeatures.h>
#include <asm/nospec-branch.h>
#include <asm/segment.h>
#include <asm/unwind_hints.h>

#define RAX 0
#define RCX 8
#define RDX 16
#define RBX 24
#define RBP 40
#define RSI 48
#define RDI 56
#define R8 64
#define R9 72
#define R10 80
#define R11 88
#define R12 96
#define R13 104
#define R14 112
#define R15 120
#define HOST_RSP 128

#define VMCS_HOST_RSP 0x6c14

.section .noinstr.text, "ax"

SYM_FUNC_START(rkvm_vmx_enter)
	push	%rbp
	push	%r15
	push	%r14
	push	%r13
	push	%r12
	push	%rbx
	push	%rdi

	/* The stack is mostly where it was: VMWRITE only when it is not. */
	cmp	%rsp, HOST_RSP(%rdi)
	je	1f
	mov	$VMCS_HOST_RSP, %eax
	vmwrite	%rsp, %rax
	jbe	.Lfailed
	mov	%rsp, HOST_RSP(%rdi)
1:
	/* What the host left in the processor's buffers is not for the guest (MDS and its kin). */
	ALTERNATIVE "", __stringify(verw rkvm_verw_selector(%rip)), X86_FEATURE_CLEAR_CPU_BUF_VM

	UNWIND_HINT_SAVE
	/* ZF chooses VMLAUNCH; no MOV changes it. */
	test	%rsi, %rsi

	mov	RCX(%rdi), %rcx
	mov	RDX(%rdi), %rdx
	mov	RBX(%rdi), %rbx
	mov	RBP(%rdi), %rbp
	mov	RSI(%rdi), %rsi
	mov	R8(%rdi), %r8
	mov	R9(%rdi), %r9
	mov	R10(%rdi), %r10
	mov	R11(%rdi), %r11
	mov	R12(%rdi), %r12
	mov	R13(%rdi), %r13
	mov	R14(%rdi), %r14
	mov	R15(%rdi), %r15
	mov	RAX(%rdi), %rax
	mov	RDI(%rdi), %rdi

	jz	2f
	vmresume
	jmp	.Lfailed
2:	vmlaunch
	jmp	.Lfailed

/* HOST_RIP. RSP is as it was at the entry: regs lies on top. */
SYM_INNER_LABEL_ALIGN(rkvm_vmx_exit, SYM_L_GLOBAL)
	UNWIND_HINT_RESTORE
	ENDBR
	push	%rdi
	mov	8(%rsp), %rdi
	mov	%rax, RAX(%rdi)
	pop	%rax
	mov	%rax, RDI(%rdi)
	mov	%rcx, RCX(%rdi)
	mov	%rdx, RDX(%rdi)
	mov	%rbx, RBX(%rdi)
	mov	%rbp, RBP(%rdi)
	mov	%rsi, RSI(%rdi)
	mov	%r8, R8(%rdi)
	mov	%r9, R9(%rdi)
	mov	%r10, R10(%rdi)
	mov	%r11, R11(%rdi)
	mov	%r12, R12(%rdi)
	mov	%r13, R13(%rdi)
	mov	%r14, R14(%rdi)
	mov	%r15, R15(%rdi)

	/* No speculative use of the guest's values, and none of its return predictions. */
	xor	%eax, %eax
	xor	%ecx, %ecx
	xor	%edx, %edx
	xor	%esi, %esi
	xor	%r8d, %r8d
	xor	%r9d, %r9d
	xor	%r10d, %r10d
	xor	%r11d, %r11d
	xor	%ebx, %ebx
	xor	%r12d, %r12d
	xor	%r13d, %r13d
	xor	%r14d, %r14d
	xor	%r15d, %r15d
	FILL_RETURN_BUFFER %rcx, RSB_CLEAR_LOOPS, X86_FEATURE_RSB_VMEXIT, \
			   X86_FEATURE_RSB_VMEXIT_LITE
	xor	%eax, %eax

.Lreturn:
	pop	%rdi
	pop	%rbx
	pop	%r12
	pop	%r13
	pop	%r14
	pop	%r15
	pop	%rbp
	RET

/* The instruction failed: nothing was switched, the general registers are the guest's. */
.Lfailed:
	pushf
	pop	%rax
	jmp	.Lreturn
SYM_FUNC_END(rkvm_vmx_enter)

/* Any writable data segment does. */
.balign 2
SYM_DATA_LOCAL(rkvm_verw_selector, .word __KERNEL_DS)
