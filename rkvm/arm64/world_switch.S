/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The world switch.
 *
 * u64 rkvm_arm64_enter(struct core_regs *regs, u64 key[2])
 *
 * Enters the guest and returns how it was left, one of the RKVM_EXIT_ values below, and in the upper half DISR_EL1, if the
 * guest has left an SError behind. All exceptions are masked; HCR_EL2 and everything else that says what the guest may do
 * is set.
 *
 * Switched here: X0 to X30, SP_EL0 (the host's `current`), PC, PSTATE and the vectors of EL2; and, if key is not NULL,
 * APIAKey_EL1, by which the host's functions sign their return addresses. SP_EL2 stays: the guest cannot touch it, so
 * that an exit finds the stack as the entry left it. The layout of regs is that of CoreRegs in
 * rkvm/arm64/regs.rs, the values of RKVM_EXIT_ those of Exit in rkvm/arm64/enter.rs.
 */
#include <linux/linkage.h>
#include <asm/alternative.h>
#include <asm/assembler.h>
#include <asm/sysreg.h>

#define RKVM_EXIT_SYNC		0
#define RKVM_EXIT_IRQ		1
#define RKVM_EXIT_SERROR	2
#define RKVM_EXIT_ILLEGAL	3

/* Where DISR_EL1 begins in the result. */
#define DEFERRED_SHIFT		32

#define REGS_X(n)	(8 * (n))
#define REGS_SP_EL0	248
#define REGS_PC		256
#define REGS_PSTATE	264

/* The frame of an entry, from SP up. */
#define FRAME_FP	0	/* X29, X30 */
#define FRAME_X19	16	/* to X28 */
#define FRAME_X18	96	/* and regs */
#define FRAME_HOST	112	/* the host's SP_EL0 and VBAR_EL2 */
#define FRAME_KEY	128	/* the host's APIAKey_EL1 */
#define FRAME_GUEST_KEY	144	/* key */
#define FRAME_SIZE	160

/* What a vector pushes. */
#define PUSHED		16

/* rkvm_arm64_branch_history in rkvm/host/branch_history_arm64.c */
#define HISTORY_BRANCHES	0
#define HISTORY_FUNCTION	8
/* Does nothing on processors that do not have it. */
#define HINT_CLRBHB	22

/* PSTATE.IL in SPSR_EL2: the exception return was illegal. */
#define SPSR_IL_BIT	20

.text

SYM_FUNC_START(rkvm_arm64_enter)
	stp	x29, x30, [sp, #-FRAME_SIZE]!
	mov	x29, sp
	stp	x19, x20, [sp, #FRAME_X19]
	stp	x21, x22, [sp, #FRAME_X19 + 16]
	stp	x23, x24, [sp, #FRAME_X19 + 32]
	stp	x25, x26, [sp, #FRAME_X19 + 48]
	stp	x27, x28, [sp, #FRAME_X19 + 64]
	stp	x18, x0, [sp, #FRAME_X18]

	/* What is pending now is the host's: no need to go in for it, and an SError must not count as the guest's. */
	mrs	x2, isr_el1
	cbz	x2, 1f
	mov	x0, #RKVM_EXIT_IRQ
	b	.Lreturn
1:
	str	x1, [sp, #FRAME_GUEST_KEY]
	cbz	x1, 2f
	mrs_s	x2, SYS_APIAKEYLO_EL1
	mrs_s	x3, SYS_APIAKEYHI_EL1
	stp	x2, x3, [sp, #FRAME_KEY]
	ldp	x2, x3, [x1]
	msr_s	SYS_APIAKEYLO_EL1, x2
	msr_s	SYS_APIAKEYHI_EL1, x3
2:
	mrs	x1, sp_el0
	mrs	x2, vbar_el1
	stp	x1, x2, [sp, #FRAME_HOST]
	adr_l	x1, rkvm_arm64_vectors
	msr	vbar_el1, x1

	ldp	x1, x2, [x0, #REGS_SP_EL0]
	ldr	x3, [x0, #REGS_PSTATE]
	msr	sp_el0, x1
	msr	elr_el2, x2
	msr	spsr_el2, x3

	ldp	x2, x3, [x0, #REGS_X(2)]
	ldp	x4, x5, [x0, #REGS_X(4)]
	ldp	x6, x7, [x0, #REGS_X(6)]
	ldp	x8, x9, [x0, #REGS_X(8)]
	ldp	x10, x11, [x0, #REGS_X(10)]
	ldp	x12, x13, [x0, #REGS_X(12)]
	ldp	x14, x15, [x0, #REGS_X(14)]
	ldp	x16, x17, [x0, #REGS_X(16)]
	ldp	x18, x19, [x0, #REGS_X(18)]
	ldp	x20, x21, [x0, #REGS_X(20)]
	ldp	x22, x23, [x0, #REGS_X(22)]
	ldp	x24, x25, [x0, #REGS_X(24)]
	ldp	x26, x27, [x0, #REGS_X(26)]
	ldp	x28, x29, [x0, #REGS_X(28)]
	ldr	x30, [x0, #REGS_X(30)]
	ldp	x0, x1, [x0, #REGS_X(0)]
	eret
	/* Nothing behind an ERET is speculated into. */
	dsb	nsh
	isb

/* From a vector: X0 and X1 are pushed, X1 is how the guest was left. */
SYM_INNER_LABEL(rkvm_arm64_exit, SYM_L_LOCAL)
	/*
	 * An SError that the guest has caused must not come when they are unmasked, as the host's. Without the RAS
	 * extension this does nothing, and the host takes the error.
	 */
	esb
	/* The host must not speculate by what the guest has trained branch predictors to. */
alternative_if_not ARM64_SPECTRE_BHB
	b	5f
alternative_else_nop_endif
	adr_l	x0, rkvm_arm64_branch_history
	ldr	x0, [x0, #HISTORY_BRANCHES]
4:
	b	. + 4
	subs	x0, x0, #1
	b.ne	4b
	sb
	hint	#HINT_CLRBHB
5:
	/* Also where it is only what branches go to that can be trained. The ISB below ends a guess that it is not. */
	adr_l	x0, rkvm_arm64_branch_history
	ldr	x0, [x0, #HISTORY_FUNCTION]
	cbz	x0, 6f
	stp	x2, x3, [sp, #-PUSHED]!
	str	x1, [sp, #-PUSHED]!
	smc	#0
	ldr	x1, [sp], #PUSHED
	ldp	x2, x3, [sp], #PUSHED
	sb
6:
	ldr	x0, [sp, #PUSHED + FRAME_X18 + 8]
	stp	x2, x3, [x0, #REGS_X(2)]
	stp	x4, x5, [x0, #REGS_X(4)]
	stp	x6, x7, [x0, #REGS_X(6)]
	stp	x8, x9, [x0, #REGS_X(8)]
	stp	x10, x11, [x0, #REGS_X(10)]
	stp	x12, x13, [x0, #REGS_X(12)]
	stp	x14, x15, [x0, #REGS_X(14)]
	stp	x16, x17, [x0, #REGS_X(16)]
	stp	x18, x19, [x0, #REGS_X(18)]
	stp	x20, x21, [x0, #REGS_X(20)]
	stp	x22, x23, [x0, #REGS_X(22)]
	stp	x24, x25, [x0, #REGS_X(24)]
	stp	x26, x27, [x0, #REGS_X(26)]
	stp	x28, x29, [x0, #REGS_X(28)]
	str	x30, [x0, #REGS_X(30)]
	ldp	x2, x3, [sp], #PUSHED
	stp	x2, x3, [x0, #REGS_X(0)]

	mrs	x2, sp_el0
	mrs	x3, elr_el2
	mrs	x4, spsr_el2
	stp	x2, x3, [x0, #REGS_SP_EL0]
	str	x4, [x0, #REGS_PSTATE]

	ldr	x4, [sp, #FRAME_GUEST_KEY]
	cbz	x4, 3f
	mrs_s	x2, SYS_APIAKEYLO_EL1
	mrs_s	x3, SYS_APIAKEYHI_EL1
	stp	x2, x3, [x4]
	ldp	x2, x3, [sp, #FRAME_KEY]
	msr_s	SYS_APIAKEYLO_EL1, x2
	msr_s	SYS_APIAKEYHI_EL1, x3
3:
	ldp	x2, x3, [sp, #FRAME_HOST]
	msr	sp_el0, x2
	msr	vbar_el1, x3
	/* With HCR_EL2.TGE clear an exception leaves PAN and DIT as the guest had them. */
	ALTERNATIVE(nop, SET_PSTATE_PAN(1), ARM64_HAS_PAN)
	ALTERNATIVE(nop, SET_PSTATE_DIT(1), ARM64_HAS_DIT)
	isb
	mov	w0, w1
alternative_if ARM64_HAS_RAS_EXTN
	mrs_s	x1, SYS_DISR_EL1
	cbz	x1, .Lreturn
	msr_s	SYS_DISR_EL1, xzr
	orr	x0, x0, x1, lsl #DEFERRED_SHIFT
alternative_else_nop_endif

.Lreturn:
	ldr	x18, [sp, #FRAME_X18]
	ldp	x27, x28, [sp, #FRAME_X19 + 64]
	ldp	x25, x26, [sp, #FRAME_X19 + 48]
	ldp	x23, x24, [sp, #FRAME_X19 + 32]
	ldp	x21, x22, [sp, #FRAME_X19 + 16]
	ldp	x19, x20, [sp, #FRAME_X19]
	ldp	x29, x30, [sp], #FRAME_SIZE
	ret
SYM_FUNC_END(rkvm_arm64_enter)

/*
 * An exception at EL2 while the vectors are ours. All are masked but synchronous ones, of which the code above
 * should cause none but by an illegal exception return. Anything else happens again with the host's vectors,
 * which say what it is.
 */
SYM_CODE_START_LOCAL(rkvm_arm64_own_exception)
	mrs	x0, spsr_el2
	tbz	x0, #SPSR_IL_BIT, 7f
	/* SPSR_EL2 is of EL2 now; the guest's PSTATE is what it was. */
	ldr	x0, [sp, #PUSHED + FRAME_X18 + 8]
	ldr	x0, [x0, #REGS_PSTATE]
	msr	spsr_el2, x0
	mov	x1, #RKVM_EXIT_ILLEGAL
	b	rkvm_arm64_exit
7:
	ldr	x0, [sp, #PUSHED + FRAME_HOST + 8]
	msr	vbar_el1, x0
	isb
	ldp	x0, x1, [sp], #PUSHED
	eret
	dsb	nsh
	isb
SYM_CODE_END(rkvm_arm64_own_exception)

.macro own_vector
	.align	7
	stp	x0, x1, [sp, #-PUSHED]!
	b	rkvm_arm64_own_exception
.endm

.macro guest_vector exit
	.align	7
	stp	x0, x1, [sp, #-PUSHED]!
	mov	x1, #\exit
	b	rkvm_arm64_exit
.endm

	.align	11
SYM_CODE_START_LOCAL(rkvm_arm64_vectors)
	/* From EL2 with SP_EL0, and with SP_EL2: synchronous, IRQ, FIQ, SError. */
	.rept	8
	own_vector
	.endr
	/* From the guest in AArch64, and in AArch32. */
	.rept	2
	guest_vector RKVM_EXIT_SYNC
	guest_vector RKVM_EXIT_IRQ
	guest_vector RKVM_EXIT_IRQ
	guest_vector RKVM_EXIT_SERROR
	.endr
SYM_CODE_END(rkvm_arm64_vectors)
