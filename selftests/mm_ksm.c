// SPDX-License-Identifier: GPL-2.0
/* machine: arch=any */
/* Same-page merging under a guest: merged pages come apart when the guest writes. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/sweep.h"

#define KSM "/sys/kernel/mm/ksm/"

enum { PAGES = 64, TRIES = 100, PAUSE_US = 50000 };

static void ksm_set(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY);

	if (fd < 0)
		SKIP("the host has no KSM");
	ASSERT_OK(write(fd, value, strlen(value)));
	close(fd);
}

static long ksm_get(const char *path)
{
	char text[32] = "";
	int fd = ASSERT_OK(open(path, O_RDONLY));

	ASSERT_OK(read(fd, text, sizeof(text) - 1));
	close(fd);
	return atol(text);
}

static bool wait_for_merge(void)
{
	for (int i = 0; i < TRIES; i++) {
		if (ksm_get(KSM "pages_sharing") >= PAGES - 1)
			return true;
		usleep(PAUSE_US);
	}
	return false;
}

TEST_LIMIT(merged_then_written, 60)
{
	uint8_t *mem = mem_private(PAGES * PAGE_SIZE);
	struct vcpu *vcpu = sweep_new(mem, PAGES);
	bool merged;

	ksm_set(KSM "sleep_millisecs", "10");
	ksm_set(KSM "pages_to_scan", "1000");
	guest_fill(vcpu, SWEEP_GPA, PAGES, 0);
	/* Equal contents, mapped by the guest for writing */
	for (size_t i = 0; i < PAGES; i++)
		guest_fill(vcpu, SWEEP_GPA + i * PAGE_SIZE, 1, 0x4242);
	ASSERT_OK(madvise(mem, PAGES * PAGE_SIZE, MADV_MERGEABLE));
	ksm_set(KSM "run", "1");
	merged = wait_for_merge();
	guest_fill(vcpu, SWEEP_GPA, PAGES / 2, 100);
	ksm_set(KSM "run", "2");
	ksm_set(KSM "run", "0");
	if (!merged)
		SKIP("the host merged nothing in time");
	EXPECT_EQ(host_mismatches(mem, PAGES / 2, 100), 0);
	for (size_t i = PAGES / 2; i < PAGES; i++)
		ASSERT_EQ(guest_peek(vcpu, SWEEP_GPA + i * PAGE_SIZE), 0x4242);
	EXPECT_EQ(guest_mismatches(vcpu, SWEEP_GPA, PAGES / 2, 100), 0);
}
