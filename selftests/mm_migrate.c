// SPDX-License-Identifier: GPL-2.0
/* machine: arch=any */
/* Pages that the kernel moves (compaction) while a guest has them mapped. */
#include <fcntl.h>
#include <unistd.h>

#include "lib/sweep.h"

enum { PAGES = 2048, ROUNDS = 5 };

static void compact(void)
{
	int fd = open("/proc/sys/vm/compact_memory", O_WRONLY);

	if (fd < 0)
		SKIP("the host has no compaction");
	ASSERT_EQ(write(fd, "1", 1), 1);
	close(fd);
}

TEST_LIMIT(contents_follow, 60)
{
	uint8_t *mem = mem_private(PAGES * PAGE_SIZE), *ballast = mem_private(PAGES * PAGE_SIZE);
	struct vcpu *vcpu = sweep_new(mem, PAGES);

	ASSERT_OK(madvise(mem, PAGES * PAGE_SIZE, MADV_NOHUGEPAGE));
	ASSERT_OK(madvise(ballast, PAGES * PAGE_SIZE, MADV_NOHUGEPAGE));
	for (uint64_t round = 0; round < ROUNDS; round++) {
		/* Pages taken in turn, then every other one given back: fragments to move */
		for (size_t i = 0; i < PAGES; i++) {
			ballast[i * PAGE_SIZE] = 1;
			guest_fill(vcpu, SWEEP_GPA + i * PAGE_SIZE, 1, round + i);
		}
		ASSERT_OK(madvise(ballast, PAGES * PAGE_SIZE, MADV_DONTNEED));
		compact();
		EXPECT_EQ(guest_mismatches(vcpu, SWEEP_GPA, PAGES, round), 0);
		EXPECT_EQ(host_mismatches(mem, PAGES, round), 0);
		guest_fill(vcpu, SWEEP_GPA, PAGES, 7000 + round);
		EXPECT_EQ(host_mismatches(mem, PAGES, 7000 + round), 0);
		ASSERT_OK(madvise(mem, PAGES * PAGE_SIZE, MADV_DONTNEED));
	}
}
