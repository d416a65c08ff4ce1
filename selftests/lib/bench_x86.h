/* SPDX-License-Identifier: GPL-2.0 */
/* The clock of the bench programs on x86, the TSC, and their loop of guest code. */
#ifndef SELFTESTS_BENCH_X86_H
#define SELFTESTS_BENCH_X86_H

#include <x86intrin.h>

#include "x86.h"

enum { IRQ_VECTOR = 0x40 };

/* Guest: R8 an address that advances by R9, EBP the count, RDI the samples */
#define MEASURE(op)				\
	"1: rdtsc\n"				\
	"mov %eax, %esi\n"			\
	op					\
	"rdtsc\n"				\
	"sub %esi, %eax\n"			\
	"mov %eax, (%rdi)\n"			\
	"add $4, %rdi\n"			\
	"add %r9, %r8\n"			\
	"dec %ebp\n"				\
	"jnz 1b\n"				\
	REPORT

static inline uint64_t ticks(void)
{
	return __rdtsc();
}

static inline void loop_begin(struct vcpu *vcpu, uint64_t address, uint64_t step, uint32_t count)
{
	struct kvm_regs regs = {
		.rip = GUEST_CODE, .rsp = GUEST_STACK, .rflags = RFLAGS_FIXED,
		.r8 = address, .r9 = step, .rbp = count, .rdi = GUEST_DATA,
	};

	vcpu_set_regs(vcpu, &regs);
}

static inline bool loop_has_ended(struct vcpu *vcpu)
{
	return vcpu->run->exit_reason == KVM_EXIT_IO && vcpu->run->io.port == REPORT_PORT;
}

#endif
