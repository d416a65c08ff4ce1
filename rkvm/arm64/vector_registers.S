/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The vector registers V0 to V31, FPSR and FPCR, from and to a structure as FpsimdRegs in rkvm/arm64/fpsimd.rs has them.
 */
#include <linux/linkage.h>
#include <asm/assembler.h>

#define STATE_FPSR	512
#define STATE_FPCR	516

.arch_extension fp
.arch_extension simd

/* Calls a load or store of pairs for all vector registers at x0. */
.macro for_vectors insn
	\insn	q0, q1, [x0, #0]
	\insn	q2, q3, [x0, #32]
	\insn	q4, q5, [x0, #64]
	\insn	q6, q7, [x0, #96]
	\insn	q8, q9, [x0, #128]
	\insn	q10, q11, [x0, #160]
	\insn	q12, q13, [x0, #192]
	\insn	q14, q15, [x0, #224]
	\insn	q16, q17, [x0, #256]
	\insn	q18, q19, [x0, #288]
	\insn	q20, q21, [x0, #320]
	\insn	q22, q23, [x0, #352]
	\insn	q24, q25, [x0, #384]
	\insn	q26, q27, [x0, #416]
	\insn	q28, q29, [x0, #448]
	\insn	q30, q31, [x0, #480]
.endm

.text

/* void rkvm_arm64_fpsimd_save(struct fpsimd_regs *state) */
SYM_FUNC_START(rkvm_arm64_fpsimd_save)
	for_vectors stp
	mrs	x1, fpsr
	mrs	x2, fpcr
	str	w1, [x0, #STATE_FPSR]
	str	w2, [x0, #STATE_FPCR]
	ret
SYM_FUNC_END(rkvm_arm64_fpsimd_save)

/* void rkvm_arm64_fpsimd_load(const struct fpsimd_regs *state) */
SYM_FUNC_START(rkvm_arm64_fpsimd_load)
	for_vectors ldp
	ldr	w1, [x0, #STATE_FPSR]
	ldr	w2, [x0, #STATE_FPCR]
	msr	fpsr, x1
	msr	fpcr, x2
	ret
SYM_FUNC_END(rkvm_arm64_fpsimd_load)
