/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The vector registers V0 to V31, FPSR and FPCR, from and to a structure as FpsimdRegs in rkvm/arm64/fpsimd.rs has them;
 * those of SVE, from and to memory as ScalableRegs in rkvm/arm64/sve.rs has it.
 */
#include <linux/linkage.h>
#include <asm/assembler.h>

#define STATE_FPSR	512
#define STATE_FPCR	516

.arch_extension fp
.arch_extension simd
.arch_extension sve

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

/* FPSR and FPCR, to and from x0; x3 and x4 are lost. */
.macro save_status
	mrs	x3, fpsr
	mrs	x4, fpcr
	str	w3, [x0, #STATE_FPSR]
	str	w4, [x0, #STATE_FPCR]
.endm

.macro load_status
	ldr	w3, [x0, #STATE_FPSR]
	ldr	w4, [x0, #STATE_FPCR]
	msr	fpsr, x3
	msr	fpcr, x4
.endm

/* Calls a load or store for all Z registers at x1. */
.macro for_scalable_vectors insn
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, \
		16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
	\insn	z\n, [x1, #\n, mul vl]
	.endr
.endm

/* Likewise for all P registers at x2. */
.macro for_predicates insn
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	\insn	p\n, [x2, #\n, mul vl]
	.endr
.endm

/* FFR is behind the P registers. */
#define FFR	16

.text

/* void rkvm_arm64_fpsimd_save(struct fpsimd_regs *state) */
SYM_FUNC_START(rkvm_arm64_fpsimd_save)
	for_vectors stp
	save_status
	ret
SYM_FUNC_END(rkvm_arm64_fpsimd_save)

/* void rkvm_arm64_fpsimd_load(const struct fpsimd_regs *state) */
SYM_FUNC_START(rkvm_arm64_fpsimd_load)
	for_vectors ldp
	load_status
	ret
SYM_FUNC_END(rkvm_arm64_fpsimd_load)

/* void rkvm_arm64_sve_save(struct fpsimd_regs *state, void *vectors, void *predicates) */
SYM_FUNC_START(rkvm_arm64_sve_save)
	for_scalable_vectors str
	for_predicates str
	rdffr	p0.b
	str	p0, [x2, #FFR, mul vl]
	save_status
	ret
SYM_FUNC_END(rkvm_arm64_sve_save)

/* void rkvm_arm64_sve_load(const struct fpsimd_regs *state, const void *vectors, const void *predicates) */
SYM_FUNC_START(rkvm_arm64_sve_load)
	for_scalable_vectors ldr
	ldr	p0, [x2, #FFR, mul vl]
	wrffr	p0.b
	for_predicates ldr
	load_status
	ret
SYM_FUNC_END(rkvm_arm64_sve_load)
