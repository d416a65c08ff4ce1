/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the bench programs share. A row is the median of its samples in ticks
 * of the clock that counts instructions, printed as "# bench NAME TICKS".
 * Rows of exits are taken inside the guest between two looks at it, less the
 * same without the operation; rows of ioctls around the call.
 */
#ifndef SELFTESTS_BENCH_H
#define SELFTESTS_BENCH_H

#define _GNU_SOURCE
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "any.h"

/* Seconds that a group of rows may take */
#define ROW_LIMIT 300

enum {
	SAMPLES = 1000,		/* of short operations */
	MMIO_GPA = 0x40000000,	/* no memory there */
};

/* The clock, and a loop of guest code: MEASURE(op) and run_loop() */
#ifdef __x86_64__
#include "bench_x86.h"
#else
#include "bench_arm64.h"
#endif

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

/* Runs a MEASURE loop from its start and gives the median. */
static inline uint64_t run_loop(struct vcpu *vcpu, uint64_t address, uint64_t step, uint32_t count)
{
	uint64_t *samples = calloc(count, sizeof(*samples));
	const uint32_t *taken = (const uint32_t *)(vcpu->vm->ram + GUEST_DATA);

	ASSERT_TRUE(samples != NULL);
	loop_begin(vcpu, address, step, count);
	do {
		ASSERT_OK(vcpu_run(vcpu));
	} while (!loop_has_ended(vcpu));
	for (uint32_t i = 0; i < count; i++)
		samples[i] = taken[i];

	uint64_t result = median(samples, count);

	free(samples);
	return result;
}

/* The median of a second run: the first does the first touches of everything. Frees the guest. */
static inline uint64_t loop_cost_of(struct vcpu *vcpu, uint64_t address, uint32_t count)
{
	run_loop(vcpu, address, 0, count);
	uint64_t cost = run_loop(vcpu, address, 0, count);

	guest_free(vcpu);
	return cost;
}

/* Host side: the median of what statement costs, over SAMPLES repetitions */
#define TIME_ROW(name, statement) do {						\
	static uint64_t samples_[SAMPLES];					\
	for (size_t i_ = 0; i_ < SAMPLES; i_++) {				\
		uint64_t begin_ = ticks();					\
		statement;							\
		samples_[i_] = ticks() - begin_;				\
	}									\
	row_median(name, samples_, SAMPLES);					\
} while (0)

static inline void stay_on(int cpu)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	ASSERT_OK(sched_setaffinity(0, sizeof(cpus), &cpus));
}

#endif
