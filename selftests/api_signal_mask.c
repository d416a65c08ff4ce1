// SPDX-License-Identifier: GPL-2.0
/* machine: arch=any */
/* KVM_SET_SIGNAL_MASK: its argument, and which signals end KVM_RUN. */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "lib/any.h"

#define KERNEL_SIGSET_SIZE 8	/* sizeof(sigset_t) in the kernel */

struct mask {
	struct kvm_signal_mask header;
	uint64_t set;
} __attribute__((packed));

static int set_mask(struct vcpu *vcpu, uint64_t set)
{
	struct mask mask = { .header.len = KERNEL_SIGSET_SIZE, .set = set };

	return ioctl(vcpu->fd, KVM_SET_SIGNAL_MASK, &mask);
}

static volatile sig_atomic_t handled;

static void handle(int signal)
{
	(void)signal;
	handled++;
}

static void block(int signal)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, signal);
	ASSERT_OK(sigprocmask(SIG_BLOCK, &set, NULL));
}

GUEST_ANY(halts, "hlt\n", DONE);

TEST(null_takes_the_mask_off)
{
	struct vcpu *vcpu = vcpu_new(vm_create(), 0);

	EXPECT_OK(ioctl(vcpu->fd, KVM_SET_SIGNAL_MASK, NULL));
	EXPECT_OK(set_mask(vcpu, 0));
	EXPECT_OK(ioctl(vcpu->fd, KVM_SET_SIGNAL_MASK, NULL));
}

TEST(length_must_be_the_kernels)
{
	static const uint32_t lengths[] = { 0, 1, 4, 7, 9, 16, 128, 0xffffffff };
	struct vcpu *vcpu = vcpu_new(vm_create(), 0);

	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		struct mask mask = { .header.len = lengths[i] };

		EXPECT_ERRNO(ioctl(vcpu->fd, KVM_SET_SIGNAL_MASK, &mask), EINVAL);
	}
}

TEST(pending_signal_blocked_by_the_thread_lets_it_run)
{
	struct vcpu *vcpu = GUEST_ANY_NEW(halts);

	signal(SIGUSR1, handle);
	block(SIGUSR1);
	raise(SIGUSR1);
	EXPECT_END(vcpu);
	EXPECT_EQ(handled, 0);
}

/* QEMU's way: SIGUSR1 is blocked except inside KVM_RUN, and taken there by sigtimedwait. */
TEST(pending_signal_let_in_by_the_mask_ends_the_run)
{
	struct vcpu *vcpu = GUEST_ANY_NEW(halts);
	sigset_t pending;

	signal(SIGUSR1, handle);
	block(SIGUSR1);
	ASSERT_OK(set_mask(vcpu, 0));
	raise(SIGUSR1);
	EXPECT_ERRNO(vcpu_run(vcpu), EINTR);
	EXPECT_EXIT(vcpu, KVM_EXIT_INTR);
	ASSERT_OK(sigpending(&pending));
	EXPECT_TRUE(handled == 1 || sigismember(&pending, SIGUSR1));
}

TEST(pending_signal_blocked_by_the_mask_lets_it_run)
{
	struct vcpu *vcpu = GUEST_ANY_NEW(halts);

	signal(SIGUSR1, handle);
	block(SIGUSR1);
	raise(SIGUSR1);
	ASSERT_OK(set_mask(vcpu, 1UL << (SIGUSR1 - 1)));
	EXPECT_END(vcpu);
	EXPECT_EQ(handled, 0);
}

TEST(mask_holds_during_the_run_only)
{
	struct vcpu *vcpu = GUEST_ANY_NEW(halts);
	sigset_t before, after;

	block(SIGUSR2);
	ASSERT_OK(sigprocmask(SIG_BLOCK, NULL, &before));
	ASSERT_OK(set_mask(vcpu, 1UL << (SIGUSR1 - 1)));
	EXPECT_END(vcpu);
	ASSERT_OK(sigprocmask(SIG_BLOCK, NULL, &after));
	EXPECT_TRUE(sigismember(&after, SIGUSR2));
	EXPECT_TRUE(!sigismember(&after, SIGUSR1));
	EXPECT_MEM(&after, &before, KERNEL_SIGSET_SIZE);
}
