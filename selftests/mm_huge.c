// SPDX-License-Identifier: GPL-2.0
/* machine: arch=any */
/* Memory of 2 MiB host pages, and what splits them. */
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/sweep.h"

#define HUGE_SIZE (2UL << 20)

enum { HUGE_PAGES = 4, PAGES = HUGE_PAGES * 512 };

static uint8_t *mem_huge(void)
{
	uint8_t *mem = mem_private(HUGE_PAGES * HUGE_SIZE);

	if (madvise(mem, HUGE_PAGES * HUGE_SIZE, MADV_HUGEPAGE))
		SKIP("the host has no transparent huge pages");
	return mem;
}

TEST(filled_by_guest_and_host)
{
	uint8_t *mem = mem_huge();
	struct vcpu *vcpu = sweep_new(mem, PAGES);

	guest_fill(vcpu, SWEEP_GPA, PAGES, 1);
	EXPECT_EQ(host_mismatches(mem, PAGES, 1), 0);
	host_fill(mem, PAGES, 5000);
	EXPECT_EQ(guest_mismatches(vcpu, SWEEP_GPA, PAGES, 5000), 0);
}

/* Guest and host address differ within 2 MiB: no large page may be mapped. */
TEST(unlike_alignment)
{
	enum { SMALL = 1200, OFF = 17 };
	uint8_t *mem = mem_huge() + OFF * PAGE_SIZE;
	struct vcpu *vcpu = GUEST_ANY_NEW(sweep);
	const uint64_t gpa = SWEEP_GPA + 5 * PAGE_SIZE;

	ASSERT_OK(vm_set_slot(vcpu->vm, 1, gpa, SMALL * PAGE_SIZE, mem, 0));
	guest_fill(vcpu, gpa, SMALL, 1);
	EXPECT_EQ(host_mismatches(mem, SMALL, 1), 0);
}

/* A slot that covers a large page only in part shows no more than its part. */
TEST(part_of_a_large_page)
{
	enum { FIRST = 100, COUNT = 200 };
	const uint64_t gpa = SWEEP_GPA + FIRST * PAGE_SIZE;
	uint8_t *mem = mem_huge();
	struct vcpu *vcpu = GUEST_ANY_NEW(sweep);

	host_fill(mem, PAGES, 1);
	ASSERT_OK(vm_set_slot(vcpu->vm, 1, gpa, COUNT * PAGE_SIZE, mem + FIRST * PAGE_SIZE, 0));
	EXPECT_EQ(guest_mismatches(vcpu, gpa, COUNT, 1 + FIRST), 0);
	sweep_start(vcpu, sweep_peek, gpa - PAGE_SIZE, 1, 0);
	EXPECT_RUN(vcpu, KVM_EXIT_MMIO);
}

TEST(one_small_page_dropped)
{
	enum { HOLE = 700 };
	uint8_t *mem = mem_huge();
	struct vcpu *vcpu = sweep_new(mem, PAGES);

	guest_fill(vcpu, SWEEP_GPA, PAGES, 1);
	ASSERT_OK(madvise(mem + HOLE * PAGE_SIZE, PAGE_SIZE, MADV_DONTNEED));
	EXPECT_EQ(guest_peek(vcpu, SWEEP_GPA + HOLE * PAGE_SIZE), 0);
	EXPECT_EQ(guest_mismatches(vcpu, SWEEP_GPA, PAGES, 1), 1);
}

TEST(one_small_page_readonly)
{
	enum { LOCKED = 700 };
	uint8_t *mem = mem_huge();
	struct vcpu *vcpu = sweep_new(mem, PAGES);

	guest_fill(vcpu, SWEEP_GPA, PAGES, 1);
	ASSERT_OK(mprotect(mem + LOCKED * PAGE_SIZE, PAGE_SIZE, PROT_READ));
	EXPECT_EQ(guest_mismatches(vcpu, SWEEP_GPA, PAGES, 1), 0);
	guest_fill(vcpu, SWEEP_GPA, LOCKED, 1);
	guest_fill(vcpu, SWEEP_GPA + (LOCKED + 1) * PAGE_SIZE, PAGES - LOCKED - 1, LOCKED + 2);
	sweep_start(vcpu, sweep_write, SWEEP_GPA + LOCKED * PAGE_SIZE, 1, 9);
	EXPECT_ERRNO(vcpu_run(vcpu), EFAULT);
	EXPECT_EQ(host_mismatches(mem, PAGES, 1), 0);
}

TEST(copied_on_write_after_fork)
{
	uint8_t *mem = mem_huge();
	struct vcpu *vcpu = sweep_new(mem, PAGES);
	int go[2], status;
	pid_t child;
	char byte;

	guest_fill(vcpu, SWEEP_GPA, PAGES, 1);
	ASSERT_OK(pipe(go));
	child = ASSERT_OK(fork());
	if (!child) {
		ASSERT_EQ(read(go[0], &byte, 1), 1);
		EXPECT_EQ(host_mismatches(mem, PAGES, 1), 0);
		_exit(0);
	}
	guest_fill(vcpu, SWEEP_GPA, PAGES, 9000);
	EXPECT_EQ(host_mismatches(mem, PAGES, 9000), 0);
	ASSERT_EQ(write(go[1], "", 1), 1);
	ASSERT_EQ(waitpid(child, &status, 0), child);
	EXPECT_EQ(status, 0);
}

/* A slot deleted and made anew over large pages, a whole and a part */
TEST(slot_deleted_and_made_again)
{
	uint8_t *mem = mem_huge();
	struct vcpu *vcpu = sweep_new(mem, PAGES);

	for (uint64_t round = 1; round <= 3; round++) {
		guest_fill(vcpu, SWEEP_GPA, PAGES, round);
		ASSERT_OK(vm_set_slot(vcpu->vm, 1, SWEEP_GPA, 0, mem, 0));
		ASSERT_OK(vm_set_slot(vcpu->vm, 1, SWEEP_GPA, PAGES / 2 * PAGE_SIZE, mem, 0));
		EXPECT_EQ(guest_mismatches(vcpu, SWEEP_GPA, PAGES / 2, round), 0);
		sweep_start(vcpu, sweep_peek, SWEEP_GPA + PAGES / 2 * PAGE_SIZE, 1, 0);
		ASSERT_RUN(vcpu, KVM_EXIT_MMIO);
		ASSERT_END(vcpu);
		ASSERT_OK(vm_set_slot(vcpu->vm, 1, SWEEP_GPA, 0, mem, 0));
		ASSERT_OK(vm_set_slot(vcpu->vm, 1, SWEEP_GPA, PAGES * PAGE_SIZE, mem, 0));
	}
}

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

/* Small pages that the guest has mapped become a large one, contents and all. */
TEST(small_pages_collapsed)
{
	uint8_t *mem = mem_private(HUGE_PAGES * HUGE_SIZE);
	struct vcpu *vcpu = sweep_new(mem, PAGES);

	ASSERT_OK(madvise(mem, HUGE_PAGES * HUGE_SIZE, MADV_NOHUGEPAGE));
	guest_fill(vcpu, SWEEP_GPA, PAGES, 1);
	ASSERT_OK(madvise(mem, HUGE_PAGES * HUGE_SIZE, MADV_HUGEPAGE));
	if (madvise(mem, HUGE_PAGES * HUGE_SIZE, MADV_COLLAPSE))
		SKIP("the host could not collapse the pages");
	EXPECT_EQ(guest_mismatches(vcpu, SWEEP_GPA, PAGES, 1), 0);
	guest_fill(vcpu, SWEEP_GPA, PAGES, 5000);
	EXPECT_EQ(host_mismatches(mem, PAGES, 5000), 0);
}

static void reserve_huge_pages(const char *count)
{
	int fd = open("/proc/sys/vm/nr_hugepages", O_WRONLY);

	if (fd < 0)
		SKIP("the host has no hugetlb pages");
	ASSERT_OK(write(fd, count, strlen(count)));
	close(fd);
}

TEST(hugetlb_memory)
{
	struct vcpu *vcpu;
	uint8_t *mem;

	reserve_huge_pages("4");
	mem = mmap(NULL, HUGE_PAGES * HUGE_SIZE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	if (mem == MAP_FAILED) {
		reserve_huge_pages("0");
		SKIP("the host has no hugetlb pages to give");
	}
	vcpu = sweep_new(mem, PAGES);
	guest_fill(vcpu, SWEEP_GPA, PAGES, 1);
	EXPECT_EQ(host_mismatches(mem, PAGES, 1), 0);
	/* Given back under the guest */
	ASSERT_OK(munmap(mem, HUGE_PAGES * HUGE_SIZE));
	reserve_huge_pages("0");
	sweep_start(vcpu, sweep_peek, SWEEP_GPA, 1, 0);
	EXPECT_ERRNO(vcpu_run(vcpu), EFAULT);
}
