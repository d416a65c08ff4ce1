// SPDX-License-Identifier: GPL-2.0
/* machine: arch=any */
/* userfaultfd: guest memory that the VMM fills page by page, as the guest asks. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdatomic.h>
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

#ifdef __x86_64__
/* A byte from device memory to slot 1: the KVM itself writes it. */
GUEST64(fill_in, "movsb\nhlt\n");

enum { DEVICE = 0x80000000, VALUE = 0x5a };

static void *write_on(void *arg)
{
	struct vcpu *vcpu = arg;

	ASSERT_OK(vcpu_run(vcpu));
	return NULL;
}

struct deletion {
	struct vm *vm;
	atomic_bool done;
};

static void *delete_slot(void *arg)
{
	struct deletion *deletion = arg;

	ASSERT_OK(vm_set_slot(deletion->vm, 1, SWEEP_GPA, 0, NULL, 0));
	atomic_store(&deletion->done, true);
	return NULL;
}

/* The slot goes while a write waits for its page: one waits for the other, or nothing is written. */
TEST(a_slot_deleted_under_a_waiting_write)
{
	struct pager pager = { .mem = mem_private(PAGES * PAGE_SIZE) };
	struct vcpu *vcpu = GUEST_NEW(MODE_LONG, fill_in);
	struct deletion deletion = { .vm = vcpu->vm };
	struct kvm_regs regs = vcpu_regs(vcpu);
	struct uffdio_zeropage zero = {
		.range = { .start = (uintptr_t)pager.mem, .len = PAGE_SIZE },
	};
	pthread_t writer, deleter;
	struct uffd_msg msg;
	bool deleted_first;

	ASSERT_OK(madvise(pager.mem, PAGES * PAGE_SIZE, MADV_NOHUGEPAGE));
	start(&pager);
	ASSERT_OK(vm_set_slot(vcpu->vm, 1, SWEEP_GPA, PAGES * PAGE_SIZE, pager.mem, 0));
	regs.rsi = DEVICE;
	regs.rdi = SWEEP_GPA;
	vcpu_set_regs(vcpu, &regs);
	ASSERT_RUN(vcpu, KVM_EXIT_MMIO);
	EXPECT_EQ(vcpu->run->mmio.is_write, 0);
	vcpu->run->mmio.data[0] = VALUE;

	ASSERT_EQ(pthread_create(&writer, NULL, write_on, vcpu), 0);
	ASSERT_EQ(read(pager.fd, &msg, sizeof(msg)), sizeof(msg));
	ASSERT_EQ(pthread_create(&deleter, NULL, delete_slot, &deletion), 0);
	usleep(200000);
	deleted_first = atomic_load(&deletion.done);
	ASSERT_OK(ioctl(pager.fd, UFFDIO_ZEROPAGE, &zero));
	ASSERT_EQ(pthread_join(deleter, NULL), 0);
	ASSERT_EQ(pthread_join(writer, NULL), 0);
	if (deleted_first)
		EXPECT_EQ(pager.mem[0], 0);
	if (pager.mem[0] == 0) {
		EXPECT_EXIT(vcpu, KVM_EXIT_MMIO);
		EXPECT_EQ(vcpu->run->mmio.phys_addr, SWEEP_GPA);
		EXPECT_EQ(vcpu->run->mmio.is_write, 1);
		EXPECT_EQ(vcpu->run->mmio.data[0], VALUE);
	} else {
		EXPECT_EXIT(vcpu, KVM_EXIT_HLT);
		EXPECT_EQ(pager.mem[0], VALUE);
	}
}
#endif
