/* SPDX-License-Identifier: GPL-2.0 */
/* Eventfds, and what KVM binds them to. */
#ifndef SELFTESTS_EVENT_H
#define SELFTESTS_EVENT_H

#include <sys/eventfd.h>
#include <unistd.h>

#include "kvm.h"

/* KVM_IRQFD as it is */
static inline int irqfd(struct vm *vm, int fd, uint32_t gsi, uint32_t flags, int resample)
{
	const struct kvm_irqfd irqfd = {
		.fd = fd, .gsi = gsi, .flags = flags, .resamplefd = resample,
	};

	return ioctl(vm->fd, KVM_IRQFD, &irqfd);
}

static inline void event_signal(int fd)
{
	const uint64_t one = 1;

	ASSERT_EQ(write(fd, &one, sizeof(one)), sizeof(one));
}

/* Takes the count of a non-blocking eventfd, 0 if it is not signalled. */
static inline uint64_t event_take(int fd)
{
	uint64_t count = 0;

	if (read(fd, &count, sizeof(count)) != sizeof(count))
		return 0;
	return count;
}

static inline int event_new(void)
{
	return ASSERT_OK(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
}

#endif
