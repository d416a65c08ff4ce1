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
 * not used here), then the host's stack pointer as the VMCS has it, then the guest's and the host's IA32_SPEC_CTRL,
 * which are exchanged here where the kernel has legacy IBRS.
 */
#include <linux/linkage.h>
#include <linux/objtool.h>
#include <asm/alternative.h>
#include <asm/asm.h>
#include <asm/cpufeatures.h>
#include <asm/msr-index.h>
#include <asm/nospec-branch.h>
#include <asm/segment.h>
#include <asm/unwind_hints.h>

#define GUEST_RAX 0
#define GUEST_RCX 8
#define GUEST_RDX 16
#define GUEST_RBX 24
#define GUEST_RBP 40
#define GUEST_RSI 48
#define GUEST_RDI 56
#define GUEST_R8 64
#define GUEST_R9 72
#define GUEST_R10 80
#define GUEST_R11 88
#define GUEST_R12 96
#define GUEST_R13 104
#define GUEST_R14 112
#define GUEST_R15 120
#define HOST_RSP 128
#define GUEST_SPEC_CTRL 136
#define HOST_SPEC_CTRL 144

#define VMCS_HOST_RSP 0x6c14

/* Writes one of the two, by its offset from RDI, where the kernel has legacy IBRS. Clobbers RAX, RCX and RDX. */
.macro WRITE_SPEC_CTRL value
	ALTERNATIVE "jmp .Lkept\@", "", X86_FEATURE_KERNEL_IBRS
	mov	$MSR_IA32_SPEC_CTRL, %ecx
	mov	\value(%rdi), %eax
	mov	\value + 4(%rdi), %edx
	wrmsr
.Lkept\@:
.endm

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
	WRITE_SPEC_CTRL GUEST_SPEC_CTRL
	/* What the host left in the processor's buffers is not for the guest (MDS and its kin). */
	ALTERNATIVE "", __stringify(verw rkvm_verw_selector(%rip)), X86_FEATURE_CLEAR_CPU_BUF_VM

	UNWIND_HINT_SAVE
	/* ZF chooses VMLAUNCH; no MOV changes it. */
	test	%rsi, %rsi

	mov	GUEST_RCX(%rdi), %rcx
	mov	GUEST_RDX(%rdi), %rdx
	mov	GUEST_RBX(%rdi), %rbx
	mov	GUEST_RBP(%rdi), %rbp
	mov	GUEST_RSI(%rdi), %rsi
	mov	GUEST_R8(%rdi), %r8
	mov	GUEST_R9(%rdi), %r9
	mov	GUEST_R10(%rdi), %r10
	mov	GUEST_R11(%rdi), %r11
	mov	GUEST_R12(%rdi), %r12
	mov	GUEST_R13(%rdi), %r13
	mov	GUEST_R14(%rdi), %r14
	mov	GUEST_R15(%rdi), %r15
	mov	GUEST_RAX(%rdi), %rax
	mov	GUEST_RDI(%rdi), %rdi

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
	mov	%rax, GUEST_RAX(%rdi)
	pop	%rax
	mov	%rax, GUEST_RDI(%rdi)
	mov	%rcx, GUEST_RCX(%rdi)
	mov	%rdx, GUEST_RDX(%rdi)
	mov	%rbx, GUEST_RBX(%rdi)
	mov	%rbp, GUEST_RBP(%rdi)
	mov	%rsi, GUEST_RSI(%rdi)
	mov	%r8, GUEST_R8(%rdi)
	mov	%r9, GUEST_R9(%rdi)
	mov	%r10, GUEST_R10(%rdi)
	mov	%r11, GUEST_R11(%rdi)
	mov	%r12, GUEST_R12(%rdi)
	mov	%r13, GUEST_R13(%rdi)
	mov	%r14, GUEST_R14(%rdi)
	mov	%r15, GUEST_R15(%rdi)

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

	/* Legacy IBRS protects from what was predicted before it was last written, which is thus now. */
	WRITE_SPEC_CTRL HOST_SPEC_CTRL
	/* Nor does the guest's branch history choose among the host's predictions. */
	ALTERNATIVE "", "call rkvm_clear_branch_history", X86_FEATURE_CLEAR_BHB_VMEXIT
	xor	%eax, %eax
	xor	%ecx, %ecx
	xor	%edx, %edx

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
	pop	%rbx
	mov	(%rsp), %rdi
	WRITE_SPEC_CTRL HOST_SPEC_CTRL
	mov	%rbx, %rax
	jmp	.Lreturn
SYM_FUNC_END(rkvm_vmx_enter)

/*
 * Takes more branches than the history holds, in the form that Intel gives ("Branch History Injection", software
 * sequence for processors without BHI_DIS_S): branches inside calls, so that the return stack, filled before, tells
 * their way back, and a fence that nothing passes on a guess. Clobbers RAX and RCX.
 */
#define HISTORY_CALLS 5
#define HISTORY_BRANCHES 5

SYM_FUNC_START_LOCAL(rkvm_clear_branch_history)
	ANNOTATE_NOENDBR
	push	%rbp
	mov	%rsp, %rbp
	mov	$HISTORY_CALLS, %ecx
	ANNOTATE_INTRA_FUNCTION_CALL
	call	.Lcalls
	jmp	.Lcleared
.Lcalls:
	ANNOTATE_INTRA_FUNCTION_CALL
	call	.Lbranches
	RET
.Lbranches:
	mov	$HISTORY_BRANCHES, %eax
.Lbranch:
	jmp	.Lback
	nop
.Lback:
	sub	$1, %eax
	jnz	.Lbranch
	sub	$1, %ecx
	jnz	.Lcalls
	RET
.Lcleared:
	lfence
	pop	%rbp
	RET
SYM_FUNC_END(rkvm_clear_branch_history)
STACK_FRAME_NON_STANDARD(rkvm_clear_branch_history)

/* Any writable data segment does. */
.section .rodata, "a"
.balign 2
SYM_DATA_LOCAL(rkvm_verw_selector, .word __KERNEL_DS)
