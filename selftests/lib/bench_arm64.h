/* SPDX-License-Identifier: GPL-2.0 */
/* The clock of the bench programs on arm64, the virtual counter, and their loop of guest code. */
#ifndef SELFTESTS_BENCH_ARM64_H
#define SELFTESTS_BENCH_ARM64_H

#include "arm64.h"

/* Guest: X19 an address that advances by X20, X21 the count, X22 the samples, X23 when the operation began */
#define MEASURE(op)				\
	"1: isb\n"				\
	"mrs x23, cntvct_el0\n"			\
	op					\
	"isb\n"					\
	"mrs x24, cntvct_el0\n"			\
	"sub x24, x24, x23\n"			\
	"str w24, [x22], #4\n"			\
	"add x19, x19, x20\n"			\
	"subs x21, x21, #1\n"			\
	"b.ne 1b\n"				\
	REPORT

static inline uint64_t ticks(void)
{
	uint64_t now;

	__asm__ volatile("isb\nmrs %0, cntvct_el0" : "=r"(now) :: "memory");
	return now;
}

static inline void loop_begin(struct vcpu *vcpu, uint64_t address, uint64_t step, uint32_t count)
{
	vcpu_begin(vcpu, GUEST_CODE);
	vcpu_set_reg(vcpu, REG_X(19), address);
	vcpu_set_reg(vcpu, REG_X(20), step);
	vcpu_set_reg(vcpu, REG_X(21), count);
	vcpu_set_reg(vcpu, REG_X(22), GUEST_DATA);
}

static inline bool loop_has_ended(struct vcpu *vcpu)
{
	return vcpu->run->exit_reason == KVM_EXIT_MMIO &&
	       vcpu->run->mmio.phys_addr == REPORT_GPA;
}

#endif
