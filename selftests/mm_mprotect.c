// SPDX-License-Identifier: GPL-2.0
/* machine: arch=any */
/* mprotect and munmap under a guest: what the host may not do, the guest cannot. */
#define _GNU_SOURCE
#include "lib/sweep.h"

enum { PAGES = 16 };

static void expect_efault(struct vcpu *vcpu, const uint8_t *at, uint64_t gpa)
{
	sweep_start(vcpu, at, gpa, 1, 5);
	EXPECT_ERRNO(vcpu_run(vcpu), EFAULT);
}

TEST(no_write_to_readonly_memory)
{
	uint8_t *mem = mem_new(PAGES * PAGE_SIZE);
	struct vcpu *vcpu = sweep_new(mem, PAGES);

	guest_fill(vcpu, SWEEP_GPA, PAGES, 1);
	ASSERT_OK(mprotect(mem, PAGES * PAGE_SIZE, PROT_READ));
	EXPECT_EQ(guest_mismatches(vcpu, SWEEP_GPA, PAGES, 1), 0);
	expect_efault(vcpu, sweep_write, SWEEP_GPA + PAGE_SIZE);
	EXPECT_EQ(host_mismatches(mem, PAGES, 1), 0);

	/* The very instruction goes on when it may. */
	ASSERT_OK(mprotect(mem, PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE));
	ASSERT_END(vcpu);
	EXPECT_EQ(mem[PAGE_SIZE], 5);
}

TEST(no_access_to_inaccessible_memory)
{
	uint8_t *mem = mem_new(PAGES * PAGE_SIZE);
	struct vcpu *vcpu = sweep_new(mem, PAGES);

	guest_fill(vcpu, SWEEP_GPA, PAGES, 1);
	ASSERT_OK(mprotect(mem + PAGE_SIZE, PAGE_SIZE, PROT_NONE));
	expect_efault(vcpu, sweep_peek, SWEEP_GPA + PAGE_SIZE);
	expect_efault(vcpu, sweep_write, SWEEP_GPA + PAGE_SIZE);
	EXPECT_EQ(guest_peek(vcpu, SWEEP_GPA), 1);
	EXPECT_EQ(guest_peek(vcpu, SWEEP_GPA + 2 * PAGE_SIZE), 3);
	ASSERT_OK(mprotect(mem + PAGE_SIZE, PAGE_SIZE, PROT_READ));
	EXPECT_EQ(guest_peek(vcpu, SWEEP_GPA + PAGE_SIZE), 2);
}

TEST(unmapped_memory_and_what_comes_in_its_place)
{
	uint8_t *mem = mem_new(PAGES * PAGE_SIZE);
	struct vcpu *vcpu = sweep_new(mem, PAGES);

	guest_fill(vcpu, SWEEP_GPA, PAGES, 1);
	ASSERT_OK(munmap(mem, PAGES * PAGE_SIZE));
	expect_efault(vcpu, sweep_peek, SWEEP_GPA);
	expect_efault(vcpu, sweep_write, SWEEP_GPA + PAGE_SIZE);
	ASSERT_EQ((uintptr_t)mmap(mem, PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), (uintptr_t)mem);
	EXPECT_EQ(guest_peek(vcpu, SWEEP_GPA), 0);
	guest_fill(vcpu, SWEEP_GPA, PAGES, 30);
	EXPECT_EQ(host_mismatches(mem, PAGES, 30), 0);
}

/* A slot whose memory is gone before the guest first uses it */
TEST(a_slot_without_memory)
{
	uint8_t *mem = mem_new(PAGES * PAGE_SIZE);
	struct vcpu *vcpu = sweep_new(mem, PAGES);

	ASSERT_OK(munmap(mem, PAGES * PAGE_SIZE));
	expect_efault(vcpu, sweep_peek, SWEEP_GPA);
	expect_efault(vcpu, sweep_write, SWEEP_GPA);
}

/* Memory that moves away by mremap is no longer the slot's. */
TEST(memory_moved_elsewhere)
{
	uint8_t *mem = mem_private(PAGES * PAGE_SIZE), *there;
	struct vcpu *vcpu = sweep_new(mem, PAGES);

	guest_fill(vcpu, SWEEP_GPA, PAGES, 1);
	there = mremap(mem, PAGES * PAGE_SIZE, PAGES * PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED,
		       mem_private(PAGES * PAGE_SIZE));
	ASSERT_OK((long)there);
	expect_efault(vcpu, sweep_write, SWEEP_GPA);
	EXPECT_EQ(host_mismatches(there, PAGES, 1), 0);
}
