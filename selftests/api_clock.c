// SPDX-License-Identifier: GPL-2.0
/* KVM_GET_CLOCK and KVM_SET_CLOCK; guest_kvmclock.c has what a guest sees of them. */
#include <time.h>

#include "lib/kvm.h"

#define SECOND 1000000000ULL
#define KNOWN_FLAGS (KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC)

static struct kvm_clock_data get(struct vm *vm)
{
	struct kvm_clock_data data;

	ASSERT_OK(ioctl(vm->fd, KVM_GET_CLOCK, &data));
	return data;
}

static uint64_t realtime(void)
{
	struct timespec now;

	ASSERT_OK(clock_gettime(CLOCK_REALTIME, &now));
	return now.tv_sec * SECOND + now.tv_nsec;
}

TEST(begins_near_zero_and_goes_on)
{
	struct vm *vm = vm_create();
	uint64_t last = 0;

	for (int i = 0; i < 100; i++) {
		const uint64_t now = get(vm).clock;

		EXPECT_TRUE(now > last);
		EXPECT_TRUE(now < 60 * SECOND);
		last = now;
	}
}

TEST(goes_on_from_what_is_set)
{
	const uint64_t values[] = { 0, SECOND, 1000000 * SECOND, 5 * SECOND };
	struct vm *vm = vm_create();

	for (unsigned int i = 0; i < ARRAY_SIZE(values); i++) {
		const struct kvm_clock_data data = { .clock = values[i] };

		ASSERT_OK(ioctl(vm->fd, KVM_SET_CLOCK, &data));
		EXPECT_TRUE(get(vm).clock >= values[i]);
		EXPECT_TRUE(get(vm).clock < values[i] + 10 * SECOND);
	}
}

TEST(flags)
{
	struct vm *vm = vm_create();
	struct kvm_clock_data data = get(vm);

	EXPECT_EQ(data.flags & ~KNOWN_FLAGS, 0);
	/* What was got may be set as it is. */
	EXPECT_OK(ioctl(vm->fd, KVM_SET_CLOCK, &data));
	for (int bit = 0; bit < 32; bit++) {
		data.flags = 1U << bit;
		data.realtime = realtime();
		if (data.flags & KNOWN_FLAGS)
			EXPECT_OK(ioctl(vm->fd, KVM_SET_CLOCK, &data));
		else
			EXPECT_ERRNO(ioctl(vm->fd, KVM_SET_CLOCK, &data), EINVAL);
	}
}

TEST(the_capability_is_the_flags)
{
	EXPECT_EQ(kvm_check(kvm_open(), KVM_CAP_ADJUST_CLOCK), KNOWN_FLAGS);
}

/* The real time at which the clock showed that is told, if it can be. */
TEST(real_time)
{
	struct vm *vm = vm_create();
	const uint64_t before = realtime();
	const struct kvm_clock_data data = get(vm);

	if (!(data.flags & KVM_CLOCK_REALTIME)) {
		EXPECT_EQ(data.realtime, 0);
		SKIP("the host's clock is not the TSC");
	}
	EXPECT_TRUE(data.realtime + SECOND >= before);
	EXPECT_TRUE(data.realtime <= realtime() + SECOND);
}

/* With the real time of the saving, the time since then is added. */
TEST(time_between_is_added)
{
	struct vm *vm = vm_create();
	struct kvm_clock_data data = { .clock = SECOND, .flags = KVM_CLOCK_REALTIME };

	data.realtime = realtime() - 1000 * SECOND;
	ASSERT_OK(ioctl(vm->fd, KVM_SET_CLOCK, &data));
	EXPECT_TRUE(get(vm).clock >= 1001 * SECOND);
	EXPECT_TRUE(get(vm).clock < 1061 * SECOND);
	/* One that is still to come adds nothing. */
	data.realtime = realtime() + 1000 * SECOND;
	ASSERT_OK(ioctl(vm->fd, KVM_SET_CLOCK, &data));
	EXPECT_TRUE(get(vm).clock < 61 * SECOND);
}

TEST(bad_pointers)
{
	struct vm *vm = vm_create();

	EXPECT_ERRNO(ioctl(vm->fd, KVM_GET_CLOCK, 16), EFAULT);
	EXPECT_ERRNO(ioctl(vm->fd, KVM_SET_CLOCK, 16), EFAULT);
}
