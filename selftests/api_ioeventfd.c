// SPDX-License-Identifier: GPL-2.0
/* machine: arch=any */
/* KVM_IOEVENTFD: what is refused. guest_ioeventfd.c has what it does. */
#include <fcntl.h>

#include "lib/event.h"

enum { ADDR = 0x40000000, UNKNOWN_FLAG = 0x100 };
enum {
	PIO = KVM_IOEVENTFD_FLAG_PIO,
	MATCH = KVM_IOEVENTFD_FLAG_DATAMATCH,
	DEASSIGN = KVM_IOEVENTFD_FLAG_DEASSIGN,
};

static int bind(struct vm *vm, int fd, uint64_t addr, uint32_t len, uint32_t flags, uint64_t match)
{
	const struct kvm_ioeventfd ioeventfd = {
		.datamatch = match, .addr = addr, .len = len, .fd = fd, .flags = flags,
	};

	return ioctl(vm->fd, KVM_IOEVENTFD, &ioeventfd);
}

TEST(lengths)
{
	struct vm *vm = vm_create();

	for (uint32_t len = 0; len <= 17; len++) {
		if (len == 0 || len == 1 || len == 2 || len == 4 || len == 8)
			EXPECT_OK(bind(vm, event_new(), ADDR + 32 * len, len, 0, 0));
		else
			EXPECT_ERRNO(bind(vm, event_new(), ADDR + 32 * len, len, 0, 0), EINVAL);
	}
	EXPECT_ERRNO(bind(vm, event_new(), ADDR, -1, 0, 0), EINVAL);
}

/* To match a value needs a length. */
TEST(no_match_of_any_length)
{
	struct vm *vm = vm_create();

	EXPECT_ERRNO(bind(vm, event_new(), ADDR, 0, MATCH, 1), EINVAL);
}

TEST(ranges)
{
	struct vm *vm = vm_create();

	EXPECT_ERRNO(bind(vm, event_new(), -1UL, 2, 0, 0), EINVAL);
	EXPECT_ERRNO(bind(vm, event_new(), -4UL, 8, 0, 0), EINVAL);
	EXPECT_OK(bind(vm, event_new(), 0, 8, 0, 0));
}

TEST(flags)
{
	struct vm *vm = vm_create();

	EXPECT_ERRNO(bind(vm, event_new(), ADDR, 4, UNKNOWN_FLAG, 0), EINVAL);
	EXPECT_ERRNO(bind(vm, event_new(), ADDR, 4, ~DEASSIGN, 0), EINVAL);
}

TEST(needs_an_eventfd)
{
	struct vm *vm = vm_create();
	const int null = ASSERT_OK(open("/dev/null", O_RDWR));

	EXPECT_ERRNO(bind(vm, -1, ADDR, 4, 0, 0), EBADF);
	EXPECT_ERRNO(bind(vm, null, ADDR, 4, 0, 0), EINVAL);
	EXPECT_ERRNO(bind(vm, -1, ADDR, 4, DEASSIGN, 0), EBADF);
}

/* No write may have two eventfds to go to. */
TEST(overlaps)
{
	struct vm *vm = vm_create();

	ASSERT_OK(bind(vm, event_new(), ADDR, 4, MATCH, 1));
	EXPECT_ERRNO(bind(vm, event_new(), ADDR, 4, MATCH, 1), EEXIST);
	EXPECT_ERRNO(bind(vm, event_new(), ADDR, 4, 0, 0), EEXIST);
	EXPECT_ERRNO(bind(vm, event_new(), ADDR, 0, 0, 0), EEXIST);
	EXPECT_OK(bind(vm, event_new(), ADDR, 4, MATCH, 2));
	EXPECT_OK(bind(vm, event_new(), ADDR, 2, 0, 0));
	EXPECT_OK(bind(vm, event_new(), ADDR + 4, 4, 0, 0));
	EXPECT_OK(bind(vm, event_new(), ADDR, 4, PIO | MATCH, 1));
	ASSERT_OK(bind(vm, event_new(), ADDR + 64, 0, 0, 0));
	EXPECT_ERRNO(bind(vm, event_new(), ADDR + 64, 1, 0, 0), EEXIST);
}

/* Taken back is what was bound: eventfd, address, length, value, port or memory. */
TEST(deassign)
{
	struct vm *vm = vm_create();
	const int fd = event_new();

	EXPECT_ERRNO(bind(vm, fd, ADDR, 4, DEASSIGN, 0), ENOENT);
	ASSERT_OK(bind(vm, fd, ADDR, 4, MATCH, 7));
	EXPECT_ERRNO(bind(vm, fd, ADDR, 4, DEASSIGN, 7), ENOENT);
	EXPECT_ERRNO(bind(vm, fd, ADDR, 4, DEASSIGN | MATCH, 8), ENOENT);
	EXPECT_ERRNO(bind(vm, fd, ADDR, 2, DEASSIGN | MATCH, 7), ENOENT);
	EXPECT_ERRNO(bind(vm, fd, ADDR + 4, 4, DEASSIGN | MATCH, 7), ENOENT);
	EXPECT_ERRNO(bind(vm, fd, ADDR, 4, DEASSIGN | MATCH | PIO, 7), ENOENT);
	EXPECT_ERRNO(bind(vm, event_new(), ADDR, 4, DEASSIGN | MATCH, 7), ENOENT);
	EXPECT_OK(bind(vm, fd, ADDR, 4, DEASSIGN | MATCH, 7));
	EXPECT_ERRNO(bind(vm, fd, ADDR, 4, DEASSIGN | MATCH, 7), ENOENT);
	ASSERT_OK(bind(vm, fd, ADDR, 0, 0, 0));
	EXPECT_OK(bind(vm, fd, ADDR, 0, DEASSIGN, 0));
	EXPECT_OK(bind(vm, fd, ADDR, 0, 0, 0));
}

TEST(one_eventfd_many_places)
{
	struct vm *vm = vm_create();
	const int fd = event_new();

	for (int i = 0; i < 100; i++)
		ASSERT_OK(bind(vm, fd, ADDR + 8 * i, 4, 0, 0));
	for (int i = 99; i >= 0; i--)
		ASSERT_OK(bind(vm, fd, ADDR + 8 * i, 4, DEASSIGN, 0));
}

TEST(bad_pointer)
{
	EXPECT_ERRNO(ioctl(vm_create()->fd, KVM_IOEVENTFD, 16), EFAULT);
}

TEST(is_offered)
{
	const int kvm = kvm_open();

	EXPECT_EQ(kvm_check(kvm, KVM_CAP_IOEVENTFD), 1);
	EXPECT_EQ(kvm_check(kvm, KVM_CAP_IOEVENTFD_ANY_LENGTH), 1);
}
