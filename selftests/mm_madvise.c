// SPDX-License-Identifier: GPL-2.0
/* machine: arch=any */
/* MADV_DONTNEED under a guest: the pages are gone for it, too. */
#include "lib/sweep.h"

enum { PAGES = 64 };

TEST(dropped_pages_read_0)
{
	uint8_t *mem = mem_private(PAGES * PAGE_SIZE);
	struct vcpu *vcpu = sweep_new(mem, PAGES);

	for (uint64_t round = 1; round <= 3; round++) {
		guest_fill(vcpu, SWEEP_GPA, PAGES, 1000 * round);
		ASSERT_OK(madvise(mem, PAGES * PAGE_SIZE, MADV_DONTNEED));
		for (size_t i = 0; i < PAGES; i++)
			ASSERT_EQ(guest_peek(vcpu, SWEEP_GPA + i * PAGE_SIZE), 0);
	}
}

TEST(only_the_dropped_pages)
{
	enum { FIRST = 5, COUNT = 7 };
	uint8_t *mem = mem_private(PAGES * PAGE_SIZE);
	struct vcpu *vcpu = sweep_new(mem, PAGES);

	guest_fill(vcpu, SWEEP_GPA, PAGES, 100);
	ASSERT_OK(madvise(mem + FIRST * PAGE_SIZE, COUNT * PAGE_SIZE, MADV_DONTNEED));
	EXPECT_EQ(guest_mismatches(vcpu, SWEEP_GPA, FIRST, 100), 0);
	EXPECT_EQ(guest_mismatches(vcpu, SWEEP_GPA + FIRST * PAGE_SIZE, COUNT, 100 + FIRST), COUNT);
	EXPECT_EQ(guest_mismatches(vcpu, SWEEP_GPA + (FIRST + COUNT) * PAGE_SIZE,
				   PAGES - FIRST - COUNT, 100 + FIRST + COUNT), 0);
}

/* What host and guest write afterwards is one memory again. */
TEST(written_again_by_both)
{
	uint8_t *mem = mem_private(PAGES * PAGE_SIZE);
	struct vcpu *vcpu = sweep_new(mem, PAGES);

	for (uint64_t round = 0; round < 3; round++) {
		guest_fill(vcpu, SWEEP_GPA, PAGES, 1);
		ASSERT_OK(madvise(mem, PAGES * PAGE_SIZE, MADV_DONTNEED));
		host_fill(mem, PAGES, 500 + round);
		EXPECT_EQ(guest_mismatches(vcpu, SWEEP_GPA, PAGES, 500 + round), 0);
		guest_fill(vcpu, SWEEP_GPA, PAGES, 900 + round);
		EXPECT_EQ(host_mismatches(mem, PAGES, 900 + round), 0);
	}
}

/* A page that the guest has only read is the zero page until it writes. */
TEST(read_then_written)
{
	uint8_t *mem = mem_private(PAGES * PAGE_SIZE);
	struct vcpu *vcpu = sweep_new(mem, PAGES);

	for (size_t i = 0; i < PAGES; i++)
		ASSERT_EQ(guest_peek(vcpu, SWEEP_GPA + i * PAGE_SIZE), 0);
	guest_fill(vcpu, SWEEP_GPA, PAGES, 7);
	EXPECT_EQ(host_mismatches(mem, PAGES, 7), 0);
	EXPECT_EQ(guest_mismatches(vcpu, SWEEP_GPA, PAGES, 7), 0);
}
