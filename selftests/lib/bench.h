/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the bench programs share. A row is the median of its samples in TSC
 * ticks, printed as "# bench NAME TICKS". Rows of exits are taken inside the
 * guest between two RDTSC, less the same without the operation; rows of
 * ioctls around the call.
 */
#ifndef SELFTESTS_BENCH_H
#define SELFTESTS_BENCH_H

#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include "x86.h"

/* Seconds that a group of rows may take */
#define ROW_LIMIT 300

enum {
	SAMPLES = 1000,		/* of short operations */
	MMIO_GPA = 0x40000000,	/* no memory there */
	IRQ_VECTOR = 0x40,
};

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

static inline int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static inline uint64_t median(uint64_t *samples, size_t count)
{
	qsort(samples, count, sizeof(*samples), by_value);
	return samples[count / 2];
}

static inline void row(const char *name, uint64_t ticks)
{
	test_note("bench %s %llu", name, (unsigned long long)ticks);
}

static inline void row_median(const char *name, uint64_t *samples, size_t count)
{
	row(name, median(samples, count));
}

static inline void exit_row(const char *name, uint64_t with, uint64_t without)
{
	ASSERT_TRUE(with > without);
	row(name, with - without);
}

/* Runs a MEASURE loop with these RFLAGS from its start and gives the median. */
static inline uint64_t run_loop_with(struct vcpu *vcpu, uint64_t rflags, uint64_t address,
				     uint64_t step, uint32_t count)
{
	struct kvm_regs regs = {
		.rip = GUEST_CODE, .rsp = GUEST_STACK, .rflags = rflags,
		.r8 = address, .r9 = step, .rbp = count, .rdi = GUEST_DATA,
	};
	uint64_t *samples = calloc(count, sizeof(*samples));
	const uint32_t *taken = (const uint32_t *)(vcpu->vm->ram + GUEST_DATA);

	ASSERT_TRUE(samples != NULL);
	vcpu_set_regs(vcpu, &regs);
	do {
		ASSERT_OK(vcpu_run(vcpu));
	} while (vcpu->run->exit_reason != KVM_EXIT_IO || vcpu->run->io.port != REPORT_PORT);
	for (uint32_t i = 0; i < count; i++)
		samples[i] = taken[i];

	uint64_t result = median(samples, count);

	free(samples);
	return result;
}

static inline uint64_t run_loop(struct vcpu *vcpu, uint64_t address, uint64_t step, uint32_t count)
{
	return run_loop_with(vcpu, RFLAGS_FIXED, address, step, count);
}

/* Host side: the median of what statement costs, over SAMPLES repetitions */
#define TIME_ROW(name, statement) do {						\
	static uint64_t samples_[SAMPLES];					\
	for (size_t i_ = 0; i_ < SAMPLES; i_++) {				\
		uint64_t begin_ = __rdtsc();					\
		statement;							\
		samples_[i_] = __rdtsc() - begin_;				\
	}									\
	row_median(name, samples_, SAMPLES);					\
} while (0)

#endif
