// SPDX-License-Identifier: GPL-2.0
/* machine: arch=any */
/* The host gets the memory of its guests back. */
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/sweep.h"

enum { ROUNDS = 12, MIB = 32, PAGES = MIB * 256 };

/* Kilobytes; what the host needs for itself moves it by much less than the tolerance. */
#define TOLERANCE (64UL << 10)

static unsigned long available(void)
{
	unsigned long kb = 0;
	char line[128];
	FILE *file = fopen("/proc/meminfo", "r");

	ASSERT_TRUE(file != NULL);
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "MemAvailable: %lu", &kb) == 1)
			break;
	fclose(file);
	ASSERT_TRUE(kb > 0);
	return kb;
}

static void expect_nothing_lost(unsigned long before)
{
	const unsigned long after = available();

	if (!EXPECT_TRUE(after + TOLERANCE >= before))
		test_note("available: %lu kB before, %lu kB after", before, after);
}

static void use_memory(void)
{
	uint8_t *mem = mem_private(PAGES * PAGE_SIZE);
	struct vcpu *vcpu = sweep_new(mem, PAGES);

	guest_fill(vcpu, SWEEP_GPA, PAGES, 1);
	guest_free(vcpu);
	ASSERT_OK(munmap(mem, PAGES * PAGE_SIZE));
}

TEST_LIMIT(after_close, 60)
{
	unsigned long before;

	use_memory();
	before = available();
	for (int i = 0; i < ROUNDS; i++)
		use_memory();
	expect_nothing_lost(before);
}

/* The process dies with everything open. */
TEST_LIMIT(after_exit, 60)
{
	const unsigned long before = available();

	for (int i = 0; i < ROUNDS; i++) {
		pid_t child = ASSERT_OK(fork());
		int status;

		if (!child) {
			struct vcpu *vcpu = sweep_new(mem_private(PAGES * PAGE_SIZE), PAGES);

			guest_fill(vcpu, SWEEP_GPA, PAGES, 1);
			_exit(0);
		}
		ASSERT_EQ(waitpid(child, &status, 0), child);
		ASSERT_EQ(status, 0);
	}
	expect_nothing_lost(before);
}

/* Memory taken from a guest that goes on living */
TEST_LIMIT(after_dontneed, 60)
{
	uint8_t *mem = mem_private(PAGES * PAGE_SIZE);
	struct vcpu *vcpu = sweep_new(mem, PAGES);
	unsigned long before;

	guest_fill(vcpu, SWEEP_GPA, PAGES, 1);
	ASSERT_OK(madvise(mem, PAGES * PAGE_SIZE, MADV_DONTNEED));
	before = available();
	for (int i = 0; i < ROUNDS; i++) {
		guest_fill(vcpu, SWEEP_GPA, PAGES, i);
		ASSERT_OK(madvise(mem, PAGES * PAGE_SIZE, MADV_DONTNEED));
	}
	expect_nothing_lost(before);
}
