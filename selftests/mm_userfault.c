// SPDX-License-Identifier: GPL-2.0
/* userfaultfd: guest memory that the VMM fills page by page, as the guest asks. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/sweep.h"

enum { PAGES = 40 };

struct pager {
	int fd;
	uint8_t *mem;
	unsigned int served;
};

/* Gives each missing page its number, until all are there. */
static void *serve(void *arg)
{
	struct pager *pager = arg;
	static uint8_t page[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
	struct uffd_msg msg;

	while (pager->served < PAGES) {
		ASSERT_EQ(read(pager->fd, &msg, sizeof(msg)), sizeof(msg));
		ASSERT_EQ(msg.event, UFFD_EVENT_PAGEFAULT);

		const uint64_t at = msg.arg.pagefault.address & ~(PAGE_SIZE - 1);
		const uint64_t number = 100 + (at - (uintptr_t)pager->mem) / PAGE_SIZE;
		struct uffdio_copy copy = { .dst = at, .src = (uintptr_t)page, .len = PAGE_SIZE };

		memcpy(page, &number, sizeof(number));
		ASSERT_OK(ioctl(pager->fd, UFFDIO_COPY, &copy));
		pager->served++;
	}
	return NULL;
}

static void start(struct pager *pager)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = {
		.range = { .start = (uintptr_t)pager->mem, .len = PAGES * PAGE_SIZE },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	pager->fd = syscall(SYS_userfaultfd, O_CLOEXEC);
	if (pager->fd < 0)
		SKIP("the host has no userfaultfd");
	ASSERT_OK(ioctl(pager->fd, UFFDIO_API, &api));
	ASSERT_OK(ioctl(pager->fd, UFFDIO_REGISTER, &range));
}

TEST(pages_come_as_the_guest_reads)
{
	struct pager pager = { .mem = mem_private(PAGES * PAGE_SIZE) };
	struct vcpu *vcpu = sweep_new(pager.mem, PAGES);
	pthread_t thread;

	ASSERT_OK(madvise(pager.mem, PAGES * PAGE_SIZE, MADV_NOHUGEPAGE));
	start(&pager);
	ASSERT_EQ(pthread_create(&thread, NULL, serve, &pager), 0);
	EXPECT_EQ(guest_mismatches(vcpu, SWEEP_GPA, PAGES, 100), 0);
	ASSERT_EQ(pthread_join(thread, NULL), 0);
	EXPECT_EQ(pager.served, PAGES);
	/* Present now: no more questions */
	guest_fill(vcpu, SWEEP_GPA, PAGES, 500);
	EXPECT_EQ(host_mismatches(pager.mem, PAGES, 500), 0);
}

TEST(pages_come_as_the_guest_writes)
{
	struct pager pager = { .mem = mem_private(PAGES * PAGE_SIZE) };
	struct vcpu *vcpu = sweep_new(pager.mem, PAGES);
	pthread_t thread;

	ASSERT_OK(madvise(pager.mem, PAGES * PAGE_SIZE, MADV_NOHUGEPAGE));
	start(&pager);
	ASSERT_EQ(pthread_create(&thread, NULL, serve, &pager), 0);
	guest_fill(vcpu, SWEEP_GPA, PAGES, 500);
	ASSERT_EQ(pthread_join(thread, NULL), 0);
	EXPECT_EQ(pager.served, PAGES);
	EXPECT_EQ(host_mismatches(pager.mem, PAGES, 500), 0);
}
